"""`torch_utils.custom_ops`: nothing is compiled here."""

from typing import Any, NoReturn

verbosity = "brief"  # scripts assign it: none, brief or full


def get_plugin(module_name: str, sources: Any, **build_kwargs: Any) -> NoReturn:
    """Refuses: the ops of gan_fast are compiled when it is installed, and it compiles nobody else's."""
    raise RuntimeError(f"get_plugin: gan_fast has no use for {module_name!r}; build it with torch.utils.cpp_extension")

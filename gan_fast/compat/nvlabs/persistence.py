"""`torch_utils.persistence` without its pickles: classes remember their arguments, and no pickle holds source text.

Networks are pickled as any other object is, by the name of their class. Pickles that the original wrote hold source
text, which it runs when it reads them: here that is refused.
"""

from __future__ import annotations

import copy
import functools
from typing import Any, NoReturn

from gan_fast.compat.nvlabs.dnnlib import EasyDict

_MARK = "_is_persistent_class"


def persistent_class(orig_class: type) -> type:
    """The class itself, whose instances now have `init_args` and `init_kwargs`."""
    if _MARK in vars(orig_class):
        return orig_class
    initialise = orig_class.__init__

    @functools.wraps(initialise)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        if type(self) is orig_class:
            arguments = copy.deepcopy((args, kwargs))
            initialise(self, *args, **kwargs)
            self._init_args, self._init_kwargs = arguments
        else:  # a subclass calls: the arguments are those of its own
            initialise(self, *args, **kwargs)

    orig_class.__init__ = init
    orig_class.init_args = property(lambda self: copy.deepcopy(self._init_args))
    orig_class.init_kwargs = property(lambda self: EasyDict(copy.deepcopy(self._init_kwargs)))
    setattr(orig_class, _MARK, True)
    return orig_class


def is_persistent(obj: Any) -> bool:
    """Whether a class, or an object's class, is persistent itself."""
    return _MARK in vars(obj if isinstance(obj, type) else type(obj))


def import_hook(hook: Any) -> Any:
    """Accepted: hooks would see the source texts of pickles, which are not read here."""
    return hook


def _reconstruct_persistent_obj(meta: Any) -> NoReturn:
    """What pickles of the original call."""
    raise RuntimeError(
        "this pickle holds source text, which gan_fast does not run: gan_fast.load(path) reads its tensors without"
    )

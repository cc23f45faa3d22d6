"""Dialects under foreign names: opt-in, whatever is on disk or imported already, and without a trace afterwards."""

import importlib
import pickle
import sys
import textwrap

import pytest
import torch

import gan_fast.compat
from gan_fast.compat import DIALECTS, NAMES, install, uninstall


@pytest.fixture(autouse=True)
def _undone():
    """Nothing is left of what a test installs or imports."""
    modules, finders, path = dict(sys.modules), list(sys.meta_path), list(sys.path)
    yield
    uninstall()
    assert sys.meta_path == finders
    sys.path[:] = path
    for name in set(sys.modules) - set(modules):
        if not name.startswith(("gan_fast.", "torch.")):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes files below a folder that is on sys.path."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(**files):
        for name, text in files.items():
            path = tmp_path / (name.replace("__", "/") + ".py").replace("/init.py", "/__init__.py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        importlib.invalidate_caches()

    return write


OLD = """
    def fused_leaky_relu(input, bias, negative_slope=0.2, scale=2 ** 0.5):
        return "original"

    class FusedLeakyReLU:
        def __init__(self, channel, negative_slope=0.2, scale=2 ** 0.5):
            pass
"""
NEW = OLD.replace("channel, negative", "channel, bias=True, negative").replace("input, bias,", "input, bias=None,")


@pytest.mark.parametrize("name", NAMES)
def test_every_known_name_can_be_imported_with_all_its_modules(name):
    install(name)
    for part, source in DIALECTS[NAMES[name]].items():
        module = importlib.import_module(f"{name}.{part}".rstrip("."))
        if source is not None and part:
            assert module is importlib.import_module(f"gan_fast.compat.{source}") or hasattr(module, "__path__")
        if source is not None:
            for public in getattr(importlib.import_module(f"gan_fast.compat.{source}"), "__all__", ()):
                assert hasattr(module, public)
    uninstall()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(name)
    assert not [n for n in sys.modules if f"{n}.".startswith(f"{name}.")]


def test_imports_as_scripts_write_them():
    install("torch_utils", "dnnlib", "op", "models.stylegan2.op", "basicsr.ops", "mmcv.ops", "mmgen.ops")
    imports = """
        import dnnlib
        import dnnlib.util
        from torch_utils import custom_ops, misc, persistence, training_stats
        from torch_utils.ops import bias_act, conv2d_gradfix, conv2d_resample, filtered_lrelu, fma
        from torch_utils.ops import grid_sample_gradfix, upfirdn2d
        from torch_utils.ops.upfirdn2d import _parse_padding
        from op import FusedLeakyReLU, conv2d_gradfix as gradfix, fused_leaky_relu, upfirdn2d as fir
        from op.fused_act import FusedLeakyReLU as Again
        from op.upfirdn2d import upfirdn2d_native
        import models.stylegan2.op.fused_act
        from models.stylegan2.op import fused_leaky_relu as old
        from basicsr.ops.fused_act import fused_leaky_relu as same_as_old
        from basicsr.ops.upfirdn2d import upfirdn2d as basicsr_fir
        from mmcv.ops import bias_act as act, conv2d, conv_transpose2d, downsample2d, filter2d, upsample2d
        from mmcv.ops.fused_bias_leakyrelu import FusedBiasLeakyReLU
        from mmgen.ops import bias_act as act_module, conv2d as conv, filtered_lrelu as lrelu_module
        conv2d_gradfix.enabled = grid_sample_gradfix.enabled = gradfix.enabled = True
        custom_ops.verbosity = "none"
    """
    names = {}
    exec(textwrap.dedent(imports), names)
    assert names["fir"] is gan_fast.compat.rosinality.upfirdn2d
    assert names["Again"] is names["FusedLeakyReLU"]
    assert names["old"] is names["same_as_old"]
    assert names["act_module"].bias_act(torch.ones(1, 1)) == names["act"](torch.ones(1, 1))
    names["conv2d_gradfix"].enabled = names["grid_sample_gradfix"].enabled = False
    names["custom_ops"].verbosity = "brief"


def test_a_dialect_under_any_name():
    with install("a.b.c", dialect="lia"):
        from a.b.c import FusedLeakyReLU

        assert FusedLeakyReLU is gan_fast.compat.lia.FusedLeakyReLU
        import a.b.c.upfirdn2d

        assert a.b.c.upfirdn2d.__name__ == "upfirdn2d"  # the function, as in the original's __init__
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("a.b.c")


def test_an_error_inside_leaves_nothing_behind():
    with pytest.raises(KeyError), install("some.parent.op", dialect="lia"):
        raise KeyError(importlib.import_module("some.parent.op"))
    for name in ("some", "some.parent", "some.parent.op"):
        assert name not in sys.modules
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(name)


@pytest.mark.parametrize("project", ["basicsr", "mmcv", "mmgen"])
def test_a_project_means_its_ops(project):
    with install(project):
        assert importlib.import_module(f"{project}.ops").__loader__.name == f"{project}.ops"
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(project)


def test_what_is_not_known_is_refused_before_anything_is_installed():
    with pytest.raises(ValueError, match=r"(?s)name: got 'ops', takes torch_utils, .*op, .*rosinality_old"):
        install("op", "ops")
    with pytest.raises(ValueError, match="dialect: got 'nvidia', takes nvlabs, torch_utils"):
        install("op", dialect="nvidia")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("op")


def test_a_real_package_is_shadowed_and_comes_back(write):
    write(
        op__init="from .fused_act import FusedLeakyReLU, fused_leaky_relu",
        op__fused_act=OLD,
        op__more="from .fused_act import fused_leaky_relu",
    )
    import op

    original = op
    assert op.fused_leaky_relu(None, None) == "original"
    with install("op"):
        import op
        from op.fused_act import fused_leaky_relu
        from op.more import fused_leaky_relu as through_a_neighbour

        assert fused_leaky_relu is through_a_neighbour is op.fused_leaky_relu
        assert fused_leaky_relu is gan_fast.compat.rosinality_old.fused_leaky_relu
    import op
    from op.more import fused_leaky_relu

    assert op is original
    assert fused_leaky_relu(None, None) == "original"


def test_a_real_package_that_was_not_imported_is_there_afterwards(write):
    write(op__init="from .fused_act import fused_leaky_relu", op__fused_act=OLD)
    install("op")
    import op

    assert op.fused_leaky_relu is gan_fast.compat.rosinality_old.fused_leaky_relu
    uninstall()
    import op

    assert op.fused_leaky_relu(None, None) == "original"


def test_the_original_says_which_dialect_it_is(write):
    write(op__init="", op__fused_act=NEW, my__op__init="", my__op__fused_act=OLD, my__init="")
    write(your__fir__init="", your__fir__upfirdn2d="def upfirdn2d(input, kernel, up=1, down=1, pad=(0, 0)): pass")
    write(my__nv__upfirdn2d="def filter2d(x, f, padding=0, flip_filter=False, gain=1, impl='cuda'): pass")
    write(my__mm__upfirdn2d="def upfirdn2d(input, filter, up=1, down=1, padding=0, flip_filter=False, gain=1, "
          "use_custom_op=True): pass")  # fmt: skip
    write(my__gpen__fused_act="def fused_leaky_relu(input, bias, negative_slope=0.2, scale=1, device='cpu'): pass")
    write(my__nv__conv2d_gradfix="def no_weight_gradients(): pass")  # fewer parameters, as in stylegan2-ada-pytorch
    install("op", "my.op", "your.fir", "my.nv", "my.mm", "my.gpen")
    expected = {"op": "rosinality", "my.op": "rosinality_old", "my.mm": "mmcv2", "my.gpen": "gpen"}
    for name, dialect in expected.items():
        module = importlib.import_module(name)
        face = importlib.import_module(f"gan_fast.compat.{dialect}")
        assert all(getattr(module, public) is getattr(face, public) for public in face.__all__), name
    assert importlib.import_module("my.nv.upfirdn2d") is gan_fast.compat.nvlabs.upfirdn2d
    uninstall()
    write(my__op__fused_act="def fused_leaky_relu(input, something): pass")
    with pytest.raises(ValueError, match=r"my\.op"):
        install("my.op")


def test_parents_and_neighbours_of_a_real_package_keep_working(write):
    write(
        models__init="LOADED = True",
        models__stylegan2__init="",
        models__stylegan2__model="from models.stylegan2.op import fused_leaky_relu\nfrom .op import FusedLeakyReLU",
        models__stylegan2__op__init="raise RuntimeError('compiles')",
        models__stylegan2__op__fused_act=OLD,
    )
    with install("models.stylegan2.op"):
        import models
        from models.stylegan2 import model

        assert models.LOADED
        assert model.fused_leaky_relu is gan_fast.compat.rosinality_old.fused_leaky_relu
        assert models.stylegan2.op.FusedLeakyReLU is model.FusedLeakyReLU
    assert models.LOADED
    assert not hasattr(models.stylegan2, "op")
    with pytest.raises(RuntimeError, match="compiles"):
        import models.stylegan2.op


def test_a_package_with_more_than_the_dialect_runs_its_own_init_over_our_modules(write):
    write(
        mmcv__init="",
        mmcv__ops__init="from .nms import nms\nfrom .upfirdn2d import upfirdn2d",
        mmcv__ops__nms="def nms(): return 'nms'",
        mmcv__ops__upfirdn2d="def upfirdn2d(input, kernel, up=1, down=1, pad=(0, 0)): pass",
    )
    with install("mmcv.ops"):
        from mmcv.ops import nms, upfirdn2d

        assert nms() == "nms"
        assert upfirdn2d is gan_fast.compat.mmcv1.upfirdn2d
    from mmcv.ops import upfirdn2d

    assert upfirdn2d is not gan_fast.compat.mmcv1.upfirdn2d


def test_parents_show_the_original_again(write):
    write(
        stylegan2__init="", stylegan2__op__init="from .fused_act import fused_leaky_relu", stylegan2__op__fused_act=OLD
    )
    import stylegan2.op

    with install("stylegan2.op"):
        import stylegan2.op

        assert stylegan2.op.fused_leaky_relu is gan_fast.compat.rosinality_old.fused_leaky_relu
    assert stylegan2.op is sys.modules["stylegan2.op"]
    assert stylegan2.op.fused_leaky_relu(None, None) == "original"


def test_pickles_find_their_classes():
    with install("op"):
        assert pickle.loads(b"cop.fused_act\nFusedLeakyReLU\n.") is gan_fast.compat.rosinality.FusedLeakyReLU
    with pytest.raises(ModuleNotFoundError):
        pickle.loads(b"cop.fused_act\nFusedLeakyReLU\n.")


def test_installs_nest():
    with install("op", dialect="rosinality"):
        import op

        assert op.FusedLeakyReLU is gan_fast.compat.rosinality.FusedLeakyReLU
        with install("op", dialect="lia"):
            import op

            assert op.FusedLeakyReLU is gan_fast.compat.lia.FusedLeakyReLU
        import op

        assert op.FusedLeakyReLU is gan_fast.compat.rosinality.FusedLeakyReLU


def test_nothing_happens_unless_asked():
    with pytest.raises(ModuleNotFoundError):
        import torch_utils
    install("op")
    assert "op" not in sys.modules  # before it is imported
    with pytest.raises(ModuleNotFoundError):
        import torch_utils.ops  # noqa: F401

"""gan-fast run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    script: Annotated[Path, typer.Argument(help="Python file to run.")],
    arguments: Annotated[list[str] | None, typer.Argument(help="What the script gets as its arguments.")] = None,
    install: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=DIALECT]", help="Also replace this package, of this dialect; may be repeated."),
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Leave this package as it is; may be repeated.")
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REPAIR", help="Leave this as it is: adam-betas, sampler or pkg-resources; may be repeated."
        ),
    ] = None,
) -> None:
    """Run a training or inference script of the StyleGAN families on gan_fast, unmodified, on a CPU too.

    Packages of ops that the script imports (torch_utils.ops, op, models.stylegan2.op, basicsr.ops, mmcv.ops and copies
    under any name with "op" in it) are recognised by their files and replaced; torch_utils and dnnlib are supplied if
    they are missing. What current PyTorch no longer takes is mended: integer betas of Adam, the argument of
    torch.utils.data.Sampler, imports of pkg_resources. Each is said once, on stderr. torch.load stays as safe as
    PyTorch makes it, and a script that asks for CUDA needs it.

    **Examples**

    gan-fast run generate.py --outdir out --seeds 0-7

    gan-fast run --install my_package.fir=rosinality_old --without adam-betas train.py --batch 8
    """
    if not script.is_file():
        raise ValueError(f"SCRIPT: {script} is not a file")

    import runpy
    import sys
    import traceback

    from gan_fast.compat.scripts import Settings, prepare

    def tell(what: str, option: str) -> None:
        typer.echo(f"gan-fast run: {what} ({option} leaves it as it is)", err=True)

    sys.argv = [str(script), *(arguments or ())]
    sys.path[: 0 if sys.flags.safe_path else 1] = [str(script.resolve().parent)]
    prepare(Settings(str(script), install or (), keep or (), without or ()), tell)
    try:
        runpy.run_path(str(script), run_name="__main__")
    except Exception as error:
        traceback.print_exception(_from_script(error, str(script)))
        raise typer.Exit(1) from None


def _from_script(error: Exception, script: str) -> Exception:
    """The error with the traceback that Python itself would show: from the script's first line on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != script:
        trace = trace.tb_next
    return error.with_traceback(trace)

"""The log's numbers for TensorBoard, beside the log itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gan_fast.training.stats import Record


def load_writer() -> type:
    """torch's SummaryWriter.

    Raises:
        ValueError: the tensorboard package is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ValueError("tensorboard: needs a package: pip install 'gan-fast[tensorboard]'") from None
    return SummaryWriter


def tensorboard_sink(run: Path, step: int) -> Callable[[Record], None]:
    """A function that writes each number of a record as <kind>/<name>, under the run's folder.

    Args:
        run: the folder.
        step: where the run goes on; what a stopped run wrote after it is hidden.
    """
    writer = load_writer()(run / "tensorboard", purge_step=step)

    def write(record: Record) -> None:
        for name, value in record.items():
            if isinstance(value, int | float) and name not in ("step", "kimg"):
                writer.add_scalar(f"{record['kind']}/{name}", value, record["step"])
        writer.flush()

    return write

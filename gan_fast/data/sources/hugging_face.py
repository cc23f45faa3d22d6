"""A data set of Hugging Face's datasets package that lies on this machine."""

from __future__ import annotations

from pathlib import Path

from gan_fast.data.labels import Labels
from gan_fast.data.sources.source import Source


class HuggingFaceSource(Source):
    """What `Dataset.save_to_disk` wrote: the first Image column, and the first ClassLabel column as classes.

    Of a DatasetDict the split "train" is taken. Nothing is downloaded.
    """

    kind = "hugging face"
    MARKS = ("dataset_info.json", "dataset_dict.json")

    def __init__(self, path: Path):
        try:
            import datasets
        except ImportError:
            raise ValueError(f"data: {path} is a Hugging Face data set: pip install 'gan-fast[data]'") from None
        try:
            rows = datasets.load_from_disk(str(path))
        except Exception as error:  # Arrow and JSON raise many kinds for damaged files
            raise ValueError(f"cannot read the data set {path}: {error}") from error
        if isinstance(rows, datasets.DatasetDict):
            if "train" not in rows:
                raise ValueError(f"data: {path} has no split 'train', only {', '.join(rows)}")
            rows = rows["train"]
        columns = {
            kind: next((name for name, feature in rows.features.items() if isinstance(feature, kind)), None)
            for kind in (datasets.Image, datasets.ClassLabel)
        }
        column = columns[datasets.Image]
        if column is None:
            raise ValueError(f"path: no images in {path} (its columns are {', '.join(rows.features)})")
        self._rows = rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))
        self._column = column
        super().__init__(path, [f"row {i}" for i in range(len(rows))], [])
        self.stamp = rows._fingerprint
        label = columns[datasets.ClassLabel]
        if label is None:
            self.labels = Labels.none(len(rows))
        else:
            classes = [-1 if k is None else k for k in rows[label]]
            self.labels = Labels.of_classes(classes, rows.features[label].names)

    def read(self, i: int) -> bytes:
        image = self._rows[i][self._column]
        return Path(image["path"]).read_bytes() if image["bytes"] is None else image["bytes"]

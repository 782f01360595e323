"""A plain folder: images anywhere in it, and one wide table ``landmarks.csv``, or ``landmarks_<reader>.csv`` for each.

The tables are those of ``docs/formats.md`` (CSV, many images).
"""

from __future__ import annotations

from pathlib import Path

from bundle.io.landmark_files import RowIndex, read_landmark_table
from datasets.files import DataSetError, images_below
from datasets.records import DataSet, LabelledImage


def read_folder(source: Path) -> DataSet:
    """Read a plain folder.

    Raises:
        DataSetError: when it has no table, or the tables differ in images or landmarks.
        LandmarkError: when a table cannot be read.
    """
    tables = _tables(source)
    read = {reader: read_landmark_table(path) for reader, path in tables.items()}
    indices = {reader: RowIndex(table) for reader, table in read.items()}
    files = images_below(source)
    first = next(iter(read.values()))
    names = next(iter(first.values())).names
    images, without_landmarks = [], []
    used: set[str] = set()
    for name, path in files.items():
        rows = {reader: index.find(path, name) for reader, index in indices.items()}
        if any(row is None for row in rows.values()):
            without_landmarks.append(name)
            continue
        sets = {reader: read[reader][row] for reader, row in rows.items() if row is not None}
        other = [reader for reader, found in sets.items() if found.names != names]
        if other:
            raise DataSetError(
                f"{tables[other[0]]} has other landmarks than the other tables: give all the same columns."
            )
        used.add(str(next(iter(rows.values()))))
        images.append(LabelledImage(name, path, "testing", {reader: found.points for reader, found in sets.items()}))
    if not images:
        raise DataSetError(
            f"{source} has no image that all its tables name: the first column must hold the file names."
        )
    return DataSet(
        name=source.resolve().name,
        title=f"folder {source.resolve().name}",
        licence="as its owner says",
        landmark_names=tuple(names),
        images=images,
        layout="folder",
        without_image=tuple(sorted(set(first) - used)),
        without_landmarks=tuple(without_landmarks),
    )


def _tables(source: Path) -> dict[str, Path]:
    """The tables by reader; ``landmarks_mean.csv`` is made of the others and left out beside them."""
    if (source / "landmarks.csv").is_file():
        return {"annotator": source / "landmarks.csv"}
    found = {path.stem.removeprefix("landmarks_"): path for path in sorted(source.glob("landmarks_*.csv"))}
    if len(found) > 1:
        found.pop("mean", None)
    if not found:
        raise DataSetError(f"{source} has neither landmarks.csv nor landmarks_<reader>.csv: write the table there.")
    return found

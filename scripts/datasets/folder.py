"""A plain folder: images anywhere in it, and one wide table ``landmarks.csv``, or ``landmarks_<reader>.csv`` for each.

The tables are those of ``docs/formats.md`` (CSV, many images).
"""

from pathlib import Path

from bundle.io.landmark_files import read_landmark_table
from datasets.files import DataSetError, Source
from datasets.records import DataSet, LabelledImage


def read_folder(source: Source) -> DataSet:
    """Read a plain folder.

    Raises:
        DataSetError: when it has no table, or the tables have no image in common.
        LandmarkError: when a table cannot be read, or has other landmarks than the first.
    """
    tables = _tables(source.folder)
    read = {reader: read_landmark_table(path) for reader, path in tables.items()}
    matches = {reader: source.match(table) for reader, table in read.items()}
    names = next(iter(next(iter(read.values())).values())).names
    common = [name for name in source.images if all(name in match.names for match in matches.values())]
    if not common:
        raise DataSetError(
            f"{source.folder} has no image that all its tables name: the first column must hold the file names."
        )
    folder = source.folder.resolve().name
    return DataSet(
        name=folder,
        title=f"folder {folder}",
        licence="as its owner says",
        landmark_names=tuple(names),
        images=[
            LabelledImage(
                name,
                source.images[name],
                "testing",
                {
                    reader: read[reader][match.names[name]].in_order_of(names, str(tables[reader])).points
                    for reader, match in matches.items()
                },
            )
            for name in common
        ],
        layout="folder",
        without_image=tuple(sorted({name for match in matches.values() for name in match.without_image})),
        without_landmarks=tuple(name for name in source.images if name not in common),
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

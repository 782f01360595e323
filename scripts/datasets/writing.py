"""A data set as the bundle reads it: ``dataset.json``, a data list for each split, and tables of landmarks."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bundle.io.overwriting import refuse_to_overwrite
from bundle.writers.files import write_json
from bundle.writers.run_files import write_errors, write_table
from datasets.checks import Duplicate, Look, consecutive
from datasets.files import PREPARED, Source
from datasets.records import SPLITS, DataSet, LabelledImage

SCHEMA = "one-shot-landmarks/data-list/1"


def write_data_set(
    data: DataSet,
    source: Source,
    folder: Path,
    looks: dict[str, Look],
    duplicates: Sequence[Duplicate],
    remarks: Sequence[str],
    dropped: Sequence[str] = (),
) -> list[Path]:
    """Write a data set.

    Args:
        data: the data set, without the images that are left out.
        source: the files that were read.
        folder: where to; images stay where they are.
        looks: what is seen of each image.
        duplicates: pairs of images that are one.
        remarks: what is unusual.
        dropped: ids of images that were left out.

    Returns:
        the files, ``dataset.json`` first.

    Raises:
        BundleError: when a file cannot be written, or would be written over one that was read.
    """
    splits = {split: [image for image in data.images if image.split == split] for split in SPLITS}
    splits = {split: images for split, images in splits.items() if images}
    lists = {
        split: [_entry(image, folder, looks[image.image_id]) for image in images] for split, images in splits.items()
    }
    several = len(data.readers) > 1
    readers = {reader: f"landmarks_{reader}.csv" for reader in data.readers} if several else {}
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "name": data.name,
        "title": data.title,
        "licence": data.licence,
        "layout": data.layout,
        "overlay": data.overlay,
        "template": data.template,
        "landmark_names": list(data.landmark_names),
        "landmarks": "landmarks.csv",
        "readers": readers,
        "truth": "floor of the readers' mean"
        if several and data.whole_pixels
        else ("mean" if several else "one reader"),
        "splits": list(lists),
        **lists,
        "remarks": list(remarks),
        "duplicates": [
            {"images": [pair.first, pair.second], "exact": pair.exact, "across_splits": pair.across_splits}
            for pair in duplicates
        ],
        "dropped": list(dropped),
    }
    tables = {"landmarks.csv": [data.truth(image) for image in data.images]}
    tables |= {name: [image.points[reader] for image in data.images] for reader, name in readers.items()}
    documents = {PREPARED: document, **{f"{split}.json": {"images": entries} for split, entries in lists.items()}}
    refuse_to_overwrite([folder / name for name in (*documents, *tables, "errors.csv")], source.files)
    return [
        *(write_json(folder / name, content) for name, content in documents.items()),
        *(_table(folder / name, data, points) for name, points in tables.items()),
        write_errors(folder, data.failures),
    ]


def _entry(image: LabelledImage, folder: Path, look: Look) -> dict[str, Any]:
    try:
        path = os.path.relpath(image.path.resolve(), folder.resolve())
    except ValueError:  # another drive
        path = str(image.path.resolve())
    return {
        "image": Path(path).as_posix(),
        "image_id": image.image_id,
        "width": look.width,
        "height": look.height,
        **({} if image.spacing is None else {"pixel_spacing": list(image.spacing)}),
        **({"part": image.part} if image.part else {}),
    }


def _table(path: Path, data: DataSet, points: Sequence[np.ndarray]) -> Path:
    """The table of ``docs/formats.md``; numbered columns where the names are numbers."""
    names = data.landmark_names
    columns = [f"{axis}{name}" if consecutive(names) else f"{name}_{axis}" for name in names for axis in "xy"]
    rows = ([image.image_id, *own.ravel().tolist()] for image, own in zip(data.images, points))
    return write_table(path, ["image", *columns], rows, ".10g")

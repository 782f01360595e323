"""Aariz (also CEPHA29): 1000 cephalograms of seven machines, 29 landmarks, two readers.

``train|valid|test/Cephalograms/<id>.png``, ``.../Annotations/Cephalometric Landmarks/Senior Orthodontists/<id>.json``
(and ``Junior Orthodontists``), and ``cephalogram_machine_mappings.csv`` with the mm per pixel of each image. An
annotation has ``landmarks``: a list of ``{"symbol": "A", "value": {"x": 1412, "y": 1280}}``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from datasets.files import (
    DataSetError,
    Source,
    arrange,
    csv_rows,
    name_order,
    point,
    positive,
    read_json,
)
from datasets.records import DataSet, LabelledImage

PARTS = {"train": "training", "valid": "validation", "test": "testing"}
READERS = {"senior": "Senior Orthodontists", "junior": "Junior Orthodontists"}


def read_aariz(source: Source) -> DataSet:
    """Read the data set.

    Raises:
        DataSetError: when folders or files are missing or damaged.
    """
    mapping = source.file("cephalogram_machine_mappings.csv")
    root = source.folder if mapping is None else mapping.parent
    spacings = {} if mapping is None else _spacings(mapping)
    named: list[tuple[str, str, Path, dict[str, dict[str, tuple[float, float]]]]] = []
    without_landmarks: list[str] = []
    without_image: list[str] = []
    parts = [part for part in PARTS if (root / part / "Cephalograms").is_dir()]
    if not parts:
        raise DataSetError(
            f"{source.folder} has no folder train/Cephalograms, valid/Cephalograms or test/Cephalograms: unpack Aariz "
            "there."
        )
    for part in parts:
        images = {name: path for name, path in source.images.items() if root / part / "Cephalograms" in path.parents}
        folders = {
            reader: root / part / "Annotations" / "Cephalometric Landmarks" / folder
            for reader, folder in READERS.items()
        }
        folders = {reader: folder for reader, folder in folders.items() if folder.is_dir()}
        if not folders:
            raise DataSetError(f"{root / part} has no folder Annotations/Cephalometric Landmarks/Senior Orthodontists.")
        match = source.match({path.stem: 0 for folder in folders.values() for path in folder.glob("*.json")}, images)
        without_image += match.without_image
        without_landmarks += match.without_landmarks
        for name, annotated in match.names.items():
            files = {reader: folder / f"{annotated}.json" for reader, folder in folders.items()}
            if all(file.is_file() for file in files.values()):
                points = {reader: _landmarks(file) for reader, file in files.items()}
                named.append((name, PARTS[part], images[name], points))
            else:
                without_landmarks.append(name)
    names = name_order(symbols for _, _, _, readers in named for symbols in readers.values())
    images = [
        LabelledImage(name, path, split, _points(readers, names, name), spacings.get(name))
        for name, split, path, readers in named
    ]
    return DataSet(
        name="aariz",
        title="Aariz (CEPHA29), cephalograms of seven machines (Khalid et al., arXiv:2302.07797)",
        licence="the terms stated with the download: read them before use",
        landmark_names=names,
        images=images,
        layout="aariz",
        expected={"training": 700, "validation": 150, "testing": 150},
        without_image=tuple(without_image),
        without_landmarks=tuple(without_landmarks),
    )


def _points(
    readers: dict[str, dict[str, tuple[float, float]]], names: tuple[str, ...], image: str
) -> dict[str, np.ndarray]:
    return {reader: arrange(symbols, names, f"image {image}, reader {reader}") for reader, symbols in readers.items()}


def _landmarks(file: Path) -> dict[str, tuple[float, float]]:
    content: Any = read_json(file)
    listed = content.get("landmarks") if isinstance(content, dict) else None
    if not isinstance(listed, list) or not listed:
        raise DataSetError(f"{file} has no list 'landmarks': it is no annotation of Aariz.")
    found: dict[str, tuple[float, float]] = {}
    for entry in listed:
        symbol = entry.get("symbol") if isinstance(entry, dict) else None
        value = entry.get("value") if isinstance(entry, dict) else None
        if not isinstance(symbol, str) or not isinstance(value, dict):
            raise DataSetError(f"{file} has the landmark {entry!r:.80}, expected a symbol and a value: mend the file.")
        if symbol in found:
            raise DataSetError(f"{file} has the landmark {symbol!r} twice: keep one.")
        found[symbol] = point((value.get("x"), value.get("y")), f"{file}, landmark {symbol}")
    return found


def _spacings(file: Path) -> dict[str, tuple[float, float]]:
    header, *rows = csv_rows(file)
    lower = [cell.lower() for cell in header]
    if "cephalogram_id" not in lower or "pixel_size" not in lower:
        raise DataSetError(f"{file} has the columns {', '.join(header)}, expected cephalogram_id and pixel_size.")
    at_id, at_size = lower.index("cephalogram_id"), lower.index("pixel_size")
    return {row[at_id]: (positive(row[at_size], f"{file}, image {row[at_id]}"),) * 2 for row in rows}

"""The cephalograms of the ISBI 2014 and 2015 challenges: 400 images of 1935 x 2400 pixels, 19 landmarks, two readers.

Images 1 to 150 are for training, 151 to 300 are test set 1, 301 to 400 test set 2; a pixel is 0.1 mm. Four layouts are
about, one module function each.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bundle.io.names import file_stem
from datasets.files import DataSetError, Source, csv_rows, pairs
from datasets.records import DataSet, LabelledImage

LANDMARKS = (
    *("sella", "nasion", "orbitale", "porion", "subspinale", "supramentale", "pogonion", "menton", "gnathion"),
    *("gonion", "lower incisor tip", "upper incisor tip", "upper lip", "lower lip", "subnasale"),
    *("soft-tissue pogonion", "posterior nasal spine", "anterior nasal spine", "articulare"),
)
READERS = ("senior", "junior")
SPACING = (0.1, 0.1)
SIZE = (1935, 2400)

#: Points of one reader by the number of the image.
Reading = dict[int, np.ndarray]


def read_isbi2015(source: Source) -> DataSet:
    """Read the cephalograms in any of their layouts.

    Raises:
        DataSetError: when the folder has none of the layouts, or breaks the one that it has.
    """
    for layout, read in LAYOUTS.items():
        readings = read(source)
        if readings:
            return _collect(source, layout, readings)
    raise DataSetError(
        f"{source.folder} has none of the layouts of isbi2015: expected AnnotationsByMD/400_senior/*.txt (the "
        "challenge), train_senior.csv (Kaggle), setup/senior.csv (Payer) or landmarks_senior.csv, with the images."
    )


def _challenge(source: Source) -> dict[str, Reading]:
    """``AnnotationsByMD/400_senior/001.txt``: a line ``x,y`` for each of 19 landmarks, then eight lines of classes."""
    readings = {}
    for reader in READERS:
        files = source.with_ending(".txt", f"400_{reader}")
        readings[reader] = {_number(path.stem, str(path)): _text_file(path) for path in files}
    return {reader: reading for reader, reading in readings.items() if reading}


def _text_file(path: Path) -> np.ndarray:
    rows = csv_rows(path)[: len(LANDMARKS)]
    if len(rows) < len(LANDMARKS) or any(len(row) != 2 for row in rows):
        raise DataSetError(
            f"{path} holds {sum(len(row) == 2 for row in rows)} lines x,y, expected {len(LANDMARKS)}: it is damaged or "
            "not of the challenge."
        )
    return pairs([cell for row in rows for cell in row], len(LANDMARKS), str(path))


def _kaggle(source: Source) -> dict[str, Reading]:
    """``train_senior.csv``, ``test1_senior.csv``, ``test2_senior.csv``: image_path, then x and y of each landmark."""
    readings: dict[str, Reading] = {}
    for reader in READERS:
        for part in ("train", "test1", "test2"):
            path = source.file(f"{part}_{reader}.csv")
            if path is not None:
                header, *rows = csv_rows(path)
                if header[0].lower() != "image_path":
                    raise DataSetError(
                        f"{path} starts with the column {header[0]!r}, expected image_path: download it again."
                    )
                readings.setdefault(reader, {}).update(_table(path, rows, 1.0))
    return readings


def _payer(source: Source) -> dict[str, Reading]:
    """``setup/senior.csv`` and ``setup/junior.csv``: no header; the image, then x and y of each landmark in mm."""
    readings = {}
    for reader in READERS:
        path = source.file(f"{reader}.csv")
        if path is not None:
            readings[reader] = _table(path, csv_rows(path), 1 / SPACING[0])
    return readings


def _tables(source: Source) -> dict[str, Reading]:
    """``landmarks_senior.csv`` and ``landmarks_junior.csv``: image, then x and y of each landmark in pixels."""
    readings = {}
    for reader in READERS:
        path = source.file(f"landmarks_{reader}.csv")
        if path is not None:
            header, *rows = csv_rows(path)
            if header[0].lower() != "image":
                raise DataSetError(f"{path} starts with the column {header[0]!r}, expected image: write it so.")
            readings[reader] = _table(path, rows, 1.0)
    return readings


LAYOUTS: dict[str, Callable[[Source], dict[str, Reading]]] = {
    "challenge": _challenge,
    "kaggle": _kaggle,
    "payer": _payer,
    "tables": _tables,
}


def _table(path: Path, rows: list[list[str]], scale: float) -> Reading:
    reading: Reading = {}
    for line, (name, *cells) in enumerate(rows, start=1):
        where = f"{path}, row {line}"
        number = _number(file_stem(name), where)
        if number in reading:
            raise DataSetError(f"{where}: image {name} has a row already; keep one.")
        reading[number] = pairs(cells, len(LANDMARKS), where) * scale
    return reading


def _number(name: str, where: str) -> int:
    if not name.isdecimal() or not 1 <= int(name) <= 400:
        raise DataSetError(
            f"{where} is of the image {name!r}, expected a number from 001 to 400: it is another data set."
        )
    return int(name)


def _collect(source: Source, layout: str, readings: dict[str, Reading]) -> DataSet:
    files: dict[int, Path] = {}
    for path in source.images.values():
        if (stem := file_stem(path.name)).isdecimal() and files.setdefault(int(stem), path) != path:
            raise DataSetError(f"{path} and {files[int(stem)]} are both image {stem}: keep one.")
    if not files:
        raise DataSetError(
            f"{source.folder} has annotations but no image 001 to 400: unpack the images (RawImage or cepha400) there, "
            "too."
        )
    common = set.intersection(*(set(reading) for reading in readings.values()))
    alone = sorted(set.union(*(set(reading) for reading in readings.values())) - common)
    if alone:
        raise DataSetError(
            f"{source.folder}: image {alone[0]:03d} was annotated by one reader only; complete the annotations of both."
        )
    images = [
        LabelledImage(
            f"{number:03d}",
            files[number],
            "training" if number <= 150 else "testing",
            {reader: reading[number] for reader, reading in readings.items()},
            SPACING,
            "" if number <= 150 else ("test1" if number <= 300 else "test2"),
            SIZE,
        )
        for number in sorted(common & set(files))
    ]
    return DataSet(
        name="isbi2015",
        title="Lateral cephalograms of the ISBI 2014 and 2015 challenges (Wang et al., Med Image Anal 31, 2016)",
        licence="no licence is stated: for research, as the organisers of the challenge ask; do not pass the images on",
        landmark_names=LANDMARKS,
        images=images,
        layout=layout,
        whole_pixels=True,
        overlay="head",
        template="125",
        expected={"training": 150, "testing": 250},
        without_image=tuple(f"{number:03d}" for number in sorted(common - set(files))),
        without_landmarks=tuple(f"{number:03d}" for number in sorted(set(files) - common)),
    )

"""The cephalograms of the ISBI 2014 and 2015 challenges: 400 images of 1935 x 2400 pixels, 19 landmarks, two readers.

Images 1 to 150 are for training, 151 to 300 are test set 1, 301 to 400 test set 2; a pixel is 0.1 mm. Four layouts are
about.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bundle.io.formats import file_stem
from datasets.files import DataSetError, Source, csv_rows, pairs, table
from datasets.records import DataSet, LabelledImage

LANDMARKS = (
    *("sella", "nasion", "orbitale", "porion", "subspinale", "supramentale", "pogonion", "menton", "gnathion"),
    *("gonion", "lower incisor tip", "upper incisor tip", "upper lip", "lower lip", "subnasale"),
    *("soft-tissue pogonion", "posterior nasal spine", "anterior nasal spine", "articulare"),
)
READERS = ("senior", "junior")
SPACING = (0.1, 0.1)
SIZE = (1935, 2400)

#: Layouts of tables: their names with the reader in place of the braces, how the first column is called where there is
#: a header, and the pixels of one of their units (Payer's are in mm).
TABLES = {
    "kaggle": (("train_{}.csv", "test1_{}.csv", "test2_{}.csv"), "image_path", 1.0),
    "payer": (("{}.csv",), None, 1 / SPACING[0]),
    "tables": (("landmarks_{}.csv",), "image", 1.0),
}

#: Points of one reader by the number of the image.
Reading = dict[int, np.ndarray]


def read_isbi2015(source: Source) -> DataSet:
    """Read the cephalograms in any of their layouts.

    Raises:
        DataSetError: when the folder has none of the layouts, or breaks the one that it has.
    """
    for layout, tables in {"challenge": None, **TABLES}.items():
        readings = _challenge(source) if tables is None else _tables(source, *tables)
        if readings:
            return _collect(source, layout, readings)
    raise DataSetError(
        f"{source.folder} has none of the layouts of isbi2015: expected AnnotationsByMD/400_senior/*.txt (the "
        "challenge), train_senior.csv (Kaggle), setup/senior.csv (Payer) or landmarks_senior.csv, with the images."
    )


def _challenge(source: Source) -> dict[str, Reading]:
    """``AnnotationsByMD/400_senior/001.txt``: a line ``x,y`` for each of 19 landmarks, then eight lines of classes."""
    readings: dict[str, Reading] = {}
    for reader in READERS:
        for path in source.with_ending(".txt", f"400_{reader}"):
            cells = [cell for row in csv_rows(path)[: len(LANDMARKS)] for cell in row]
            readings.setdefault(reader, {})[_number(path.stem, str(path))] = pairs(cells, len(LANDMARKS), str(path))
    return readings


def _tables(source: Source, names: Sequence[str], first: str | None, scale: float) -> dict[str, Reading]:
    """A reading of each reader out of tables ``image, x1, y1, ...``; see :data:`TABLES`."""
    readings: dict[str, Reading] = {}
    for reader in READERS:
        for path in filter(None, (source.file(name.format(reader)) for name in names)):
            rows = csv_rows(path)
            if first is not None and rows[0][0].lower() != first:
                raise DataSetError(
                    f"{path} starts with the column {rows[0][0]!r}, expected {first}: download it again."
                )
            found = table(path, rows if first is None else rows[1:], len(LANDMARKS), scale)
            numbered = {_number(file_stem(name), str(path)): points for name, points in found.items()}
            readings.setdefault(reader, {}).update(numbered)
    return readings


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

"""Hand radiographs of the Digital Hand Atlas with Payer's 37 landmarks: ``all.csv`` and the images.

``all.csv`` has no header: the image, then x and y of each landmark in pixels. The paper takes its template from the
first 609 of 909 images and measures on the others; there is no true spacing (see ``configs/hand.json``).
"""

from __future__ import annotations

from pathlib import Path

from datasets.files import DataSetError, csv_rows, find_file, images_below, pairs
from datasets.records import DataSet, LabelledImage

COUNT = 37
TOTAL, TRAINING = 909, 609
#: The template where it is among the images, else the first image is.
TEMPLATE = "3229"


def read_hand(source: Path) -> DataSet:
    """Read the hand radiographs.

    Raises:
        DataSetError: when the folder has no ``all.csv`` of that kind, or no image of it.
    """
    table = find_file(source, "all.csv") or find_file(source, "landmarks.csv")
    if table is None:
        raise DataSetError(f"{source} has no all.csv: put Payer's table of the 37 landmarks there, beside the images.")
    rows = csv_rows(table)
    if rows[0][0].lower() == "image":
        rows = rows[1:]
    files = images_below(source)
    images, missing = [], []
    seen: set[str] = set()
    for index, (name, *cells) in enumerate(rows):
        where = f"{table}, row {index + 1}"
        if name in seen:
            raise DataSetError(f"{where}: image {name} has a row already; keep one.")
        seen.add(name)
        points = pairs(cells, COUNT, where)
        if name not in files:
            missing.append(name)
            continue
        split = "testing" if len(rows) == TOTAL and index >= TRAINING else "training"
        images.append(LabelledImage(name, files[name], split, {"payer": points}))
    if not images:
        raise DataSetError(
            f"{source} has no image named in {table.name}, such as {rows[0][0]}.jpg: put the images there."
        )
    return DataSet(
        name="hand",
        title="Hand radiographs of the Digital Hand Atlas, landmarks of Payer et al. (Med Image Anal 54, 2019)",
        licence="images: the terms of the Digital Hand Atlas (IPILab, USC); landmarks: those of their repository",
        landmark_names=tuple(str(number) for number in range(1, COUNT + 1)),
        images=images,
        layout="payer",
        overlay="hand",
        template=TEMPLATE if TEMPLATE in {image.image_id for image in images} else images[0].image_id,
        expected={"training": TRAINING, "testing": TOTAL - TRAINING},
        without_image=tuple(missing),
        without_landmarks=tuple(sorted(set(files) - seen)),
    )

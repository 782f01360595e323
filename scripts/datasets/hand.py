"""Hand radiographs of the Digital Hand Atlas with Payer's 37 landmarks: ``all.csv`` and the images.

``all.csv`` has no header: the image, then x and y of each landmark in pixels. The paper takes its template from the
first 609 of 909 images and measures on the others; there is no true spacing (see ``configs/hand.json``).
"""

from datasets.files import DataSetError, Source, csv_rows, table
from datasets.records import DataSet, LabelledImage

COUNT = 37
TOTAL, TRAINING = 909, 609
#: The template where it is among the images, else the first image is.
TEMPLATE = "3229"


def read_hand(source: Source) -> DataSet:
    """Read the hand radiographs.

    Raises:
        DataSetError: when the folder has no ``all.csv`` of that kind, or no image of it.
    """
    file = source.file("all.csv", "landmarks.csv")
    if file is None:
        raise DataSetError(
            f"{source.folder} has no all.csv: put Payer's table of the 37 landmarks there, beside the images."
        )
    rows = csv_rows(file)
    rows = rows[1:] if rows[0][0].lower() == "image" else rows
    points = table(file, rows, COUNT)
    match = source.match(points)
    if not match.names:
        raise DataSetError(
            f"{source.folder} has no image named in {file.name}, such as {rows[0][0]}.jpg: put the images there."
        )
    row = {name: number for number, name in enumerate(points)}
    images = [
        LabelledImage(
            image_id,
            source.images[image_id],
            "testing" if len(rows) == TOTAL and row[match.names[image_id]] >= TRAINING else "training",
            {"payer": points[match.names[image_id]]},
        )
        for image_id in sorted(match.names, key=lambda image_id: row[match.names[image_id]])
    ]
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
        without_image=match.without_image,
        without_landmarks=match.without_landmarks,
    )

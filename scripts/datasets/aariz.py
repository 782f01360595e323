"""Aariz (also CEPHA29): 1000 cephalograms of seven machines, 29 landmarks, two readers.

``train|valid|test/Cephalograms/<id>.png``, ``.../Annotations/Cephalometric Landmarks/Senior Orthodontists/<id>.json``
(and ``Junior Orthodontists``), and ``cephalogram_machine_mappings.csv`` with the mm per pixel of each image. An
annotation has ``landmarks``: a list of ``{"symbol": "A", "value": {"x": 1412, "y": 1280}}``.
"""

from pathlib import Path

from pydantic import Field

from bundle.io.decoded import positive_pair
from bundle.io.landmark_files.checks import Coordinate, pixel_set
from bundle.records.landmarks import LandmarkSet
from bundle.records.validation import Foreign
from datasets.files import DataSetError, Source, arrange, csv_rows, name_order, read_json
from datasets.records import DataSet, LabelledImage

PARTS = {"train": "training", "valid": "validation", "test": "testing"}
READERS = {"senior": "Senior Orthodontists", "junior": "Junior Orthodontists"}


class _Place(Foreign):
    x: Coordinate
    y: Coordinate


class _Landmark(Foreign):
    symbol: str
    value: _Place


class _Annotation(Foreign):
    landmarks: list[_Landmark] = Field(min_length=1)


def read_aariz(source: Source) -> DataSet:
    """Read the data set.

    Raises:
        DataSetError: when folders or files are missing or damaged.
    """
    mapping = source.file("cephalogram_machine_mappings.csv")
    root = source.folder if mapping is None else mapping.parent
    spacings = {} if mapping is None else _spacings(mapping)
    named: list[tuple[str, str, Path, dict[str, LandmarkSet]]] = []
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
    names = name_order(found.names for _, _, _, readers in named for found in readers.values())
    images = [
        LabelledImage(
            name,
            path,
            split,
            {reader: arrange(found, names, f"image {name}, reader {reader}") for reader, found in readers.items()},
            spacings.get(name),
        )
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


def _landmarks(file: Path) -> LandmarkSet:
    listed = read_json(file, _Annotation).landmarks
    return pixel_set(str(file), [one.symbol for one in listed], [(one.value.x, one.value.y) for one in listed])


def _spacings(file: Path) -> dict[str, tuple[float, float] | None]:
    header, *rows = csv_rows(file)
    lower = [cell.lower() for cell in header]
    if "cephalogram_id" not in lower or "pixel_size" not in lower:
        raise DataSetError(f"{file} has the columns {', '.join(header)}, expected cephalogram_id and pixel_size.")
    at_id, at_size = lower.index("cephalogram_id"), lower.index("pixel_size")
    found = {row[at_id]: positive_pair([row[at_size]] * 2) for row in rows}
    if wrong := [name for name, spacing in found.items() if spacing is None]:
        raise DataSetError(f"{file}, image {wrong[0]}: pixel_size is no positive number of millimetres: mend the file.")
    return found

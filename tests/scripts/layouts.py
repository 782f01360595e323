"""Tiny data sets, each written in the layout in which it is downloaded or exported."""

import csv
import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

#: Width and height of the images, where the layout allows any.
SIZE = (60, 80)


def picture(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A grey image (height, width) that is like no other: no grey value is zero."""
    coarse = np.random.default_rng(seed).integers(30, 255, (8, 6), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)).clip(1)


def save(path: Path, seed: int, size: tuple[int, int] = SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(seed, size)).save(path)
    return path


def points(seed: int, count: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Whole-numbered points inside the image, near the same places in every image."""
    middle = np.random.default_rng(count).uniform(0.3, 0.7, (count, 2)) * size
    return np.round(middle + np.random.default_rng(seed).uniform(-3, 3, (count, 2)))


def write_rows(path: Path, rows: Sequence[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def isbi_points(number: int, reader: str) -> np.ndarray:
    shift = 0 if reader == "senior" else 3
    return points(number, 19, (1935, 2400)) + np.array([shift, 0])


def isbi_images(folder: Path, numbers: Sequence[int], ending: str) -> None:
    for number in numbers:
        save(folder / f"{number:03d}{ending}", number, (1935, 2400))


def challenge(root: Path, numbers: Sequence[int] = (1, 125, 151, 301)) -> None:
    isbi_images(root / "RawImage" / "TrainingData", numbers, ".bmp")
    for reader in ("senior", "junior"):
        for number in numbers:
            lines = [f"{x:.0f},{y:.0f}" for x, y in isbi_points(number, reader)] + ["1"] * 8
            path = root / "AnnotationsByMD" / f"400_{reader}" / f"{number:03d}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines) + "\n")


def kaggle(root: Path, numbers: Sequence[int] = (1, 125, 151, 301)) -> None:
    isbi_images(root / "cepha400" / "cepha400", numbers, ".jpg")
    header = ["image_path", *(f"{i}_{axis}" for i in range(1, 20) for axis in "xy")]
    for reader in ("senior", "junior"):
        for part, low, high in (("train", 1, 150), ("test1", 151, 300), ("test2", 301, 400)):
            rows = [
                [f"{number:03d}.jpg", *isbi_points(number, reader).ravel()]
                for number in numbers
                if low <= number <= high
            ]
            write_rows(root / f"{part}_{reader}.csv", [header, *rows])


def payer_cephalograms(root: Path, numbers: Sequence[int] = (1, 125, 151, 301)) -> None:
    isbi_images(root / "images", numbers, ".bmp")
    for reader in ("senior", "junior"):
        rows = [
            [f"{number:03d}", *(f"{v:.1f}" for v in isbi_points(number, reader).ravel() / 10)] for number in numbers
        ]
        write_rows(root / "setup" / f"{reader}.csv", rows)


def cephalogram_tables(root: Path, numbers: Sequence[int] = (1, 125)) -> None:
    isbi_images(root / "images", numbers, ".jpg")
    header = ["image", *(f"{axis}{i}" for i in range(1, 20) for axis in "xy")]
    for reader in ("senior", "junior"):
        rows = [[f"{number:03d}", *isbi_points(number, reader).ravel()] for number in numbers]
        write_rows(root / f"landmarks_{reader}.csv", [header, *rows])


def hand(root: Path, names: Sequence[str] = ("3128", "3129", "4001")) -> None:
    for seed, name in enumerate(names):
        save(root / "images" / f"{name}.jpg", seed)
    write_rows(root / "setup" / "all.csv", [[name, *points(seed, 37).ravel()] for seed, name in enumerate(names)])


def cl_detection(root: Path, compressed: bool = False) -> None:
    """Two images of 60 x 80 and 50 x 70 pixels, padded with zeros to 64 x 96."""
    stack = np.zeros((2, 96, 64, 3), dtype=np.uint8)
    for index, (width, height) in enumerate([(60, 80), (50, 70)]):
        stack[index, :height, :width] = picture(index, (width, height))[..., None]
    data = zlib.compress(stack.tobytes()) if compressed else stack.tobytes()
    header = ["ObjectType = Image", "NDims = 3", "BinaryData = True", f"CompressedData = {compressed}"]
    header += ["DimSize = 64 96 2", "ElementNumberOfChannels = 3", "ElementType = MET_UCHAR", "ElementDataFile = LOCAL"]
    (root / "images").mkdir(parents=True, exist_ok=True)
    (root / "images" / "train_stack.mha").write_bytes("\n".join(header).encode() + b"\n" + data)
    listed = [
        {"name": index, "point": [*point, image + 1], "scale": ["0.1", "0.125"][image]}
        for image in (0, 1)
        for index, point in enumerate(points(image, 38, (50, 70)).tolist(), start=1)
    ]
    write_json(root / "labels" / "train-gt.json", {"name": "Orthodontic landmarks", "points": listed})


SYMBOLS = ("A", "ANS", "B", "Me")


def aariz(root: Path) -> None:
    rows: list[list[object]] = [["cephalogram_id", "machine", "pixel_size"]]
    for seed, (part, name) in enumerate([("train", "ck1"), ("train", "ck2"), ("valid", "ck3"), ("test", "ck4")]):
        save(root / part / "Cephalograms" / f"{name}.png", seed)
        rows.append([name, "Machine", 0.1 + seed / 100])
        for shift, reader in enumerate(("Senior Orthodontists", "Junior Orthodontists")):
            named = list(zip(SYMBOLS, points(seed, 4) + np.array([shift, 0])))
            content = {
                "ceph_id": name,
                "landmarks": [
                    {"symbol": symbol, "value": {"x": int(x), "y": int(y)}}
                    for symbol, (x, y) in (named if shift else reversed(named))
                ],
            }
            write_json(root / part / "Annotations" / "Cephalometric Landmarks" / reader / f"{name}.json", content)
    write_rows(root / "cephalogram_machine_mappings.csv", rows)


NAMES = ("left hip", "right hip", "sacrum")


def folder(root: Path) -> None:
    for seed, name in enumerate("ab"):
        save(root / "images" / f"{name}.png", seed)
    header = ["image", *(f"{name}_{axis}" for name in NAMES for axis in "xy")]
    rows = [[f"{name}.png", *points(seed, 3).ravel()] for seed, name in enumerate("ab")]
    rows[1][3:5] = ["", ""]
    write_rows(root / "landmarks.csv", [header, *rows])


def coco(root: Path) -> None:
    annotations = []
    for seed, name in enumerate("ab"):
        save(root / "images" / f"{name}.png", seed)
        triples = [[*point, 2] for point in points(seed, 3).tolist()]
        if seed:
            triples[1] = [0, 0, 0]
        annotations.append(
            {
                "id": seed,
                "image_id": seed + 7,
                "category_id": 1,
                "keypoints": [value for triple in triples for value in triple],
            }
        )
    content = {
        "licenses": [{"id": 1, "name": "CC BY 4.0"}],
        "images": [
            {"id": seed + 7, "file_name": f"{name}.png", "width": 60, "height": 80} for seed, name in enumerate("ab")
        ],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "pelvis", "keypoints": list(NAMES)}],
    }
    write_json(root / "annotations.json", content)


def labelme(root: Path) -> None:
    for seed, name in enumerate("ab"):
        save(root / f"{name}.png", seed)
        shapes = [
            {"label": label, "shape_type": "point", "points": [[x + 0.5, y + 0.5]]}
            for label, (x, y) in zip(NAMES, points(seed, 3).tolist())
        ]
        if seed:
            del shapes[1]
        content = {"version": "5.5.0", "shapes": shapes, "imagePath": f"{name}.png", "imageData": None}
        write_json(root / f"{name}.json", content)


def cvat(root: Path, skeleton: bool = False) -> None:
    images = []
    for seed, name in enumerate("ab"):
        save(root / "images" / f"{name}.png", seed)
        lines = []
        for index, (label, (x, y)) in enumerate(zip(NAMES, points(seed, 3).tolist())):
            gone = bool(seed) and index == 1
            if not gone or skeleton:
                lines.append(f'<points label="{label}" outside="{int(gone)}" points="{x + 0.5},{y + 0.5}"></points>')
        inside = "".join(lines)
        inside = f'<skeleton label="pelvis">{inside}</skeleton>' if skeleton else inside
        images.append(f'<image id="{seed}" name="{name}.png" width="60" height="80">{inside}</image>')
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>{"".join(images)}</annotations>'
    root.mkdir(parents=True, exist_ok=True)
    (root / "annotations.xml").write_text(text, encoding="utf-8")

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.transforms import Compose, Lambda, Resized
from PIL import Image

from bundle.data.readable import Failures, LoadRadiographd, ReadableImages, array_index_to_ras, check_flip, mirror
from bundle.errors import ConfigError, ImageError
from bundle.records.radiograph import Radiograph
from tests.io.image_files import write_dicom

ROWS, COLUMNS = np.mgrid[:40, :56]
VALUES = (ROWS * 3 + COLUMNS).astype(np.uint8)


@pytest.fixture
def png(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(VALUES).save(path)
    return path


@pytest.fixture
def dicom(tmp_path):
    return write_dicom(tmp_path / "a.dcm", VALUES, 8, ImagerPixelSpacing=[0.3, 0.2])


def load(image: Path, **settings: Any) -> MetaTensor:
    return LoadRadiographd("image", **settings)({"image": image})["image"]


def test_image_and_meta(dicom):
    image = load(dicom)
    assert isinstance(image, MetaTensor) and image.shape == (1, 40, 56) and image.dtype == torch.float32
    assert image.min() == 0 and image.max() == 1
    assert image[0, 10, 0] > image[0, 0, 10] > image[0, 0, 0]  # a row adds more than a column
    assert image.meta["filename_or_obj"] == str(dicom)
    assert image.meta["spatial_shape"].tolist() == [40, 56]
    assert image.meta["pixel_spacing"] == pytest.approx((0.2, 0.3))
    assert image.meta["spacing_source"] == "ImagerPixelSpacing"
    np.testing.assert_allclose(image.meta["pixel_to_lps"], [[0.2, 0, 0], [0, 0.3, 0], [0, 0, 0]])


def test_affine_maps_row_and_column_to_ras(dicom):
    affine = np.asarray(load(dicom).affine)
    np.testing.assert_allclose(affine @ [10, 20, 0, 1], [-4, -3, 0, 1])  # column 20 is 4 mm left, row 10 3 mm posterior
    assert abs(np.linalg.det(affine)) == pytest.approx(0.06)


def test_affine_of_any_orientation():
    generator = np.random.default_rng(0)
    for _ in range(20):
        axes = np.linalg.qr(generator.normal(size=(3, 3)))[0]
        pixel_to_lps = np.stack([axes[0] * 0.2, axes[1] * 0.3, generator.normal(size=3) * 100], axis=1)
        affine = array_index_to_ras(pixel_to_lps)
        x, y = generator.uniform(0, 1000, 2)
        lps = pixel_to_lps @ [x, y, 1]
        np.testing.assert_allclose(affine @ [y, x, 0, 1], [-lps[0], -lps[1], lps[2], 1])
        assert abs(np.linalg.det(affine)) == pytest.approx(0.06)


def test_unknown_spacing_is_nan(png):
    image = load(png)
    assert len(image.meta["pixel_spacing"]) == 2 and all(math.isnan(value) for value in image.meta["pixel_spacing"])
    assert image.meta["spacing_source"] == ""


def test_a_spacing_that_is_given_decides_but_not_where_the_image_lies(dicom):
    meta = load(dicom, spacing=(0.5, 0.6)).meta
    assert (meta["pixel_spacing"], meta["spacing_source"]) == ((0.5, 0.6), "config")
    np.testing.assert_allclose(meta["pixel_to_lps"][:2, :2], [[0.2, 0], [0, 0.3]])


def test_dictionary(png, dicom):
    read = LoadRadiographd(keys=["image", "template"], spacing=0.5)
    item = {"image": str(png), "template": dicom, "name": "a"}
    loaded = read(item)
    assert item["image"] == str(png) and loaded["name"] == "a"
    assert loaded["image"].meta["pixel_spacing"] == loaded["template"].meta["pixel_spacing"] == (0.5, 0.5)
    loaded = read({**item, "pixel_spacing": [0.1, 0.2]})
    assert loaded["image"].meta["pixel_spacing"] == (0.1, 0.2)
    assert read({**item, "pixel_spacing": None})["image"].meta["pixel_spacing"] == (0.5, 0.5)


def test_side_and_flip(png, dicom):
    meta = load(dicom).meta
    assert (meta["laterality"], meta["rows_towards"], meta["mirror"]) == ("", "", "auto")
    dataset = pydicom.dcmread(dicom)
    dataset.Laterality, dataset.PatientOrientation = "L", ["A", "F"]
    dataset.save_as(dicom)
    read = LoadRadiographd(keys="image", flip={"laterality": "L"})
    image = read({"image": dicom})["image"]
    assert (image.meta["laterality"], image.meta["rows_towards"], image.meta["mirror"]) == ("L", "A", "yes")
    torch.testing.assert_close(image.as_tensor(), load(dicom).as_tensor())  # the pixels stay as they are
    assert read({"image": png})["image"].meta["mirror"] == "auto"
    assert read({"image": dicom, "flip": False})["image"].meta["mirror"] == "no"
    assert read({"image": png, "flip": True})["image"].meta["mirror"] == "yes"
    assert read({"image": png, "flip": None})["image"].meta["mirror"] == "auto"
    with pytest.raises(ConfigError, match="flip is 'up'"):
        read({"image": png, "flip": "up"})
    with pytest.raises(ConfigError, match="flip is 'up'"):
        LoadRadiographd(keys="image", flip="up")


def test_voi_lut(dicom):
    dataset = pydicom.dcmread(dicom)
    dataset.WindowCenter, dataset.WindowWidth = 60, 20
    dataset.save_as(dicom)
    plain, windowed = (load(dicom, voi_lut=voi_lut).as_tensor() for voi_lut in (False, True))
    assert (windowed == 0).float().mean() > (plain == 0).float().mean() + 0.1


def test_missing_keys(png):
    with pytest.raises(KeyError):
        LoadRadiographd(keys="image")({"other": png})


def test_validation(png):
    for options in ({"spacing": -1}, {"spacing": (1, 2, 3)}, {"max_pixels": 0}):
        with pytest.raises(ConfigError):
            LoadRadiographd(keys="image", **options)
    with pytest.raises(ConfigError, match="pixel spacing"):
        LoadRadiographd(keys="image")({"image": png, "pixel_spacing": 0})
    with pytest.raises(ImageError, match="more than max_pixels = 100"):
        load(png, max_pixels=100)


def test_collates_and_goes_through_other_transforms(png, dicom):
    transform = Compose([LoadRadiographd(keys="image"), Resized(keys="image", spatial_size=(20, 28))])
    data = [{"image": str(path)} for path in (png, dicom)]
    batch = next(iter(DataLoader(Dataset(data, transform), batch_size=2)))
    assert batch["image"].shape == (2, 1, 20, 28)
    spacing = torch.stack(batch["image"].meta["pixel_spacing"], dim=-1)
    assert torch.isnan(spacing[0]).all() and spacing[1].tolist() == pytest.approx([0.2, 0.3])
    assert batch["image"].meta["filename_or_obj"] == [str(png), str(dicom)]
    assert pickle.loads(pickle.dumps(transform)) is not None


def radiograph(laterality: str | None = None, rows_towards: str | None = None) -> Radiograph:
    return Radiograph(np.zeros((40, 40), np.float32), Path("a"), laterality=laterality, rows_towards=rows_towards)


@pytest.mark.parametrize(
    ("setting", "said"),
    [(None, "no"), (False, "no"), (True, "yes"), ("horizontal", "yes"), ("auto", "auto"), ("refuse", "refuse")],
)
def test_the_same_for_all_images(setting: Any, said: str) -> None:
    flip = check_flip(setting)
    assert mirror(flip, radiograph()) == mirror(flip, radiograph("L", "P")) == said


@pytest.mark.parametrize(
    ("setting", "laterality", "rows_towards", "said"),
    [
        ({"laterality": "L"}, "L", None, "yes"),
        ({"laterality": "L"}, "R", "L", "no"),
        ({"laterality": "L"}, "B", None, "no"),
        ({"laterality": "R"}, None, "R", "auto"),
        ({"rows_towards": "P"}, None, "P", "yes"),
        ({"rows_towards": "P"}, "L", "PR", "yes"),
        ({"rows_towards": "P"}, None, "RP", "no"),
        ({"rows_towards": "P"}, None, "A", "no"),
        ({"rows_towards": "L"}, "L", None, "auto"),
    ],
)
def test_by_the_header(setting: Any, laterality: str | None, rows_towards: str | None, said: str) -> None:
    assert mirror(check_flip(setting), radiograph(laterality, rows_towards)) == said


@pytest.mark.parametrize(
    "setting",
    [
        *("vertical", "yes", 1, 0, [], {}, {"laterality": "B"}, {"laterality": "LR"}, {"laterality": ["L"]}),
        *({"side": "L"}, {"rows_towards": "X"}, {"rows_towards": None}, {"laterality": "L", "rows_towards": "P"}),
    ],
)
def test_anything_else_is_refused(setting: Any) -> None:
    with pytest.raises(ConfigError, match=r"^flip is .*: choose one\.$"):
        check_flip(setting)


@pytest.fixture
def items(tmp_path: Path) -> list[dict[str, str]]:
    """Files 0 to 5, of which 1 and 4 are broken."""
    listed = []
    for index in range(6):
        path = tmp_path / f"{index}.png"
        if index in (1, 4):
            path.write_text("broken\n")
        else:
            grey = np.random.default_rng(index).integers(0, 255, (40, 50), np.uint8)
            Image.fromarray(grey).save(path)
        listed.append({"image": str(path), "image_id": str(index)})
    return listed


def read(items: list[dict[str, str]], *more: Any) -> tuple[list[dict[str, Any]], Failures]:
    failures = Failures()
    dataset = Dataset(items, Compose([LoadRadiographd(keys="image"), *more]))
    return list(ReadableImages(dataset, failures)), failures


def test_order_is_kept_and_failures_are_recorded(items: list[dict[str, str]]) -> None:
    batches, failures = read(items)
    assert [batch["image_id"] for batch in batches] == [["0"], ["2"], ["3"], ["5"]]
    assert all(batch["image"].shape == (1, 1, 40, 50) for batch in batches)
    assert [Path(file).name for file, _ in failures] == ["1.png", "4.png"]
    assert all(
        name in reason and reason.endswith(".") for name, reason in zip(("1.png", "4.png"), dict(failures).values())
    )


def test_an_error_that_is_not_the_files_fault_propagates(items: list[dict[str, str]]) -> None:
    def fail(item: dict[str, Any]) -> dict[str, Any]:
        if item["image_id"] == "3":
            raise ZeroDivisionError
        return item

    seen = []
    failures = Failures()
    dataset = Dataset(items, Compose([LoadRadiographd(keys="image"), Lambda(fail)]))
    with pytest.raises(RuntimeError) as caught:
        for batch in ReadableImages(dataset, failures):
            seen.append(batch["image_id"][0])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert seen == ["0", "2"]


def test_it_can_be_read_again_and_has_no_length(items: list[dict[str, str]]) -> None:
    failures = Failures()
    images = ReadableImages(Dataset(items, LoadRadiographd(keys="image")), failures)
    assert len(list(images)) == len(list(images)) == 4
    with pytest.raises(TypeError):
        len(images)  # type: ignore[arg-type]


def test_a_reader_that_stops_early_leaves_no_thread_behind(items: list[dict[str, str]]) -> None:
    import threading

    before = threading.active_count()
    batches = iter(ReadableImages(Dataset(items, LoadRadiographd(keys="image")), Failures()))
    assert next(batches)["image_id"] == ["0"]
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_no_image_at_all() -> None:
    batches, failures = read([])
    assert batches == failures == []

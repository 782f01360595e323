"""One annotated image, or a few."""

from pathlib import Path

import numpy as np
import pytest
from image_files import write_dicom
from PIL import Image

from bundle.errors import LandmarkError
from bundle.io.template import read_template


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    rng, files = np.random.default_rng(0), []
    for name in ("a", "b", "c"):
        files.append(tmp_path / f"{name}.png")
        Image.fromarray(rng.integers(0, 255, (80, 60), dtype=np.uint8)).save(files[-1])
    return files


def write(path: Path, *points: tuple[str, float, float]) -> Path:
    path.write_text("name,x,y\n" + "".join(f"{name},{x},{y}\n" for name, x, y in points))
    return path


def test_one_table_for_all(images: list[Path], tmp_path: Path) -> None:
    table = tmp_path / "all.csv"
    table.write_text("image,x1,y1,x2,y2\na,1,2,3,4\nb,5,6,7,8\nc,9,10,11,12\n")
    template = read_template(images[1:], table, spacing=0.2, names=("p", "q"))
    assert [one.name for one in template.all] == ["b.png", "c.png"] and template.landmarks.names == ("p", "q")
    np.testing.assert_array_equal(template.others[0].landmarks.points, [[9, 10], [11, 12]])
    assert template.others[0].spacing == (0.2, 0.2) and not template.others[0].others
    assert template.digest != template.others[0].digest


def test_a_file_for_each_in_any_order(images: list[Path], tmp_path: Path) -> None:
    first = write(tmp_path / "first.csv", ("sella", 1, 2), ("nasion", 30, 40))
    second = write(tmp_path / "second.csv", ("nasion", 31, 41), ("sella", 2, 3))
    template = read_template(images[:2], [first, second])
    assert template.others[0].landmarks.names == ("sella", "nasion")
    np.testing.assert_array_equal(template.others[0].landmarks.points, [[2, 3], [31, 41]])


def test_other_landmarks_are_refused(images: list[Path], tmp_path: Path) -> None:
    first = write(tmp_path / "first.csv", ("sella", 1, 2))
    second = write(tmp_path / "second.csv", ("nasion", 31, 41))
    with pytest.raises(LandmarkError, match=r"b\.png has the landmarks nasion, but the template has sella"):
        read_template(images[:2], [first, second])


def test_counts_must_agree(images: list[Path], tmp_path: Path) -> None:
    one = write(tmp_path / "first.csv", ("sella", 1, 2))
    with pytest.raises(LandmarkError, match="3 template images and 2 landmark files"):
        read_template(images, [one, one])
    with pytest.raises(LandmarkError, match="1 template images and 2 landmark files"):
        read_template(images[0], [one, one])
    with pytest.raises(LandmarkError, match="0 template images"):
        read_template([], one)
    with pytest.raises(LandmarkError, match=r"a.png has no landmarks"):
        read_template(images[:2], None)


def test_the_proportion_of_a_pixel_without_its_size(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 4000, (80, 60), dtype=np.uint16)
    image = write_dicom(tmp_path / "a.dcm", pixels, PixelAspectRatio=[2, 1])
    template = read_template(image, write(tmp_path / "a.csv", ("sella", 1, 2)))
    assert template.spacing is None and template.pixel_size == (1.0, 2.0)

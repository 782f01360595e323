"""Every layout, written small, read by the script itself; and wrong ones, refused with one sentence."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import prepare_dataset
import pytest
from PIL import Image

from bundle.data.cases import collect_cases
from bundle.io.landmark_files import read_landmark_table
from tests.scripts import layouts


def prepare(what: str, source: Path, output: Path, *options: str) -> dict[str, Any]:
    assert prepare_dataset.main([what, "--source", str(source), "--output", str(output), *options]) == 0
    return json.loads((output / "dataset.json").read_text(encoding="utf-8"))


def refusal(what: str, source: Path, output: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """The one sentence with which the script refuses; nothing is written."""
    capsys.readouterr()
    assert prepare_dataset.main([what, "--source", str(source), "--output", str(output), *options]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and lines[0].endswith(".") and len(lines[0]) > 40
    assert not (output / "dataset.json").exists()
    return lines[0]


def one_left_out(what: str, source: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence about a file that cannot be used; all others are there."""
    capsys.readouterr()
    assert prepare_dataset.main([what, "--source", str(source), "--output", str(output)]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    with (output / "errors.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert line == f"error: {row['reason']}" and list(truth(output)) == ["b"]
    return line


def truth(output: Path, name: str = "landmarks.csv") -> dict[str, np.ndarray]:
    return {image: found.points for image, found in read_landmark_table(output / name).items()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "source"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


class TestCephalograms:
    @pytest.mark.parametrize(
        ("write", "layout"),
        [(layouts.challenge, "challenge"), (layouts.kaggle, "kaggle"), (layouts.payer_cephalograms, "payer")],
    )
    def test_three_layouts_give_the_same(self, write: Callable, layout: str, source: Path, output: Path) -> None:
        write(source)
        found = prepare("isbi2015", source, output)
        assert found["layout"] == layout and found["overlay"] == "head" and found["template"] == "125"
        assert [entry["image_id"] for entry in found["training"]] == ["001", "125"]
        assert [(entry["image_id"], entry["part"]) for entry in found["testing"]] == [
            ("151", "test1"),
            ("301", "test2"),
        ]
        entry = found["training"][0]
        assert (entry["width"], entry["height"], entry["pixel_spacing"]) == (1935, 2400, [0.1, 0.1])
        assert found["landmark_names"][0] == "sella" and len(found["landmark_names"]) == 19
        assert set(found["readers"]) == {"senior", "junior"} and found["licence"]
        for number in (1, 301):
            senior = layouts.isbi_points(number, "senior")
            np.testing.assert_allclose(truth(output, "landmarks_senior.csv")[f"{number:03d}"], senior, atol=1e-6)
            np.testing.assert_array_equal(truth(output)[f"{number:03d}"], np.floor(senior + np.array([1.5, 0])))

    def test_tables_of_a_part(self, source: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
        layouts.cephalogram_tables(source)
        found = prepare("isbi2015", source, output)
        assert found["layout"] == "tables" and found["splits"] == ["training"]
        assert "2 images in training, the full data set has 150." in capsys.readouterr().out

    def test_the_data_lists_are_those_that_the_bundle_reads(self, source: Path, output: Path) -> None:
        layouts.challenge(source, (1, 151))
        prepare("isbi2015", source, output)
        for name, image in (("training.json", "001"), ("testing.json", "151"), ("dataset.json", "151")):
            (item,) = collect_cases(output / name).items
            assert (item["image_id"], item["pixel_spacing"]) == (image, [0.1, 0.1])
            assert Path(item["image"]).is_file()

    def test_duplicates_across_splits_are_named_and_dropped(
        self, source: Path, output: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        layouts.challenge(source, (1, 2, 151, 301))
        images = source / "RawImage" / "TrainingData"
        shutil.copy(images / "001.bmp", images / "301.bmp")
        again = np.asarray(Image.open(images / "002.bmp")).astype(int) + 2  # the same exposure, saved otherwise
        Image.fromarray(again.clip(0, 255).astype(np.uint8)).save(images / "151.bmp")
        found = prepare("isbi2015", source, output)
        assert found["duplicates"] == [
            {"images": ["001", "301"], "exact": True, "across_splits": True},
            {"images": ["002", "151"], "exact": False, "across_splits": True},
        ]
        assert found["dropped"] == []
        assert "001=301, 002=151" in capsys.readouterr().out
        found = prepare("isbi2015", source, output, "--drop_duplicates")
        assert found["dropped"] == ["001", "002"] and "training" not in found["splits"]
        assert list(truth(output)) == ["151", "301"]

    def test_wrong_ones_are_refused(self, source: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
        source.mkdir()
        assert "none of the layouts of isbi2015" in refusal("isbi2015", source, output, capsys)
        layouts.challenge(source, (1,))
        text = source / "AnnotationsByMD" / "400_senior" / "001.txt"
        whole = text.read_text()
        text.write_text("\n".join(whole.splitlines()[:12]))
        assert "has 24 coordinates, expected 38" in refusal("isbi2015", source, output, capsys)
        text.write_text(whole.replace(whole.split(",")[0], "x", 1))
        assert "landmark '1', x: found 'x'" in refusal("isbi2015", source, output, capsys)
        text.write_text(whole)
        layouts.save(source / "RawImage" / "TrainingData" / "001.bmp", 1, (100, 200))
        assert "100 x 200 pixels, expected 1935 x 2400" in refusal("isbi2015", source, output, capsys)
        (source / "RawImage" / "TrainingData" / "001.bmp").unlink()
        assert "annotations but no image" in refusal("isbi2015", source, output, capsys)

    def test_one_reader_lacks_an_image(self, source: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
        layouts.challenge(source, (1, 2))
        (source / "AnnotationsByMD" / "400_junior" / "002.txt").unlink()
        assert "image 002 was annotated by one reader only" in refusal("isbi2015", source, output, capsys)

    @pytest.mark.parametrize("name", ["train_senior.csv", "setup/senior.csv", "landmarks_senior.csv"])
    def test_wrong_tables(self, name: str, source: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
        layouts.isbi_images(source, (1,), ".png")
        layouts.write_rows(source / name, [["image", "x1", "y1"], ["001", 1, 2]])
        said = refusal("isbi2015", source, output, capsys)
        assert "image_path" in said or "expected 38" in said or "number from 001 to 400" in said


class TestHand:
    def test_payers_table(self, source: Path, output: Path) -> None:
        layouts.hand(source)
        found = prepare("hand", source, output)
        assert found["overlay"] == "hand" and found["template"] == "3128" and len(found["training"]) == 3
        assert found["readers"] == {} and "pixel_spacing" not in found["training"][0]
        np.testing.assert_array_equal(truth(output)["4001"], layouts.points(2, 37))

    def test_the_full_set_is_split_as_in_the_paper(self, source: Path, output: Path) -> None:
        names = [str(number) for number in range(1000, 1909)]
        layouts.hand(source, ())
        layouts.write_rows(source / "setup" / "all.csv", [[name, *layouts.points(0, 37).ravel()] for name in names])
        for name in ("1000", "1608", "1609"):
            layouts.save(source / "images" / f"{name}.jpg", int(name))
        found = prepare("hand", source, output)
        assert [entry["image_id"] for entry in found["training"]] == ["1000", "1608"]
        assert [entry["image_id"] for entry in found["testing"]] == ["1609"]
        assert any("906 image(s) annotated" in remark for remark in found["remarks"])

    def test_wrong_ones_are_refused(self, source: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
        source.mkdir()
        assert "has no all.csv" in refusal("hand", source, output, capsys)
        layouts.write_rows(source / "all.csv", [["3128", 1, 2, 3]])
        assert "3 coordinates, expected 74 (37 landmarks)" in refusal("hand", source, output, capsys)
        layouts.write_rows(source / "all.csv", [["3128", *range(74)]])
        assert "has no image named in all.csv" in refusal("hand", source, output, capsys)


class TestClDetection:
    @pytest.mark.parametrize("compressed", [False, True])
    def test_images_come_out_of_the_stack(self, compressed: bool, source: Path, output: Path) -> None:
        layouts.cl_detection(source, compressed)
        found = prepare("cl_detection2023", source, output)
        sizes = [(entry["width"], entry["height"], entry["pixel_spacing"][0]) for entry in found["training"]]
        assert sizes == [(60, 80, 0.1), (50, 70, 0.125)]
        assert found["training"][1]["image"] == "images/002.png"
        np.testing.assert_array_equal(Image.open(output / "images" / "002.png"), layouts.picture(1, (50, 70)))
        np.testing.assert_array_equal(truth(output)["002"], layouts.points(1, 38, (50, 70)))

    def test_wrong_ones_are_refused(self, source: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
        source.mkdir()
        assert "train-gt.json and train_stack.mha" in refusal("cl_detection2023", source, output, capsys)
        layouts.cl_detection(source)
        stack = source / "images" / "train_stack.mha"
        whole = stack.read_bytes()
        stack.write_bytes(whole[:-100])
        assert "ends within image 2 of 2" in refusal("cl_detection2023", source, output, capsys)
        stack.write_bytes(b"no header")
        assert "no header" in refusal("cl_detection2023", source, output, capsys)
        stack.write_bytes(whole)
        gt = source / "labels" / "train-gt.json"
        layouts.write_json(gt, {"points": [{"name": 1, "point": [3, 4], "scale": "0.1"}]})
        assert "points[0].point is" in refusal("cl_detection2023", source, output, capsys)
        layouts.write_json(gt, {"points": [{"name": 1, "point": [3, 4, 1], "scale": "none"}]})
        assert "scale is 'none'" in refusal("cl_detection2023", source, output, capsys)


class TestAariz:
    def test_splits_spacings_and_readers(self, source: Path, output: Path) -> None:
        layouts.aariz(source)
        found = prepare("aariz", source, output)
        assert {split: len(found[split]) for split in found["splits"]} == {"training": 2, "validation": 1, "testing": 1}
        assert found["testing"][0]["pixel_spacing"] == pytest.approx([0.13, 0.13])
        assert set(found["landmark_names"]) == set(layouts.SYMBOLS)
        order = [layouts.SYMBOLS.index(name) for name in found["landmark_names"]]
        senior = layouts.points(3, 4)[order]
        np.testing.assert_array_equal(truth(output, "landmarks_senior.csv")["ck4"], senior)
        np.testing.assert_array_equal(truth(output)["ck4"], senior + np.array([0.5, 0]))

    def test_wrong_ones_are_refused(self, source: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
        source.mkdir()
        assert "train/Cephalograms" in refusal("aariz", source, output, capsys)
        layouts.aariz(source)
        file = next((source / "train").rglob("ck1.json"))
        layouts.write_json(file, {"landmarks": [{"symbol": "A", "value": {"x": "left"}}]})
        assert "landmarks[0].value.x is" in refusal("aariz", source, output, capsys)
        file.write_text("{")
        assert "no valid JSON" in refusal("aariz", source, output, capsys)


#: What all formats without splits share: the writer, and whether points are missing.
PLAIN: dict[str, Callable[[Path], None]] = {
    "folder": layouts.folder,
    "coco": layouts.coco,
    "labelme": layouts.labelme,
    "cvat": layouts.cvat,
}


@pytest.mark.parametrize("what", PLAIN)
def test_ones_own_annotations(what: str, source: Path, output: Path) -> None:
    PLAIN[what](source)
    found = prepare(what, source, output, "--pixel_spacing", "0.2", "0.3", "--template", "a")
    assert found["splits"] == ["testing"] and found["template"] == "a" and found["overlay"] is None
    assert [entry["pixel_spacing"] for entry in found["testing"]] == [[0.2, 0.3]] * 2
    assert found["landmark_names"] == list(layouts.NAMES)
    np.testing.assert_array_equal(truth(output)["a"], layouts.points(0, 3))
    expected = layouts.points(1, 3)
    expected[1] = np.nan
    np.testing.assert_array_equal(truth(output)["b"], expected)


def test_a_skeleton_of_cvat(source: Path, output: Path) -> None:
    layouts.cvat(source, skeleton=True)
    assert prepare("cvat", source, output)["landmark_names"] == list(layouts.NAMES)
    assert np.isnan(truth(output)["b"][1]).all()


def test_readers_of_a_plain_folder(source: Path, output: Path) -> None:
    layouts.folder(source)
    table = (source / "landmarks.csv").read_text()
    (source / "landmarks.csv").rename(source / "landmarks_ann.csv")
    (source / "landmarks_bob.csv").write_text(table)
    (source / "landmarks_mean.csv").write_text(table)
    found = prepare("folder", source, output, "--split", "training")
    assert set(found["readers"]) == {"ann", "bob"} and found["splits"] == ["training"] and found["truth"] == "mean"


@pytest.mark.parametrize(
    ("what", "break_it", "said"),
    [
        ("folder", lambda root: (root / "landmarks.csv").unlink(), "neither landmarks.csv nor"),
        ("folder", lambda root: (root / "landmarks.csv").write_text("image,x1,y1\nz,1,2\n"), "no image that all"),
        ("coco", lambda root: (root / "annotations.json").write_text("[]"), "expected an object of names and values"),
        ("coco", lambda root: shutil.rmtree(root / "images"), "has no image that COCO has annotated"),
        ("labelme", lambda root: [path.write_text("{}") for path in root.glob("*.json")], "no list 'shapes'"),
        ("labelme", lambda root: [path.unlink() for path in root.glob("*.json")], "no JSON file of LabelMe"),
        ("cvat", lambda root: (root / "annotations.xml").unlink(), "has no annotations.xml"),
        ("cvat", lambda root: (root / "annotations.xml").write_text("<annotations>"), "no valid XML"),
        ("cvat", lambda root: (root / "annotations.xml").write_text("<annotations/>"), "has no images"),
        ("cvat", lambda root: (root / "annotations.xml").write_text("<!DOCTYPE x><a/>"), "declares entities"),
    ],
)
def test_wrong_ones_are_refused(
    what: str, break_it: Callable, said: str, source: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    PLAIN[what](source)
    break_it(source)
    assert said in refusal(what, source, output, capsys)


def change_json(path: Path, change: Callable[[Any], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    layouts.write_json(path, content)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["annotations"][0]["keypoints"].pop(), "8 numbers under keypoints, expected x, y, v of each of 3"),
        (lambda c: c["annotations"].append(c["annotations"][0]), "one annotation of each image"),
        (lambda c: c["annotations"][0].update(image_id=99), "the image 99"),
        (lambda c: c["categories"].clear(), "0 categories with keypoints"),
        (lambda c: c["annotations"][0]["keypoints"].__setitem__(0, "x"), "annotations[0].keypoints[0] is"),
    ],
)
def test_wrong_keypoints(
    change: Callable, said: str, source: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layouts.coco(source)
    change_json(source / "annotations.json", change)
    assert said in refusal("coco", source, output, capsys)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["shapes"][0].update(shape_type="rectangle"), "shapes[0].shape_type is 'rectangle'"),
        (lambda c: c["shapes"][0].update(label="sacrum"), "'sacrum'"),
        (lambda c: c["shapes"][0].update(points=[[1, 2], [3, 4]]), "shapes[0].points"),
        (lambda c: c["shapes"].clear(), "no landmark"),
    ],
)
def test_wrong_shapes(
    change: Callable, said: str, source: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layouts.labelme(source)
    change_json(source / "a.json", change)
    assert said in one_left_out("labelme", source, output, capsys)


def test_landmarks_outside_their_images(source: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layouts.folder(source)
    table = source / "landmarks.csv"
    lines = table.read_text().splitlines()
    cells = lines[1].split(",")
    table.write_text("\n".join([lines[0], ",".join(["a.png", "500", *cells[2:]]), lines[2]]))
    assert "1 of 5 landmarks lie outside their images, the first is a left hip" in refusal(
        "folder", source, output, capsys
    )


def test_an_image_that_is_none(source: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layouts.folder(source)
    (source / "images" / "a.png").write_bytes(b"no image")
    assert "a.png is named .png but holds no image" in one_left_out("folder", source, output, capsys)
    (source / "images" / "b.png").write_bytes(b"no image")
    assert "a.png is named .png but holds no image" in refusal("folder", source, output.with_name("new"), capsys)


def test_two_images_of_one_name(source: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layouts.folder(source)
    layouts.save(source / "more" / "a.png", 5)
    assert "the row 'a.png' does not say which" in refusal("folder", source, output, capsys)
    table = source / "landmarks.csv"
    table.write_text(table.read_text().replace("a.png", "images\\a.png"))
    prepare("folder", source, output)
    assert list(truth(output)) == ["images__a", "b"]


def test_bad_arguments(source: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "expected a folder" in refusal("folder", source, output, capsys)
    layouts.folder(source)
    for option, said in ((["--template", "z"], "--template is 'z'"), (["--pixel_spacing", "-1"], "-1")):
        assert said in refusal("folder", source, output, capsys, *option)


GREY = layouts.picture(0).astype(np.float64)
BRIGHTEST = np.zeros(GREY.shape)
BRIGHTEST[3, 4] = 1  # beyond the percentiles between which grey values are stretched


@pytest.mark.parametrize(
    ("scale", "differs", "dtype", "ending"),
    [
        (190, layouts.picture, np.float32, "tif"),
        (90, layouts.picture, ">u2", "tif"),
        (900, lambda number: 90 * layouts.picture(number).astype(int), np.int32, "tif"),
        (90, layouts.picture, np.uint16, "png"),
        (10, lambda number: 60_000 * np.roll(BRIGHTEST, number), np.uint16, "png"),
    ],
)
def test_images_of_many_grey_values_are_the_same_only_if_all_their_pixels_are(
    scale: int, differs: Callable[[int], np.ndarray], dtype: Any, ending: str, source: Path, output: Path
) -> None:
    source.mkdir()
    for number in (1, 2, 3):
        pixels = GREY * scale + 1000 + differs(number)
        Image.fromarray(pixels.astype(dtype)).save(source / f"{number}.{ending}")
    layouts.write_rows(source / "landmarks.csv", [["image", "x1", "y1"], *([k, 10 + k, 20] for k in (1, 2, 3))])
    assert [pair for pair in prepare("folder", source, output)["duplicates"] if pair["exact"]] == []


def test_pixels_are_compared_whatever_the_file_has_them_in(source: Path, output: Path) -> None:
    source.mkdir()
    pixels = layouts.picture(0)
    Image.fromarray(pixels).save(source / "a.png")
    Image.fromarray(pixels).save(source / "b.bmp")
    Image.fromarray(pixels.astype(np.uint16)).save(source / "c.png")
    Image.fromarray(pixels.astype(np.float32)).save(source / "d.tif")
    Image.fromarray(pixels.reshape(pixels.shape[::-1])).save(source / "other_shape.png")
    rows = [[name, 10 + k, 20] for k, name in enumerate(("a", "b", "c", "d", "other_shape"))]
    layouts.write_rows(source / "landmarks.csv", [["image", "x1", "y1"], *rows])
    found = prepare("folder", source, output, "--drop_duplicates")
    assert {tuple(pair["images"]) for pair in found["duplicates"] if pair["exact"]} == {
        *(("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d"))
    }
    assert list(truth(output)) == ["a", "other_shape"]


def renamed_in_text(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("name", ["..\\\\label\\\\a.png", "images/a.png", "A.PNG", "old\\\\place/a.jpeg"])
@pytest.mark.parametrize("what", ["coco", "cvat", "labelme", "folder"])
def test_names_of_images_from_any_system(what: str, name: str, source: Path, output: Path) -> None:
    PLAIN[what](source)
    file = {"coco": "annotations.json", "cvat": "annotations.xml", "labelme": "a.json", "folder": "landmarks.csv"}[what]
    name = name if file.endswith("json") else name.replace("\\\\", "\\")
    if what == "labelme" and "images" in name:
        (source / "images").mkdir()
        (source / "a.png").rename(source / "images" / "a.png")
    renamed_in_text(source / file, "a.png", name)
    assert [entry["image_id"] for entry in prepare(what, source, output)["testing"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("what", "file", "old", "new"),
    [
        ("coco", "annotations.json", '"file_name": "a.png", "width": 60', '"file_name": "a.png", "width": 120'),
        ("cvat", "annotations.xml", 'name="a.png" width="60" height="80"', 'name="a.png" width="80" height="60"'),
        ("labelme", "a.json", '"imageData": null', '"imageData": null, "imageHeight": 40, "imageWidth": 30'),
    ],
)
def test_annotations_of_an_image_of_another_size(
    what: str, file: str, old: str, new: str, source: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    PLAIN[what](source)
    renamed_in_text(source / file, old, new)
    said = one_left_out(what, source, output, capsys)
    assert "has 60 x 80 pixels, expected" in said and "its annotations belong to" in said


@pytest.mark.parametrize("what", PLAIN)
def test_an_output_within_the_source_is_no_part_of_it(what: str, source: Path) -> None:
    PLAIN[what](source)
    first = prepare(what, source, source / "prepared")
    assert prepare(what, source, source / "prepared") == first, "the second time, too"


@pytest.mark.parametrize("what", PLAIN)
@pytest.mark.parametrize("place", [".", "images", "link"])
def test_nothing_is_written_over_the_source(
    what: str, place: str, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    PLAIN[what](source)
    (source / "images").mkdir(exist_ok=True)
    (source / "images" / "landmarks.csv").write_text("mine")
    (source / "link").symlink_to(source)
    before = {path: path.read_bytes() for path in sorted(source.rglob("*")) if path.is_file()}
    assert "holds files of the source" in refusal(what, source, source / place, capsys)
    assert {path: path.read_bytes() for path in sorted(source.rglob("*")) if path.is_file()} == before

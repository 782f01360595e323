import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bundle.data.cases import Cases, beside_template, collect_cases, with_truth
from bundle.data.readable import LoadRadiographd
from bundle.errors import ConfigError, ImageError, LandmarkError
from bundle.io.overwriting import file_digest
from bundle.records.landmarks import LandmarkSet
from bundle.records.radiograph import Template


def png(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 50), np.uint8)).save(path)
    return path


def template(names: tuple[str, ...] = ("1", "2"), digest: str | None = None) -> Template:
    points = np.full((len(names), 2), 5.0)
    return Template(np.zeros((40, 50), np.float32), LandmarkSet(names, points), None, "template.png", digest)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index, name in enumerate(("b.png", "a.png", "left/c.png", "right/c.png")):
        png(tmp_path / "images" / name, index)
    (tmp_path / "images" / "notes.txt").write_text("no image\n")
    return tmp_path / "images"


def table(path: Path, *rows: str, header: str = "image,x1,y1,x2,y2") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_a_folder(folder: Path) -> None:
    items = collect_cases(folder).items
    assert [item["image_id"] for item in items] == ["a", "b", "left__c", "right__c"]
    assert [item["image"] for item in items] == [
        str(folder / name) for name in ("a.png", "b.png", "left/c.png", "right/c.png")
    ]


class TestDataList:
    @pytest.mark.parametrize(
        "content",
        [
            ["images/b.png", "images/a.png"],
            [{"image": "images/b.png"}, {"image": "images/a.png", "label": 3}],
            {"testing": [{"image": "images/b.png"}, "images/a.png"]},
            {"images": ["images/b.png", "images/a.png"], "name": "set"},
        ],
    )
    def test_images_in_its_order(self, content: Any, folder: Path) -> None:
        (folder.parent / "list.json").write_text(json.dumps(content), encoding="utf-8")
        items = collect_cases(folder.parent / "list.json").items
        assert items == [{"image": str(folder / f"{name}.png"), "image_id": name} for name in ("b", "a")]

    def test_an_entry_may_have_its_own_spacing(self, folder: Path) -> None:
        content = [{"image": str(folder / "a.png"), "pixel_spacing": [0.2, 0.3]}, {"image": "images/b.png"}]
        (folder.parent / "list.json").write_text(json.dumps(content), encoding="utf-8")
        load = LoadRadiographd(keys="image", spacing=0.5)
        spacings = [
            load(item)["image"].meta["pixel_spacing"] for item in collect_cases(folder.parent / "list.json").items
        ]
        assert spacings == [(0.2, 0.3), (0.5, 0.5)]

    @pytest.mark.parametrize("text", ["{", "[]", "{}", '{"testing": 3}', "3", "[3]", '[{"label": 1}]', "\xff"])
    def test_that_is_none(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "list.json").write_text(text, encoding="latin-1")
        with pytest.raises(ConfigError, match=r"list\.json"):
            collect_cases(tmp_path / "list.json")

    def test_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"none\.json"):
            collect_cases(tmp_path / "none.json")

    def test_the_same_image_twice(self, folder: Path) -> None:
        (folder.parent / "list.json").write_text('["images/a.png", "images/a.png"]', encoding="utf-8")
        with pytest.raises(ImageError, match=r"a\.png"):
            collect_cases(folder.parent / "list.json")


class TestLabelledCases:
    @pytest.mark.parametrize(
        ("file", "row"),
        [
            ("Mun\u0303oz.png", "Mu\u00f1oz"),
            ("Mu\u00f1oz.png", "MUN\u0303OZ.PNG"),
            ("e\u0301t\u00e9/1.png", "\u00e9te\u0301\\1"),
            ("\u212bngstro\u0308m.png", "\u00c5ngstr\u00f6m"),
        ],
    )
    def test_names_are_the_same_however_they_are_written(
        self, file: str, row: str, folder: Path, tmp_path: Path
    ) -> None:
        png(folder / file)
        cases = with_truth(collect_cases(folder), table(tmp_path / "truth.csv", f"{row},1,2,3,4"), template())
        assert [item["image"] for item in cases.items] == [str(folder / file)] and cases.without_image == []

    @pytest.mark.parametrize(
        ("header", "names"),
        [
            ("image,x1,y1,x2,y2", ("sella", "nasion")),
            ("image,sella_x,sella_y,nasion_x,nasion_y", ("1", "2")),
            ("image,x3,y3,x7,y7", ("1", "2")),
            ("image,x10,y10,x9,y9", ("nasion", "sella")),
        ],
    )
    def test_numbered_landmarks_go_by_their_order(
        self, header: str, names: tuple[str, str], folder: Path, tmp_path: Path
    ) -> None:
        truth = table(tmp_path / "truth.csv", "a,1,2,3,4", header=header)
        (item,) = with_truth(collect_cases(folder), truth, template(names)).items
        expected = [[1, 2], [3, 4]] if names[0] != "nasion" else [[3, 4], [1, 2]]
        np.testing.assert_array_equal(item["label"], expected)

    @pytest.mark.parametrize(
        ("header", "names"),
        [
            ("image,NASION_x,NASION_y,Sella_x,Sella_y", ("sella", "nasion")),
            ("image,me\u0301_x,me\u0301_y,Li_x,Li_y", ("Li", "m\u00e9")),
            ("image,LI_x,LI_y,Li_x,Li_y", ("Li", "LI")),
        ],
    )
    def test_case_and_accents_do_not_make_other_landmarks(
        self, header: str, names: tuple[str, str], folder: Path, tmp_path: Path
    ) -> None:
        truth = table(tmp_path / "truth.csv", "a,1,2,3,4", header=header)
        (item,) = with_truth(collect_cases(folder), truth, template(names)).items
        np.testing.assert_array_equal(item["label"], [[3, 4], [1, 2]])

    @pytest.mark.parametrize(
        ("header", "told"),
        [
            ("image,sella_x,sella_y,menton_x,menton_y", "menton, but the template has nasion"),
            ("image,a_x,a_y,b_x,b_y", "a, b, but the template has sella, nasion"),
            ("image,sella_x,sella_y,Sella_x,Sella_y", "the landmarks sella, Sella, but"),
        ],
    )
    def test_names_that_differ_are_not_paired_by_position(
        self, header: str, told: str, folder: Path, tmp_path: Path
    ) -> None:
        truth = table(tmp_path / "truth.csv", "a,1,2,3,4", header=header)
        with pytest.raises(LandmarkError, match=told):
            with_truth(collect_cases(folder), truth, template(("sella", "nasion")))

    def test_a_missing_landmark_is_nan(self, folder: Path, tmp_path: Path) -> None:
        truth = table(tmp_path / "truth.csv", "a,1,2,,")
        (item,) = with_truth(collect_cases(folder), truth, template()).items
        np.testing.assert_array_equal(item["label"], [[1, 2], [np.nan, np.nan]])

    @pytest.mark.parametrize("row", ["gone,1,2,3,4", "a,1,2,3,4"])
    def test_nothing_left_to_measure(self, row: str, folder: Path, tmp_path: Path) -> None:
        truth = table(tmp_path / "truth.csv", row)
        with pytest.raises(LandmarkError, match="of none in"):
            with_truth(collect_cases(folder), truth, template(digest=file_digest(folder / "a.png")))

    def test_no_table(self, folder: Path) -> None:
        missing(with_truth(collect_cases(folder), None, template()), "--landmarks")


def missing(cases: Cases, words: str) -> None:
    """A run is put together without images, and says why when it begins."""
    assert cases.items == []
    with pytest.raises(ConfigError, match=words):
        cases.require()


def test_what_was_not_given_is_told_when_the_run_begins(folder: Path, tmp_path: Path) -> None:
    absent = Template.absent("there is no model: give one.")
    missing(collect_cases(None), "--dataset_dir")
    missing(beside_template(collect_cases(None), template()), "--dataset_dir")
    missing(beside_template(collect_cases(folder), absent), "no model")
    missing(with_truth(collect_cases(folder), tmp_path / "truth.csv", absent), "no model")
    missing(with_truth(collect_cases(None), None, absent), "--dataset_dir")
    collect_cases(folder).require()
    template().require()
    with pytest.raises(ConfigError, match="no model"):
        absent.require()

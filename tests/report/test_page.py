"""The file without a browser: what is in it, and what never is."""

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bundle.records.prediction import Pose
from bundle.report import page
from bundle.report.cases import ReportRun, case_scores, choose_cases, small_jpeg
from bundle.report.page import write_page
from tests.report.made_up_runs import HOSTILE, make_pictures, make_run, with_truths

NAN, INF = float("nan"), float("inf")


def test_images_of_another_kind_are_a_group_of_their_own() -> None:
    groups = choose_cases(np.arange(9.0), others=[8, 3])
    assert groups["other"] == [8, 3]
    assert sorted(index for members in groups.values() for index in members) == list(range(9))


def test_worst_median_and_best() -> None:
    groups = choose_cases(np.arange(30.0))
    assert groups == {"worst": [29, 28, 27, 26], "median": [16, 15, 14, 13], "best": [3, 2, 1, 0]}


@pytest.mark.parametrize("count", range(8))
def test_few_images_are_in_one_group_each(count: int) -> None:
    groups = choose_cases(np.arange(float(count)))
    shown = [index for members in groups.values() for index in members]
    assert len(shown) == len(set(shown)) == count
    assert all(groups.values())


def test_images_without_a_truth_are_not_chosen_and_lost_ones_first() -> None:
    groups = choose_cases(np.array([1.0, NAN, INF, 2.0]))
    assert groups["worst"] == [2] and groups["best"] == [0]


def test_scores_are_errors_or_doubts() -> None:
    run = make_run(4, 3)
    np.testing.assert_allclose(case_scores(run), run.errors.mean(axis=1))
    run = make_run(4, 3, kind="inference")
    np.testing.assert_allclose(case_scores(run), 1 - run.confidences.mean(axis=1))
    assert case_scores(make_run(0, 3)).shape == (0,)


def write(folder: Path, run: ReportRun, pictures: Any = None) -> str:
    pictures = pictures or make_pictures(run)
    return write_page(folder / "report.html", run, pictures).read_text("utf-8")


class Page(HTMLParser):
    """The elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self._open[-1] if self._open else "", []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_an_evaluation_has_all_its_parts(tmp_path: Path) -> None:
    page = Page(write(tmp_path, make_run(12, 5, calibrated=True)))
    assert {section["id"] for section in page.all("section")} == {"overview", "figures", "images", "cases", "settings"}
    assert len([svg for svg in page.all("svg") if svg.get("class") == "chart"]) == 5
    assert len([button for button in page.all("button") if button.get("class") == "shot"]) == 12
    assert "Evaluation of 12 images" in page.texts["h1"]


def test_the_interval_of_the_mean_is_shown_where_it_was_computed(tmp_path: Path) -> None:
    run = make_run(6, 3)
    assert "mm standard deviation" in write(tmp_path, make_run(1, 3)), "one image has no interval"
    metrics = {**(run.metrics or {}), "intervals": {"level": 0.95, "mre_mm": [1.234, 2.345]}}
    assert "1.23 to 2.35 mm, 95% interval" in write(tmp_path, replace(run, metrics=metrics))


def test_failures_are_counted_beyond_the_threshold_that_was_asked_for(tmp_path: Path) -> None:
    run = make_run(6, 3)
    failures = {"threshold_mm": 2.5, "points": 3, "percent": 16.667, "worst": []}
    metrics = {**(run.metrics or {}), "failures": failures}
    text = write(tmp_path, replace(run, metrics=metrics))
    assert "Over 2.5 mm" in text and "16.67" in text and "10 mm" not in Page(text).texts.get("dt", "")


def test_nothing_is_loaded_and_nothing_may_be(tmp_path: Path) -> None:
    text = write(tmp_path, make_run(6, 4))
    page = Page(text)
    addresses = [a[key] for _, a in page.tags for key in ("src", "href", "xlink:href", "action") if a.get(key)]
    assert all(address.startswith(("#", "data:image/jpeg;base64,", "data:image/png;base64,")) for address in addresses)
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org/2000/svg)", text)
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'; img-src data:;") and "unsafe" not in policy
    for tag in ("style", "script"):
        content = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert len(content) == 1
        digest = base64.b64encode(hashlib.sha256(content[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not [a for _, a in page.tags for key in a if key == "style" or key.startswith("on")]


def test_hostile_text_is_only_text(tmp_path: Path) -> None:
    run = make_run(
        13,
        3,
        names=(HOSTILE, "{{ 7 * 7 }}", "日本 & <b>"),
        failures=[(f"/images/{HOSTILE}", HOSTILE)],
        remarks=[(HOSTILE, [HOSTILE])],
    )
    cases = [replace(case, image_id=f"{i} onerror=alert(1) &lt;") for i, case in enumerate(run.cases)]
    run = replace(run, cases=cases, settings={HOSTILE: HOSTILE}, versions={HOSTILE: HOSTILE})
    text = write(tmp_path, run)
    page = Page(text)
    assert len(page.all("script")) == 2 + 1, "data, code and one stored picture"
    assert not page.all("img") and not page.all("b")
    assert "{{ 7 * 7 }}" in text and "49" not in re.findall(r">([^<]*)</th>", text)
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL).group(1))  # type: ignore[union-attr]
    assert data["names"] == [HOSTILE, "{{ 7 * 7 }}", "日本 & <b>"]


def test_names_that_are_no_characters(tmp_path: Path) -> None:
    run = make_run(3, 2, failures=[("/x/\udc80.png", "\udc80 is broken.")], remarks=[("Left out", ["a\udcff"])])
    assert "a?" in write(tmp_path, run)


@pytest.mark.parametrize("kind", ["evaluation", "inference"])
@pytest.mark.parametrize("images", [0, 1])
def test_hardly_anything(tmp_path: Path, kind: str, images: int) -> None:
    text = write(tmp_path, make_run(images, 2, kind=kind))
    assert f"{kind.capitalize()} of {images} image" in text


def test_landmarks_without_place_truth_or_calibration(tmp_path: Path) -> None:
    run = make_run(4, 3)
    assert run.truths is not None
    nan = np.array([[np.nan, np.nan]] * 3)
    run.truths[0, 1] = np.nan
    changed = replace(run.cases[0], points=nan, confidence=nan[:, 0])
    text = write(tmp_path, with_truths(replace(run, cases=[changed, *run.cases[1:]]), run.truths))
    content = text.split("<script>")[0]  # all but the code
    assert "not found" in content and "NaN" not in content and "Infinity" not in content


def test_images_of_another_kind_are_shown_first_and_counted_nowhere(tmp_path: Path) -> None:
    run = make_run(9, 3, kind="inference")
    strange, turned = Pose(kind_confidence=0.1), Pose(turn=90.0, changed=True, kind_confidence=0.9)
    cases = [
        replace(run.cases[0], pose=strange, confidence=np.zeros(3)),
        *(replace(case, pose=turned, confidence=np.full(3, 0.75)) for case in run.cases[1:]),
    ]
    text = write(tmp_path, replace(run, cases=cases))
    assert text.index("Probably another kind of image") < text.index("Least sure")
    content = text.split("<script>")[0]
    assert "mean confidence 0.75, turned by 90 degrees" in content
    overview = content[content.index('id="overview"') : content.index('id="figures"')]
    assert "0.75" in overview and "of 24, confidence below 0.5" in overview and "of 9 images, probably" in overview


def test_pictures_end_at_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(40, 3)
    pictures = make_pictures(run)
    whole = write(tmp_path, run, pictures)
    monkeypatch.setattr(page, "PICTURE_BUDGET", 20 * len(pictures("image_0000") or b""))
    small = write(tmp_path, run, pictures)
    assert 12 <= small.count("data:image/jpeg") <= 23, "the gallery, and some more"
    assert "images have no picture here" in small
    assert len(whole) > len(small)
    none = write(tmp_path, run, lambda image_id: None)
    assert not none.count("data:image/jpeg") and none.count("data:image/png") == 1, "the template behind the mean shape"


def test_a_thousand_images_are_a_small_file(tmp_path: Path) -> None:
    """Pictures of the size of real ones: 67 kB each, of which the budget takes a part."""
    run = make_run(1000, 19, calibrated=True)
    text = write(tmp_path, run, lambda image_id: b"\xff\xd8" + bytes(67_000))
    assert len(text.encode()) < 30e6
    assert text.count("<tr>") > 1000


def test_a_small_picture_of_strange_values() -> None:
    with Image.open(io.BytesIO(small_jpeg(np.full((3000, 1000), np.nan)))) as picture:
        assert (picture.format, picture.size) == ("JPEG", (320, 960)) and picture.getextrema() == (0, 0)

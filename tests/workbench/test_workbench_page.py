"""The workbench in a real browser: the whole loop, by mouse, by keys and by touch."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from bundle.io.landmark_files import read_landmark_table
from study import DRAFT, FINAL, Mark
from study.estimate import FILE, curve
from study.folder import read_own
from study.loop import Loop
from tests.workbench.conftest import NAMES, Running, Tab, annotate, running, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def found(server: Running, image_id: str) -> dict[str, Any]:
    return json.loads((server.study.own / "proposals" / f"{image_id}.json").read_text(encoding="utf-8"))


def test_two_clicks_and_one_per_landmark_find_all(folder: Path, simulated: Path, browser: Any) -> None:
    points = read_landmark_table(simulated / "truth" / "landmarks.csv")["phantom_000"].points
    with running(folder) as server:
        tab = Tab(browser, server.url)
        tab.button("Hand, 37 landmarks").click()
        tab.wait_for_image("phantom_000")
        for x, y in points:
            tab.click_pixel(x, y)
        tab.page.get_by_text("37 of 37 placed").wait_for()
        tab.button("Accept").click()
        until(lambda: len(list((server.study.own / "proposals").glob("*.json"))) == 3)
        tab.close()


def test_the_whole_loop(folder: Path, truth: dict[str, np.ndarray], browser: Any) -> None:
    with running(folder) as server:
        tab = Tab(browser, server.url)
        tab.page.get_by_label("Names of the landmarks").fill("\n".join(NAMES))
        tab.button("Use these names").click()
        tab.wait_for_image("phantom_000")
        for x, y in truth["phantom_000"]:
            tab.click_pixel(x, y)
        until(lambda: len(server.study.marks("phantom_000", DRAFT) or []) == len(NAMES))
        tab.page.get_by_text("8 of 8 placed").wait_for()
        tab.button("Accept").click()
        others = ["phantom_001", "phantom_002", "phantom_003"]
        until(lambda: all((server.study.own / "proposals" / f"{name}.json").is_file() for name in others))
        saved = server.study.marks("phantom_000")
        assert saved is not None and not server.study.label_file("phantom_000", DRAFT).exists()
        assert np.abs(np.array([mark.point for mark in saved]) - truth["phantom_000"]).max() < 1.5, "by the pixel"

        cells = [tab.page.locator(".ag-row", has_text=name).locator(".ag-cell").first for name in others[:2]]
        cells[1].click()
        tab.wait_for_image("phantom_002")
        tab.button("Keys and gestures").click()
        for name in ("Close", "Fit", "Magnifier"):
            tab.button(name).click()
        tab.page.keyboard.press("PageDown")
        tab.until("document.activeElement.dataset.id === '1'")  # the keys still go to the image
        cells[0].press("Enter")
        tab.wait_for_image("phantom_001")
        before = tab.points()
        assert {state for *_, state in before.values()} == {"proposed"}
        name, (x, y, _) = next(iter(before.items()))
        start, end = tab.place(x, y), tab.place(*truth["phantom_001"][0])
        tab.page.mouse.move(*start)
        tab.page.mouse.down()
        tab.page.mouse.move(*end, steps=5)
        tab.page.mouse.up()
        tab.until("document.querySelector('.landmark-view').view.points[0].state === 'placed'")
        until(lambda: server.study.marks("phantom_001", DRAFT) is not None)
        tab.button("Accept").click()
        until(lambda: server.study.marks("phantom_001") is not None)
        until(lambda: (server.study.own / "model.json").is_file())
        source = json.loads((server.study.own / "model.json").read_text(encoding="utf-8"))["source"]
        until(lambda: all(found(server, name)["source"] == source for name in others[1:]))
        until(lambda: "2" in read_own(server.study.own / FILE))
        factors = Loop(server.study, {"device": "cpu"}).finder()[1].model.matching.error_factors
        left_out = read_own(server.study.own / FILE)["2"]["left_out"]
        assert left_out == pytest.approx(np.mean(factors) * (1 + 1 / 1) / (1 + 1 / 2)), "two found by one"
        assert [count for count, *_ in curve(server.study)] == [1]

        tab.page.goto(f"{server.origin}/sheet?landmark=2")
        tab.until("document.querySelectorAll('.landmark-view').length === 2")
        tab.until("[...document.querySelectorAll('.landmark-view')].every((one) => one.view.image)")
        tab.button("Confirm").first.click()
        until(lambda: len(server.study.annotated(DRAFT)) == 1)
        (case,) = server.study.annotated(DRAFT)
        confirmed = server.study.marks(case.image_id, DRAFT)
        assert confirmed is not None and [mark.state for mark in confirmed].count("placed") == 1

        tab.page.goto(f"{server.origin}/scores")
        tab.page.get_by_role("row", name="All").wait_for()
        tab.page.goto(f"{server.origin}/files")
        for name in ("3D Slicer (.mrk.json)", "COCO keypoints", "Model for run inference", "Pictures", "JSON"):
            tab.page.get_by_role("checkbox", name=name, exact=True).click()
        tab.button("Write files").click()
        tab.page.get_by_text("files were written").wait_for()
        names = {path.name for path in (server.study.own / "export").iterdir()}
        assert names >= {"landmarks.csv", "keypoints.json", "model.pt", "phantom_000.mrk.json", "phantom_001.png"}
        with tab.page.expect_download() as download:
            tab.page.get_by_role("link", name="Download as zip").click()
        assert Path(download.value.path()).read_bytes()[:2] == b"PK"

        tab.page.goto(f"{server.origin}/?image=phantom_001")
        tab.wait_for_image("phantom_001")
        assert tab.points()[NAMES[0]][2] == "placed"
        beside = "document.querySelectorAll('.landmark-view')[1]"
        tab.button("Template").click()
        tab.until(f"{beside}.view.image && {beside}.clientWidth && {beside}.view.fitted")
        tab.button("Template").click()
        tab.until(f"!{beside}.clientWidth")
        tab.page.locator(".lv-mark").first.focus()
        tab.page.keyboard.press("f")
        tab.until("document.querySelector('.landmark-view').view.fitted === false")
        tab.button("Template").click()
        tab.until(f"{beside}.clientWidth")
        assert tab.page.evaluate(f"() => {beside}.view.fitted"), "what is hidden does not move"
        tab.close()


def test_keyboard_only(folder: Path, truth: dict[str, np.ndarray], browser: Any) -> None:
    annotate(folder, truth)
    with running(folder) as server:
        tab = Tab(browser, server.url)
        tab.wait_for_image("phantom_000")
        keys = tab.page.keyboard
        for _ in range(60):
            keys.press("Tab")
            if tab.page.evaluate("() => document.activeElement.classList.contains('landmark-view')"):
                break
        else:
            raise AssertionError("the view cannot be reached by the Tab key")
        for _ in NAMES:
            keys.press("Space")
        until(lambda: all(mark.point for mark in server.study.marks("phantom_000", DRAFT) or [Mark("none")]))
        keys.press("PageDown")
        selected = tab.page.evaluate("() => document.querySelector('.landmark-view').view.selected")
        before = tab.points()[NAMES[selected]]
        for _ in range(100):
            keys.press("ArrowLeft")
            keys.press("Shift+ArrowDown")
        expected = (before[0] - 100, before[1] + 10)
        until(lambda: np.allclose(server.study.marks("phantom_000", DRAFT)[selected].point, expected, atol=1e-3))
        keys.press("u")
        until(lambda: server.study.marks("phantom_000", DRAFT)[selected].state == "uncertain")
        keys.press("Control+z")
        until(lambda: server.study.marks("phantom_000", DRAFT)[selected].state == "placed")
        keys.press("PageDown")
        keys.press("a")
        until(lambda: "absent" in {mark.state for mark in server.study.marks("phantom_000", DRAFT)})
        keys.press("Enter")
        until(lambda: server.study.marks("phantom_000") is not None)
        tab.close()


def test_touch_and_a_narrow_screen(folder: Path, truth: dict[str, np.ndarray], browser: Any) -> None:
    annotate(folder, truth)
    with running(folder) as server:
        tab = Tab(browser, server.url, has_touch=True, is_mobile=True)
        tab.page.set_viewport_size({"width": 390, "height": 800})
        tab.wait_for_image("phantom_000")
        for x, y in truth["phantom_000"]:
            tab.page.touchscreen.tap(*tab.place(x, y))
        until(lambda: all(mark.point for mark in server.study.marks("phantom_000", DRAFT) or [Mark("none")]))
        assert tab.page.evaluate("() => document.documentElement.scrollWidth") <= 390
        tab.button("Accept").tap()
        until(lambda: server.study.marks("phantom_000") is not None)
        tab.close()


def test_two_tabs_and_another_program(folder: Path, truth: dict[str, np.ndarray], browser: Any) -> None:
    study = annotate(folder, truth, "phantom_000")
    with running(folder) as server:
        one = Tab(browser, f"{server.url}&image=x")
        one.page.goto(f"{server.origin}/?image=phantom_000")
        one.wait_for_image("phantom_000")
        other = one.context.new_page()
        other.goto(f"{server.origin}/?image=phantom_000")
        other.get_by_text("8 of 8 placed").wait_for()
        one.page.locator(".lv-mark").first.focus()
        one.page.keyboard.press("Alt+ArrowRight")
        first = one.points()[NAMES[0]]
        end = "document.querySelector('.landmark-view')?.view?.points[0]?.x"
        deadline = time.monotonic() + 30
        while abs((other.evaluate(f"() => {end}") or 0) - first[0]) > 1e-6:
            assert time.monotonic() < deadline
            other.wait_for_timeout(50)

        version = study.version("phantom_000")
        theirs = [Mark(name, (5.0, 6.0), "placed") for name in NAMES]
        newer = study.save_marks("phantom_000", theirs, FINAL, version)
        one.button("Accept").click()
        one.page.get_by_text("was changed by another program").wait_for()
        assert study.version("phantom_000") == newer, "nothing was overwritten"
        one.button("Keep mine").click()
        one.button("Accept").click()
        until(lambda: study.version("phantom_000") != newer)
        kept = list((folder / "labels" / "final" / "replaced").iterdir())
        assert len(kept) == 2
        one.close()


def test_an_image_that_is_removed_meanwhile(folder: Path, truth: dict[str, np.ndarray], browser: Any) -> None:
    annotate(folder, truth, "phantom_000")
    with running(folder) as server:
        tab = Tab(browser, server.url)
        tab.page.goto(f"{server.origin}/?image=phantom_001")
        tab.wait_for_image("phantom_001")
        (folder / "phantom_001.dcm").unlink()
        tab.button("Find landmarks").click()
        tab.page.get_by_text("it was removed").first.wait_for()
        tab.close()


def test_pixels_that_are_not_square(folder: Path, truth: dict[str, np.ndarray], browser: Any) -> None:
    annotate(folder, truth)
    image = pydicom.dcmread(folder / "phantom_000.dcm")
    image.PixelSpacing = image.ImagerPixelSpacing = [0.4, 0.2]
    image.save_as(folder / "phantom_000.dcm")
    with running(folder) as server:
        tab = Tab(browser, server.url)
        tab.wait_for_image("phantom_000")
        corner, right, below = (np.array(tab.place(x, y)) for x, y in ((0, 0), (100, 0), (0, 100)))
        assert np.allclose(below - corner, 2 * (right - corner)[::-1], atol=0.1)
        box = tab.page.locator(".landmark-view").first.bounding_box()
        end = tab.place(image.Columns - 1, image.Rows - 1)
        assert box["x"] <= corner[0] and end[1] <= box["y"] + box["height"], "the whole image is seen"
        tab.click_pixel(30, 200)
        until(lambda: (server.study.marks("phantom_000", DRAFT) or [Mark("none")])[0].point)
        (x, y) = (server.study.marks("phantom_000", DRAFT) or [])[0].point
        assert np.allclose((x, y), (30, 200), atol=1.5)
        tab.close()

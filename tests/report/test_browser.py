"""The report as a reader has it: opened from the disk in a browser."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bundle.report.page import write_page
from tests.report.browsing import open_chromium
from tests.report.made_up_runs import make_pictures, make_run

IMAGES = 32


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_chromium() as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report of each kind; with a failure and a remark, so that every section is there."""
    folder = tmp_path_factory.mktemp("reports")
    found = {}
    other: dict[str, Any] = {
        "failures": [("/images/broken.png", "broken.png is no image.")],
        "remarks": [("Images without a truth", ["one", "two"])],
    }
    for kind in ("evaluation", "inference"):
        run = make_run(IMAGES, 7, kind=kind, calibrated=kind == "evaluation", **other)
        found[kind] = write_page(folder / f"{kind}.html", run, make_pictures(run))
    return found


@dataclass
class Watched:
    """A page with all that went wrong in it."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def show(browser: Any, pages: dict[str, Path]) -> Iterator[Any]:
    """Opens a report; whatever the test does in it, it may neither complain nor ask for anything."""
    opened: list[Watched] = []

    def open_page(kind: str = "evaluation", width: int = 1280, height: int = 900, **settings: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce", **settings)
        watched = Watched(context.new_page())
        watched.page.on("console", lambda message: watched.complaints.append(f"{message.type}: {message.text}"))
        watched.page.on("pageerror", lambda error: watched.complaints.append(str(error)))
        watched.page.on(
            "request", lambda asked: watched.requests.append(asked.url) if not asked.url.startswith("data:") else None
        )
        watched.page.goto(pages[kind].as_uri())
        opened.append(watched)
        return watched.page

    yield open_page
    for watched in opened:
        assert watched.complaints == []
        assert [url for url in watched.requests if not url.startswith("file:")] == []
        assert len(watched.requests) == 1, "the file itself"
        watched.page.context.close()


def column(page: Any, number: int) -> list[str]:
    return page.locator(f"#case-table tbody tr > :nth-child({number})").all_inner_texts()


def pixels(page: Any, locator: Any = None) -> np.ndarray:
    shot = (locator or page).screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)


@pytest.mark.parametrize(("kind", "scheme"), [("evaluation", "light"), ("inference", "dark")])
def test_axe_finds_nothing(show: Any, kind: str, scheme: str) -> None:
    """The rules of WCAG 2.2 A and AA and the best practices, on the page and in the viewer."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    page = show(kind, color_scheme=scheme)
    for step in ("page", "viewer"):
        if step == "viewer":
            page.locator("[data-open]").first.click()
        found = axe.run(page)
        told = [f"{v['id']}: {v['nodes'][0]['html'][:120]}" for v in found.response["violations"]]
        assert told == [], step
        assert len(found.response["passes"]) > 15, "it looked at something"


def test_a_heading_sorts_and_says_so(show: Any) -> None:
    page = show()
    means = [float(text) for text in column(page, 2)]
    assert means == sorted(means, reverse=True) and len(means) == 25
    head = page.locator("#case-table thead th").nth(1)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    head.locator("button").click()
    means = [float(text) for text in column(page, 2)]
    assert head.get_attribute("aria-sort") == "ascending" and means == sorted(means)
    page.locator("#case-table thead th").nth(0).locator("button").press("Enter")
    names = column(page, 1)
    assert names == sorted(names) and head.get_attribute("aria-sort") is None


def test_pages_and_filters(show: Any) -> None:
    page = show()
    assert page.inner_text("#page-text") == f"1 to 25 of {IMAGES}"
    page.get_by_role("button", name="Next", exact=True).click()
    assert page.inner_text("#page-text") == f"26 to {IMAGES} of {IMAGES}" and len(column(page, 1)) == IMAGES - 25
    page.fill("#filter-text", "IMAGE_001")
    assert sorted(column(page, 1)) == [f"image_001{digit}" for digit in range(10)]
    page.fill("#filter-number", "9")
    assert all(float(text) >= 9 for text in column(page, 3)) and 0 < len(column(page, 3)) < 10
    page.fill("#filter-text", "no such image")
    assert page.inner_text("#page-text") == "No image fits the filter"
    page.get_by_role("button", name="Clear").click()
    # Not wait_for_function: it evaluates a text in the page again and again, which the report's own policy forbids.
    page.locator(f"#page-text:text-is('1 to 25 of {IMAGES}')").wait_for()


def zoom_of(page: Any) -> float:
    return float(page.inner_text("#viewer-zoom").split()[0])


def test_zoom_and_pan_by_keyboard(show: Any) -> None:
    page = show()
    opener = page.locator("[data-open]").first
    opener.focus()
    page.keyboard.press("Enter")
    stage = page.locator("#stage")
    stage.focus()
    assert zoom_of(page) == 100
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert zoom_of(page) == 225
    before = [float(v) for v in stage.get_attribute("data-frame").split()]
    page.keyboard.press("ArrowLeft")
    after = [float(v) for v in stage.get_attribute("data-frame").split()]
    assert after[0] - before[0] == pytest.approx(60) and after[1:] == before[1:]
    page.keyboard.press("0")
    assert zoom_of(page) == 100
    title = page.inner_text("#viewer-title")
    page.keyboard.press("PageDown" if page.locator("[data-tool=next]").is_enabled() else "PageUp")
    assert page.inner_text("#viewer-title") != title
    page.keyboard.press("Escape")
    assert not page.locator("#viewer").is_visible()
    assert opener.evaluate("element => element === document.activeElement"), "the focus comes back"


def test_zoom_by_the_wheel_stays_at_the_pointer_and_dragging_pans(show: Any) -> None:
    page = show()
    page.locator("[data-open]").first.click()
    stage = page.locator("#stage")
    box = stage.bounding_box()
    x, y = box["x"] + 0.4 * box["width"], box["y"] + 0.3 * box["height"]

    def place() -> np.ndarray:
        left, top, width, height = (float(v) for v in stage.get_attribute("data-frame").split())
        return np.array([(x - box["x"] - left) / width, (y - box["y"] - top) / height])

    before = place()
    page.mouse.move(x, y)
    page.mouse.wheel(0, -400)
    waited = 0
    while zoom_of(page) <= 150 and waited < 30_000:  # a browser handles the wheel when it comes to it
        page.wait_for_timeout(50)
        waited += 50
    assert zoom_of(page) > 150
    np.testing.assert_allclose(place(), before, atol=1e-3)
    left = float(stage.get_attribute("data-frame").split()[0])
    page.mouse.down()
    page.mouse.move(x + 50, y + 10)
    page.mouse.up()
    assert float(stage.get_attribute("data-frame").split()[0]) == pytest.approx(left + 50)


def test_landmarks_are_drawn_where_they_are(show: Any) -> None:
    """The colour of the mark's centre on the screen is that of its confidence, at any zoom."""
    page = show(device_scale_factor=2)
    page.locator("[data-open]").first.click()
    stage = page.locator("#stage")
    page.locator("[data-layer=true]").uncheck()
    stage.focus()
    for _ in range(2):
        left, top, width, height = (float(v) for v in stage.get_attribute("data-frame").split())
        data = json.loads(page.locator("#data").text_content())
        title = page.inner_text("#viewer-title")
        case = next(case for case in data["cases"].values() if case["id"] == title)
        seen = pixels(page, stage)
        scale = width / case["size"][0]
        assert scale == pytest.approx(height / case["size"][1])
        checked = 0
        for i, (x, y) in enumerate(case["p"]):
            others = [np.hypot(x - a, y - b) * scale for j, (a, b) in enumerate(case["p"]) if j != i]
            at = round(2 * (left + x * scale)), round(2 * (top + y * scale))
            if min(others) < 12 or not (8 < at[0] < seen.shape[1] - 8 and 8 < at[1] < seen.shape[0] - 8):
                continue
            colour = [int(case["k"][i][j : j + 2], 16) for j in (1, 3, 5)]
            assert np.abs(seen[at[1], at[0]] - colour).max() <= 12, (i, seen[at[1], at[0]], colour)
            checked += 1
        assert checked >= 3
        page.keyboard.press("+")


def test_switches_show_and_hide(show: Any) -> None:
    page = show()
    page.locator("[data-open]").first.click()
    names = page.locator("#stage .v-name")
    assert names.first.is_visible() and names.first.inner_html() == "L1", "the short form of landmark 1"
    page.locator("[data-layer=names]").uncheck()
    assert not names.first.is_visible()
    page.locator("#viewer-table tbody button").nth(2).click()
    assert zoom_of(page) >= 400 and page.locator("#viewer-table tr.chosen").count() == 1


def test_what_a_pointer_rests_on_is_told(show: Any) -> None:
    page = show()
    page.locator("[data-open]").first.click()
    page.locator("#stage .v-hit").first.hover(force=True)
    assert (
        page.locator("#tip").is_visible()
        and page.inner_text("#tip").startswith("landmark ")
        and "confidence" in page.inner_text("#tip")
    )
    inside = page.evaluate("document.getElementById('viewer').contains(document.getElementById('tip'))")
    assert inside, "an open dialog lies over all else"


def test_light_and_dark_by_the_system_and_by_hand(show: Any) -> None:
    grounds = {}
    for scheme in ("light", "dark"):
        page = show(color_scheme=scheme)
        grounds[scheme] = pixels(page)[3, 3].mean()
        other = "Dark" if scheme == "light" else "Light"
        page.get_by_role("button", name=other).click()
        grounds[f"{scheme} to {other.lower()}"] = pixels(page)[3, 3].mean()
    assert grounds["light"] == grounds["dark to light"] > 230 and grounds["dark"] == grounds["light to dark"] < 40


@pytest.mark.parametrize("kind", ["evaluation", "inference"])
@pytest.mark.parametrize("width", [320, 390])
def test_a_telephone_needs_no_sideways_scrolling(show: Any, kind: str, width: int) -> None:
    page = show(kind, width=width, height=844, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("[data-open]").first.click()
    box = page.locator("#viewer").bounding_box()
    assert box["width"] <= width and page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("[data-tool=close]").is_visible()


def test_it_prints_light_and_without_controls(show: Any) -> None:
    page = show(color_scheme="dark")
    page.emulate_media(media="print")
    assert not page.locator("nav.sections").is_visible() and not page.locator("#filters").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("#detection-curve").is_visible()


def test_without_scripts_everything_is_still_there(show: Any) -> None:
    page = show(java_script_enabled=False)
    assert page.locator("#case-table tbody tr").count() == IMAGES
    assert page.locator(".shot image").count() == 12

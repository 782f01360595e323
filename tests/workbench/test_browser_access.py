"""What everybody needs of a page: nothing serious for axe, a fit to narrow screens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from study import DRAFT, FINAL, Mark, Protocol, Study
from study.proposals import Proposals, as_prediction
from tests.workbench.conftest import NAMES, Tab, running

axe_playwright = pytest.importorskip("axe_playwright_python.sync_playwright")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PAGES = ("/?image=phantom_001", "/sheet?landmark=1", "/scores")


def propose(study: Study, image_id: str, points: np.ndarray) -> None:
    """What a model found, as if it had."""
    marks = [Mark(name, (float(x), float(y)), "proposed") for name, (x, y) in zip(NAMES, points)]
    found = as_prediction(marks, study.geometry(image_id), image_id, np.linspace(2, 9, len(NAMES)))
    Proposals(study).save(image_id, found, "elsewhere")


@pytest.fixture
def prepared(folder: Path, truth: dict[str, np.ndarray]) -> Study:
    """Two accepted images, of which one had been found, one draft, one proposal."""
    study = Study(folder)
    study.save_protocol(Protocol.of(NAMES))
    for image_id in ("phantom_001", "phantom_002", "phantom_003"):
        propose(study, image_id, truth[image_id] + 3)
    for image_id in ("phantom_000", "phantom_003"):
        marks = [Mark(name, (float(x), float(y)), "placed") for name, (x, y) in zip(NAMES, truth[image_id])]
        study.save_marks(image_id, marks, FINAL, "")
    study.save_marks("phantom_002", [Mark(NAMES[0], (5.0, 6.0), "uncertain"), *map(Mark, NAMES[1:])], DRAFT, "")
    return study


def serious(tab: Tab) -> list[str]:
    results = axe_playwright.Axe().run(tab.page).response
    return [
        f"{one['id']}: {node['html'][:200]}"
        for one in results["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:3]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(prepared: Study, browser: Any, scheme: str) -> None:
    with running(prepared.folder) as server:
        tab = Tab(browser, server.url, color_scheme=scheme)
        found: list[str] = []
        for path in PAGES:
            tab.page.goto(f"{server.origin}{path}")
            tab.page.wait_for_timeout(1500)
            found += [f"{path} {one}" for one in serious(tab)]
        tab.page.goto(server.origin)
        tab.button("Keys and gestures").click()
        tab.page.wait_for_timeout(800)
        found += [f"keys {one}" for one in serious(tab)]
        assert not found, "\n".join(found)
        tab.close()


def test_a_narrow_screen(prepared: Study, browser: Any) -> None:
    with running(prepared.folder) as server:
        tab = Tab(browser, server.url)
        tab.page.set_viewport_size({"width": 390, "height": 800})
        for path in PAGES:
            tab.page.goto(f"{server.origin}{path}")
            tab.page.wait_for_timeout(1000)
            assert tab.page.evaluate("() => document.documentElement.scrollWidth") <= 390, path
        tab.close()

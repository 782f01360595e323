"""What people saved through the page is there, whenever the workbench is killed and whatever the disk does."""

import resource
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.errors import ConfigError
from study import DRAFT, FINAL, Mark, Study
from study.loop import Loop
from tests.conftest import as_nobody
from tests.workbench.conftest import NAMES, Tab, annotate, running, until
from workbench.__main__ import keep_inside

KILLS = 20

#: The first landmark's x, and what the page says of it; nothing where the server has not yet heard of it.
SAID = """() => {
    const said = document.querySelector('.wb-saved');
    const shown = getComputedStyle(said).visibility === 'visible';
    return [document.querySelector('.landmark-view').view.points[0].x, shown ? said.textContent : ''];
}"""


def first_x(marks: list[Mark] | None) -> float:
    return marks[0].point[0] if marks and marks[0].point else -1.0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_while_a_script_annotates(folder: Path, truth: dict[str, np.ndarray], browser: Any) -> None:
    """The landmark only moves to the right, so a place on the disk that is left of an acknowledged one is a loss."""
    study = annotate(folder, truth, *truth)
    left = [Mark(name, (1.0, 9.0), "placed") for name in NAMES]
    study.save_marks("phantom_000", left, FINAL, study.version("phantom_000"))
    for image_id in truth:
        Loop(study).set_template(image_id, False)  # so that no start has to load the network
    rng, entered, accepted, saved = np.random.default_rng(0), 1.0, 1.0, 1.0
    acknowledged = 0
    for _ in range(KILLS):
        with running(folder) as server:
            tab = Tab(browser, server.url)
            tab.page.goto(f"{server.origin}/?image=phantom_000")
            tab.wait_for_image("phantom_000")
            timer = threading.Timer(rng.uniform(0.05, 1.5), server.process.kill)
            presses = 0
            while server.process.poll() is None:
                presses += 1
                assert presses < 1000, "the page never says that it has saved"
                tab.page.locator(".lv-mark").first.focus()  # the page draws the marks anew where it connects again
                tab.page.keyboard.press("Enter" if presses % 5 == 0 else "Shift+ArrowRight")
                x, words = tab.page.evaluate(SAID)
                entered = x if presses % 5 == 0 else entered
                if words in ("saved", "Accepted"):  # the latter of what was entered, which may be moved on by now
                    saved, acknowledged = max(saved, x if words == "saved" else entered), acknowledged + 1
                    accepted = max(accepted, entered) if words == "Accepted" else accepted
                    if timer.ident is None:  # so that something was saved in each round
                        timer.start()
            timer.join()
            tab.context.close()
        final, draft = (first_x(study.marks("phantom_000", tag)) for tag in (FINAL, DRAFT))
        assert final >= accepted - 1e-6 and max(final, draft) >= saved - 1e-6, (final, draft, accepted, saved)
    study.remove_leftovers()
    assert {path.suffix for path in (folder / "labels").rglob("*") if path.is_file()} == {".json"}
    print(f"{KILLS} kills, {acknowledged} acknowledged states, accepted up to {accepted:.1f}")
    assert acknowledged >= KILLS and accepted > 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_disk_that_takes_no_more(folder: Path, truth: dict[str, np.ndarray], browser: Any) -> None:
    study = annotate(folder, truth, "phantom_000")
    version = study.version("phantom_000")
    with running(folder) as server:
        tab = Tab(browser, server.url)
        tab.page.goto(f"{server.origin}/?image=phantom_000")
        tab.wait_for_image("phantom_000")
        before = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        tab.page.locator(".lv-mark").first.focus()
        tab.page.keyboard.press("Alt+ArrowRight")
        tab.page.get_by_text("cannot be").first.wait_for()
        tab.page.get_by_text("not saved").wait_for()
        assert study.version("phantom_000") == version and study.marks("phantom_000", DRAFT) is None
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, before)
        until(lambda: first_x(study.marks("phantom_000", DRAFT)) > first_x(study.marks("phantom_000")) + 9)
        tab.page.get_by_text("saved", exact=True).wait_for()
        tab.close()


def test_a_study_that_may_not_be_changed(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir(mode=0o555)

    def start() -> None:
        with pytest.raises(ConfigError, match=r"cannot be changed \(Permission denied\): check its permissions\.$"):
            keep_inside(folder / "workbench")

    as_nobody(start, tmp_path)
    assert Study(folder).images() == {}

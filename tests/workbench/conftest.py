"""A study of simulated hands, a workbench on it in a process of its own, and Chromium."""

import contextlib
import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from study import FINAL, Mark, Protocol, Study
from study.protocol import read_protocol, shipped_protocols
from tests.conftest import ROOT
from tests.report.browsing import open_chromium

#: Every fifth landmark of the hand, which makes everything quicker.
NAMES = read_protocol(shipped_protocols()["hand-37"]).names[::5]


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hands")
    line = [sys.executable, "scripts/make_phantoms.py", "--study", "--output_dir", str(folder), "--count", "4"]
    subprocess.run([*line, "--height", "320"], cwd=ROOT, check=True, capture_output=True, timeout=120)
    return folder


@pytest.fixture(scope="session")
def truth(simulated: Path) -> dict[str, np.ndarray]:
    with (simulated / "truth" / "landmarks.csv").open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file)
    return {row[0]: np.array(row[1:], dtype=float).reshape(-1, 2)[::5] for row in rows}


@pytest.fixture
def folder(simulated: Path, tmp_path: Path) -> Path:
    """A study of four images, none of them annotated."""
    found = tmp_path / "study"
    found.mkdir()
    for path in simulated.glob("*.dcm"):
        shutil.copy(path, found)
    return found


def annotate(folder: Path, truth: dict[str, np.ndarray], *image_ids: str) -> Study:
    """Annotate as another program would."""
    study = Study(folder)
    study.save_protocol(Protocol.of(NAMES))
    for image_id in image_ids:
        marks = [Mark(name, (float(x), float(y)), "placed") for name, (x, y) in zip(NAMES, truth[image_id])]
        study.save_marks(image_id, marks, FINAL, "")
    return study


def until(condition: Callable[[], Any], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


class Running:
    """A workbench that runs.

    Attributes:
        url: its address, with the token.
        study: the study, as another program sees it.
    """

    def __init__(self, folder: Path, process: subprocess.Popen[str], log: Path) -> None:
        self.study, self.process, self.log = Study(folder), process, log
        self.url = self._address()

    def _address(self) -> str:
        for _ in range(1200):
            if found := re.search(r"https?://\S+", self.log.read_text(encoding="utf-8")):
                return found[0]
            assert self.process.poll() is None, self.log.read_text(encoding="utf-8")
            time.sleep(0.1)
        raise AssertionError(self.log.read_text(encoding="utf-8"))

    @property
    def origin(self) -> str:
        return self.url.split("/?")[0]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def running(folder: Path, *arguments: str, **environment: str) -> Iterator[Running]:
    log = folder.parent / f"{folder.name}.{time.monotonic_ns()}.log"
    line = [sys.executable, "-m", "workbench", "--study", str(folder), "--no_browser", "--device", "cpu", *arguments]
    with log.open("w", encoding="utf-8") as file:
        settings = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
        process = subprocess.Popen(line, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, env=settings, text=True)
    try:
        yield Running(folder, process, log)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with open_chromium() as found:
        yield found


class Tab:
    """A page of the workbench; what it complains of fails the test."""

    def __init__(self, browser: Any, url: str, **settings: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1400, "height": 860}, **settings)
        self.context.set_default_timeout(180_000)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type == "error" else None)
        self.page.goto(url)

    def wait_for_image(self, name: str = "") -> None:
        self.until(
            f"document.querySelector('.landmark-view')?.view?.image && {name!r} === "
            f"({name!r} && document.querySelector('h1, [aria-level=\"1\"]').textContent)"
        )

    def until(self, condition: str, seconds: float = 180) -> None:
        """Wait until something is true in the page, through navigation."""
        self.page.wait_for_function(f"() => Boolean({condition})", timeout=1000 * seconds)

    def place(self, x: float, y: float, view: int = 0) -> tuple[float, float]:
        """Where a pixel of the image is on the page."""
        return tuple(
            self.page.evaluate(
                "([number, x, y]) => { const root = document.querySelectorAll('.landmark-view')[number];"
                " const box = root.getBoundingClientRect(); const [a, b] = root.view.toScreen([x, y]);"
                " return [a + box.left, b + box.top]; }",
                [view, x, y],
            )
        )

    def click_pixel(self, x: float, y: float) -> None:
        self.page.mouse.click(*self.place(x, y))

    def points(self, view: int = 0) -> dict[str, tuple[float, float, str]]:
        return self.page.evaluate(
            "(number) => Object.fromEntries(document.querySelectorAll('.landmark-view')[number].view.points"
            ".map((p) => [p.name, [p.x, p.y, p.state]]))",
            view,
        )

    def button(self, name: str) -> Any:
        return self.page.get_by_role("button", name=name, exact=True)

    def close(self) -> None:
        self.context.close()
        assert self.complaints == []

"""A headless Chromium for the tests, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def open_chromium() -> Iterator[Any]:
    """A browser: of the environment variable ``OSL_CHROMIUM``, on the path, or Playwright's own.

    The test is skipped where there is none, or nothing to drive it with.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: requirements-dev.txt")
    with sync_api.sync_playwright() as driver:
        known = (os.environ.get("OSL_CHROMIUM"), *map(shutil.which, NAMES), driver.chromium.executable_path)
        path = next(filter(None, known))
        if not Path(path).is_file():
            pytest.skip("there is no Chromium: apt-get install chromium, or name one in OSL_CHROMIUM")
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()

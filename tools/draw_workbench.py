"""Take the pictures of the workbench for the documents: each page, light and dark, of a study of simulated hands.

Example:
    python -m tools.draw_workbench --chromium /usr/bin/chromium --output docs/images
"""

import csv
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from bundle.records.console import CommandParser, command
from study import FINAL, Mark, Study
from study.loop import Loop
from study.protocol import read_protocol, shipped_protocols

ROOT = Path(__file__).resolve().parents[1]

#: By name, the address of each view.
VIEWS = {
    "annotate": "/?image=phantom_001",
    "sheet": "/sheet?landmark=12",
    "scores": "/scores",
    "files": "/files",
    "protocol": "/protocol",
}


def prepare(folder: Path, accepted: int) -> None:
    """A study in which some images are accepted and all others found."""
    script = [sys.executable, str(ROOT / "scripts" / "make_phantoms.py"), "--study", "--output_dir", str(folder)]
    subprocess.run([*script, "--count", "8", "--height", "900"], check=True)
    study, loop = Study(folder), Loop(Study(folder))
    protocol = read_protocol(shipped_protocols()["hand-37"])
    study.save_protocol(protocol)
    with (folder / "truth" / "landmarks.csv").open(encoding="utf-8", newline="") as file:
        truth = {row["image"]: row for row in csv.DictReader(file)}
    for image_id in [f"phantom_{index:03d}" for index in (0, 3, 5, 6)[:accepted]]:
        row = truth[image_id]
        marks = [
            Mark(name, (float(row[f"x{index}"]), float(row[f"y{index}"])), "placed")
            for index, name in enumerate(protocol.names, start=1)
        ]
        study.save_marks(image_id, marks, FINAL, "")
        loop.start()
        loop.wait()


def shoot(page: Page, origin: str, output: Path, scheme: str) -> None:
    """Take a picture of each view."""
    for name, path in VIEWS.items():
        page.goto(origin + path)
        page.wait_for_timeout(3000)
        if name == "annotate":
            page.get_by_role("button", name="Template", exact=True).click()
            page.mouse.move(700, 500)
            page.wait_for_timeout(3000)
        page.screenshot(path=output / f"workbench_{name}_{scheme}.jpg", type="jpeg", quality=72)


@command
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = CommandParser(__doc__)
    parser.add_argument("--chromium", required=True, help="program of the browser")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images", help="folder of the pictures")
    parser.add_argument("--accepted", type=int, default=3, help="how many images are accepted")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "hands"
        prepare(study, args.accepted)
        line = [sys.executable, "-u", "-m", "workbench", "--study", str(study), "--no_browser"]
        process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            url = next(found[0] for text in process.stdout if (found := re.search(r"https?://\S+", text)))
            with sync_playwright() as tool:
                browser = tool.chromium.launch(executable_path=args.chromium, args=["--no-sandbox"])
                for scheme in ("light", "dark"):
                    settings = {"viewport": {"width": 1280, "height": 800}, "color_scheme": scheme}
                    page = browser.new_context(**settings).new_page()
                    page.goto(url)
                    shoot(page, url.split("/?")[0], args.output, scheme)
                browser.close()
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    raise SystemExit(main())

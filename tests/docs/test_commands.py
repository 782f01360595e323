"""Every command of the README and the guide: run on the sample, in the order of the page, as a reader would.

What needs a download, several devices or a server is not run, but its files and options are checked.
"""

import contextlib
import importlib
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bundle.handlers
import bundle.model
import bundle.training  # noqa: F401  what a run imports, once for all forks
from bundle.command_line import refuse_mistakes
from bundle.io.radiographs import read_radiograph
from tests.conftest import Sample
from tests.workflows.forked import run_forked
from tests.workflows.running import ROOT, TINY_NETWORK

PAGES = ("README.md", "docs/guide.md")

#: What a command that is not run has in it, and why.
NOT_RUN = {
    "DOWNLOAD": "a download",
    "data/isbi2015": "a download",
    "output/reproduction": "a download",
    "output/isbi2015": "a download",
    "global.pth": "weights of others",
    "models/paper.pt": "weights of others",
    "nproc_per_node": "several devices",
    "heads.pt": "two kinds of image",
    "srun ": "a cluster",
    "/shared/": "a cluster",
}

#: Programs of others that the pages name.
OTHERS = ("pip", "tensorboard", "export", "head=$(scontrol", "set")


def blocks(page: str) -> list[tuple[str, str]]:
    """The fenced blocks of a page: language and text, with continued lines joined."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [(language, re.sub(r"\s*\\\n\s*", " ", content)) for language, content in found]


def commands(page: str) -> Iterator[str]:
    """The command lines of a page's shell blocks, and what of them stands in others."""
    for language, content in blocks(page):
        for line in content.splitlines():
            command = re.sub(r"\s+#.*", "", line.strip())
            if command and not command.startswith("#") and (language == "bash" or "-m monai.bundle" in command):
                yield command


@pytest.fixture(scope="module")
def folder(small: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader's folder in a checkout: it has what the pages name."""
    folder = tmp_path_factory.mktemp("reader")
    for name in ("configs", "scripts", "tools"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "CHECKOUT").symlink_to(ROOT)
    (folder / "models").mkdir()
    shutil.copytree(small.images, folder / "my_images")
    queries = sorted(small.images.glob("*.dcm"))
    for name, image in zip(("template", "a", "b", "c", "d"), (small.image, small.image, *queries)):
        shutil.copy(image, folder / f"{name}.dcm")
    for name in ("template", "query"):
        pixels = read_radiograph(folder / "template.dcm" if name == "template" else queries[0]).pixels
        Image.fromarray((pixels * 255).astype(np.uint8)).save(folder / f"{name}.png")
    shutil.copy(small.landmarks, folder / "template.csv")
    shutil.copy(small.truth, folder / "truth.csv")
    rows = (line.split(",")[1:] for line in small.landmarks.read_text(encoding="utf-8").splitlines()[1:])
    own = ",".join(value for row in rows for value in row)
    header, *truth = small.truth.read_text(encoding="utf-8").splitlines()
    others = [line.partition(",")[2] for line in truth]
    table = [header, *(f"{name},{values}" for name, values in zip("abc", (own, *others)))]
    (folder / "landmarks.csv").write_text("\n".join(table) + "\n", encoding="utf-8")
    return folder


def check(command: str) -> None:
    """Files and options of a command that is not run.

    Raises:
        BundleError: when an option is none.
    """
    if "-m monai.bundle " in command:
        refuse_mistakes(shlex.split(command.partition("-m monai.bundle ")[2]))
        return
    program, *words = shlex.split(command)
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert words[0] in targets
    elif program == "python":
        name = words[1] if words[0] == "-m" else Path(words[0]).stem
        importlib.import_module(name).build_parser().parse_args(words[2 if words[0] == "-m" else 1 :])
    else:
        assert program in OTHERS, f"{program} is not known to this test"
        files = [file for file in words if file.endswith(".txt")]
        assert all((ROOT / file).is_file() for file in files)


def run(command: str, folder: Path, log: Path) -> None:
    program, *words = shlex.split(command)
    assert program == "python"
    if words[:2] == ["-m", "monai.bundle"]:
        module, words = "monai.bundle", words[2:]
        if "--template_image" in words:
            words += ["--network", str(TINY_NETWORK)]
    else:
        module, words = words[0], words[1:]
    done = run_forked(module, words, folder, log)
    assert done.returncode == 0, f"{command}\n{done.stderr[-2000:]}"


@pytest.mark.parametrize("page", PAGES)
def test_every_command_runs(page: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    ran = 0
    for command in commands(page):
        if command.startswith("python ") and not any(mark in command for mark in NOT_RUN):
            run(command, folder, tmp_path)
            ran += 1
        else:
            check(command)
    assert ran >= 3
    expected = {"README.md": ["my_results/report.html", "my_evaluation/metrics.json", "models/model.pt"]}
    made = expected.get(page, ["output/one_shot_landmarks.zip", "output/onnx/global.onnx"])
    assert all((folder / name).is_file() for name in made)


@pytest.mark.parametrize("page", PAGES)
def test_every_program_runs(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    programs = [content for language, content in blocks(page) if language == "python"]
    assert programs
    for text in programs:
        short = text.replace('"cuda:0"', f'"cpu", network={TINY_NETWORK}')
        short = short.replace('"template.csv")', f'"template.csv", network={TINY_NETWORK})')
        assert "TINY" not in short and short != text
        with contextlib.redirect_stdout(sys.stderr):
            exec(compile(short, page, "exec"), {})
    assert list((folder / "my_results").glob("*.mrk.json"))

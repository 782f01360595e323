import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tqdm import tqdm

from bundle.errors import BundleError, ConfigError, ImageError, find_bundle_error, one_line
from bundle.records.console import INTERRUPTED, NOT_DONE, end_command, progress, report_errors_plainly
from tests.workflows.running import ROOT


@pytest.fixture(autouse=True)
def restored_hook() -> Iterator[None]:
    before = sys.excepthook
    yield
    sys.excepthook = before


def told(error: BaseException, capsys: pytest.CaptureFixture[str], status: int = NOT_DONE) -> str:
    report_errors_plainly()
    with pytest.raises(SystemExit) as end:
        sys.excepthook(type(error), error, error.__traceback__)
    assert end.value.code == status
    return capsys.readouterr().err


def test_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        told(ConfigError("seed is -1, expected zero or more."), capsys) == "error: seed is -1, expected zero or more.\n"
    )


def test_behind_what_others_raise(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        try:
            try:
                raise ConfigError("the reason.")
            except ConfigError as error:
                raise KeyError("wrapped") from error
        except KeyError:
            raise RuntimeError("wrapped again")  # noqa: B904
    except RuntimeError as error:
        assert told(error, capsys) == "error: the reason.\n"


def test_a_defect_is_one_sentence_and_shows_its_place_on_demand(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        try:
            raise ZeroDivisionError("a defect")
        except ZeroDivisionError as cause:
            raise RuntimeError("Failed to evaluate") from cause
    except RuntimeError as error:
        sentence = told(error, capsys)
        monkeypatch.setenv("MONAI_DEBUG", "1")
        text = told(error, capsys)
    assert sentence.startswith("error: ZeroDivisionError: a defect: ") and len(sentence.splitlines()) == 1
    assert "MONAI_DEBUG" in sentence
    assert "Traceback" in text and "ZeroDivisionError: a defect" in text and "error: " not in text


def test_the_user_stops_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(KeyboardInterrupt(), capsys, INTERRUPTED)
    assert len(text.splitlines()) == 1 and "the same command" in text


def test_a_file_name_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(ImageError("a\nerror: b\x1b[2J\u202egnp.\udcff is broken."), capsys)
    assert text == "error: a error: b [2J gnp.? is broken.\n"
    assert one_line("  plain   text\t") == "plain text"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("raise BundleError('x.')", 2),
        ("1 / 0", 2),
        ("raise KeyboardInterrupt", 130),
        ("raise SystemExit(1)", 1),
        ("", 0),
    ],
)
def test_the_status_of_the_process(code: str, status: int) -> None:
    lines = [
        "from bundle.records.console import report_errors_plainly",
        "from bundle.errors import BundleError",
    ]
    code = "\n".join([*lines, "report_errors_plainly()", code])
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False, timeout=60)
    assert finished.returncode == status


def test_the_command_line_ends_at_once(tmp_path: Path) -> None:
    package = tmp_path / "monai" / "bundle"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").touch()
    lines = (
        "import atexit, sys",
        f"sys.path.append({str(ROOT)!r})",
        "from bundle.records.console import end_command",
        "atexit.register(print, 'taken apart')",
        "print('done')",
        "end_command(3)",
    )
    (package / "__main__.py").write_text("\n".join(lines), encoding="utf-8")
    ended = subprocess.run([sys.executable, "-m", "monai.bundle"], cwd=tmp_path, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (3, "done\n"), ended.stderr
    end_command()  # this program goes on


def test_called_twice(capsys: pytest.CaptureFixture[str]) -> None:
    report_errors_plainly()
    assert told(BundleError("once."), capsys) == "error: once.\n"


def test_errors_that_cause_each_other_are_searched_once() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert find_bundle_error(first) is None
    assert find_bundle_error(None) is None


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    bar = progress(range(500), desc="warps", unit="warp")
    for index in bar:
        bar.set_postfix(loss=index, refresh=False)
        if index == 200:
            tqdm.write("error: one line.", file=sys.stderr)
    told = capsys.readouterr().err
    assert told.splitlines()[0].startswith("warps: 0/500 warp [") and told.splitlines()[1] == "error: one line."
    assert told.splitlines()[2].startswith("warps: 500/500 warp [") and "loss=499" in told
    assert len(told.splitlines()) == 3 and all(letter.isprintable() or letter == "\n" for letter in told)


def test_work_within_work(capsys: pytest.CaptureFixture[str]) -> None:
    outer = progress(range(2), desc="landmarks")
    for _ in outer:
        list(progress(range(3), desc="templates"))
    told = capsys.readouterr().err
    assert "templates: 3/3" in told and "landmarks: 2/2" in told
    assert all(letter.isprintable() or letter == "\n" for letter in told)


def test_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    list(progress(range(3), desc="warps"))
    assert "\rwarps: 100%|" in capsys.readouterr().err


def test_nothing_where_another_rank_speaks(capsys: pytest.CaptureFixture[str]) -> None:
    list(progress(range(3), disable=True))
    assert capsys.readouterr().err == ""

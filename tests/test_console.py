from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from bundle.console import report_errors_plainly
from bundle.errors import BundleError, ConfigError, find_bundle_error


@pytest.fixture(autouse=True)
def restored_hook() -> Iterator[None]:
    before = sys.excepthook
    yield
    sys.excepthook = before


def told(error: BaseException, capsys: pytest.CaptureFixture[str]) -> str:
    report_errors_plainly()
    sys.excepthook(type(error), error, error.__traceback__)
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


def test_defects_keep_their_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ZeroDivisionError("a defect")
    except ZeroDivisionError as error:
        text = told(error, capsys)
    assert "Traceback" in text and "ZeroDivisionError: a defect" in text and "error: " not in text


def test_called_twice(capsys: pytest.CaptureFixture[str]) -> None:
    report_errors_plainly()
    assert told(BundleError("once."), capsys) == "error: once.\n"


def test_errors_that_cause_each_other_are_searched_once() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert find_bundle_error(first) is None
    assert find_bundle_error(None) is None

"""3D Slicer with a scene that is a fake, or the real one where the package slicer-core is installed; a small server."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.slicer.application import MODULE, Application, start

# Slicer and the script put the module's folder on the path as well.
sys.path.insert(0, str(MODULE))

from OneShotLandmarksLib.stub_server import StubServer

_REAL = pytest.mark.skipif(importlib.util.find_spec("slicer_core") is None, reason="slicer-core is not installed")


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


@pytest.fixture(params=[pytest.param(False, id="fake"), pytest.param(True, id="real", marks=_REAL)])
def started(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Application, ModuleType]:
    return start(request.param, tmp_path, monkeypatch)


@pytest.fixture
def application(started: tuple[Application, ModuleType]) -> Application:
    return started[0]


@pytest.fixture
def module(started: tuple[Application, ModuleType]) -> ModuleType:
    return started[1]

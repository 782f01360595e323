"""The tutorial runs from the first cell to the last, and is kept without what it printed."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.workflows.running import ROOT

NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: requirements-dev.txt")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: requirements-dev.txt")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed: requirements-dev.txt")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    kernels = tmp_path_factory.mktemp("jupyter") / "kernels" / "python3"
    kernels.mkdir(parents=True)
    # This interpreter, whatever kernels the machine has.
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Python 3", "language": "python"}
    (kernels / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(kernels.parents[1]))
        patch.setenv("OMP_NUM_THREADS", "1")
        client = nbclient.NotebookClient(
            notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOK.parent)}}
        )
        return client.execute(env={**os.environ})


def printed(notebook: Any) -> str:
    return "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []) if "text" in output
    )


def test_it_runs_and_shows_what_it_promises(executed: Any) -> None:
    said = printed(executed)
    assert said.count("all landmarks") == 2, "two evaluations"
    assert "k = 10: mean error" in said and "the surest  50%" in said and "report: " in said
    pictures = [o for cell in executed.cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(pictures) == 4


def test_it_cleans_up(executed: Any) -> None:
    folder = printed(executed).split("MB, in ")[1].splitlines()[0]
    assert not Path(folder).exists()


def test_it_is_kept_without_outputs() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert code and all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)

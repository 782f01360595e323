"""How the workbench starts."""

import subprocess
import sys

from tests.conftest import ROOT


def test_its_pages_wait_for_no_network() -> None:
    """PyTorch and MONAI take most of the time of a start; whoever opens a page needs none of them."""
    code = "import sys, workbench.server; print({'torch', 'monai', 'matplotlib', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

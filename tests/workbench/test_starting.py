"""How the workbench starts."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


def test_its_pages_wait_for_no_network() -> None:
    """PyTorch and MONAI take most of the time of a start; whoever opens a page needs none of them."""
    code = "import sys, workbench.server; print({'torch', 'monai', 'matplotlib', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_two_threads_need_monai_at_once(tmp_path: Path) -> None:
    code = """
import sys, threading
from study import Study
from study.loop import Loop
from workbench.bench import Bench
from workbench.files import write_files

loop = Loop(Study(sys.argv[1]))
said = []

def refused(action):
    try:
        action()
    except Exception as error:
        said.append(type(error).__name__)

actions = (loop.finder, lambda: write_files(Bench(loop.study, loop), False, []))
threads = [threading.Thread(target=refused, args=(action,)) for action in actions]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(*said)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["ConfigError"] * 2, done.stderr

"""What Windows and macOS lack is taken away from this system: inference does without it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Sample
from tests.workflows.running import CONFIGS, ROOT, TINY_NETWORK, environment

#: Modules and functions of POSIX or of Linux that Python has on no Windows.
WITHOUT = """
import os, runpy, signal, sys
import psutil  # which knows each system itself

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name in {"fcntl", "grp", "pwd", "resource", "termios", "tty", "pty", "syslog"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in ("fcntl", "grp", "pwd", "resource", "termios", "tty", "pty", "syslog"):
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Refuse())
for module, names in {os: ("fork", "geteuid", "getuid", "mkfifo", "sysconf"), signal: ("setitimer", "SIGKILL")}.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
sys.argv = ["monai.bundle", *sys.argv[1:]]
runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
def test_inference_without_what_only_posix_has(small: Sample, tmp_path: Path) -> None:
    words = ["run", "inference", "--config_file", CONFIGS / "inference.json", "--network", TINY_NETWORK]
    words += ["--template_image", small.image, "--template_landmarks", small.landmarks]
    words += ["--dataset_dir", small.images, "--output_dir", tmp_path / "out"]
    line = [sys.executable, "-c", WITHOUT, *map(str, words)]
    done = subprocess.run(
        line,
        cwd=ROOT,
        env={**environment(), "USERNAME": "somebody"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "out" / "landmarks.csv").is_file()

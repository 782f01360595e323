"""With MONAI Label's authentication on, every route wants a token: those that are ours as well."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.label_server.client import ROOT

PROGRAM = """
from fastapi.testclient import TestClient
from label_server.web import app
client = TestClient(app)  # without its life span: no app, no study
for method, path in [("POST", "/infer/x"), ("POST", "/train/x"), ("POST", "/scoring/x"), ("POST", "/activelearning/x"),
                     ("GET", "/info/"), ("GET", "/logs/"), ("PUT", "/datastore/label?image=x")]:
    answer = client.request(method, path)
    print(path, answer.status_code)
"""


@pytest.mark.timeout(1800)
def test_nothing_without_a_token(tmp_path: Path) -> None:
    environment = {**os.environ, "MONAI_LABEL_AUTH_ENABLE": "true", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    answers = [line.split() for line in run.stdout.splitlines() if line.startswith("/")]
    assert len(answers) == 7, run.stderr[-2000:]
    assert {status for _, status in answers} == {"401"}, answers

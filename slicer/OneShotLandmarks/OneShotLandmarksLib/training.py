"""How far a training is, read off what the server says about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: What MONAI Label calls a task that goes on.
_ALIVE = ("SUBMITTED", "RUNNING")

_STEP = re.compile(r"\b(\d{1,7})\s*/\s*(\d{1,7})\b")
_PERCENT = re.compile(r"\b(\d{1,3})\s?%")


@dataclass(frozen=True)
class Task:
    """A task of the server, such as a training.

    Attributes:
        id: its id.
        status: ``SUBMITTED``, ``RUNNING``, ``DONE``, ``ERROR`` or ``STOPPED``.
        lines: the last lines that it printed.
    """

    id: str
    status: str
    lines: tuple[str, ...]

    @property
    def is_alive(self) -> bool:
        """Whether it goes on."""
        return self.status in _ALIVE

    @property
    def progress(self) -> float | None:
        """The share of the present stage that is done, 0 to 1; None where its lines do not say."""
        if self.status == "DONE":
            return 1.0
        for line in reversed(self.lines):
            share = _share(line)
            if share is not None:
                return share
        return None

    @property
    def last_line(self) -> str:
        """The last line that it printed; empty where there is none."""
        return self.lines[-1] if self.lines else ""


def read_task(document: Any) -> Task | None:
    """Read what the server says about a task.

    Args:
        document: MONAI Label's JSON.

    Returns:
        The task; None where the document is not one.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("status"), str):
        return None
    details = document.get("details", [])
    lines = [_shown(line) for line in details] if isinstance(details, list) else []
    return Task(str(document.get("id", "")), document["status"], tuple(line for line in lines if line))


def _share(line: str) -> float | None:
    step = _STEP.search(line)
    if step and int(step.group(2)) > 0 and int(step.group(1)) <= int(step.group(2)):
        return int(step.group(1)) / int(step.group(2))
    percent = _PERCENT.search(line)
    return int(percent.group(1)) / 100 if percent and int(percent.group(1)) <= 100 else None


def _shown(line: Any) -> str:
    """A line without letters that would steer a terminal; of what overwrote itself, the last."""
    last = str(line).rstrip("\r\n").split("\r")[-1]
    return "".join(letter if letter.isprintable() else " " for letter in last).strip()[:500]

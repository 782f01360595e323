"""The table of the landmarks: how sure each is, and what the user has done to it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import qt

from .points import Point

_HEADER = ("Landmark", "Confidence", "Expected error", "State")

#: Below this confidence a landmark is marked; the overlay of the product draws the same landmarks as rings.
_DOUBTFUL = 0.5


class PointTable:
    """Shows the landmarks, one in a row.

    Attributes:
        widget: the table.
    """

    def __init__(self) -> None:
        self.widget = qt.QTableWidget()
        self.widget.setColumnCount(len(_HEADER))
        self.widget.setHorizontalHeaderLabels(list(_HEADER))
        self.widget.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        self.widget.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        self.widget.setSelectionMode(qt.QAbstractItemView.SingleSelection)
        self.widget.setMinimumHeight(260)
        self.widget.horizontalHeader().setStretchLastSection(True)

    @property
    def row(self) -> int:
        """The selected row, -1 for none."""
        return int(self.widget.currentRow())

    def show(self, points: Sequence[Point], changed: Collection[str]) -> None:
        """Show landmarks in place of those before.

        Args:
            points: the landmarks.
            changed: the names of those that the user moved, placed or marked as missing.
        """
        self.widget.setRowCount(len(points))
        for row, point in enumerate(points):
            for column, text in enumerate(row_texts(point, point.name in changed)):
                item = qt.QTableWidgetItem(text)
                if column == 1 and point.confidence is not None and point.confidence < _DOUBTFUL:
                    item.setForeground(qt.QBrush(qt.QColor(200, 80, 0)))
                self.widget.setItem(row, column, item)


def row_texts(point: Point, changed: bool) -> tuple[str, str, str, str]:
    """The texts of a row.

    Args:
        point: the landmark.
        changed: whether the user moved, placed or unset it.

    Returns:
        Name, confidence, expected error and state.
    """
    confidence = "" if point.confidence is None else f"{point.confidence:.2f}"
    error = "" if point.expected_error is None else f"{point.expected_error:.1f} {point.error_unit}"
    if point.lps is None:
        state = "marked as missing" if changed else "not placed"
    else:
        state = "corrected" if changed else "as found"
    return point.name, confidence, error, state

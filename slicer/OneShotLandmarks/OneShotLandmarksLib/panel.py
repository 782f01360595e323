"""The widgets of the module, laid out; what they do is wired up in ``OneShotLandmarks.py``."""

from __future__ import annotations

from typing import Any

import ctk
import qt

from .point_table import PointTable


class Panel:
    """All widgets of the module, from top to bottom in the order in which they are used.

    Args:
        layout: the layout that they are put into.
    """

    def __init__(self, layout: Any) -> None:
        form = _section(layout, "Server")
        self.url = _row(form, "Address:", qt.QLineEdit(), "The server's address, such as http://127.0.0.1:8000")
        self.token = _row(form, "Token:", qt.QLineEdit(), "Only where the server asks for one; it is not saved")
        self.token.echoMode = qt.QLineEdit.Password
        self.connect = _buttons(form, ("Connect", "Ask the server what it has"))[0]

        form = _section(layout, "Image")
        self.images = _row(form, "Image:", qt.QComboBox(), "The images of the server's data store")
        self.load, self.refresh = _buttons(
            form, ("Load", "Download the image and show it"), ("Refresh", "Ask for the list again")
        )
        self.strategy = _row(form, "Next by:", qt.QComboBox(), "How the server chooses")
        self.suggest = _buttons(
            form, ("Most useful image to annotate", "Let the server choose the image whose annotation helps most")
        )[0]

        form = _section(layout, "Landmarks")
        self.model = _row(form, "Model:", qt.QComboBox(), "What finds the landmarks")
        self.find, self.saved, self.by_hand = _buttons(
            form,
            ("Find landmarks", "Have the server find the landmarks"),
            ("Load annotation", "Fetch the saved annotation of the image"),
            ("Place by hand", "Begin with landmarks that are all still to be placed"),
        )
        self.table = PointTable()
        form.addRow(self.table.widget)
        self.place, self.missing = _buttons(
            form,
            ("Place", "Place the selected landmark with the next click on the image"),
            ("Mark as missing", "The selected landmark cannot be seen on this image"),
        )
        self.submit = _buttons(form, ("Send as annotation", "Save the points at the server, for training"))[0]

        form = _section(layout, "Training")
        self.trainer = _row(form, "Model:", qt.QComboBox(), "What is trained with the saved annotations")
        self.train, self.stop = _buttons(
            form,
            ("Train", "Train with all saved annotations"),
            ("Stop", "Stop the training; the model stays as it was"),
        )
        self.progress = qt.QProgressBar()
        form.addRow(self.progress)
        self.progress_line = _text()
        form.addRow(self.progress_line)

        self.message = _text()
        layout.addWidget(self.message)
        layout.addStretch(1)


def _section(layout: Any, title: str) -> Any:
    """A part of the panel that can be folded; returns its layout."""
    button = ctk.ctkCollapsibleButton()
    button.text = title
    layout.addWidget(button)
    return qt.QFormLayout(button)


def _row(form: Any, label: str, widget: Any, tip: str) -> Any:
    widget.toolTip = tip
    form.addRow(label, widget)
    return widget


def _buttons(form: Any, *labels: tuple[str, str]) -> list[Any]:
    """Buttons in one row, from their texts and tips."""
    row = qt.QHBoxLayout()
    buttons = []
    for text, tip in labels:
        button = qt.QPushButton(text)
        button.toolTip = tip
        row.addWidget(button)
        buttons.append(button)
    form.addRow(row)
    return buttons


def _text() -> Any:
    """A label for sentences."""
    label = qt.QLabel("")
    label.wordWrap = True
    # What the server says is shown letter by letter, never as HTML.
    label.textFormat = qt.Qt.PlainText
    return label

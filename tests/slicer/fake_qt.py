"""Just enough of qt and ctk for the panel, as PythonQt shows them: properties are attributes."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any


class Widget:
    """A widget with its signals; those that a panel connects are called by :meth:`emit`."""

    def __init__(self, *_: Any) -> None:
        self.enabled, self.toolTip, self.text = True, "", ""
        self.slots: dict[str, list[Callable[..., Any]]] = {}
        self.blocked = False

    def connect(self, signal: str, slot: Callable[..., Any]) -> None:
        assert "(" in signal and signal.endswith(")"), signal
        self.slots.setdefault(signal, []).append(slot)

    def emit(self, signal: str, *values: Any) -> None:
        for slot in [] if self.blocked else self.slots.get(signal, []):
            slot(*values)

    def blockSignals(self, blocked: bool) -> bool:
        before, self.blocked = self.blocked, blocked
        return before

    def setText(self, text: str) -> None:
        assert isinstance(text, str)
        self.text = text

    def setMinimumHeight(self, pixels: int) -> None:
        assert pixels > 0


class Button(Widget):
    def __init__(self, text: str = "") -> None:
        super().__init__()
        self.text = text

    def click(self) -> None:
        """What a user does; nothing happens where the button is grey."""
        if self.enabled:
            self.emit("clicked(bool)", False)


class LineEdit(Widget):
    Password = 2

    def __init__(self) -> None:
        super().__init__()
        self.echoMode = 0


class ComboBox(Widget):
    def __init__(self) -> None:
        super().__init__()
        self.items: list[tuple[str, Any]] = []
        self.currentIndex = -1

    @property
    def currentText(self) -> str:
        return self.items[self.currentIndex][0] if self.currentIndex >= 0 else ""

    def addItem(self, text: str, data: Any = None) -> None:
        self.items.append((text, data))
        if self.currentIndex < 0:
            self.setCurrentIndex(0)

    def clear(self) -> None:
        self.items = []
        self.setCurrentIndex(-1)

    def itemData(self, index: int) -> Any:
        return self.items[index][1] if 0 <= index < len(self.items) else None

    def setCurrentIndex(self, index: int) -> None:
        changed, self.currentIndex = index != self.currentIndex, index
        if changed:
            self.emit("currentIndexChanged(int)", index)


class Table(Widget):
    def __init__(self) -> None:
        super().__init__()
        self.cells: dict[tuple[int, int], TableItem] = {}
        self.rows = self.columns = 0
        self.selected = -1

    def setColumnCount(self, columns: int) -> None:
        self.columns = columns

    def setRowCount(self, rows: int) -> None:
        self.rows = rows
        self.cells = {place: item for place, item in self.cells.items() if place[0] < rows}

    def setHorizontalHeaderLabels(self, labels: list[str]) -> None:
        assert len(labels) == self.columns

    def setItem(self, row: int, column: int, item: TableItem) -> None:
        assert row < self.rows and column < self.columns
        self.cells[row, column] = item

    def currentRow(self) -> int:
        return self.selected

    def select(self, row: int) -> None:
        """What a user does."""
        self.selected = row
        self.emit("itemSelectionChanged()")

    def texts(self) -> list[list[str]]:
        return [[self.cells[row, column].words for column in range(self.columns)] for row in range(self.rows)]

    def horizontalHeader(self) -> Table:
        return self

    def setStretchLastSection(self, stretch: bool) -> None:
        assert stretch

    def setEditTriggers(self, triggers: int) -> None:
        assert triggers == ItemView.NoEditTriggers

    def setSelectionBehavior(self, behavior: int) -> None:
        assert behavior == ItemView.SelectRows

    def setSelectionMode(self, mode: int) -> None:
        assert mode == ItemView.SingleSelection


class TableItem:
    def __init__(self, words: str) -> None:
        self.words, self.colour = words, None

    def setForeground(self, brush: Any) -> None:
        self.colour = brush


class ItemView:
    NoEditTriggers, SelectRows, SingleSelection = 0, 1, 1


class ProgressBar(Widget):
    def __init__(self) -> None:
        super().__init__()
        self.range, self.value = (0, 100), 0

    def setRange(self, low: int, high: int) -> None:
        self.range = (low, high)

    def setValue(self, value: int) -> None:
        self.value = value


class Timer(Widget):
    def __init__(self) -> None:
        super().__init__()
        self.running = False

    def setInterval(self, milliseconds: int) -> None:
        assert milliseconds >= 500

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False

    def isActive(self) -> bool:
        return self.running

    def tick(self) -> None:
        """What passing time does."""
        if self.running:
            self.emit("timeout()")


class Layout(Widget):
    def addWidget(self, widget: Any) -> None:
        """Nobody asks where it is."""

    def addRow(self, *parts: Any) -> None:
        """Nobody asks where they are."""

    def addStretch(self, stretch: int) -> None:
        assert stretch == 1


class Settings:
    """Slicer's settings, shared by all objects."""

    stored: dict[str, Any] = {}  # noqa: RUF012

    def value(self, key: str, default: Any = None) -> Any:
        return self.stored.get(key, default)

    def setValue(self, key: str, value: Any) -> None:
        self.stored[key] = value


class Application:
    """The cursor: how many wait cursors lie on each other."""

    waiting = 0

    @classmethod
    def setOverrideCursor(cls, _: Any) -> None:
        cls.waiting += 1

    @classmethod
    def restoreOverrideCursor(cls) -> None:
        cls.waiting -= 1


class Qt:
    WaitCursor, PlainText = 3, 0


def modules() -> tuple[ModuleType, ModuleType]:
    """The modules qt and ctk."""
    Settings.stored = {}
    Application.waiting = 0
    qt, ctk = ModuleType("qt"), ModuleType("ctk")
    for name, value in {
        "QLineEdit": LineEdit,
        "QComboBox": ComboBox,
        "QPushButton": Button,
        "QLabel": Widget,
        "QProgressBar": ProgressBar,
        "QTableWidget": Table,
        "QTableWidgetItem": TableItem,
        "QAbstractItemView": ItemView,
        "QTimer": Timer,
        "QFormLayout": Layout,
        "QHBoxLayout": Layout,
        "QSettings": Settings,
        "QApplication": Application,
        "QBrush": lambda colour: colour,
        "QColor": lambda *rgb: rgb,
        "Qt": Qt,
    }.items():
        setattr(qt, name, value)
    ctk.ctkCollapsibleButton = Widget  # type: ignore[attr-defined]
    return qt, ctk

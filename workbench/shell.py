"""What every page has: its style, and the header with the other pages and the work in the background."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from nicegui import ui

from bundle.errors import BundleError
from workbench import texts as t
from workbench.bench import Bench

_STYLE = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
_PAGES = ((t.ANNOTATE, "/"), (t.SHEET, "/sheet"), (t.SCORES, "/scores"), (t.FILES, "/files"), (t.PROTOCOL, "/protocol"))


def say(sentence: str, kind: Literal["info", "positive", "negative"] = "info") -> None:
    """Show a sentence for a while; a refusal stays until it is closed."""
    stays = kind == "negative"
    ui.notify(
        sentence,
        type=kind,
        position="bottom-left",
        close_button=t.CLOSE if stays else False,
        timeout=0 if stays else 4000,
    )


@contextlib.contextmanager
def saying_refusals() -> Iterator[None]:
    """Show what is refused as a sentence."""
    try:
        yield
    except BundleError as error:
        say(str(error), "negative")


@contextlib.contextmanager
def working(found: ui.button) -> Iterator[None]:
    """Show on a button that what it does takes a while."""
    found.props("loading")
    try:
        yield
    finally:
        found.props(remove="loading")


def keep_focus(frame: ui.element) -> ui.element:
    """Let the mouse press the buttons of a frame without taking the keys from the image."""
    return frame.on("mousedown.capture.stop.prevent", js_handler="() => {}")


def button(text: str, hint: str, action: Callable[..., Any], icon: str | None = None, **props: Any) -> ui.button:
    """A flat button with a hint."""
    found = ui.button(text, on_click=action, icon=icon).props("flat dense no-caps")
    for name, value in props.items():
        found.props(f"{name}={value}")
    return found.tooltip(hint) if hint else found


def icon_button(icon: str, name: str, keys: str, action: Callable[..., Any], **props: Any) -> None:
    """A round button with its name as a hint."""
    found = button("", f"{name} ({keys})" if keys else name, action, icon, **props).props("round")
    found.props["aria-label"] = name


def file_button(text: str, taken: Callable[[Any], Any], accept: str, most_bytes: int, multiple: bool = False) -> None:
    """A place that takes files from the user; Quasar's uploader, whose own button has no name, works behind it."""

    def refused() -> None:
        say(t.NO_SUCH_FILE.format(accept=accept, megabytes=most_bytes // 1_000_000), "negative")

    uploader = ui.upload(
        on_upload=taken, on_rejected=refused, auto_upload=True, multiple=multiple, max_file_size=most_bytes
    )
    uploader.props(f"accept={accept}").style("display: none")
    behind = f"getElement({uploader.id}).$refs.qRef"
    with ui.element("div").classes("wb-drop") as zone:
        ui.button(text).props("no-caps outline").on("click", js_handler=f"() => {behind}.pickFiles()")
        ui.label(t.OR_DROP).classes("wb-faint")
    zone.on("dragover", js_handler="(event) => event.preventDefault()")
    zone.on("drop", js_handler=f"(event) => {{ event.preventDefault(); {behind}.addFiles(event.dataTransfer.files); }}")


class Shell:
    """The frame of a page.

    Args:
        bench: the workbench.
        here: the name of the page.
    """

    def __init__(self, bench: Bench, here: str) -> None:
        self.bench = bench
        ui.add_css(_STYLE)
        ui.colors(primary="#0b5394", negative="#a4262c", positive="#1b6e3c", info="#24527a", warning="#7a4a00")
        ui.page_title(f"{here} · {t.TITLE}")
        self.dark = ui.dark_mode(None)
        with keep_focus(ui.header().classes("wb-header")):
            with ui.element("nav").props(f'aria-label="{t.NAVIGATION}"').classes("wb-nav"):
                for name, path in _PAGES:
                    link = ui.link(name, path)
                    if name == here:
                        link.props("aria-current=page")
            self.phase = ui.label().classes("wb-phase").props("role=status")
            self.bar = ui.linear_progress(value=0, show_value=False).classes("wb-bar").props('aria-label="progress"')
            self.pause = button(t.PAUSE, "", self._pause, "pause", color="white")
            self.cancel = button(t.CANCEL, "", lambda: self._quietly(bench.loop.cancel), "stop", color="white")
            button(t.FIND_ALL, t.FIND_ALL_HINT, self.find_all, "travel_explore", color="white")
            icon_button("keyboard", t.HELP, "", self._keys, color="white")
            icon_button("contrast", t.DARK, "", self._toggle_dark, color="white")
        self._error = ""
        self._tick()
        ui.timer(0.4, self._tick)

    async def find_all(self) -> None:
        """Find the landmarks of all images in the background."""
        with saying_refusals():
            await asyncio.to_thread(self.bench.loop.require_templates)
            await asyncio.to_thread(self.bench.loop.start)

    async def _quietly(self, action: Callable[[], None]) -> None:
        with saying_refusals():
            await asyncio.to_thread(action)

    async def _pause(self) -> None:
        loop = self.bench.loop
        await self._quietly(loop.resume if loop.progress.paused else loop.pause)

    def _tick(self) -> None:
        progress = self.bench.loop.progress
        busy = progress.phase != "idle"
        words = t.PHASES[progress.phase].format(done=progress.done, total=progress.total)
        self.phase.set_text(f"{words}, {t.PAUSED}" if busy and progress.paused else words)
        self.bar.set_value(progress.done / progress.total if progress.total else 0)
        for element in (self.bar, self.pause, self.cancel):
            element.set_visibility(busy)
        self.pause.set_text(t.RESUME if progress.paused else t.PAUSE)
        if progress.error and progress.error != self._error:
            say(progress.error, "negative")
        self._error = progress.error

    async def _toggle_dark(self) -> None:
        """From what the system prefers to the other, then back and forth."""
        if self.dark.value is None:
            self.dark.value = not await ui.run_javascript("matchMedia('(prefers-color-scheme: dark)').matches")
        else:
            self.dark.value = not self.dark.value

    def _keys(self) -> None:
        with ui.dialog(value=True) as dialog, ui.card():
            dialog.props["aria-label"] = t.HELP
            ui.label(t.HELP).classes("wb-title").props("role=heading aria-level=2")
            with ui.element("dl").classes("wb-keys"):
                for key, meaning in t.KEYS:
                    with ui.element("dt"):
                        ui.label(key)
                    with ui.element("dd"):
                        ui.label(meaning)
            ui.button(t.CLOSE, on_click=dialog.close).props("no-caps")

"""The application: pages by NiceGUI, pixels and downloads beside them, a guard before all."""

import asyncio
from collections import OrderedDict
from collections.abc import Collection

import numpy as np
from fastapi import FastAPI, Response
from nicegui import app as pages
from nicegui import ui
from nicegui.translations import translations
from starlette.responses import FileResponse
from starlette.types import ASGIApp

from bundle.errors import BundleError
from study.annotations import file_state
from workbench import texts as t
from workbench.annotate import AnnotatePage
from workbench.bench import Bench
from workbench.choose_protocol import protocol_page
from workbench.files import files_page
from workbench.guard import Guard
from workbench.scores import scores_page
from workbench.sheet import sheet_page

#: Pixels of images that are held, in bytes.
HELD_BYTES = 200_000_000


class Pixels:
    """Grey values of images as 16 bits, of those that were asked for last.

    Args:
        bench: the workbench.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self._held: OrderedDict[tuple[object, ...], np.ndarray] = OrderedDict()

    def of(self, image_id: str) -> np.ndarray:
        """An image, (H, W), little-endian unsigned 16 bits.

        Raises:
            BundleError: when it cannot be read.
        """
        key = file_state(self.bench.study.image_file(image_id))
        if key not in self._held:
            grey = self.bench.study.radiograph(image_id).pixels
            self._held[key] = np.rint(grey * 65535).astype("<u2")
        self._held.move_to_end(key)
        while len(self._held) > 1 and sum(one.nbytes for one in self._held.values()) > HELD_BYTES:
            self._held.popitem(last=False)
        return self._held[key]


def as_response(pixels: np.ndarray) -> Response:
    """Width and height as unsigned 32 bits, then the rows."""
    head = np.array(pixels.shape[::-1], dtype="<u4").tobytes()
    return Response(
        head + pixels.tobytes(), media_type="application/octet-stream", headers={"Cache-Control": "no-store"}
    )


def create_app(bench: Bench, secret: str, hosts: Collection[str], port: int, secure: bool = False) -> ASGIApp:
    """The application of one study.

    Args:
        bench: the workbench.
        secret: the token, or the password.
        hosts: values of the header ``Host`` that are answered.
        port: the port that it listens on.
        secure: whether it speaks TLS.
    """
    outer = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    pixels = Pixels(bench)
    reading = asyncio.Semaphore(2)

    @outer.get("/pixels/{image_id:path}")
    async def send_pixels(image_id: str) -> Response:
        try:
            async with reading:
                return as_response(await asyncio.to_thread(pixels.of, image_id))
        except BundleError as error:
            return Response(str(error), 404, media_type="text/plain")

    @outer.get("/crop/{side}/{column}/{row}/{image_id:path}")
    async def send_crop(side: int, column: int, row: int, image_id: str) -> Response:
        try:
            async with reading:
                whole = await asyncio.to_thread(pixels.of, image_id)
        except BundleError as error:
            return Response(str(error), 404, media_type="text/plain")
        height, width = whole.shape
        if not (0 < side <= 4096 and 0 <= column < width and 0 <= row < height):
            return Response(t.FAILED.format(message="outside the image"), 404, media_type="text/plain")
        return as_response(np.ascontiguousarray(whole[row : row + side, column : column + side]))

    @outer.get("/export.zip")
    async def send_export() -> Response:
        path = bench.study.own / "export.zip"
        return (
            FileResponse(path, filename=f"{bench.study.folder.name}.zip")
            if path.is_file()
            else Response(status_code=404)
        )

    @ui.page("/")
    def annotate(image: str = "") -> None:
        AnnotatePage(bench, image)

    @ui.page("/sheet")
    async def sheet(landmark: int = 0, start: int = 0) -> None:
        await sheet_page(bench, landmark, start)

    @ui.page("/scores")
    async def scores() -> None:
        await scores_page(bench)

    @ui.page("/files")
    def files() -> None:
        files_page(bench)

    @ui.page("/protocol")
    def protocol() -> None:
        protocol_page(bench)

    pages.on_startup(lambda: asyncio.to_thread(bench.loop.take_up))
    translations["en-US"]["trying_to_reconnect"] = t.RECONNECTING
    ui.run_with(
        outer,
        title=t.TITLE,
        dark=None,
        language="en-US",
        reconnect_timeout=60,
        tailwind=False,
        gzip_middleware_factory=None,
        cache_control_directives="no-cache",
        show_welcome_message=False,
    )
    return Guard(outer, secret, hosts, port, secure)

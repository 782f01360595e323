"""The landmark view as an element of a page; all that needs no server happens in its module of JavaScript."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from bundle.records.radiograph import Radiograph
from study import Mark, Protocol
from workbench import texts as t


class RadiographView(Element, component="landmark_view.js", esm={"landmark-view": "view"}):
    """A radiograph with its landmarks.

    Args:
        on: called with the name of an event and its detail, see ``view/index.js``.
        readonly: whether points stay where they are.
    """

    def __init__(self, on: Callable[[str, dict[str, Any]], Any], readonly: bool = False) -> None:
        super().__init__()
        self._props["texts"] = t.STATES
        self._props["readonly"] = readonly

        async def handle(name: str, event: GenericEventArguments) -> None:
            result = on(name, event.args)
            if result is not None:
                await result

        for name in ("change", "select", "command", "line", "ready", "failed"):
            self.on(name, lambda event, name=name: handle(name, event))

    def show(
        self,
        source: str,
        label: str,
        protocol: Protocol,
        marks: Sequence[Mark],
        *,
        geometry: Radiograph,
        errors: np.ndarray | None = None,
        selected: int | None = None,
        seen: int = 0,
        only: int | None = None,
        origin: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Show an image and its landmarks.

        Args:
            source: where the pixels come from.
            label: what the picture is called for those who cannot see it.
            protocol: the landmarks.
            marks: where they are, in its order.
            geometry: the image's size and that of its pixels.
            errors: expected errors in pixels, NaN where not known.
            selected: the landmark that is worked on.
            seen: the newest change of the page that is in ``marks``.
            only: the only landmark that is shown; None for all.
            origin: the pixel of the image that is the first one of the source.
        """
        names = list(protocol.names)
        points = []
        for index, mark in enumerate(marks):
            if only is None or index == only:
                error = math.nan if errors is None else float(errors[index])
                points.append(
                    {
                        "id": index,
                        "name": mark.name,
                        "label": protocol.landmarks[index].abbreviation or mark.name[:8],
                        "colour": protocol.colour(index),
                        "x": mark.point[0] - origin[0] if mark.point else 0.0,
                        "y": mark.point[1] - origin[1] if mark.point else 0.0,
                        "state": mark.state,
                        "locked": mark.locked,
                        "error": error if math.isfinite(error) else None,
                    }
                )
        lines = [] if only is not None else [[names.index(one), names.index(two)] for one, two in protocol.lines]
        new = {
            "src": source,
            "label": label,
            "points": points,
            "lines": lines,
            "selected": selected,
            "seen": seen,
            "spacing": list(geometry.spacing) if geometry.spacing else None,
            "aspect": geometry.pixel_size[1] / geometry.pixel_size[0],
        }
        if any(self._props.get(name) != value for name, value in new.items()):
            for name, value in new.items():
                self._props[name] = value
            self.update()

    def call(self, name: str, *values: Any) -> None:
        """Call a method of the view in the page."""
        self.run_method("call", name, *values)

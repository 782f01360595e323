"""How an image lies beside the template, and whether it shows the same kind of anatomy."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Pose:
    """How an image lies beside the template.

    Attributes:
        turn: degrees by which its anatomy is turned, counter-clockwise, -180 to 180.
        mirrored: whether it shows the other side, as in a mirror.
        inverted: whether it is a negative of the template.
        scale: size of its anatomy, in shares of the image's long side, beside the template's.
        distortion: the largest over the smallest factor by which it changes lengths of the template, 1 for none.
        changed: whether the image was brought to the template's frame before the matching; else it was matched as it
            lies, which is near enough.
        kind_confidence: how sure it is that the image is of the template's kind, 0 to 1; NaN where nobody looked.
    """

    turn: float = 0.0
    mirrored: bool = False
    inverted: bool = False
    scale: float = 1.0
    distortion: float = 1.0
    changed: bool = False
    kind_confidence: float = math.nan

    @property
    def other_kind(self) -> bool:
        """Whether the image is probably of another kind."""
        return self.kind_confidence < 0.5

    @property
    def side(self) -> str:
        """``"template"``, or ``"mirrored"`` where the image shows the other side."""
        return "mirrored" if self.mirrored else "template"

    @property
    def kind(self) -> str | None:
        """``"template"``, ``"other"`` for an image that is probably of another kind, None where nobody looked."""
        if math.isnan(self.kind_confidence):
            return None
        return "other" if self.other_kind else "template"

    def words(self) -> str:
        """What there is to say of the image, for a person; empty where it lies as the template does."""
        if self.other_kind:
            return "probably another kind of image"
        if not self.changed:
            return ""
        done = [f"turned by {self.turn:.0f} degrees"] if abs(self.turn) >= 1 else []
        done += ["mirrored"] if self.mirrored else []
        done += ["inverted"] if self.inverted else []
        done += [f"scaled by {self.scale:.2f}"] if abs(self.scale - 1) >= 0.05 else []
        done += [f"stretched by {self.distortion:.2f}"] if self.distortion >= 1.05 else []
        return ", ".join(done)

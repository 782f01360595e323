"""From an image of any pose to the template's frame and back."""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor, list_data_collate
from monai.inferers import Inferer
from torch import Tensor

from bundle.encoders import FrozenEncoder, create_encoder
from bundle.errors import ConfigError
from bundle.io.intensity import uniform_frame
from bundle.pose import (
    SAME_KIND,
    Field,
    FoundPose,
    PoseFinder,
    View,
    apply,
    as_it_lies,
    distortion,
    in_template_frame,
    missing_probability,
    scaling,
    turn_and_scale,
)
from bundle.records.prediction import MISSING, PREDICTION_COLUMNS, Pose
from bundle.records.radiograph import Template

POSES, OTHER_KINDS = ("auto", "as_is"), ("report", "refuse", "ignore")
#: The confidence that an image is of the template's kind rises with this power of the share of verified cells.
_STEEPNESS = 3.0
#: A landmark may lie so far within a uniform frame, as a share of the image's side, before it counts as outside.
_FRAME = 0.05
#: Grey values that differ by so much are not those of one uniform frame.
_DIFFERENT = 0.03
#: Pixels beside an edge that are taken for a part of the frame, for JPEG smears the edge over so many.
_SMEARED = 8

_CONFIDENCE = PREDICTION_COLUMNS.index("confidence")
_EXPECTED_ERROR = PREDICTION_COLUMNS.index("expected_error")


@dataclass(frozen=True)
class ImageFrame:
    """What is known of one image before anybody looks at it.

    Attributes:
        mirror: ``"yes"`` where it shows the other side than the template, ``"no"``, ``"auto"`` where that is to be
            found out, or ``"refuse"`` where such an image is not to be used.
        pixel_size: width and height of a pixel in any unit.
        spacing: width of a pixel in mm, NaN where unknown.
    """

    mirror: str
    pixel_size: tuple[float, float]
    spacing: float

    @property
    def mirrors(self) -> tuple[bool, ...]:
        """The sides to look for."""
        return {"yes": (True,), "no": (False,)}.get(self.mirror, (False, True))


class PosedInferer(Inferer):
    """Lets another inferer see each image as the template was seen, and gives the points back in the image's pixels.

    The meta data of a :class:`monai.data.MetaTensor`, as :class:`bundle.data.readable.LoadRadiographd` writes it, says
    what is known before: ``mirror``, ``pixel_size`` and ``pixel_spacing``. An image that lies nearly as the template
    goes to the inferer unchanged; any other is brought to the template's frame, by the pose that is found in it.

    Args:
        inferer: finds landmarks: (B, 1, H, W) and a network to (B, N, 7).
        template: the annotated image.
        pose: ``"auto"`` looks for the pose; ``"as_is"`` takes images as they lie, and stretches or mirrors only where
            their files or ``flip`` say so.
        other_kinds: what becomes of images of another kind than the template: ``"report"`` gives their points no
            confidence and no expected error, ``"refuse"`` gives none, ``"ignore"`` says nothing of the kind.
        encoder: an XFeat that is there already, to look for poses with; None for one of its own.

    Raises:
        ConfigError: when a setting is unknown.
    """

    def __init__(
        self,
        inferer: Callable[..., Tensor],
        template: Template,
        pose: str = "auto",
        other_kinds: str = "report",
        encoder: FrozenEncoder | None = None,
    ) -> None:
        super().__init__()
        for name, value, known in (("pose", pose, POSES), ("other_kinds", other_kinds, OTHER_KINDS)):
            if value not in known:
                raise ConfigError(f"{name} is {value!r}, expected one of {', '.join(known)}.")
        self.inferer = inferer
        self.template = template
        self.other_kinds = other_kinds
        self.encoder = encoder
        self.looks = pose == "auto" and template.pixels is not None
        if self.looks < (pose == "auto"):
            print("the model has no image of its template, so images are taken as they lie", file=sys.stderr)
        self._finders: dict[torch.device, list[PoseFinder]] = {}

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Tensor:
        """Find the landmarks.

        Args:
            inputs: images of shape (B, 1, H, W); without meta data they are taken as they are.
            network: what the inferer takes.
            args: passed to the inferer.
            kwargs: passed to the inferer.

        Returns:
            :class:`monai.data.MetaTensor` of shape (B, N, 7), columns ``PREDICTION_COLUMNS``; ``x`` and ``y`` in pixels
            of the input, 0-based, pixel centres at integers. Its ``meta`` says of each image under ``pose`` the fields
            of :class:`bundle.records.prediction.Pose`, under ``refused`` why it is not to be used, in which case its
            columns are NaN, or nothing, and under ``missing`` how probable it is that each landmark lies outside the
            image, (N,).
        """
        found = []
        for image, frame, field in self._images(inputs):
            view, pose = self._look(image, frame, field)
            if self.other_kinds == "ignore":
                pose = replace(pose, kind_confidence=math.nan)
            refused = self._refused(pose, frame)
            if refused:  # nobody will look at its points
                points = image.new_full((len(self.template.landmarks.names), len(PREDICTION_COLUMNS)), torch.nan)
            else:
                points = view.back(self.inferer(view.see(image), network, *args, **kwargs))[0]
            missing = missing_probability(points, field) if self.looks else torch.zeros_like(points[:, 0])
            if view.beyond is not None and (missing >= MISSING).any():
                view = view.following(points, missing < MISSING)
                points = view.back(self.inferer(view.see(image), network, *args, **kwargs))[0]
                missing = missing_probability(points, field)
            if pose.other_kind:
                points = points.clone()
                points[:, _CONFIDENCE] = 0.0
                points[:, _EXPECTED_ERROR] = torch.nan
            found.append(MetaTensor(points, meta={"pose": asdict(pose), "refused": refused, "missing": missing}))
        return list_data_collate(found)

    def poses(self, inputs: Tensor) -> list[Pose]:
        """How images, (B, 1, H, W), lie beside the template, and whether they are of its kind; nothing is matched."""
        return [self._look(*one)[1] for one in self._images(inputs)]

    @staticmethod
    def _images(inputs: Tensor) -> Iterator[tuple[Tensor, ImageFrame, Field]]:
        """Each image, (1, 1, H, W), what is known of it before, and the part of it that shows something."""
        images = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        for image, frame in zip(images, image_frames(inputs)):
            yield image[None], frame, exposed_field(image[0])

    def _refused(self, pose: Pose, frame: ImageFrame) -> str:
        if pose.other_kind and self.other_kinds == "refuse":
            return (
                f"probably shows another kind of image than the template {self.template.name} (confidence "
                f"{pose.kind_confidence:.2f}): take it out, or give --other_kinds report."
            )
        if pose.mirrored and frame.mirror == "refuse":
            return (
                f"shows the other side than the template {self.template.name}, as in a mirror: give --flip auto if it "
                "is to be matched all the same."
            )
        return ""

    def _look(self, image: Tensor, frame: ImageFrame, field: Field) -> tuple[View, Pose]:
        """How to see one image of shape (1, 1, H, W), and what there is to say of it."""
        size = int(image.shape[-2]), int(image.shape[-1])
        aspect = frame.pixel_size[1] / frame.pixel_size[0]
        own = self.template.pixel_size[1] / self.template.pixel_size[0]
        forced = frame.mirror == "yes"
        plain, said = as_it_lies(size, aspect, own, mirrored=forced), Pose(mirrored=forced, changed=forced)
        if not self.looks:
            return plain, said
        finder, found = self._find(image, aspect, frame, field)
        share = 0.0 if found is None else found.share
        sure = 1 / (1 + (SAME_KIND / max(share, 1e-6)) ** _STEEPNESS)
        if found is None or share < SAME_KIND:
            return plain, replace(said, kind_confidence=sure)
        square = round(size[0] * aspect), size[1]
        mirrored, turn, scale = turn_and_scale(found.to_image)
        quarters = finder.upright(found, square)
        to_pixels = scaling(1.0, 1 / aspect)
        if quarters is None or not field.holds(apply(to_pixels, finder.landmarks_on(found))).all():
            to_image = to_pixels @ found.to_image @ finder.poses.square
            poses = finder.poses
            view, quarters = in_template_frame(to_image, poses.image, poses.points, field, found.inverted), None
        else:
            view = as_it_lies(size, aspect, own, mirrored=mirrored, quarters=quarters, inverted=found.inverted)
        changed = quarters is None or quarters > 0 or mirrored or found.inverted
        scale *= finder.poses.long_side / max(square)
        return view, Pose(turn, mirrored, found.inverted, scale, distortion(found.to_image), changed, sure)

    def _find(
        self, image: Tensor, aspect: float, frame: ImageFrame, field: Field
    ) -> tuple[PoseFinder, FoundPose | None]:
        """The template that is found best, or the first that is found, and its pose; in the image or in its field."""
        if image.device not in self._finders:
            with torch.random.fork_rng(devices=[]):
                encoder = (self.encoder or create_encoder(name="xfeat")).to(image.device)
            self._finders[image.device] = [PoseFinder(one, encoder, image.device) for one in self.template.all]
        best: tuple[PoseFinder, FoundPose | None] = self._finders[image.device][0], None
        for where in dict.fromkeys((Field(0, 0, image.shape[-1], image.shape[-2]), field)):
            to_whole = np.array([[1.0, 0.0, where.left], [0.0, 1.0, where.top * aspect], [0.0, 0.0, 1.0]])
            for finder in self._finders[image.device]:
                scale = finder.spacing / frame.spacing if finder.spacing and np.isfinite(frame.spacing) else None
                found = finder.find(where.part(image), aspect, scale, frame.mirrors)
                if found is not None and (best[1] is None or found.share > best[1].share):
                    best = finder, replace(found, to_image=to_whole @ found.to_image)
                if best[1] is not None and best[1].share >= SAME_KIND:
                    return best
        return best


def exposed_field(image: Tensor) -> Field:
    """The part of an image, (H, W), that shows something.

    A frame next to which most pixels differ from it is what a collimator left dark, or an export added. Elsewhere
    something may lie on black, such as a finger, and end where a frame seems to begin: a little of it is kept.
    """
    height, width = image.shape
    values = image.cpu().numpy()
    frame = uniform_frame(values)
    if frame is None:
        return Field(0, 0, width, height)
    rows, columns = frame.rows, frame.columns

    def kept(line: np.ndarray, framing: np.ndarray, side: int) -> int:
        exposed = np.mean(np.abs(line - np.median(framing)) > _DIFFERENT) >= 0.5
        return _SMEARED if exposed else round(_FRAME * side)

    left = max(0, columns.start - kept(values[rows, columns.start], values[rows, 0], width))
    top = max(0, rows.start - kept(values[rows.start, columns], values[0, columns], height))
    right = min(width, columns.stop + kept(values[rows, columns.stop - 1], values[rows, -1], width))
    bottom = min(height, rows.stop + kept(values[rows.stop - 1, columns], values[-1, columns], height))
    return Field(left, top, right - left, bottom - top)


def image_frames(inputs: Tensor) -> list[ImageFrame]:
    """What is known of each image of a batch, from its meta data.

    Args:
        inputs: tensor of shape (B, 1, H, W); the meta data may be that of one image or collated over the batch.
    """
    count = len(inputs)
    meta = getattr(inputs, "meta", None) or {}
    mirror = meta.get("mirror", "auto")
    mirrors = [mirror] * count if isinstance(mirror, str) else list(mirror)
    sizes = _pairs(meta.get("pixel_size", (1.0, 1.0)), count)
    spacings = _pairs(meta.get("pixel_spacing", (np.nan, np.nan)), count)
    return [
        ImageFrame(side, (float(x), float(y)), float(mm)) for side, (x, y), (mm, _) in zip(mirrors, sizes, spacings)
    ]


def _pairs(pair: Sequence[Any], count: int) -> np.ndarray:
    """A pair of numbers, or of numbers for each image, as (count, 2)."""
    both = np.stack([np.asarray(value, dtype=np.float64).reshape(-1) for value in pair])
    return np.broadcast_to(both, (2, count)).T

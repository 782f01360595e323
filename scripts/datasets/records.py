"""What every layout is read into."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bundle.records.landmarks import LandmarkSet
from datasets.files import DataSetError, Source, arrange, name_order

#: The splits of a data list, in this order.
SPLITS = ("training", "validation", "testing")


@dataclass(frozen=True)
class LabelledImage:
    """One image with its landmarks.

    Attributes:
        image_id: its name, unique in the data set.
        path: the image file.
        split: one of :data:`SPLITS`.
        points: by reader, (N, 2) float64, ``(x, y)`` = (column, row) in pixels, 0-based, pixel centres at integers; NaN
            where a landmark is missing.
        spacing: mm per pixel ``(x, y)``; None where unknown.
        part: a finer name for its split, such as ``"test1"``; empty for none.
        size: width and height that it must have, for its annotations belong to them; None where nothing says so.
    """

    image_id: str
    path: Path
    split: str
    points: Mapping[str, np.ndarray]
    spacing: tuple[float, float] | None = None
    part: str = ""
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class DataSet:
    """A whole data set.

    Attributes:
        name: short name.
        title: name and source in words.
        licence: under which terms it comes.
        landmark_names: N names.
        images: the images, in their own order.
        layout: which layout was found.
        whole_pixels: whether the mean of several readers is cut off to whole pixels, as in the literature.
        overlay: overlay of ``configs/`` with the paper's settings; None where it has none.
        template: id of the usual template; None where there is none.
        expected: how many images each split has in full; empty where anything may be.
        without_image: names of annotations that no image has.
        without_landmarks: names of images that have no annotation.
        failures: files that cannot be used, each with the reason.
    """

    name: str
    title: str
    licence: str
    landmark_names: tuple[str, ...]
    images: list[LabelledImage]
    layout: str
    whole_pixels: bool = False
    overlay: str | None = None
    template: str | None = None
    expected: Mapping[str, int] = field(default_factory=dict)
    without_image: tuple[str, ...] = ()
    without_landmarks: tuple[str, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()

    @property
    def readers(self) -> tuple[str, ...]:
        """The readers, in the order of the first image."""
        return tuple(self.images[0].points) if self.images else ()

    def truth(self, image: LabelledImage) -> np.ndarray:
        """The true landmarks of an image, (N, 2): the one reader's, or the mean of all."""
        mean = np.mean([image.points[reader] for reader in self.readers], axis=0)
        return np.floor(mean) if self.whole_pixels and len(self.readers) > 1 else mean


@dataclass(frozen=True)
class Annotation:
    """What a program says of one image.

    Attributes:
        points: its landmarks.
        size: width and height that it has noted of the image; None where it has not.
    """

    points: LandmarkSet
    size: tuple[int, int] | None


def named_points_data_set(
    source: Source,
    program: str,
    annotations: Mapping[str, Annotation],
    failures: Sequence[tuple[str, str]] = (),
    names: Sequence[str] | None = None,
    title: str | None = None,
    licence: str = "as its owner says",
) -> DataSet:
    """Put together what was read.

    Args:
        source: the folder.
        program: what has annotated it, such as ``"CVAT"``; in small letters the name of the layout.
        annotations: by the images' names, as the program writes them.
        failures: files that cannot be used, with the reason.
        names: the landmarks in their order; None takes that in which they appear.
        title: name and source in words.
        licence: under which terms it comes.

    Raises:
        DataSetError: when no image is annotated.
    """
    match = source.match(annotations)
    if not match.names:
        raise DataSetError(
            failures[0][1]
            if failures
            else f"{source.folder} has no image that {program} has annotated: put the images beside the annotations."
        )
    names = name_order(one.points.names for one in annotations.values()) if names is None else tuple(names)
    return DataSet(
        name=source.folder.resolve().name,
        title=title or f"{program} points of {source.folder.resolve().name}",
        licence=licence,
        landmark_names=tuple(names),
        images=[
            LabelledImage(
                image_id,
                source.images[image_id],
                "testing",
                {"annotator": arrange(annotations[name].points, names, name)},
                size=annotations[name].size,
            )
            for image_id, name in sorted(match.names.items())
        ],
        layout=program.lower(),
        without_image=match.without_image,
        without_landmarks=match.without_landmarks,
        failures=tuple(failures),
    )

"""A folder of images, and points by name that an annotation program has put on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bundle.records.landmarks import LandmarkSet
from datasets.files import DataSetError, Source, arrange, name_order
from datasets.records import DataSet, LabelledImage


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

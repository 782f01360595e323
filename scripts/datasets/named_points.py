"""A folder of images, and points by name that an annotation program has put on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets.files import arrange, name_order
from datasets.records import DataSet, LabelledImage


def named_points_data_set(
    source: Path,
    program: str,
    files: Mapping[str, Path],
    named: Mapping[str, dict[str, tuple[float, float]]],
    missing: Sequence[str],
) -> DataSet:
    """Put together what was read.

    Args:
        source: the folder.
        program: what has annotated it, such as ``"CVAT"``; in small letters the name of the layout.
        files: the images by name.
        named: for the names of annotated images their points, ``(x, y)`` in pixels, by landmark.
        missing: names that are annotated but have no image.
    """
    names = name_order(named.values())
    return DataSet(
        name=source.resolve().name,
        title=f"{program} points of {source.resolve().name}",
        licence="as its owner says",
        landmark_names=names,
        images=[
            LabelledImage(name, files[name], "testing", {"annotator": arrange(points, names, name)})
            for name, points in sorted(named.items())
        ],
        layout=program.lower(),
        without_image=tuple(missing),
        without_landmarks=tuple(sorted(set(files) - set(named))),
    )

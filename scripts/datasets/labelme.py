"""LabelMe: one JSON file beside each image, with ``shapes`` of the type ``point``, named by their labels."""

from bundle.errors import BundleError
from bundle.io.landmark_files.json_file import landmarks_from_document, load_document
from bundle.records.names import name_parts
from datasets.files import DataSetError, Source, size_of
from datasets.records import Annotation, DataSet, named_points_data_set


def read_labelme(source: Source) -> DataSet:
    """Read LabelMe's files; one that is damaged is named and left out.

    Raises:
        DataSetError: when none can be used.
    """
    annotations: dict[str, Annotation] = {}
    failures: list[tuple[str, str]] = []
    for path in source.with_ending(".json"):
        try:
            content = load_document(path)
            if "shapes" not in content:
                raise DataSetError(
                    f"{path} has no list 'shapes': it is no file of LabelMe; leave it out of the folder."
                )
            # The image is beside the file, whatever path it had where it was annotated.
            image = (name_parts(str(content.get("imagePath") or "")) or (path.name,))[-1]
            name = (path.parent / image).relative_to(source.folder).as_posix()
            if name in annotations:
                raise DataSetError(f"{path} is the second file for the image {name}: keep one.")
            size = size_of(content.get("imageWidth"), content.get("imageHeight"))
            annotations[name] = Annotation(landmarks_from_document(path, content), size)
        except BundleError as error:
            failures.append((str(path), str(error)))
    if not annotations and not failures:
        raise DataSetError(f"{source.folder} has no JSON file of LabelMe with an image beside it: export both there.")
    return named_points_data_set(source, "LabelMe", annotations, failures)

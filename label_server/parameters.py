"""What a client may ask for beside the image: checked at the door, so that a request says at once what is wrong."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from monailabel.utils.others.generic import device_map, name_to_device, strtobool

from bundle.errors import ConfigError

#: The whole numbers of a training: their smallest and largest values.
TRAINING_NUMBERS = {"max_epochs": (1, 10_000), "warps": (2, 100_000), "seed": (0, 2**31 - 1)}

#: What MONAI Label and its clients send along for other kinds of models: it means nothing here.
IGNORED = {
    *("model", "name", "client_id", "gpus", "multi_gpu", "pretrained", "val_split", "run_id", "model_filename"),
    *("tracking", "tracking_uri", "tracking_experiment_name", "tracking_run_name", "bundle_path", "local_rank"),
    *("enqueue", "user"),
}


def read_device(value: Any) -> str:
    """PyTorch's name of the device that a client names.

    Raises:
        ConfigError: when this machine has no such device.
    """
    given = value[0] if isinstance(value, list) and value else value
    known = device_map()
    if given in (None, "", []):
        return name_to_device(None)
    if not isinstance(given, str) or not (given in known or given in known.values() or given in ("cpu", "cuda")):
        raise ConfigError(f"device is {given!r}, but this machine has {', '.join(known)}: give one of these, or none.")
    return name_to_device(given)


def read_flag(name: str, value: Any) -> bool:
    """True or false, as text or as such.

    Raises:
        ConfigError: when it is neither.
    """
    try:
        return bool(strtobool(value))
    except (ValueError, AttributeError, TypeError):
        raise ConfigError(f"{name} is {value!r}, expected true or false.") from None


def read_training(request: Mapping[str, Any], annotated: Collection[str]) -> dict[str, Any]:
    """The parameters of a training.

    Args:
        request: what the client sent.
        annotated: ids of the images with a saved annotation.

    Returns:
        ``device``; of ``max_epochs``, ``warps`` and ``seed`` those that were given; ``template``, the ids of the images
        to train on, none to leave the choice to the server.

    Raises:
        ConfigError: naming the parameter that is unknown or out of range, or saying that nothing is annotated.
    """
    known = {"device", "template", *TRAINING_NUMBERS}
    unknown = sorted(set(request) - known - IGNORED)
    if unknown:
        raise ConfigError(
            f"a training has no parameter {', '.join(map(str, unknown))}; known are {', '.join(sorted(known))}."
        )
    found: dict[str, Any] = {"device": read_device(request.get("device"))}
    for name, (low, high) in TRAINING_NUMBERS.items():
        if name in request:
            value = request[name]
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise ConfigError(f"{name} is {value!r}, expected a whole number from {low} to {high}.")
            found[name] = value
    if not annotated:
        raise ConfigError(
            "there is no annotated image to train on: annotate one, save its landmarks with PUT /datastore/label, and "
            "start the training again."
        )
    found["template"] = _templates(request.get("template"), annotated)
    return found


def _templates(given: Any, annotated: Collection[str]) -> tuple[str, ...]:
    """Ids of annotated images, from one id or a list of them; clients send an empty text for none."""
    ids = given if isinstance(given, list) else [given] if given else []
    for image_id in ids:
        if not isinstance(image_id, str) or image_id not in annotated:
            raise ConfigError(
                f"template is {given!r}, expected an image with a saved annotation, or a list of them: "
                f"{', '.join(sorted(annotated)[:10])}."
            )
    if len(set(ids)) != len(ids):
        raise ConfigError(f"template is {given!r}, which names an image twice: name each image once.")
    return tuple(ids)

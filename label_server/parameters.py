"""What a client may ask for beside the image: checked at the door, so that a request says at once what is wrong."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any

from monailabel.utils.others.generic import device_map, name_to_device
from pydantic import BeforeValidator, Field, Strict, ValidationInfo

from bundle.errors import ConfigError
from bundle.records.validation import Foreign, Validated, validate

#: What MONAI Label and its clients send along for other kinds of models: it means nothing here.
IGNORED = {
    *("model", "name", "client_id", "gpus", "multi_gpu", "pretrained", "val_split", "run_id", "model_filename"),
    *("tracking", "tracking_uri", "tracking_experiment_name", "tracking_run_name", "bundle_path", "local_rank"),
    *("enqueue", "user"),
}


def _device(value: Any) -> str:
    """PyTorch's name of the device that a client names."""
    given, known = value[0] if isinstance(value, list) and value else value, device_map()
    if given in (None, "", []):
        return name_to_device(None)
    if not isinstance(given, str) or not (given in known or given in known.values() or given in ("cpu", "cuda")):
        raise ValueError(f"one of this machine's, {', '.join(known)}, or none")
    return name_to_device(given)


def _annotated(value: Any, info: ValidationInfo) -> tuple[str, ...]:
    """Ids of annotated images, from one id or a list of them; clients send an empty text for none."""
    ids, known = value if isinstance(value, list) else [value] if value else [], info.context or ()
    if not all(isinstance(image_id, str) and image_id in known for image_id in ids):
        raise ValueError(f"an image with a saved annotation, or a list of them: {', '.join(sorted(known)[:10])}")
    if len(set(ids)) != len(ids):
        raise ValueError("each image once")
    return tuple(ids)


Device = Annotated[str, BeforeValidator(_device), Field(validate_default=True)]


class InferenceParameters(Foreign):
    """What an inference takes from a request; clients send more, for other kinds of models.

    Attributes:
        device: PyTorch's name of the device.
        save_label: whether the answer is saved as a label that is not final.
    """

    device: Device = ""
    save_label: Annotated[bool, Strict(False)] = False


class TrainingParameters(Validated):
    """The parameters of a training.

    Attributes:
        device: PyTorch's name of the device.
        template: ids of the images to train on; none leaves the choice to the server.
        max_epochs: epochs of the paper's decoders, as the others; None for the configuration's.
        warps: warps of the template.
        seed: seed of all random numbers.
    """

    device: Device = ""
    template: Annotated[tuple[str, ...], BeforeValidator(_annotated)] = ()
    max_epochs: Annotated[int, Field(ge=1, le=10_000)] | None = None
    warps: Annotated[int, Field(ge=2, le=100_000)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None


def read_training(request: Mapping[str, Any], annotated: Collection[str]) -> TrainingParameters:
    """The parameters of a training.

    Args:
        request: what the client sent.
        annotated: ids of the images with a saved annotation.

    Raises:
        ConfigError: naming the parameter that is unknown or out of range, or saying that nothing is annotated.
    """
    given = {name: value for name, value in request.items() if name not in IGNORED}
    parameters = validate(TrainingParameters, given, "training", context=annotated)
    if not annotated:
        raise ConfigError(
            "there is no annotated image to train on: annotate one, save its landmarks with PUT /datastore/label, and "
            "start the training again."
        )
    return parameters

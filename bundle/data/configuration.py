"""What the configuration of a run says, all of it, so that nothing done under another one is taken up by mistake."""

import hashlib
import inspect
import json
from collections.abc import Mapping
from typing import Any

from monai.bundle import ConfigParser

from bundle.errors import ConfigError

#: The keys that change no result: where things are, for what is read is fingerprinted by its content; on what the run
#: is done; what is said and logged; what becomes of results that are there; and what MONAI adds.
WITHOUT_EFFECT = frozenset(
    {
        *(
            "bundle_root",
            "dataset_dir",
            "landmarks",
            "model_path",
            "output_dir",
            "template_image",
            "template_landmarks",
        ),
        *("calibration", "encoder_weights", "landmark_codes", "measurements"),
        *("crop_memory_gb", "device", "processes"),
        *("dry_run", "experiment", "log_to", "mlflow_uri", "report"),
        *("failure_mm", "interval_resamples", "interval_seed", "keep_images", "sdr_radii"),
        *(ConfigParser.meta_key, "command_line", "finalize", "imports", "initialize"),
    }
)


def run_fingerprint(**beside: object) -> str:
    """SHA-256 of the configuration that calls this, with overlays and command line, and of what it has read.

    Args:
        beside: fingerprints of what was read, by name.

    Returns:
        64 hexadecimal digits.

    Raises:
        ConfigError: when no configuration is being parsed.
    """
    return configuration_fingerprint(_configuration_in_use(), **beside)


def configuration_fingerprint(config: Mapping[str, Any], **beside: object) -> str:
    """SHA-256 of a configuration, all but the keys :data:`WITHOUT_EFFECT`; see :func:`run_fingerprint`."""
    content = {key: value for key, value in config.items() if key not in WITHOUT_EFFECT}
    document = json.dumps({"configuration": content, "beside": beside}, sort_keys=True, default=repr)
    return hashlib.sha256(document.encode()).hexdigest()


def _configuration_in_use() -> Mapping[str, Any]:
    """MONAI hands the configuration to none of the parts that it makes, so it is found by the calls that lead here."""
    frame = inspect.currentframe()
    while frame is not None:
        if isinstance(parser := frame.f_locals.get("self"), ConfigParser):
            return parser.config  # type: ignore[return-value]  # it is the dictionary of all keys
        frame = frame.f_back
    raise ConfigError("a run has a folder of its own by its configuration: let a configuration file make it.")

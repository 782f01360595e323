"""The settings of network and matching in a configuration such as ``configs/paper.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from bundle.records.errors import ConfigError

#: The settings, and the one key that those of the matching refer to.
_KEYS = ("network", "matching", "candidates")


def read_preset(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the settings of the network and of the matching; nothing else of the configuration is looked at.

    Raises:
        ConfigError: when the file cannot be read, or lacks one of the two.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"there is no configuration {path}: expected a JSON file with 'network' and 'matching'.")
    try:
        content = ConfigParser.load_config_file(path)
        parser = ConfigParser({key: content[key] for key in _KEYS if key in content})
        return dict(parser.get_parsed_content("network")), dict(parser.get_parsed_content("matching"))
    except Exception as error:  # JSON, YAML and MONAI's parser each raise their own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"{path} is no configuration with 'network' and 'matching' ({reason}): give one such as configs/paper.json."
        ) from error

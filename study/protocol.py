"""What is to be annotated: the landmarks of a study with their definitions, and how they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from bundle.errors import ConfigError
from bundle.records.landmarks import MAX_NAME, names_problem
from bundle.records.validation import Items, Validated, parse_json, shown, validate

#: The protocols that come with the program.
SHIPPED = Path(__file__).with_name("protocols")

#: Colours that are told apart on grey by people with any colour vision (after Okabe and Ito), in turn.
PALETTE = ("#56b4e9", "#e69f00", "#2fbf8f", "#f0e442", "#e07ab0", "#ff8a5c", "#b8a4ff", "#9be0e8")

Text = Annotated[str, Field(max_length=2000)]
Name = Annotated[str, Field(max_length=MAX_NAME)]


class Landmark(Validated):
    """One landmark."""

    name: Name = Field(description="What it is called in every file.")
    abbreviation: Annotated[str, Field(max_length=12)] = Field("", description="What is shown beside the point.")
    definition: Text = Field("", description="Where it lies, in a sentence.")
    colour: Annotated[str, Field(pattern="^(#[0-9a-fA-F]{6})?$")] = ""


class Protocol(Validated):
    """The landmarks of a study, in the order in which they are placed."""

    format: Literal["one-shot-landmarks/protocol/1"] = Field("one-shot-landmarks/protocol/1", alias="schema")
    title: Text = ""
    landmarks: Annotated[Items[Landmark], Field(min_length=1, max_length=1000)]
    pairs: Items[Annotated[Items[Name], Field(min_length=2, max_length=2)]] = Field(
        (), description="Landmarks of the left and of the right side."
    )
    lines: Items[Annotated[Items[Name], Field(min_length=2, max_length=2)]] = Field(
        (), description="Landmarks between which a line is drawn."
    )
    measurements: Annotated[str, Field(pattern=r"^[\w.-]*$")] = Field(
        "", description="Definitions of measurements that come with the program, such as measurements_hand.json."
    )

    @model_validator(mode="after")
    def _check(self) -> Protocol:
        if problem := names_problem(self.names):
            raise ConfigError(f"{problem}.")
        for name in (name for two in (*self.pairs, *self.lines) for name in two):
            if name not in self.names:
                raise ConfigError(
                    f"pairs and lines name {shown(name)}, which is no landmark of the protocol: correct it."
                )
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The landmarks' names, in order."""
        return tuple(landmark.name for landmark in self.landmarks)

    @classmethod
    def of(cls, names: Sequence[str]) -> Protocol:
        """A protocol that knows names only.

        Raises:
            ConfigError: when they cannot be the names of landmarks.
        """
        return validate(cls, {"landmarks": [{"name": name} for name in names]}, "the landmarks")

    def colour(self, index: int) -> str:
        """The colour of a landmark, ``#rrggbb``."""
        return self.landmarks[index].colour or PALETTE[index % len(PALETTE)]


def read_protocol(path: Path, content: bytes | None = None) -> Protocol:
    """Read a protocol.

    Args:
        path: its file.
        content: what is in it, where that is known already.

    Raises:
        ConfigError: when the file cannot be read or breaks a rule, with the place in it.
    """
    try:
        text = (path.read_bytes() if content is None else content).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise ConfigError(f"the protocol {path} cannot be read ({reason}): check it.") from None
    return validate(Protocol, parse_json(text, str(path), ConfigError), str(path))


def shipped_protocols() -> dict[str, Path]:
    """The protocols that come with the program, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.json"))}

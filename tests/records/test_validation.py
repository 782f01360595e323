"""Whatever is wrong with a value from outside becomes one sentence that says where, what, and what was expected."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, Field, model_validator

from bundle.errors import ConfigError, LandmarkError
from bundle.records.validation import Items, Pair, Validated, parse_json, shown, validate


def _even(value: int) -> int:
    if value % 2:
        raise ValueError("an even number")
    return value


class Disc(Validated):
    kind: Literal["disc"]
    name: str
    centre: Pair[int | str]


class Square(Validated):
    kind: Literal["square"]
    name: str
    start: int = Field(0, alias="from")


class Drawing(Validated):
    shapes: list[Annotated[Disc | Square, Field(discriminator="kind")]] = Field(default_factory=list)
    size: Annotated[int, Field(ge=2, le=8), AfterValidator(_even)] = 4
    scale: float = 1.0
    title: Annotated[str, Field(max_length=3)] = ""
    steps: Annotated[Items[int], Field(min_length=1)] = (1,)
    factors: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits(self) -> Drawing:
        if self.size == 8 and self.title:
            raise ConfigError("a drawing of size 8 has no title: leave it out.")
        return self


DISC = {"kind": "disc", "name": "sun", "centre": [0, "x"]}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"size": 3}, "page.size is 3, expected an even number."),
        ({"size": 1}, "page.size is 1, expected at least 2."),
        ({"size": 10}, "page.size is 10, expected at most 8."),
        ({"size": True}, "page.size is True, expected a whole number."),
        ({"size": "4"}, "page.size is '4', expected a whole number."),
        ({"size": 4.0}, "page.size is 4.0, expected a whole number."),
        ({"scale": float("nan")}, "page.scale is nan, expected a finite number."),
        ({"scale": None}, "page.scale is None, expected a number."),
        ({"title": "long"}, "page.title is 'long', expected at most 3 characters."),
        ({"steps": []}, "page.steps is [], expected at least 1 item."),
        ({"steps": [1, 2.5]}, "page.steps[1] is 2.5, expected a whole number."),
        ({"steps": "12"}, "page.steps is '12', expected a list."),
        ({"factors": {"a": "b"}}, "page.factors.a is 'b', expected a number."),
        (
            {"sise": 4},
            "page has no key 'sise' (did you mean size?); known are shapes, size, scale, title, steps, factors.",
        ),
        ({"size": 8, "title": "on"}, "page: a drawing of size 8 has no title: leave it out."),
        ({"shapes": [3]}, "page.shapes[0] is 3, expected an object of names and values."),
        ({"shapes": [{}]}, "page.shapes[0].kind is missing: add it."),
        (
            {"shapes": [DISC, {**DISC, "kind": "line"}]},
            "page.shapes['sun'].kind is 'line', expected one of 'disc', 'square'.",
        ),
        (
            {"shapes": [{**DISC, "centre": [0, 1.5]}]},
            "page.shapes['sun'].centre[1] is 1.5, expected a whole number or text.",
        ),
        ({"shapes": [{"kind": "disc", "name": "sun"}]}, "page.shapes['sun'].centre is missing: add it."),
        (
            {"shapes": [{"kind": "square", "name": "s", "start": 1}]},
            "page.shapes['s'] has no key 'start'; known are kind, name, from.",
        ),
        ({"shapes": [{**DISC, "centre": [0]}]}, "page.shapes['sun'].centre is [0], expected more items."),
        (3, "page is 3, expected an object of names and values."),
    ],
)
def test_one_sentence(values: Any, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(Drawing, values, "page")
    assert str(caught.value) == sentence


def test_a_file_is_named_before_the_place() -> None:
    with pytest.raises(LandmarkError, match=r"^a/b\.json: steps\[0\] is 'x', expected a whole number\.$"):
        validate(Drawing, {"steps": ["x"]}, "a/b.json", LandmarkError)
    with pytest.raises(LandmarkError, match=r"^a/b\.json is \[\], expected an object"):
        validate(Drawing, [], "a/b.json", LandmarkError)


def test_what_fits_is_taken_and_stays() -> None:
    drawing = validate(Drawing, {"shapes": [DISC], "steps": [3, 4], "scale": 2}, "page")
    assert drawing.shapes[0].centre == (0, "x") and drawing.steps == (3, 4) and drawing.scale == 2.0
    with pytest.raises(ValueError, match="frozen"):
        drawing.size = 6  # type: ignore[misc]


def test_json_comes_back_as_it_is() -> None:
    assert parse_json('{"a": [1, 2.5, null, true, "é"]}', "m.json", ConfigError) == {"a": [1, 2.5, None, True, "é"]}


def test_values_are_shown_on_one_line_and_cut() -> None:
    assert shown("a\nb") == "'a\\nb'"
    assert len(shown(["x" * 1000] * 100)) <= 60

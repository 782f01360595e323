"""What comes from outside is validated here: pydantic models, and their errors as one sentence of ours."""

import json
import re
import reprlib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Strict, ValidationError, model_validator
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError

from bundle.errors import BundleError, ConfigError

Item = TypeVar("Item")
Model = TypeVar("Model", bound=BaseModel)

#: Tuples that may be given as lists, as JSON has them; their items are as strict as all else.
Items = Annotated[tuple[Item, ...], Strict(False)]
Pair = Annotated[tuple[Item, Item], Strict(False)]

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxdict, _SHORT.maxlist, _SHORT.maxtuple, _SHORT.maxstring = 2, 4, 4, 4, 60

#: What pydantic expects where its own words are not for everybody.
_EXPECTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "an object of names and values",
    "float_type": "a number",
    "int_type": "a whole number",
    "list_type": "a list",
    "missing": "more items",
    "model_attributes_type": "an object of names and values",
    "model_type": "an object of names and values",
    "string_type": "text",
    "tuple_type": "a list",
}


class Foreign(BaseModel):
    """Base of the models of files that other programs write: exact types; unknown keys are passed over."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class Validated(BaseModel):
    """Base of the models of what comes from outside: exact types, known keys, finite numbers, never changed."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, values: Any) -> Any:
        """Refuse unknown keys as ``extra="forbid"`` does, but naming the known ones."""
        known = [field.alias or name for name, field in cls.model_fields.items()]
        for key in values if isinstance(values, Mapping) else ():
            if key not in known:
                near = get_close_matches(str(key), known, n=1)
                raise PydanticCustomError("unknown_key", "", {"key": key, "known": known, "near": near})
        return values


def validate(
    model: type[Model], values: object, where: str, error: type[BundleError] = ConfigError, context: object = None
) -> Model:
    """Build a model from plain values.

    A validator of a field that raises ``ValueError`` says what was expected, such as "an odd number"; one of a whole
    model raises a :class:`BundleError` that says what is wrong.

    Args:
        model: the model.
        values: what was given: an object of names and values.
        where: what the values belong to: an argument, such as ``"network"``, or a file.
        error: the kind of error to raise.
        context: what the model's validators are given.

    Raises:
        BundleError: of the kind ``error``, in one sentence: the place, the value there and what was expected.
    """
    try:
        return model.model_validate(values, context=context)
    except ValidationError as invalid:
        raise error(_sentence(invalid.errors(include_url=False), values, where)) from None


class _WithoutTitles(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def json_schema(model: type[Validated]) -> dict[str, Any]:
    """The JSON Schema of a model, as docs/schema publishes it (tools/write_schemas.py)."""
    schema = model.model_json_schema(schema_generator=_WithoutTitles)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


def parse_json(text: str, where: str, error: type[BundleError]) -> Any:
    """The value that a JSON text holds; no key may stand twice in an object.

    Args:
        text: the text.
        where: the file.
        error: the kind of error to raise.

    Raises:
        BundleError: of the kind ``error``, saying where and why the text is no such JSON.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise error(f"{where}: the key {shown(key)} is used more than once in an object: make the keys differ.")
            found[key] = value
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as invalid:
        raise error(
            f"{where}, line {invalid.lineno}: the file is no valid JSON ({invalid.msg} at column {invalid.colno}): "
            "correct it there."
        ) from None
    except RecursionError:
        raise error(f"{where} is nested too deep: expected the JSON that docs/formats.md describes.") from None
    except BundleError:
        raise
    except ValueError:
        raise error(f"{where} holds a number with too many digits: write shorter ones.") from None


def shown(value: object) -> str:
    """A value as it stands in a message: on one line, quoted where it is text, cut at 60 characters."""
    text = _SHORT.repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _sentence(errors: list[ErrorDetails], values: object, where: str) -> str:
    """The first error in words, with all that was expected at its place (the members of a union say one each)."""
    first = errors[0]
    place, context = _place(first, values, where), first.get("ctx", {})
    if first["type"] == "unknown_key":
        near = f" (did you mean {context['near'][0]}?)" if context["near"] else ""
        return f"{place} has no key {shown(context['key'])}{near}; known are {', '.join(context['known'])}."
    if first["type"] == "union_tag_not_found" or (first["type"] == "missing" and isinstance(first["loc"][-1], str)):
        return f"{place} is missing: add it."
    if first["type"] == "union_tag_invalid":
        return f"{place} is {shown(context['tag'])}, expected one of {context['expected_tags']}."
    if isinstance(context.get("error"), BundleError):
        return f"{place}: {context['error']}"
    expected = dict.fromkeys(_expected(one) for one in errors if _place(one, values, where) == place)
    return f"{place} is {shown(first['input'])}, expected {' or '.join(expected)}."


def _expected(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    if error["type"] == "value_error":
        return str(context["error"])
    words = re.sub(r"^\w+ should (be|have) | after validation.*$", "", error["msg"])
    words = words.replace("greater than or equal to", "at least").replace("less than or equal to", "at most")
    return _EXPECTED.get(error["type"], words)


def _place(error: ErrorDetails, values: object, where: str) -> str:
    """The path to a value; what pydantic puts between the keys, such as the chosen member of a union, is left out."""
    path = ""
    for step in error["loc"]:
        if isinstance(values, Mapping) and step in values:
            values, path = values[step], f"{path}.{step}"
        elif isinstance(values, list | tuple) and isinstance(step, int) and step < len(values):
            values = values[step]
            name = values.get("name") if isinstance(values, Mapping) else None
            path += f"[{shown(name) if isinstance(name, str) else step}]"
    if error["type"] == "missing" and isinstance(error["loc"][-1], str):
        path += f".{error['loc'][-1]}"
    if error["type"].startswith("union_tag"):
        path += f".{error['ctx']['discriminator'].strip(chr(39))}"
    if where.isidentifier():
        return where + path
    return f"{where}: {path[1:]}" if path else where

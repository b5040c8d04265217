"""Reads the fleet file: from YAML to settings, or to a list of all its problems, each of which says
what is wrong and what to write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, get_args, get_origin

import msgspec
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from controller.config import checks
from controller.config import document as documents
from controller.config.document import Document, FleetFileError, KeyPath, Problem
from controller.config.scalars import Section, keys_of
from controller.config.schema import FleetFile, SecretEntry
from controller.model.settings import Settings
from controller.model.text import clean, nearest, quote

__all__ = ["FleetFileError", "Problem", "json_schema", "load", "parse"]

MAX_BYTES: Final = 16 * 2**20
"""10,000 pools with most keys have half as many."""
_TOO_LARGE: Final = f"is larger than {MAX_BYTES // 2**20} MiB, the most a fleet file may have"


def load(path: Path) -> Settings:
    """The settings of a fleet file, with notices about keys that have no effect yet. Each call
    reads the file again.

    Raises FleetFileError with all problems, also if the file cannot be read.
    """
    name = clean(path)
    content = _bytes_of(path, name)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        at = documents.position_of(content[: error.start].decode("utf-8"))
        raise _whole_file(name, "is not UTF-8 here: save it as UTF-8", at) from None
    return parse(text, name)


def parse(text: str, name: str) -> Settings:
    """The settings of a fleet file's text. `name` is the file's name in messages.

    Raises FleetFileError with all problems, in the file's order.
    """
    name = clean(name)
    if len(text) > MAX_BYTES:
        raise _whole_file(name, _TOO_LARGE)
    document = documents.read(text, name)
    if document.data is None:
        raise _whole_file(name, "is empty: a fleet file has at least version and nats")
    found = [*document.problems, *checks.problems(document)]
    try:
        file = FleetFile.model_validate(document.data)
    except ValidationError as error:
        wrong = [_problem(details, document) for details in error.errors(include_url=False)]
        raise FleetFileError([*found, *wrong]) from None
    found += checks.contradictions([pool.schedules for pool in file.pools], document)
    if found:
        raise FleetFileError(found)
    settings = file.value()
    notices = checks.notices(document, settings.fleet)
    return msgspec.structs.replace(settings, notices=tuple(notices))


def json_schema() -> dict[str, Any]:
    """The fleet file's JSON Schema (draft 2020-12), for editors and other checkers."""
    schema = FleetFile.model_json_schema(by_alias=True)
    for section in (schema, *schema["$defs"].values()):
        for field in section["properties"].values():  # their texts are wrapped in the source
            field["description"] = " ".join(field["description"].split())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "agentdash fleet file",
        "description": "Pools of agents: their tenants, their queues and how they scale.",
    }


def _bytes_of(path: Path, name: str) -> bytes:
    try:
        with path.expanduser().open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, RuntimeError, ValueError) as error:
        # RuntimeError: ~ without a home directory; ValueError: a null character in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise _whole_file(name, f"cannot be read: {reason}") from None
    if len(content) > MAX_BYTES:
        raise _whole_file(name, _TOO_LARGE)
    return content


def _whole_file(
    name: str, message: str, at: documents.TextPosition = documents.START
) -> FleetFileError:
    return FleetFileError([documents.problem_at(name, at, message)])


def _problem(details: ErrorDetails, document: Document) -> Problem:
    """An error of pydantic in words, with the position to correct."""
    path, kind = details["loc"], details["type"]
    if kind == "extra_forbidden":
        if (section := _section_at(path[:-1])) is SecretEntry:  # the key may be the secret itself
            return document.problem(path[:-1], f"must be {section.looks_like}")
        return document.problem(path, _unknown_key(section, str(path[-1])), at_key=True)
    if kind == "missing":
        section, key = _section_at(path[:-1]), path[-1]
        by_key = {field.alias or name: field for name, field in section.model_fields.items()}
        return document.problem(path, f"is required. {by_key[str(key)].description}")
    if path[-1:] == ("[key]",):
        return document.problem(path[:-1], _value_error(details), at_key=True)
    say = _SENTENCES.get(kind)
    return document.problem(path, say(details) if say else details["msg"])


def _unknown_key(section: type[Section], key: str) -> str:
    if near := nearest(key, keys_of(section)):
        return f"unknown key; did you mean {quote(near[0])}?"
    for name, field in section.model_fields.items():
        inner, _ = _content(field.annotation)
        if inner is not None and key in keys_of(inner):
            return f"unknown key here; it belongs under {field.alias or name}"
    return f"unknown key; known here: {', '.join(sorted(keys_of(section)))}"


def _section_at(path: KeyPath) -> type[Section]:
    """The section at a path; for a list or mapping of sections, the type of its members."""
    section: type[Section] = FleetFile
    keys = iter(path)
    for key in keys:
        by_key = {field.alias or name: field for name, field in section.model_fields.items()}
        inner, is_collection = _content(by_key[str(key)].annotation)
        if inner is None:
            return section
        section = inner
        if is_collection:
            next(keys, None)
    return section


def _content(annotation: Any) -> tuple[type[Section] | None, bool]:
    """The section inside a field's type, and whether the field holds several of it."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation, False
    for argument in get_args(annotation):
        inner, is_collection = _content(argument)
        if inner is not None:
            return inner, is_collection or get_origin(annotation) in {list, dict}
    return None, False


def _is_private(details: ErrorDetails) -> bool:
    return details["loc"][:1] in {("nats",), ("prometheus",)}


def _written(details: ErrorDetails) -> str:
    """The value in words; below `nats` and `prometheus` it may be a secret, not repeated."""
    value, secret = details["input"], _is_private(details)
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return "a number" if secret else f"the number {value}"
        case str():
            return "text" if secret else quote(value)
        case list():
            return "a list"
        case _:
            return "a mapping"


def _must_be(what: str, advice: str = "") -> Callable[[ErrorDetails], str]:
    return lambda details: f"must be {what}, not {_written(details)}{advice}"


def _bound(words: str, limit: str) -> Callable[[ErrorDetails], str]:
    return lambda details: f"must be {words} {_context(details)[limit]}, not {_written(details)}"


def _context(details: ErrorDetails) -> dict[str, Any]:
    return details.get("ctx", {})


def _value_error(details: ErrorDetails) -> str:
    """The message of one of the schema's own checks, of a value or of a whole section."""
    message = str(_context(details).get("error", details["msg"]))
    is_section = isinstance(details["input"], dict | list)
    return message if is_section or _is_private(details) else f"{_written(details)} {message}"


def _wrong_value(details: ErrorDetails) -> str:
    expected = str(_context(details)["expected"]).replace("'", '"')
    return f"must be {expected}, not {_written(details)}"


def _not_a_section(details: ErrorDetails) -> str:
    shape = _section_at(details["loc"]).looks_like
    return f"must be a mapping, not {_written(details)}: write {shape}"


def _not_text(details: ErrorDetails) -> str:
    advice = "" if isinstance(details["input"], list | dict) else ": put it in quotes"
    return f"must be text, not {_written(details)}{advice}"


_SENTENCES: Final[Mapping[str, Callable[[ErrorDetails], str]]] = {
    "bool_type": _must_be("true or false"),
    "dict_type": _must_be("a mapping of names"),
    "greater_than": _bound("more than", "gt"),
    "greater_than_equal": _bound("at least", "ge"),
    "int_type": _must_be("a whole number"),
    "less_than_equal": _bound("at most", "le"),
    "list_type": _must_be("a list", "; write [...] or one line with - for each"),
    "literal_error": _wrong_value,
    "model_type": _not_a_section,
    "string_too_short": lambda _: "must not be empty",
    "string_type": _not_text,
    "string_unicode": lambda _: "holds characters that cannot be shown",
    "too_long": lambda details: f"must have at most {_context(details)['max_length']} items",
    "too_short": lambda _: "must not be empty: name at least one, or leave the key out",
    "value_error": _value_error,
}

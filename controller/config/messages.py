"""Turns pydantic's errors into messages about the fleet file: the fault, and what to write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from controller.config.document import Document, KeyPath, Problem
from controller.config.schema import FleetFile
from controller.config.schema.connections import SecretEntry
from controller.config.schema.section import Section, keys_of
from controller.model.text import nearest, quote


def problems(error: ValidationError, document: Document) -> list[Problem]:
    """One problem for each error, with the position to correct."""
    return [_problem(details, document) for details in error.errors(include_url=False)]


def _problem(details: ErrorDetails, document: Document) -> Problem:
    path, kind = details["loc"], details["type"]
    if kind == "extra_forbidden":
        if (section := _section_at(path[:-1])) is SecretEntry:  # the key may be the secret itself
            return document.problem(path[:-1], f"must be {section.looks_like}")
        return document.problem(path, _unknown_key(section, str(path[-1])), at_key=True)
    if kind == "missing":
        return document.problem(path, _missing(path))
    if path[-1:] == ("[key]",):
        return document.problem(path[:-1], _value_error(details), at_key=True)
    return document.problem(path, _sentence(details))


def _unknown_key(section: type[Section], key: str) -> str:
    if near := nearest(key, keys_of(section)):
        return f"unknown key; did you mean {quote(near[0])}?"
    for name, field in section.model_fields.items():
        inner, _ = _content(field.annotation)
        if inner is not None and key in keys_of(inner):
            return f"unknown key here; it belongs under {field.alias or name}"
    return f"unknown key; known here: {', '.join(sorted(keys_of(section)))}"


def _missing(path: KeyPath) -> str:
    section, key = _section_at(path[:-1]), path[-1]
    by_key = {field.alias or name: field for name, field in section.model_fields.items()}
    return f"is required. {by_key[str(key)].description}"


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


def _sentence(details: ErrorDetails) -> str:
    say = _SENTENCES.get(details["type"])
    return say(details) if say else details["msg"]


def _is_private(details: ErrorDetails) -> bool:
    return details["loc"][:1] in {("nats",), ("prometheus",)}


def _written(details: ErrorDetails) -> str:
    """The value in the file, in words. Below `nats` and `prometheus` it may be a secret, so
    messages do not repeat it.
    """
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
    return f"must be {_expected(details)}, not {_written(details)}"


def _expected(details: ErrorDetails) -> str:
    return str(_context(details)["expected"]).replace("'", '"')


def _not_a_section(details: ErrorDetails) -> str:
    shape = _section_at(details["loc"]).looks_like
    return f"must be a mapping, not {_written(details)}: write {shape}"


def _not_text(details: ErrorDetails) -> str:
    advice = "" if isinstance(details["input"], list | dict) else ": put it in quotes"
    return f"must be text, not {_written(details)}{advice}"


_SENTENCES: Final[Mapping[str, Callable[[ErrorDetails], str]]] = MappingProxyType(
    {
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
)

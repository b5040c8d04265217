"""Finds every fault that keeps plain data from being of a type, as a message with its path."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from decimal import Decimal
from enum import Enum
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Final, Literal, NamedTuple, Union, get_args, get_origin

import msgspec

from controller.model.nearest import nearest
from controller.model.text import ECHO_LIMIT, clean, quote


class InputFault(NamedTuple):
    """One fault to correct: its path, such as `observation.pools["acme/research"].queue`, and a
    message.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def faults(plain: Any, kind: Any, path: str = "") -> Iterator[InputFault]:
    """The faults that keep decoded JSON from being of this type, each with its innermost path; none
    if it is of the type.

    `kind` may be a value (struct), a union, a dict, a tuple or a plain type.
    """
    try:
        msgspec.convert(plain, kind)
    except msgspec.ValidationError as error:
        inner = list(_faults_within(plain, kind, path))
        yield from inner or [InputFault(path, _in_words(error, plain, kind))]


def _faults_within(plain: Any, kind: Any, path: str) -> Iterator[InputFault]:
    origin = get_origin(kind)
    if origin in {Union, UnionType}:
        yield from _faults_of_union(plain, get_args(kind), path)
    elif origin is dict and isinstance(plain, dict):
        for key, value in plain.items():
            yield from faults(value, get_args(kind)[1], member(path, key))
    elif origin is tuple and isinstance(plain, list):
        for index, value in enumerate(plain):
            yield from faults(value, get_args(kind)[0], f"{path}[{index}]")
    elif _is_struct(origin or kind) and isinstance(plain, dict):
        yield from _faults_of_struct(plain, kind, path)


def _faults_of_union(plain: Any, kinds: Collection[Any], path: str) -> Iterator[InputFault]:
    tagged = {_tag(kind): kind for kind in kinds if _tag(kind) is not None}
    if not tagged:
        rest = [kind for kind in kinds if kind is not NoneType]
        if plain is not None and len(rest) == 1:
            yield from faults(plain, rest[0], path)
        return
    if not isinstance(plain, dict):
        return
    tag = plain.get("type")
    if isinstance(tag, str) and tag in tagged:
        yield from faults(plain, tagged[tag], path)
    else:
        yield InputFault(member(path, "type"), f"must be one of {', '.join(map(str, tagged))}")


def _faults_of_struct(plain: Mapping[str, Any], kind: Any, path: str) -> Iterator[InputFault]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    known = {*fields, "type"} if _tag(kind) is not None else set(fields)
    for key in (key for key in plain if key not in known):
        near = nearest(key, known)
        advice = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(known))}"
        yield InputFault(member(path, key), f"unknown key; {advice}")
    for name, field in fields.items():
        if name in plain:
            yield from faults(plain[name], field.type, member(path, name))
        elif field.required:
            yield InputFault(member(path, name), "is required")


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _tag(kind: Any) -> str | int | None:
    struct = get_origin(kind) or kind
    return struct.__struct_config__.tag if _is_struct(struct) else None


def member(path: str, key: str) -> str:
    """The path of a key below this path."""
    if not key.isidentifier():
        return f"{path}[{quote(key)}]"
    return f"{path}.{key}" if path else key


_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "int": "a whole number",
        "float": "a number",
        "decimal": "a number",
        "bool": "true or false",
        "str": "text",
        "object": "an object",
        "array": "a list",
        "null": "null",
    }
)


def _in_words(error: msgspec.ValidationError, plain: Any, kind: Any) -> str:
    """The message of msgspec about one plain value, in plain words and JSON's terms."""
    known: Iterable[Any] = ()
    if get_origin(kind) is Literal:
        known = get_args(kind)
    elif isinstance(kind, type) and issubclass(kind, Enum):
        known = [one.value for one in kind]
    if known:
        return f"must be {_one_of(known)}, not {_echo(plain)}"
    if kind is Decimal and isinstance(plain, str):
        return not_a_decimal(plain)
    expected, _, bound = str(error).partition("Expected `")[2].partition("`")
    if not expected:
        return clean(error)
    words = " or ".join(_TYPES.get(name, name) for name in expected.split(" | "))
    # `bound` is for example " >= 0", if the type is right and the value is not
    return f"must be {words}{_bound_in_words(bound)}, not {_echo(plain)}"


def not_a_decimal(written: str) -> str:
    """The message for a text that is not a decimal number."""
    return f"must be a decimal number, such as 1500 or 0.25, not {quote(written)}"


_BOUNDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        " >= ": " of at least {}",
        " <= ": " of at most {}",
        " of length >= ": " of at least {} items",
        " of length <= ": " of at most {} items",
    }
)


def _bound_in_words(bound: str) -> str:
    for sign, words in _BOUNDS.items():
        if bound.startswith(sign):
            return words.format(bound.removeprefix(sign).partition(" - ")[0])
    return ""


def _one_of(values: Iterable[Any]) -> str:
    texts = [str(value) for value in values]
    return texts[0] if len(texts) == 1 else f"one of {', '.join(texts)}"


def _echo(plain: Any) -> str:
    match plain:
        case str():
            return quote(plain)
        case dict():
            return "an object"
        case list():
            return f"a list of {len(plain)}"
        case None | bool():
            return {None: "null", True: "true", False: "false"}[plain]
        case _:
            return clean(plain, ECHO_LIMIT)

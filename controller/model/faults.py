"""Why plain data is not of a type: all that is wrong with it, in words, each at its place."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from enum import Enum
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Final, Literal, NamedTuple, Union, get_args, get_origin

import msgspec

from controller.model.text import clean

_ECHO_LIMIT: Final = 60


class Fault(NamedTuple):
    """One thing to mend: a path such as `observation.pools["acme/research"].queue`, and why."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def faults(plain: Any, kind: Any, path: str = "") -> Iterator[Fault]:
    """All that keeps what JSON gave from being of that type (of values, unions, dicts and tuples),
    each at the innermost place; nothing if it is.
    """
    try:
        msgspec.convert(plain, kind)
    except msgspec.ValidationError as error:
        inner = list(_faults_within(plain, kind, path))
        yield from inner or [Fault(path, _in_words(error, plain, kind))]


def _faults_within(plain: Any, kind: Any, path: str) -> Iterator[Fault]:
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


def _faults_of_union(plain: Any, members: Collection[Any], path: str) -> Iterator[Fault]:
    tagged = {_tag(member): member for member in members if _tag(member) is not None}
    if not tagged:
        rest = [member for member in members if member is not NoneType]
        if plain is not None and len(rest) == 1:
            yield from faults(plain, rest[0], path)
        return
    if not isinstance(plain, dict):
        return
    tag = plain.get("type")
    if isinstance(tag, str) and tag in tagged:
        yield from faults(plain, tagged[tag], path)
    else:
        yield Fault(member(path, "type"), f"must be one of {', '.join(map(str, tagged))}")


def _faults_of_struct(plain: Mapping[str, Any], kind: Any, path: str) -> Iterator[Fault]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    known = {*fields, "type"} if _tag(kind) is not None else set(fields)
    for key in plain.keys() - known:
        near = get_close_matches(key, sorted(known), n=1)
        advice = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(known))}"
        yield Fault(member(path, key), f"unknown key; {advice}")
    for name, field in fields.items():
        if name in plain:
            yield from faults(plain[name], field.type, member(path, name))
        elif field.required:
            yield Fault(member(path, name), "is required")


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _tag(kind: Any) -> str | int | None:
    struct = get_origin(kind) or kind
    return struct.__struct_config__.tag if _is_struct(struct) else None


def member(path: str, key: str) -> str:
    """The path of a key below this path."""
    if not key.isidentifier():
        return f'{path}["{clean(key, _ECHO_LIMIT)}"]'
    return f"{path}.{key}" if path else key


_WORDS: Final[Mapping[str, str]] = MappingProxyType(
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
    """The message of msgspec for one leaf, as its writer would say it."""
    known: Iterable[Any] = ()
    if get_origin(kind) is Literal:
        known = get_args(kind)
    elif isinstance(kind, type) and issubclass(kind, Enum):
        known = [member.value for member in kind]
    if known:
        return f"must be {_one_of(known)}, not {_echo(plain)}"
    expected = str(error).partition("Expected `")[2].partition("`")[0]
    if not expected:
        return clean(error)
    words = " or ".join(_WORDS.get(name, name) for name in expected.split(" | "))
    return f"must be {words}, not {_echo(plain)}"


def _one_of(values: Iterable[Any]) -> str:
    texts = [str(value) for value in values]
    return texts[0] if len(texts) == 1 else f"one of {', '.join(texts)}"


def _echo(plain: Any) -> str:
    match plain:
        case str():
            return f'"{clean(plain, _ECHO_LIMIT)}"'
        case dict():
            return "an object"
        case list():
            return "a list"
        case None | bool():
            return {None: "null", True: "true", False: "false"}[plain]
        case _:
            return clean(plain, _ECHO_LIMIT)

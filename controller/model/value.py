"""Values, and the one door through which data from outside becomes one.

A value is frozen, compared by content, keyword-only, with JSON by msgspec. The limits and units of
the Kubernetes API and of time are defined only here; a field of a bounded type is checked wherever
a value is decoded. No bytes that a server or a bucket holds can do more harm than to be refused.

UndecodableError    the data cannot be read; the text says why, in one short line
NotJsonError        a line that is read strictly is not JSON
InputFault          one fault of plain data: its path and a message; no exception
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NamedTuple,
    TypeAlias,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
)

import msgspec
from msgspec import Meta

from controller.model.text import ECHO_LIMIT, clean, clean_name, nearest, quote


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Value(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    # A frozen value cannot be part of a cycle, so the garbage collector need not track it.
    gc=False,
):
    """An immutable value. `msgspec.structs.replace` makes a changed copy."""


INT32_MAX: Final = 2**31 - 1  # the most replicas that `spec.replicas` can hold
INT64_MAX: Final = 2**63 - 1  # the largest quantity, in any unit
MILLI: Final = 1000  # Kubernetes states metrics and CPU in thousandths
CPU: Final = "cpu"
MEMORY: Final = "memory"

# the start of the year 3000 in Unix seconds: a later time is probably in milliseconds
END_OF_TIME: Final = 32_503_680_000
_LAST_DAY: Final = 253_402_214_400  # of the year 9999, the last that a calendar here has


def within(low: float, high: float, unit: str = "") -> Meta:
    """What bounds a type of numbers; a refusal names the bounds and the unit."""
    return Meta(ge=low, le=high, extra={"unit": unit})


Replicas: TypeAlias = Annotated[int, within(0, INT32_MAX, "replicas")]
Amount: TypeAlias = Annotated[int, within(0, INT64_MAX, "units")]
Counter: TypeAlias = Annotated[int, within(0, INT64_MAX, "messages")]
Failures: TypeAlias = Annotated[int, within(0, INT32_MAX + 1, "failures")]
DayTokens: TypeAlias = Annotated[int, within(0, 10**15, "tokens")]
Asked: TypeAlias = Annotated[int, within(0, 10**15, "replicas or tokens")]
Interval: TypeAlias = Annotated[float, within(0.001, 86_400, "seconds")]
Moment: TypeAlias = Annotated[float, within(0, END_OF_TIME, "Unix seconds, the years 1970 to 3000")]
Time: TypeAlias = Annotated[float, within(-END_OF_TIME, _LAST_DAY, "Unix seconds")]
"""A time that was read elsewhere. A recording may have a clock that begins at 0, so that what was
before it is negative.
"""


def is_within(number: float, kind: Any) -> bool:
    """Whether a number is of a bounded type."""
    try:
        msgspec.convert(number, kind)
    except msgspec.ValidationError:
        return False
    return True


AnyNumber: TypeAlias = int | float | Decimal
T = TypeVar("T")
_SHOWN: Final = 120
_OUT_OF_RANGE: Final = re.compile(
    r"Expected `(?:int|float)(?: \| null)?` ([<>]=) ([-+.0-9e]+)(?: - at `\$\.?(.*)`)?"
)


class UndecodableError(ValueError):
    """The data is too long, nested too deeply, no JSON, or not what it should be."""


def decoded(
    decoder: msgspec.json.Decoder[T] | msgspec.msgpack.Decoder[T],
    data: bytes | msgspec.Raw,
    *,
    most_bytes: int | None = None,
) -> T:
    """The value, of at most so many bytes (None: bounded already). Raises UndecodableError."""
    if most_bytes is not None and len(data) > most_bytes:
        raise UndecodableError(f"{len(data):,} bytes, more than {most_bytes:,}")
    try:
        return decoder.decode(data)
    except RecursionError:
        raise UndecodableError("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise UndecodableError("it is not UTF-8") from None
    except msgspec.DecodeError as error:
        raise UndecodableError(clean(range_in_words(error), _SHOWN)) from None


def range_in_words(error: msgspec.DecodeError) -> str:
    """The message, in plain words where a number is out of its range."""
    return _OUT_OF_RANGE.sub(_bound_first, str(error))


def _bound_first(found: re.Match[str]) -> str:
    words = "at least" if found[1] == ">=" else "at most"
    return f"{found[3] or 'it'} must be {words} {float(found[2]):,.15g}"


class InputFault(NamedTuple):
    """A fault to correct: its path, such as `observation.pools["a/b"].queue`, and a message."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def member(path: str, key: str | int) -> str:
    """The path of a key, or of an item of a list, below this path."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    if not key.isidentifier():
        return f"{path}[{quote(key)}]"
    return f"{path}.{key}" if path else key


def faults(plain: Any, kind: Any, path: str = "") -> Iterator[InputFault]:
    """The faults that keep decoded JSON from being of this type, each with its innermost path; none
    if it is of the type. msgspec itself names only the first, and no key of a mapping.

    `kind` may be a value (struct), a union, a dict, a tuple or a plain type.
    """
    kind = _chosen(plain, kind)
    try:
        msgspec.convert(plain, kind)
    except msgspec.ValidationError as error:
        inner = list(_wrong_keys(plain, kind, path))
        for key, value, of in _members(plain, kind):
            inner += faults(value, of, member(path, key))
        yield from inner or [InputFault(path, _in_words(error, plain, kind))]


def _wrong_keys(plain: Any, kind: Any, path: str) -> Iterator[InputFault]:
    """Keys that a struct does not have, and keys that it must have; a tag that is none."""
    if not isinstance(plain, dict):
        return
    if tags := _tags(kind):
        where = member(path, _tag_field(next(iter(tags.values()))))
        yield InputFault(where, f"must be one of {', '.join(tags)}")
    if not _is_struct(kind):
        return
    fields, tag_field = _fields(kind), _tag_field(kind)
    known = {*fields, tag_field} if tag_field else set(fields)
    for key in (key for key in plain if key not in known):
        near = nearest(key, known)
        advice = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(known))}"
        yield InputFault(member(path, key), f"unknown key; {advice}")
    for name, field in fields.items():
        if field.required and name not in plain:
            yield InputFault(member(path, name), "is required")


def _members(plain: Any, kind: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Each member of plain data of this type: its key, its value and its type."""
    kind = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if isinstance(plain, dict) and _is_struct(kind):
        fields = _fields(kind)
        yield from ((key, plain[key], fields[key].type) for key in fields if key in plain)
    elif isinstance(plain, dict) and origin in {dict, Mapping}:
        yield from ((key, value, inner[1]) for key, value in plain.items())
    elif isinstance(plain, list) and origin in {list, tuple} and inner:
        is_fixed = len(inner) == len(plain) and ... not in inner
        kinds = inner if is_fixed else inner[:1] * len(plain)
        yield from zip(range(len(plain)), plain, kinds, strict=True)


def _chosen(plain: Any, kind: Any) -> Any:
    """A union's type for this data, by its tag or as it is not null; else the union."""
    if get_origin(kind) not in {Union, UnionType} or plain is None:
        return kind
    if tags := _tags(kind):
        field = _tag_field(next(iter(tags.values())))
        tag = plain.get(field) if isinstance(plain, dict) else None
        return tags.get(tag, kind) if isinstance(tag, str) else kind
    rest = [each for each in get_args(kind) if each not in {NoneType, msgspec.UnsetType}]
    return rest[0] if len(rest) == 1 else kind


def _tags(kind: Any) -> dict[str, Any]:
    """The structs of a union by their tags."""
    if get_origin(kind) not in {Union, UnionType}:
        return {}
    tagged = [each for each in get_args(kind) if _tag_field(each)]
    return {(get_origin(each) or each).__struct_config__.tag: each for each in tagged}


def _tag_field(kind: Any) -> str:
    """The key of a struct's tag; empty for a struct without one, and for what is no struct."""
    struct: Any = get_origin(kind) or kind
    return struct.__struct_config__.tag_field or "" if _is_struct(kind) else ""


def _is_struct(kind: Any) -> bool:
    struct = get_origin(kind) or kind
    return isinstance(struct, type) and issubclass(struct, msgspec.Struct)


@lru_cache(maxsize=1024)
def _fields(kind: Any) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.encode_name: field for field in msgspec.structs.fields(kind)}


Cut: TypeAlias = Callable[[Any], Any]
"""Gives plain data without unknown fields. Data of another shape than the type stays as it is:
the decoder refuses it.
"""


def cut_for(kind: Any) -> Cut:
    """Leaves only the fields of a type, at any depth, of data of a newer version."""

    def cut(plain: Any, kind: Any) -> Any:
        kind = _chosen(plain, kind)
        members = {key: cut(value, of) for key, value, of in _members(plain, kind)}
        if isinstance(plain, list) and members:
            return list(members.values())
        if not isinstance(plain, dict) or not (members or _is_struct(kind)):
            return plain
        tag_field = _tag_field(kind)
        return {tag_field: plain.get(tag_field), **members} if tag_field else members

    return lambda plain: cut(plain, kind)


_TYPES: Final[Mapping[str, str]] = {
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "str": "text",
    "object": "an object",
    "array": "a list",
}
_EXPECTED: Final = re.compile(r"Expected `([^`]+)`(?: of length >= ([0-9]+))?")


def _in_words(error: msgspec.ValidationError, plain: Any, kind: Any) -> str:
    """The message of msgspec about one plain value, in plain words and JSON's terms."""
    if get_origin(kind) is Annotated:
        kind, meta = get_args(kind)[:2]
        if meta.extra and isinstance(plain, int | float) and not isinstance(plain, bool):
            number = float(plain) if kind is float else plain
            if kind is float or isinstance(number, int) or number.is_integer():
                return not_within(meta.ge, meta.le, meta.extra["unit"], number)
    known: tuple[Any, ...] = get_args(kind) if get_origin(kind) is Literal else ()
    if isinstance(kind, type) and issubclass(kind, Enum):
        known = tuple(kind)
    if known:
        words = f"one of {', '.join(map(str, known))}" if len(known) > 1 else str(known[0])
        return f"must be {words}, not {_echo(plain)}"
    if kind is Decimal and isinstance(plain, str):
        return not_a_decimal(plain)
    if (found := _EXPECTED.match(str(error))) is None:
        return clean(error)
    words = " or ".join(_TYPES.get(name, name) for name in found[1].split(" | "))
    least = f" of at least {found[2]} items" if found[2] else ""
    return f"must be {words}{least}, not {_echo(plain)}"


def not_within(low: AnyNumber, high: AnyNumber, unit: str, number: AnyNumber) -> str:
    """The message for a number that is out of a range."""
    least, most = (
        f"{each:,.15g}" if isinstance(each, float) else f"{each:,}" for each in (low, high)
    )
    units = f" {unit}" if unit else ""
    return f"must be from {least} to {most}{units}, not {clean(number, ECHO_LIMIT)}"


def not_a_decimal(written: str) -> str:
    """The message for a text that is not a decimal number."""
    return f"must be a decimal number, such as 1500 or 0.25, not {quote(written)}"


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


_TWICE: Final = "stands here twice: keep one"
_ALIKE: Final = "two keys here are alike once their unprintable characters are gone: rename one"


class NotJsonError(ValueError):
    """The line is not JSON; the text says why."""


def read_json_line(line: bytes) -> tuple[Any, list[InputFault]]:
    """The plain data of one line with all its texts cleaned, and a fault for each repeated key in
    an object, because the decoder would silently take its last value. Raises NotJsonError.
    """
    found: list[InputFault] = []
    try:
        msgspec.json.decode(line)  # it is stricter than Python's own reader
        return _cleaned(json.loads(line, object_pairs_hook=_Object), "", found), found
    except RecursionError:
        raise NotJsonError("is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotJsonError(f"is not JSON: {clean(error, ECHO_LIMIT)}") from None


class _Object(dict[str, Any]):
    """An object, and the keys that stand in it twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        names = [] if len(self) == len(pairs) else [name for name, _ in pairs]
        self.twice = [name for name in self if names.count(name) > 1]


def _cleaned(plain: Any, path: str, found: list[InputFault]) -> Any:
    """The data with texts and keys cleaned. Adds a fault to `found` for each key that stands twice
    in an object, or only differs from another by what is cleaned away.
    """
    match plain:
        case str():
            return clean(plain)
        case _Object():
            found += [InputFault(member(path, clean_name(key)), _TWICE) for key in plain.twice]
            members: dict[str, Any] = {}
            for key, value in plain.items():
                name = clean_name(key)
                if name in members:
                    found.append(InputFault(member(path, name), _ALIKE))
                members[name] = _cleaned(value, member(path, name), found)
            return members
        case list():
            return [_cleaned(each, member(path, index), found) for index, each in enumerate(plain)]
        case _:
            return plain


# what a line may have that has to be looked at: characters beyond plain ASCII, escaped characters,
# and numbers of 17 digits or with an exponent
_PLAIN_BYTES: Final = bytes(range(32, 127)).replace(b"\\", b"")
_ESCAPES: Final = re.compile(rb"\\[^\"\\/]")
_LARGE_NUMBERS: Final = re.compile(rb"(?<![0-9.])[0-9]{17}|[0-9][eE]\+?[0-9]")
# a time beyond the year 3000, whose name says that it is one: `"at":`, `"oldest_at":`
_LARGE_TIMES: Final = re.compile(rb'(?:at|since|until|epoch)"\s*:\s*-?[0-9]{11}')
_TIMES: Final = frozenset({"at", "since", "until", "epoch"})
_NO_TIME: Final = "has a time that is none"
_AS_ZEROS: Final = bytes.maketrans(b"123456789E", b"000000000e")


def odd_data(line: bytes) -> Any | None:
    """A line's data, cleaned, if something in it is odd; None for the usual line. Raises
    NotJsonError, and UndecodableError for impossible numbers.
    """
    # the quick looks come first: a step in time reads megabytes
    if _has_odd_characters(line):
        plain, _ = read_json_line(line)
    elif _has_large_numbers(line):
        plain = msgspec.json.decode(line)
    else:
        return None
    _refuse_absurd(plain)
    return plain


def _has_odd_characters(line: bytes) -> bool:
    if not (rest := line.translate(None, _PLAIN_BYTES)):
        return False
    if rest.strip(b"\\") and any(clean(each) != each for each in set(rest.decode("utf-8"))):
        return True
    return _ESCAPES.search(line) is not None


def _has_large_numbers(line: bytes) -> bool:
    digits = line.translate(_AS_ZEROS, b"+")
    if b"0e0" not in digits and b"0" * 11 not in digits:
        return False
    return _LARGE_NUMBERS.search(line) is not None or _LARGE_TIMES.search(line) is not None


def _refuse_absurd(plain: Any) -> None:
    match plain:
        case dict():
            for name, each in plain.items():
                if isinstance(each, int | float) and is_time(name) and not is_within(each, Moment):
                    raise UndecodableError(_NO_TIME)
                _refuse_absurd(each)
        case list():
            for each in plain:
                _refuse_absurd(each)
        case int() | float() if not -INT64_MAX <= plain <= INT64_MAX:
            raise UndecodableError("has a number that no fleet has")


def is_time(name: str) -> bool:
    """Whether a value of this name is a time in Unix seconds."""
    return name in _TIMES or name.endswith("_at")

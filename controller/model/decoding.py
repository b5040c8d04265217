"""Decodes data from outside: no bytes that a server or a bucket holds can do more harm than to be
refused.

UndecodableError    the data cannot be read; the text says why, in one short line
NotJsonError        a line that is read strictly is not JSON
InputFault          one fault of plain data: its path and a message; no exception
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from decimal import Decimal
from enum import Enum
from types import MappingProxyType, NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NamedTuple,
    Protocol,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

import msgspec
from msgspec import inspect

from controller.model.text import ECHO_LIMIT, clean, clean_name, nearest, quote
from controller.model.value import INT64_MAX, Moment, is_within

AnyNumber: TypeAlias = int | float | Decimal
T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")

_SHOWN: Final = 120
_OUT_OF_RANGE: Final = re.compile(
    r"Expected `(?:int|float)(?: \| null)?` ([<>]=) ([-+.0-9e]+)(?: - at `\$\.?(.*)`)?"
)


class UndecodableError(ValueError):
    """The data is too long, nested too deeply, no JSON, or not what it should be."""


class Decoder(Protocol[T_co]):
    """What msgspec's decoders of JSON and MessagePack have in common."""

    def decode(self, data: bytes, /) -> T_co:
        """The value. msgspec bounds the depth by the interpreter's own limit."""
        ...


def decoded(decoder: Decoder[T], data: bytes | msgspec.Raw, *, most_bytes: int | None = None) -> T:
    """The value, of at most so many bytes; None where the reader has bounded them. Raises
    UndecodableError.
    """
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
    if get_origin(kind) is Annotated:
        kind, meta = get_args(kind)[:2]
        if meta.extra and isinstance(plain, int | float) and not isinstance(plain, bool):
            number = float(plain) if kind is float else plain
            if kind is float or isinstance(number, int) or number.is_integer():
                return not_within(meta.ge, meta.le, meta.extra["unit"], number)
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


def not_within(low: AnyNumber, high: AnyNumber, unit: str, number: AnyNumber) -> str:
    """The message for a number that is out of a range."""
    least, most = (
        f"{each:,.15g}" if isinstance(each, float) else f"{each:,}" for each in (low, high)
    )
    return f"must be from {least} to {most} {unit}, not {clean(number, ECHO_LIMIT)}"


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


Cut: TypeAlias = Callable[[Any], Any]
"""Gives plain data without unknown fields. Data of another shape than the type stays as it is:
the decoder refuses it.
"""


def cut_for(kind: Any) -> Cut:
    """What leaves only the fields that a type of msgspec has, at any depth: data of a newer version
    without the fields that this version does not know.
    """
    fields: dict[int, dict[str, inspect.Type]] = {}

    def cut(plain: Any, of: inspect.Type) -> Any:
        match of:
            case inspect.StructType() if isinstance(plain, dict):
                if id(of) not in fields:
                    fields[id(of)] = {field.encode_name: field.type for field in of.fields}
                    if of.tag_field is not None:
                        fields[id(of)][of.tag_field] = inspect.AnyType()
                known = fields[id(of)]
                return {
                    name: cut(each, known[name]) for name, each in plain.items() if name in known
                }
            case inspect.UnionType():
                return cut(plain, _chosen(of.types, plain))
            case inspect.VarTupleType() | inspect.ListType() if isinstance(plain, list):
                return [cut(each, of.item_type) for each in plain]
            case inspect.TupleType() if isinstance(plain, list) and len(plain) == len(
                of.item_types
            ):
                return [cut(*each) for each in zip(plain, of.item_types, strict=True)]
            case inspect.DictType() if isinstance(plain, dict):
                return {name: cut(each, of.value_type) for name, each in plain.items()}
        return plain

    whole = inspect.type_info(kind)
    return lambda plain: cut(plain, whole)


_HOLDERS: Final = (
    inspect.VarTupleType,
    inspect.ListType,
    inspect.TupleType,
    inspect.DictType,
)


def _chosen(types: Iterable[inspect.Type], plain: Any) -> inspect.Type:
    """The type of a union that this plain data is of, by its tag."""
    for each in types:
        if isinstance(each, inspect.StructType):
            if isinstance(plain, dict) and each.tag_field is None:
                return each
            if isinstance(plain, dict) and plain.get(each.tag_field) == each.tag:
                return each
        elif isinstance(each, _HOLDERS):
            return each
    return inspect.AnyType()


_TWICE: Final = "stands here twice: keep one"
_ALIKE: Final = "two keys here are alike once their unprintable characters are gone: rename one"


class NotJsonError(ValueError):
    """The line is not JSON; the text says why."""


def read_json_line(line: bytes) -> tuple[Any, list[InputFault]]:
    """The plain data of one line with all its texts cleaned, and a fault for each repeated key in
    an object, because the decoder would silently take its last value. Raises NotJsonError.
    """
    try:
        plain = msgspec.json.decode(line)
        found = list(_repeated_keys(line))
        return _cleaned(plain, "", found), found
    except RecursionError:
        raise NotJsonError("is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotJsonError(f"is not JSON: {clean(error, ECHO_LIMIT)}") from None


class _Members(tuple[tuple[str, Any], ...]):
    """The members of an object in their order, with repeated keys."""

    __slots__ = ()


def _repeated_keys(line: bytes) -> Iterator[InputFault]:
    """The repeated keys. For a line without any, the usual case, no objects are built."""
    is_repeated = False

    def note(pairs: list[tuple[str, Any]]) -> None:
        nonlocal is_repeated
        is_repeated = is_repeated or len({key for key, _ in pairs}) < len(pairs)

    json.loads(line, object_pairs_hook=note)
    if is_repeated:
        yield from _repeated_within(json.loads(line, object_pairs_hook=_Members), "")


def _repeated_within(plain: Any, path: str) -> Iterator[InputFault]:
    if isinstance(plain, _Members):
        seen: set[str] = set()
        for key, value in plain:
            if key in seen:
                yield InputFault(member(path, key), _TWICE)
            seen.add(key)
            yield from _repeated_within(value, member(path, key))
    elif isinstance(plain, list):
        for index, value in enumerate(plain):
            yield from _repeated_within(value, f"{path}[{index}]")


def _cleaned(plain: Any, path: str, found: list[InputFault]) -> Any:
    """The data with texts and keys cleaned. Adds a fault to `found` if two keys become equal."""
    match plain:
        case str():
            return clean(plain)
        case dict():
            members: dict[str, Any] = {}
            for key, value in plain.items():
                name = clean_name(key)
                if name in members:
                    found.append(InputFault(member(path, name), _ALIKE))
                members[name] = _cleaned(value, member(path, name), found)
            return members
        case list():
            return [_cleaned(each, f"{path}[{index}]", found) for index, each in enumerate(plain)]
        case _:
            return plain


# what a line may have that has to be looked at: characters beyond plain ASCII, escaped characters,
# and numbers of 17 digits or with an exponent
_PLAIN: Final = bytes(range(32, 127)).replace(b"\\", b"")
_ESCAPES: Final = re.compile(rb"\\[^\"\\/]")
_LARGE_NUMBERS: Final = re.compile(rb"(?<![0-9.])[0-9]{17}|[0-9][eE]\+?[0-9]")
# a time beyond the year 3000, whose name says that it is one: `"at":`, `"oldest_at":`
_LARGE_TIMES: Final = re.compile(rb'(?:at|since|until|epoch)"\s*:\s*-?[0-9]{11}')
_TIMES: Final = frozenset({"at", "since", "until", "epoch"})
_NO_TIME: Final = "has a time that is none"
_AS_ZEROS: Final = bytes.maketrans(b"123456789E", b"000000000e")


def odd_data(line: bytes) -> Any | None:
    """The plain data of a line from outside, its texts cleaned, if there is something odd in it;
    None for the usual line, which the decoder may read. Raises NotJsonError, and UndecodableError
    for a number or a time that cannot be.
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
    if not (rest := line.translate(None, _PLAIN)):
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

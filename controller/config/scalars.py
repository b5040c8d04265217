"""Single values of the fleet file: numbers, durations, names, addresses, label selectors, days; and
what all its sections have in common.

Each type of value is a plain one with a reader, which pydantic asks for the check and for the JSON
schema. A field's text is its description in the schema and in messages. Its name is that of the
field which it becomes in a value of controller/model, so that `value_of` needs no table; where the
file spells it otherwise, the file's spelling is the alias.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Final, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict
from pydantic_core import CoreSchema, core_schema

from controller.model import ids
from controller.model.fleet import QUEUE
from controller.model.ids import LABEL, LABEL_KEY, read_selector
from controller.model.settings import LONGEST_DURATION_S
from controller.model.text import clean, nearest
from controller.model.value import INT32_MAX, INT64_MAX, MILLI
from controller.notation.cron import read_cron
from controller.notation.formula import FormulaError, read_formula
from controller.notation.quantity import (
    DECIMAL_PATTERN,
    GO_DURATION_PATTERN,
    QUANTITY_PATTERN,
    QuantityError,
    exact_quantity,
    read_decimal,
    read_duration,
    spell_duration,
)


@dataclass(frozen=True, slots=True, eq=False)  # metadata of a type must be hashable
class Read:
    """Reads one value, of whatever type; `read` raises ValueError. `schema` is what it reads."""

    read: Callable[[object], Any]
    schema: dict[str, Any]

    def __get_pydantic_core_schema__(self, _: object, __: GetCoreSchemaHandler) -> CoreSchema:
        """Asked by pydantic."""
        return core_schema.no_info_plain_validator_function(
            self.read, metadata={"pydantic_js_functions": [lambda *_: self.schema]}
        )


def _or_text(number: dict[str, Any], pattern: str) -> dict[str, Any]:
    return {"anyOf": [number, {"type": "string", "pattern": f"^{pattern}$"}]}


def _duration(low_s: float, high_s: float) -> Read:
    """Reads a duration between two limits, in seconds: a number of them, or Go's spelling."""

    def read(written: object) -> float:
        if isinstance(written, int | float) and not isinstance(written, bool):
            seconds = float(written) if math.isfinite(written) else read_duration("")
        else:
            seconds = read_duration(written if isinstance(written, str) else "")
        if not low_s <= seconds <= high_s:
            low, high = spell_duration(low_s), spell_duration(high_s)
            raise ValueError(f"must be between {low} and {high}")
        return seconds

    number = {"type": "number", "minimum": low_s, "maximum": high_s}
    return Read(read, _or_text(number, GO_DURATION_PATTERN))


def _number(low: int, high: int, *, open_low: bool = False, open_high: bool = False) -> Read:
    """Reads a decimal number between two limits. A limit itself is allowed unless it is open."""

    def read(written: object) -> Decimal:
        text = written if isinstance(written, str) else _spelled(written)
        if text is None:
            raise ValueError("must be a number, such as 3 or 0.25")
        number = read_decimal(text) if isinstance(written, str) else Decimal(text)
        too_low = number <= low if open_low else number < low
        too_high = number >= high if open_high else number > high
        if too_low or too_high:
            least = f"{'more than' if open_low else 'at least'} {low}"
            most = f"{'less than' if open_high else 'at most'} {high}"
            raise ValueError(f"must be {least} and {most}")
        return number

    low_key = "exclusiveMinimum" if open_low else "minimum"
    high_key = "exclusiveMaximum" if open_high else "maximum"
    return Read(read, _or_text({"type": "number", low_key: low, high_key: high}, DECIMAL_PATTERN))


def _quantity(per_one: int, unit: str, example: str, *, open_low: bool = False) -> Read:
    """A Kubernetes quantity from 0, in units of which `per_one` make 1."""

    def read(written: object) -> int:
        text = written if isinstance(written, str) else _spelled(written)
        try:
            amount: Fraction = exact_quantity("" if text is None else text) * per_one
        except QuantityError:
            raise ValueError(f"must be a quantity, such as {example}") from None
        if amount < 0 or (open_low and amount == 0):
            raise ValueError(f"must be {'more than' if open_low else 'at least'} 0")
        if amount.denominator != 1:
            raise ValueError(f"must be a whole number of {unit}")
        if amount > INT64_MAX:
            raise ValueError(f"must be at most {INT64_MAX} {unit}, the most Kubernetes counts")
        return int(amount)

    low_key = "exclusiveMinimum" if open_low else "minimum"
    return Read(read, _or_text({"type": "number", low_key: 0}, QUANTITY_PATTERN))


def _share_of_one(example: str) -> Read:
    """Reads a share of 1 as a quantity, to billionths."""
    billionths = _quantity(10**9, "billionths", example)
    return Read(
        lambda written: Decimal(billionths.read(written)).scaleb(-9).normalize(), billionths.schema
    )


@dataclass(frozen=True, slots=True)
class Text:
    """Checks a text. `pattern` is what the JSON schema says of it."""

    check: Callable[[str], str]
    pattern: str = ""

    def __get_pydantic_core_schema__(self, of: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Asked by pydantic."""
        text = {"type": "string", "pattern": self.pattern}
        js: Any = [lambda *_: text] if self.pattern else []
        return core_schema.no_info_after_validator_function(
            self.check, handler(of), metadata={"pydantic_js_functions": js}
        )


def _matching(pattern: str, message: str, *, told: bool = True) -> Text:
    """A text that matches; `told`: the JSON schema says the pattern."""
    compiled = re.compile(pattern)

    def check_text(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(message)
        return text

    return Text(check_text, f"^{pattern}$" if told else "")


# a float keeps this many digits of what was written, whatever they are
_FLOAT_DIGITS: Final = 15


def _spelled(written: object) -> str | None:
    """A number of YAML as written, else None. Raises ValueError if digits are lost."""
    if isinstance(written, bool):
        return None
    if isinstance(written, float):
        if not math.isfinite(written):
            return None
        text = repr(written)
        if len(Decimal(text).normalize().as_tuple().digits) > _FLOAT_DIGITS:
            raise ValueError("has more digits than are kept: write fewer, or put it in quotes")
        return text
    return str(written) if isinstance(written, int) else None


def _free_text(text: str) -> str:
    if text != clean(text):
        raise ValueError("is too long, or holds characters that cannot be shown")
    return text


def _time_zone(name: str) -> str:
    try:
        if name != "UTC":
            ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            "is not a time zone that this machine knows: write an IANA name, "
            'such as "Europe/Berlin"'
        ) from None
    return name


_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?\Z|[0-9a-fA-F:.]+\Z")


def _server(url: str) -> str:
    """The address of a NATS server. Messages do not repeat it, because it may have a password."""
    if "@" in url:
        raise ValueError(
            "holds a user or password: take them out and name them in nats.credentials"
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("is not an address: write nats://host:4222") from None
    if parts.scheme not in {"nats", "tls", "ws", "wss"} or "://" not in url:
        raise ValueError("must start with nats://, tls://, ws:// or wss://")
    if not _HOST.match(host) or port == 0:
        raise ValueError("must name a host, and a port if it is not 4222: nats://host:4222")
    if parts.query or parts.fragment or (parts.path.strip("/") and not url.startswith("ws")):
        raise ValueError("must end after the port: take the path, ? and # out")
    return url


def _prometheus(url: str) -> str:
    """The address of a Prometheus server. Messages do not repeat it, as it may have a password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("is not an address: write http://host:9090") from None
    if parts.scheme not in {"http", "https"}:
        raise ValueError("must start with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("holds a user or password: take them out")
    if not _HOST.match(host) or port == 0:
        raise ValueError("must name a host: http://host:9090")
    if parts.query or parts.fragment:
        raise ValueError("must end after the path: take ? and # out")
    return url


def _label_selector(selector: str) -> str:
    read_selector(selector)
    return selector


_SIGNAL_NAME: Final = _matching(
    r"[A-Za-z_][A-Za-z0-9_]{0,62}",
    "must be a name for formulas: at most 63 of a-z, A-Z, 0-9 and _, no digit first",
)
RESERVED_SIGNALS: Final = frozenset(
    {QUEUE, "cpu", "memory", "and", "or", "not", "true", "false", "nil"}
)
"""Names that a signal must not have: the pool's own metrics, and the words of a formula."""
MAX_QUERY_CHARACTERS: Final = 4096


def _signal_name(name: str) -> str:
    if _SIGNAL_NAME.check(name) in RESERVED_SIGNALS:
        raise ValueError("has a meaning of its own already: give the signal another name")
    return name


def _query(text: str) -> str:
    if not text.strip() or len(text) > MAX_QUERY_CHARACTERS:
        raise ValueError(f"must be a query of at most {MAX_QUERY_CHARACTERS} characters")
    return text


def _formula(text: str) -> str:
    try:
        read_formula(text)
    except FormulaError as error:
        raise ValueError(f"cannot be read: {error}") from None
    return text


DAY_S: Final = 86_400.0
Interval = Annotated[float, _duration(0.1, 300.0)]
Wait = Annotated[float, _duration(0.0, 30 * DAY_S)]
WindowLength = Annotated[float, _duration(1.0, 31 * DAY_S)]
"""At most a month: a longer window can name its months in the cron expression."""
KeptFor = Annotated[float, _duration(60.0, 366 * DAY_S)]
LeaseDuration = Annotated[float, _duration(1.0, LONGEST_DURATION_S)]
LeaseRetry = Annotated[float, _duration(0.05, 60.0)]

DnsLabel = Annotated[str, Text(ids.dns_label, "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
DnsSubdomain = Annotated[str, Text(ids.dns_subdomain)]
NatsName = Annotated[str, Text(ids.nats_name)]
BucketName = Annotated[
    str,
    _matching("[A-Za-z0-9_-]{1,64}", "must be letters, digits, - and _ only, at most 64 of them"),
]
TimeZone = Annotated[str, Text(_time_zone)]
ServerUrl = Annotated[str, Text(_server, "^(nats|tls|ws|wss)://[^@?#]+$")]
PrometheusUrl = Annotated[str, Text(_prometheus, "^https?://[^@?#]+$")]
PromQuery = Annotated[str, Text(_query)]
CronText = Annotated[str, Text(lambda text: read_cron(text).text)]
Formula = Annotated[str, Field(min_length=1), Text(_formula)]
SignalName = Annotated[str, Text(_signal_name, _SIGNAL_NAME.pattern)]
FreeText = Annotated[str, Field(min_length=1), Text(_free_text)]
LabelSelector = Annotated[str, Text(_label_selector)]
LabelKey = Annotated[
    str, _matching(LABEL_KEY, 'must be a label, such as "team" or "example.com/team"')
]
LabelValue = Annotated[
    str,
    _matching(
        f"({LABEL})?",
        "must be a label's value: at most 63 of A-Z, a-z, 0-9, -, _ and .",
        told=False,
    ),
]
ModelName = Annotated[  # as providers write them: gpt-4.1, anthropic/claude-x, llama3:70b
    str,
    _matching(
        r"[A-Za-z0-9][-A-Za-z0-9._:/@]{0,127}",
        "must be a model's name: at most 128 of A-Z, a-z, 0-9 and . _ : / @ -, "
        "a letter or digit first",
    ),
]

# larger numbers are typing errors: Kubernetes supports 150,000 pods in a cluster
MAX_REPLICAS: Final = 100_000  # for one pool, node class or tenant
MAX_COUNT: Final = 10**15  # tokens and calls: no tenant has so many in a day
MAX_USD: Final = 1_000_000_000  # no fleet costs so much in an hour
MAX_WEIGHT: Final = 1_000_000  # only the ratios of weights matter

Replicas = Annotated[int, Field(ge=0, le=MAX_REPLICAS)]
Tasks = Annotated[int, Field(ge=1, le=MAX_REPLICAS)]
WholeCount = Annotated[int, Field(ge=0, le=MAX_COUNT)]
PositiveCount = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Percent = Annotated[int, Field(ge=1, le=INT32_MAX)]
Usd = Annotated[Decimal, _number(0, MAX_USD)]
Weight = Annotated[Decimal, _number(0, MAX_WEIGHT, open_low=True)]
Share = Annotated[Decimal, _number(0, 1)]
ShareBelowOne = Annotated[Decimal, _number(0, 1, open_high=True)]
Factor = Annotated[Decimal, _number(0, 1000)]
TaskSeconds = Annotated[Decimal, _number(0, 30 * 86_400, open_low=True)]
Tolerance = Annotated[Decimal, _share_of_one('"0.05" or "50m"')]
_METRIC: Final = (MILLI, "thousandths", '"30", "500m" or "2k"')
Cpu = Annotated[int, _quantity(MILLI, "millicores", '"500m" or 2')]  # in millicores
Memory = Annotated[int, _quantity(1, "bytes", '"512Mi" or "16Gi"')]  # in bytes
MetricQuantity = Annotated[int, _quantity(*_METRIC)]  # in thousandths of the metric's unit
MetricTarget = Annotated[int, _quantity(*_METRIC, open_low=True)]  # so, and more than 0

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES: Final = 24 * 60

_ONE_DAY: Final = f"({'|'.join(DAYS)})"
_SOME_DAYS: Final = rf"^{_ONE_DAY}(-{_ONE_DAY})?(\s*,\s*{_ONE_DAY}(-{_ONE_DAY})?)*$"
_TIME: Final = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
_END: Final = r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"
_NOT_DAYS: Final = 'must be days: mon-fri, "sat,sun" or [mon, wed]'


def _days_of_week(written: object) -> tuple[int, ...]:
    """The days (0 is Monday) of `mon-fri`, `sat,sun` or a list of such texts, in order, each once.

    A range may run past Sunday, such as `fri-mon`. Raises ValueError.
    """
    parts = written if isinstance(written, list) else [written]
    texts = [part for part in parts if isinstance(part, str)]
    if not texts or len(texts) < len(parts):
        raise ValueError(_NOT_DAYS)
    found = set[int]()
    for item in ",".join(texts).split(","):
        first, dash, last = item.strip().partition("-")
        start = _day(first)
        span = (_day(last) - start) % len(DAYS) if dash else 0
        found |= {(start + ahead) % len(DAYS) for ahead in range(span + 1)}
    return tuple(sorted(found))


def _day(name: str) -> int:
    if name not in DAYS:
        near = nearest(name.lower()[:20], DAYS)
        raise ValueError(f"{_NOT_DAYS}{f'; did you mean {near[0]}?' if near else ''}")
    return DAYS.index(name)


def _minute_of_day(written: object) -> int:
    """Minutes from midnight of "HH:MM". Raises ValueError."""
    if not isinstance(written, str) or not re.fullmatch(_TIME[1:-1], written):
        raise ValueError(
            'must be a time of the day, such as "08:00": two digits, colon, two digits'
        )
    hours, _, minutes = written.partition(":")
    return 60 * int(hours) + int(minutes)


def _end_of_window(written: object) -> int:
    """The same for "HH:MM" or "24:00", the end of the day. Raises ValueError."""
    return DAY_MINUTES if written == "24:00" else _minute_of_day(written)


_DAYS_TEXT: Final[dict[str, Any]] = {"type": "string", "pattern": _SOME_DAYS}
_DAYS_LIST: Final = {"type": "array", "items": _DAYS_TEXT, "minItems": 1}
Days = Annotated[tuple[int, ...], Read(_days_of_week, {"anyOf": [_DAYS_TEXT, _DAYS_LIST]})]
FromTime = Annotated[int, Read(_minute_of_day, {"type": "string", "pattern": _TIME})]
UntilTime = Annotated[int, Read(_end_of_window, {"type": "string", "pattern": _END})]

# a pattern in the JSON schema says which names are allowed, but does not refuse others
NO_OTHER_NAMES: Final[JsonDict] = {"additionalProperties": False}

T = TypeVar("T", bound=msgspec.Struct)


class Section(BaseModel):
    """One mapping of the fleet file. A key that is null counts as left out.

    The argument `looks_like` of a section is an example for messages.
    """

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    looks_like: ClassVar[str] = "key: value"

    def __init_subclass__(cls, looks_like: str = "", **config: Any) -> None:
        super().__init_subclass__(**config)
        cls.looks_like = looks_like or cls.looks_like

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_set(cls, data: Any) -> Any:
        if isinstance(data, dict) and None in data.values():
            known = keys_of(cls)
            return {key: v for key, v in data.items() if v is not None or key not in known}
        return data


class KubernetesSection(Section):
    """One that is spelled as the Kubernetes API spells it."""

    model_config = ConfigDict(alias_generator=to_camel)


def keys_of(section: type[Section]) -> frozenset[str]:
    """The keys of a section, as the file spells them."""
    return frozenset(field.alias or name for name, field in section.model_fields.items())


def value_of(section: Section, kind: type[T], /, **more: object) -> T:
    """A section as a value: what is set of the fields of the same name, and what is in `more`."""
    names = (name for name in kind.__struct_fields__ if name not in more)
    fields = {name: each for name in names if (each := getattr(section, name, None)) is not None}
    return msgspec.convert(fields | more, kind, from_attributes=True)


def exactly_one(one: str, other: str) -> Any:
    """A check that exactly one of two keys is given."""

    def check(section: Any) -> Any:
        if (getattr(section, one) is None) == (getattr(section, other) is None):
            raise ValueError(f"give exactly one of {one} and {other}")
        return section

    return model_validator(mode="after")(check)


def both_or_neither(one: str, other: str) -> Any:
    """A check that one of two keys is not given without the other."""

    def check(section: Any) -> Any:
        if (getattr(section, one) is None) != (getattr(section, other) is None):
            raise ValueError(f"{one} and {other} need each other: give both or neither")
        return section

    return model_validator(mode="after")(check)


def max_not_below_min(*, default_min: int | None) -> Any:
    """A check of the key `max`."""

    def check(_: type[Section], most: int | None, info: ValidationInfo) -> int | None:
        least = info.data.get("min", default_min)
        if most is not None and least is not None and most < least:
            raise ValueError(f"must be at least min ({least})")
        return most

    return field_validator("max")(classmethod(check))


def no_item_twice(key: str, item: str) -> Any:
    """A check of a list of names."""

    def check(_: type[Section], names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise ValueError(f"names a {item} twice: remove one")
        return names

    return field_validator(key)(classmethod(check))


def only_if(key: str, holds: Callable[[Any], bool], message: str) -> Any:
    """A check of one key, with the message for a value of which `holds` is not true."""

    def check(_: type[Section], value: Any) -> Any:
        if not holds(value):
            raise ValueError(message)
        return value

    return field_validator(key)(classmethod(check))

"""Single values of the fleet file: numbers, durations, names, addresses, label selectors.

Each type is a plain one with a reader, which pydantic asks for the check and for the JSON schema.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from controller.model import ids
from controller.model.lease import LONGEST_DURATION_S
from controller.model.metrics import QUEUE
from controller.model.text import clean
from controller.model.value import INT32_MAX, INT64_MAX, MILLI
from controller.notation.cron import read_cron
from controller.notation.formula_syntax import FormulaError, check
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


class Reader:
    """Reads one value, of whatever type, and raises ValueError; `schema` is what it reads."""

    def __call__(self, written: object) -> Any:
        """The value. Raises ValueError."""
        raise NotImplementedError

    def schema(self) -> dict[str, Any]:
        """What it reads, as JSON Schema."""
        raise NotImplementedError

    def __get_pydantic_core_schema__(self, _: object, __: GetCoreSchemaHandler) -> CoreSchema:
        """Asked by pydantic."""
        return core_schema.no_info_plain_validator_function(
            self, metadata={"pydantic_js_functions": [lambda *_: self.schema()]}
        )


@dataclass(frozen=True, slots=True)
class Duration(Reader):
    """Reads a duration between two limits, in seconds: a number of them, or Go's spelling."""

    low_s: float
    high_s: float

    def __call__(self, written: object) -> float:
        """The seconds. Raises ValueError."""
        if isinstance(written, int | float) and not isinstance(written, bool):
            seconds = float(written) if math.isfinite(written) else read_duration("")
        else:
            seconds = read_duration(written if isinstance(written, str) else "")
        if not self.low_s <= seconds <= self.high_s:
            low, high = spell_duration(self.low_s), spell_duration(self.high_s)
            raise ValueError(f"must be between {low} and {high}")
        return seconds

    def schema(self) -> dict[str, Any]:
        """What it reads, as JSON Schema."""
        number = {"type": "number", "minimum": self.low_s, "maximum": self.high_s}
        return _or_text(number, GO_DURATION_PATTERN)


@dataclass(frozen=True, slots=True)
class Number(Reader):
    """Reads a decimal number between two limits. A limit itself is allowed unless it is open."""

    low: int
    high: int
    open_low: bool = False
    open_high: bool = False

    def __call__(self, written: object) -> Decimal:
        """The number as it is written. Raises ValueError."""
        text = written if isinstance(written, str) else _spelled(written)
        if text is None:
            raise ValueError("must be a number, such as 3 or 0.25")
        number = read_decimal(text) if isinstance(written, str) else Decimal(text)
        too_low = number <= self.low if self.open_low else number < self.low
        too_high = number >= self.high if self.open_high else number > self.high
        if too_low or too_high:
            low = f"{'more than' if self.open_low else 'at least'} {self.low}"
            high = f"{'less than' if self.open_high else 'at most'} {self.high}"
            raise ValueError(f"must be {low} and {high}")
        return number

    def schema(self) -> dict[str, Any]:
        """What it reads, as JSON Schema."""
        low = "exclusiveMinimum" if self.open_low else "minimum"
        high = "exclusiveMaximum" if self.open_high else "maximum"
        return _or_text({"type": "number", low: self.low, high: self.high}, DECIMAL_PATTERN)


@dataclass(frozen=True, slots=True)
class Quantity(Reader):
    """Reads a Kubernetes quantity as a whole number of units, of which `per_one` make 1.

    The messages name `unit` and `example`.
    """

    per_one: int
    unit: str
    example: str
    open_low: bool = False

    def __call__(self, written: object) -> int:
        """The quantity in units, 0 or more. Raises ValueError."""
        text = written if isinstance(written, str) else _spelled(written)
        try:
            amount: Fraction = exact_quantity("" if text is None else text) * self.per_one
        except QuantityError:
            raise ValueError(f"must be a quantity, such as {self.example}") from None
        if amount < 0 or (self.open_low and amount == 0):
            raise ValueError(f"must be {'more than' if self.open_low else 'at least'} 0")
        if amount.denominator != 1:
            raise ValueError(f"must be a whole number of {self.unit}")
        if amount > INT64_MAX:
            raise ValueError(f"must be at most {INT64_MAX} {self.unit}, the most Kubernetes counts")
        return int(amount)

    def schema(self) -> dict[str, Any]:
        """What it reads, as JSON Schema."""
        low = "exclusiveMinimum" if self.open_low else "minimum"
        return _or_text({"type": "number", low: 0}, QUANTITY_PATTERN)


class _Share(Quantity):
    """Reads a share of 1 as a quantity, to billionths."""

    def __call__(self, written: object) -> Any:
        return Decimal(Quantity.__call__(self, written)).scaleb(-9).normalize()


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


def _or_text(number: dict[str, Any], pattern: str) -> dict[str, Any]:
    return {"anyOf": [number, {"type": "string", "pattern": f"^{pattern}$"}]}


# a float keeps this many digits of what was written, whatever they are
_FLOAT_DIGITS: Final = 15


def _spelled(written: object) -> str | None:
    """A number of YAML as it was written; None for any other value. Raises ValueError if digits of
    it are lost.
    """
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


# Kubernetes labels: an optional DNS prefix, then a name; a value may be empty
_LABEL: Final = r"[A-Za-z0-9](?:[-._A-Za-z0-9]{0,61}[A-Za-z0-9])?"
_LABEL_KEY: Final = rf"(?:[a-z0-9](?:[-.a-z0-9]{{0,251}}[a-z0-9])?/)?{_LABEL}"
_LABEL_SET: Final = rf"\(\s*(?:{_LABEL})?(?:\s*,\s*(?:{_LABEL})?)*\s*\)"
_REQUIREMENT: Final = re.compile(
    rf"\s*(?:!\s*{_LABEL_KEY}"
    rf"|{_LABEL_KEY}\s*(?:(?:==|=|!=)\s*(?:{_LABEL})?|\s(?:in|notin)\s*{_LABEL_SET})?)\s*\Z"
)


def _label_selector(selector: str) -> str:
    # a comma inside parentheses separates values, any other separates requirements
    requirements = re.split(r",(?![^()]*\))", selector)
    if not all(_REQUIREMENT.match(requirement) for requirement in requirements):
        raise ValueError('must be a label selector, such as "app=agents,team in (a, b)"')
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
        check(text)
    except FormulaError as error:
        raise ValueError(f"cannot be read: {error}") from None
    return text


DAY_S: Final = 86_400.0
Interval = Annotated[float, Duration(0.1, 300.0)]
Wait = Annotated[float, Duration(0.0, 30 * DAY_S)]
WindowLength = Annotated[float, Duration(1.0, 31 * DAY_S)]
"""At most a month: a longer window can name its months in the cron expression."""
KeptFor = Annotated[float, Duration(60.0, 366 * DAY_S)]
LeaseDuration = Annotated[float, Duration(1.0, LONGEST_DURATION_S)]
LeaseRetry = Annotated[float, Duration(0.05, 60.0)]

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
    str, _matching(_LABEL_KEY, 'must be a label, such as "team" or "example.com/team"')
]
LabelValue = Annotated[
    str,
    _matching(
        f"({_LABEL})?",
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

MAX_REPLICAS: Final = 100_000
"""The largest number for one pool, node class or tenant in a fleet file. Kubernetes supports
150,000 pods in a cluster, so a larger number is a typing error.
"""
MAX_COUNT: Final = 10**15
"""The largest number of tokens and calls: no tenant has so many in a day."""
MAX_USD: Final = 1_000_000_000
"""The largest amount in USD; no fleet costs so much in an hour."""
MAX_WEIGHT: Final = 1_000_000
"""The largest weight; only the ratios of weights matter."""

Replicas = Annotated[int, Field(ge=0, le=MAX_REPLICAS)]
Tasks = Annotated[int, Field(ge=1, le=MAX_REPLICAS)]
WholeCount = Annotated[int, Field(ge=0, le=MAX_COUNT)]
PositiveCount = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Percent = Annotated[int, Field(ge=1, le=INT32_MAX)]
Usd = Annotated[Decimal, Number(0, MAX_USD)]
Weight = Annotated[Decimal, Number(0, MAX_WEIGHT, open_low=True)]
Share = Annotated[Decimal, Number(0, 1)]
ShareBelowOne = Annotated[Decimal, Number(0, 1, open_high=True)]
Factor = Annotated[Decimal, Number(0, 1000)]
TaskSeconds = Annotated[Decimal, Number(0, 30 * 86_400, open_low=True)]
Tolerance = Annotated[Decimal, _Share(10**9, "billionths", '"0.05" or "50m"')]
Cpu = Annotated[int, Quantity(MILLI, "millicores", '"500m" or 2')]
"""Millicores."""
Memory = Annotated[int, Quantity(1, "bytes", '"512Mi" or "16Gi"')]
"""Bytes."""
_METRIC_EXAMPLE: Final = '"30", "500m" or "2k"'
MetricQuantity = Annotated[int, Quantity(MILLI, "thousandths", _METRIC_EXAMPLE)]
"""Thousandths of the metric's unit."""
MetricTarget = Annotated[int, Quantity(MILLI, "thousandths", _METRIC_EXAMPLE, open_low=True)]
"""Thousandths of the metric's unit, more than 0."""

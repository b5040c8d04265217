"""Single values of the fleet file: durations, names, server addresses, label selectors."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from controller.config.document import Document, KeyPath
from controller.model import ids
from controller.model.lease import LONGEST_DURATION_S
from controller.model.metrics import QUEUE
from controller.model.text import clean
from controller.model.value import INT64_MAX, MILLI
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

DAY_S: Final = 86_400.0
_SCHEMES: Final = frozenset({"nats", "tls", "ws", "wss"})
_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?\Z|[0-9a-fA-F:.]+\Z")

# Kubernetes labels: an optional DNS prefix, then a name; a value may be empty
_LABEL: Final = r"[A-Za-z0-9](?:[-._A-Za-z0-9]{0,61}[A-Za-z0-9])?"
_LABEL_KEY: Final = rf"(?:[a-z0-9](?:[-.a-z0-9]{{0,251}}[a-z0-9])?/)?{_LABEL}"
_LABEL_SET: Final = rf"\(\s*(?:{_LABEL})?(?:\s*,\s*(?:{_LABEL})?)*\s*\)"
_REQUIREMENT: Final = re.compile(
    rf"\s*(?:!\s*{_LABEL_KEY}"
    rf"|{_LABEL_KEY}\s*(?:(?:==|=|!=)\s*(?:{_LABEL})?|\s(?:in|notin)\s*{_LABEL_SET})?)\s*\Z"
)

_SIGNAL_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]{0,62}"
MAX_QUERY_CHARACTERS: Final = 4096
RESERVED_SIGNALS: Final = frozenset(
    {QUEUE, "cpu", "memory", "and", "or", "not", "true", "false", "nil"}
)
"""Names that a signal must not have: the pool's own metrics, and the words of a formula."""
# as providers write them: gpt-4.1, anthropic/claude-x, llama3:70b
_MODEL_NAME: Final = r"[A-Za-z0-9][-A-Za-z0-9._:/@]{0,127}"


@dataclass(frozen=True, slots=True)
class DurationReader:
    """Reads a duration between two limits: a number of seconds, or Go's spelling."""

    low_s: float
    high_s: float

    def __call__(self, written: object) -> float:
        """The duration in seconds. Raises ValueError."""
        seconds = self._seconds(written)
        if not self.low_s <= seconds <= self.high_s:
            low, high = spell_duration(self.low_s), spell_duration(self.high_s)
            raise ValueError(f"must be between {low} and {high}")
        return seconds

    @staticmethod
    def _seconds(written: object) -> float:
        if isinstance(written, int | float) and not isinstance(written, bool):
            return float(written) if math.isfinite(written) else read_duration("")
        return read_duration(written if isinstance(written, str) else "")


def _duration_schema(low_s: float, high_s: float) -> dict[str, Any]:
    return {
        "anyOf": [
            {"type": "number", "minimum": low_s, "maximum": high_s},
            {"type": "string", "pattern": f"^{GO_DURATION_PATTERN}$"},
        ]
    }


def _free_text(text: str) -> str:
    if text != clean(text):
        raise ValueError("is too long, or holds characters that cannot be shown")
    return text


def _time_zone(name: str) -> str:
    if name == "UTC":
        return name
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            "is not a time zone that this machine knows: write an IANA name, "
            'such as "Europe/Berlin"'
        ) from None
    return name


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
    if parts.scheme not in _SCHEMES or "://" not in url:
        raise ValueError("must start with nats://, tls://, ws:// or wss://")
    if not _HOST.match(host) or port == 0:
        raise ValueError("must name a host, and a port if it is not 4222: nats://host:4222")
    if parts.query or parts.fragment or (parts.path.strip("/") and not url.startswith("ws")):
        raise ValueError("must end after the port: take the path, ? and # out")
    return url


def _label_selector(selector: str) -> str:
    # a comma inside parentheses separates values, any other separates requirements
    requirements = re.split(r",(?![^()]*\))", selector)
    if not all(_REQUIREMENT.match(requirement) for requirement in requirements):
        raise ValueError('must be a label selector, such as "app=agents,team in (a, b)"')
    return selector


def _label_key(key: str) -> str:
    if not re.fullmatch(_LABEL_KEY, key):
        raise ValueError('must be a label, such as "team" or "example.com/team"')
    return key


def _label_value(value: str) -> str:
    if value and not re.fullmatch(_LABEL, value):
        raise ValueError("must be a label's value: at most 63 of A-Z, a-z, 0-9, -, _ and .")
    return value


def _model_name(name: str) -> str:
    if not re.fullmatch(_MODEL_NAME, name):
        raise ValueError(
            "must be a model's name: at most 128 of A-Z, a-z, 0-9 and . _ : / @ -, "
            "a letter or digit first"
        )
    return name


def _signal_name(name: str) -> str:
    if not re.fullmatch(_SIGNAL_NAME, name):
        raise ValueError(
            "must be a name for formulas: at most 63 of a-z, A-Z, 0-9 and _, no digit first"
        )
    if name in RESERVED_SIGNALS:
        raise ValueError("has a meaning of its own already: give the signal another name")
    return name


def _query(text: str) -> str:
    if not text.strip() or len(text) > MAX_QUERY_CHARACTERS:
        raise ValueError(f"must be a query of at most {MAX_QUERY_CHARACTERS} characters")
    return text


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


def _bucket(name: str) -> str:
    if not re.match(_BUCKET_PATTERN, name):
        raise ValueError("must be letters, digits, - and _ only, at most 64 of them")
    return name


_BUCKET_PATTERN: Final = "^[A-Za-z0-9_-]{1,64}$"
_LABEL_PATTERN: Final = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"

Interval = Annotated[
    float, BeforeValidator(DurationReader(0.1, 300.0)), WithJsonSchema(_duration_schema(0.1, 300.0))
]
Wait = Annotated[
    float,
    BeforeValidator(DurationReader(0.0, 30 * DAY_S)),
    WithJsonSchema(_duration_schema(0.0, 30 * DAY_S)),
]
WindowLength = Annotated[
    float,
    BeforeValidator(DurationReader(1.0, 31 * DAY_S)),
    WithJsonSchema(_duration_schema(1.0, 31 * DAY_S)),
]
"""At most a month: a longer window can name its months in the cron expression."""
KeptFor = Annotated[
    float,
    BeforeValidator(DurationReader(60.0, 366 * DAY_S)),
    WithJsonSchema(_duration_schema(60.0, 366 * DAY_S)),
]
LeaseDuration = Annotated[
    float,
    BeforeValidator(DurationReader(1.0, LONGEST_DURATION_S)),
    WithJsonSchema(_duration_schema(1.0, LONGEST_DURATION_S)),
]
LeaseRetry = Annotated[
    float, BeforeValidator(DurationReader(0.05, 60.0)), WithJsonSchema(_duration_schema(0.05, 60.0))
]
DnsLabel = Annotated[
    str,
    AfterValidator(ids.dns_label),
    WithJsonSchema({"type": "string", "pattern": _LABEL_PATTERN}),
]
DnsSubdomain = Annotated[str, AfterValidator(ids.dns_subdomain)]
NatsName = Annotated[str, AfterValidator(ids.nats_name)]
BucketName = Annotated[
    str, AfterValidator(_bucket), WithJsonSchema({"type": "string", "pattern": _BUCKET_PATTERN})
]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
ServerUrl = Annotated[
    str,
    AfterValidator(_server),
    WithJsonSchema({"type": "string", "pattern": "^(nats|tls|ws|wss)://[^@?#]+$"}),
]
PrometheusUrl = Annotated[
    str,
    AfterValidator(_prometheus),
    WithJsonSchema({"type": "string", "pattern": "^https?://[^@?#]+$"}),
]
PromQuery = Annotated[str, AfterValidator(_query)]
SignalName = Annotated[
    str,
    AfterValidator(_signal_name),
    WithJsonSchema({"type": "string", "pattern": f"^{_SIGNAL_NAME}$"}),
]
LabelSelector = Annotated[str, AfterValidator(_label_selector)]
FreeText = Annotated[str, Field(min_length=1), AfterValidator(_free_text)]
LabelKey = Annotated[
    str,
    AfterValidator(_label_key),
    WithJsonSchema({"type": "string", "pattern": f"^{_LABEL_KEY}$"}),
]
LabelValue = Annotated[str, AfterValidator(_label_value)]
ModelName = Annotated[
    str,
    AfterValidator(_model_name),
    WithJsonSchema({"type": "string", "pattern": f"^{_MODEL_NAME}$"}),
]


MAX_USD: Final = 1_000_000_000
"""The largest amount in USD; no fleet costs so much in an hour."""
MAX_WEIGHT: Final = 1_000_000
"""The largest weight; only the ratios of weights matter."""

# a float keeps this many digits of what was written, whatever they are
_FLOAT_DIGITS: Final = 15


@dataclass(frozen=True, slots=True)
class DecimalReader:
    """Reads a decimal number between two limits. A limit itself is allowed unless it is open."""

    low: int
    high: int
    open_low: bool = False
    open_high: bool = False

    def __call__(self, written: object) -> Decimal:
        """The number as it is written. Raises ValueError."""
        number = self._number(written)
        too_low = number <= self.low if self.open_low else number < self.low
        too_high = number >= self.high if self.open_high else number > self.high
        if too_low or too_high:
            low = f"{'more than' if self.open_low else 'at least'} {self.low}"
            high = f"{'less than' if self.open_high else 'at most'} {self.high}"
            raise ValueError(f"must be {low} and {high}")
        return number

    @staticmethod
    def _number(written: object) -> Decimal:
        if isinstance(written, str):
            return read_decimal(written)
        text = _spelled(written)
        if text is None:
            raise ValueError("must be a number, such as 3 or 0.25")
        return Decimal(text)

    def schema(self) -> dict[str, Any]:
        """The values that it takes, as JSON Schema."""
        low = "exclusiveMinimum" if self.open_low else "minimum"
        high = "exclusiveMaximum" if self.open_high else "maximum"
        return {
            "anyOf": [
                {"type": "number", low: self.low, high: self.high},
                {"type": "string", "pattern": f"^{DECIMAL_PATTERN}$"},
            ]
        }


@dataclass(frozen=True, slots=True)
class QuantityReader:
    """Reads a Kubernetes quantity as a whole number of units, of which `per_one` make 1.

    The messages name `unit` and `example`.
    """

    per_one: int
    unit: str
    example: str
    open_low: bool = False

    def __call__(self, written: object) -> int:
        """The quantity in units, 0 or more. Raises ValueError."""
        amount = self._amount(written) * self.per_one
        if amount < 0 or (self.open_low and amount == 0):
            raise ValueError(f"must be {'more than' if self.open_low else 'at least'} 0")
        if amount.denominator != 1:
            raise ValueError(f"must be a whole number of {self.unit}")
        if amount > INT64_MAX:
            raise ValueError(f"must be at most {INT64_MAX} {self.unit}, the most Kubernetes counts")
        return int(amount)

    def _amount(self, written: object) -> Fraction:
        text = written if isinstance(written, str) else _spelled(written)
        try:
            return exact_quantity("" if text is None else text)
        except QuantityError:
            raise ValueError(f"must be a quantity, such as {self.example}") from None

    def schema(self) -> dict[str, Any]:
        """The values that it takes, as JSON Schema."""
        low = "exclusiveMinimum" if self.open_low else "minimum"
        pattern = f"^{QUANTITY_PATTERN}$"
        return {"anyOf": [{"type": "number", low: 0}, {"type": "string", "pattern": pattern}]}


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


_USD: Final = DecimalReader(0, MAX_USD)
_WEIGHT: Final = DecimalReader(0, MAX_WEIGHT, open_low=True)
_SHARE: Final = DecimalReader(0, 1)
_SHARE_BELOW_ONE: Final = DecimalReader(0, 1, open_high=True)
_FACTOR: Final = DecimalReader(0, 1000)
_TASK_SECONDS: Final = DecimalReader(0, 30 * 86_400, open_low=True)
_CORES: Final = QuantityReader(MILLI, "millicores", '"500m" or 2')
_BYTES: Final = QuantityReader(1, "bytes", '"512Mi" or "16Gi"')
_METRIC: Final = QuantityReader(MILLI, "thousandths", '"30", "500m" or "2k"')
_METRIC_TARGET: Final = QuantityReader(MILLI, "thousandths", '"30", "500m" or "2k"', open_low=True)
_BILLIONTHS: Final = QuantityReader(10**9, "billionths", '"0.05" or "50m"')


def _tolerance(written: object) -> Decimal:
    return Decimal(_BILLIONTHS(written)).scaleb(-9).normalize()


Usd = Annotated[Decimal, BeforeValidator(_USD), WithJsonSchema(_USD.schema())]
Weight = Annotated[Decimal, BeforeValidator(_WEIGHT), WithJsonSchema(_WEIGHT.schema())]
Share = Annotated[Decimal, BeforeValidator(_SHARE), WithJsonSchema(_SHARE.schema())]
ShareBelowOne = Annotated[
    Decimal, BeforeValidator(_SHARE_BELOW_ONE), WithJsonSchema(_SHARE_BELOW_ONE.schema())
]
Factor = Annotated[Decimal, BeforeValidator(_FACTOR), WithJsonSchema(_FACTOR.schema())]
TaskSeconds = Annotated[
    Decimal, BeforeValidator(_TASK_SECONDS), WithJsonSchema(_TASK_SECONDS.schema())
]
Cpu = Annotated[int, BeforeValidator(_CORES), WithJsonSchema(_CORES.schema())]
"""Millicores."""
Memory = Annotated[int, BeforeValidator(_BYTES), WithJsonSchema(_BYTES.schema())]
"""Bytes."""
MetricQuantity = Annotated[int, BeforeValidator(_METRIC), WithJsonSchema(_METRIC.schema())]
"""Thousandths of the metric's unit."""
MetricTarget = Annotated[
    int, BeforeValidator(_METRIC_TARGET), WithJsonSchema(_METRIC_TARGET.schema())
]
"""Thousandths of the metric's unit, more than 0."""
Tolerance = Annotated[Decimal, BeforeValidator(_tolerance), WithJsonSchema(_BILLIONTHS.schema())]


PlainPools = Sequence[tuple[KeyPath, Mapping[str, Any]]]
"""The pools of a document, each with its path."""


def pools_of(document: Document) -> PlainPools:
    """The pools with their paths; an empty mapping for each entry that is not a mapping."""
    entries = as_list(as_mapping(document.data).get("pools"))
    return [(("pools", index), as_mapping(entry)) for index, entry in enumerate(entries)]


def as_mapping(value: object) -> Mapping[str, Any]:
    """The value, if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> Sequence[Any]:
    """The value, if it is a list, else an empty one."""
    return value if isinstance(value, list) else ()

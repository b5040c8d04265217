"""Single values of the fleet file: durations, names, server addresses, label selectors."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from controller.model import ids
from controller.model.lease import LONGEST_DURATION_S
from controller.model.metrics import QUEUE
from controller.model.text import clean
from controller.notation.durations import GO_DURATION_PATTERN, read_duration, spell_duration

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

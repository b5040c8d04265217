"""The base class of values: frozen, compared by content, keyword-only, with JSON by msgspec; and
the limits and units of the Kubernetes API and of time, each of which is defined only here. A field
of a bounded type is checked wherever a value is decoded.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias, dataclass_transform

import msgspec
from msgspec import Meta


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


INT32_MAX: Final = 2**31 - 1
"""The most replicas that `spec.replicas` can hold."""
INT64_MAX: Final = 2**63 - 1
"""The largest quantity, in any unit."""
MILLI: Final = 1000
"""Thousandths in one unit: Kubernetes states metrics and CPU in thousandths."""
CPU: Final = "cpu"
MEMORY: Final = "memory"

END_OF_TIME: Final = 32_503_680_000
"""The start of the year 3000 in Unix seconds. A later time is probably in milliseconds."""
_LAST_DAY: Final = 253_402_214_400
"""The last day of the year 9999, which is the last that a calendar here has."""


def _range(low: float, high: float, unit: str) -> Meta:
    return Meta(ge=low, le=high, extra={"unit": unit})


Replicas: TypeAlias = Annotated[int, _range(0, INT32_MAX, "replicas")]
Amount: TypeAlias = Annotated[int, _range(0, INT64_MAX, "units")]
Counter: TypeAlias = Annotated[int, _range(0, INT64_MAX, "messages")]
Failures: TypeAlias = Annotated[int, _range(0, INT32_MAX + 1, "failures")]
DayTokens: TypeAlias = Annotated[int, _range(0, 10**15, "tokens")]
Asked: TypeAlias = Annotated[int, _range(0, 10**15, "replicas or tokens")]
Interval: TypeAlias = Annotated[float, _range(0.001, 86_400, "seconds")]
Moment: TypeAlias = Annotated[float, _range(0, END_OF_TIME, "Unix seconds, the years 1970 to 3000")]
Time: TypeAlias = Annotated[float, _range(-END_OF_TIME, _LAST_DAY, "Unix seconds")]
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

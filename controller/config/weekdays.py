"""Days of the week and times of the day, as people write them in schedules."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema

from controller.model.text import nearest

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES: Final = 24 * 60

_ONE_DAY: Final = f"({'|'.join(DAYS)})"
_SOME_DAYS: Final = rf"^{_ONE_DAY}(-{_ONE_DAY})?(\s*,\s*{_ONE_DAY}(-{_ONE_DAY})?)*$"
_TIME: Final = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
_END: Final = r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"


def days_of_week(written: object) -> tuple[int, ...]:
    """The days (0 is Monday) of `mon-fri`, `sat,sun` or a list of such texts, in order, each once.

    A range may run past Sunday, such as `fri-mon`. Raises ValueError.
    """
    parts = written if isinstance(written, list) else [written]
    texts = [part for part in parts if isinstance(part, str)]
    if not texts or len(texts) < len(parts):
        raise ValueError(_NOT_DAYS)
    items = [item.strip() for text in texts for item in text.split(",")]
    return tuple(sorted(set().union(*map(_range, items))))


def minute_of_day(written: object) -> int:
    """Minutes from midnight of "HH:MM". Raises ValueError."""
    if not isinstance(written, str) or not re.fullmatch(_TIME[1:-1], written):
        raise ValueError(
            'must be a time of the day, such as "08:00": two digits, colon, two digits'
        )
    hours, _, minutes = written.partition(":")
    return 60 * int(hours) + int(minutes)


def end_of_window(written: object) -> int:
    """The same for "HH:MM" or "24:00", the end of the day. Raises ValueError."""
    return DAY_MINUTES if written == "24:00" else minute_of_day(written)


_NOT_DAYS: Final = 'must be days: mon-fri, "sat,sun" or [mon, wed]'


def _range(item: str) -> set[int]:
    first, dash, last = item.partition("-")
    start = _day(first)
    span = (_day(last) - start) % len(DAYS) if dash else 0
    return {(start + ahead) % len(DAYS) for ahead in range(span + 1)}


def _day(name: str) -> int:
    if name not in DAYS:
        near = nearest(name.lower()[:20], DAYS)
        raise ValueError(f"{_NOT_DAYS}{f'; did you mean {near[0]}?' if near else ''}")
    return DAYS.index(name)


def _days_schema() -> dict[str, Any]:
    some = {"type": "string", "pattern": _SOME_DAYS}
    return {"anyOf": [some, {"type": "array", "items": some, "minItems": 1}]}


Days = Annotated[tuple[int, ...], BeforeValidator(days_of_week), WithJsonSchema(_days_schema())]
FromTime = Annotated[
    int, BeforeValidator(minute_of_day), WithJsonSchema({"type": "string", "pattern": _TIME})
]
UntilTime = Annotated[
    int, BeforeValidator(end_of_window), WithJsonSchema({"type": "string", "pattern": _END})
]

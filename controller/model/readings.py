"""What a source may answer: a fresh value, one that has grown old, or why there is none. Zero is a
value and needs evidence.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Generic, TypeAlias, TypeVar

from controller.model.value import Value

T = TypeVar("T")


class Why(StrEnum):
    """Why a reading is absent. Each is another thing to do for the person who reads it."""

    NEVER_READ = "never_read"
    DISCONNECTED = "disconnected"
    TIMED_OUT = "timed_out"
    REFUSED = "refused"
    STREAM_MISSING = "stream_missing"
    CONSUMER_MISSING = "consumer_missing"
    INCOMPLETE = "incomplete"
    IMPLAUSIBLE = "implausible"
    OBJECT_MISSING = "object_missing"
    VIEW_INCOMPLETE = "view_incomplete"
    UNREADABLE = "unreadable"


class Fresh(Value, Generic[T], tag="fresh"):
    """A value that complete answers gave, the latest one too; `at` is when the first of them was
    asked for, in Unix seconds. So a value that stays the same keeps its reading.
    """

    value: T
    at: float


class Stale(Value, Generic[T], tag="stale"):
    """The last good value, too old to act on downwards, and why no newer one came; `at` is when it
    was asked for, in Unix seconds.
    """

    value: T
    at: float
    why: Why = Why.TIMED_OUT
    detail: str = ""


class Absent(Value, tag="absent"):
    """No value, and why; `at` is when that was found out, in Unix seconds."""

    why: Why
    at: float = 0.0
    detail: str = ""


Reading: TypeAlias = Fresh[T] | Stale[T] | Absent


def last_known(reading: Reading[T]) -> T | None:
    """The value of a fresh or stale reading."""
    return None if isinstance(reading, Absent) else reading.value

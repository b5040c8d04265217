"""Readings: a fresh value, a stale value, or the reason why there is none. Zero is a value too: it
must come from a complete answer.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Generic, TypeAlias, TypeVar

from controller.model.value import Time, Value

T = TypeVar("T")


class Why(StrEnum):
    """Why a reading is absent or stale. Each needs another action of an operator."""

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
    HISTORY_REGRESSED = "history_regressed"


class Fresh(Value, Generic[T], tag="fresh"):
    """A value that the latest answer confirms. `at` (Unix seconds) is the time of the request that
    gave this value first, so an unchanged value keeps the same reading.
    """

    value: T
    at: Time


class Stale(Value, Generic[T], tag="stale"):
    """The last good value, and why there is no newer one; it is too old to scale down with. `at`
    is the time of its request, in Unix seconds.
    """

    value: T
    at: Time
    why: Why = Why.TIMED_OUT
    detail: str = ""


class Absent(Value, tag="absent"):
    """No value, and why; `at` is when that was found, in Unix seconds."""

    why: Why
    at: Time = 0.0
    detail: str = ""


Reading: TypeAlias = Fresh[T] | Stale[T] | Absent


def last_known(reading: Reading[T]) -> T | None:
    """The value of a fresh or stale reading; None of an absent one."""
    return None if isinstance(reading, Absent) else reading.value

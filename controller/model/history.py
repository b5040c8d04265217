"""What a pool looked like over time, as a screen draws it."""

from __future__ import annotations

from typing import Final

from controller.model.value import Value

NOT_KNOWN: Final = -1
"""Stands in a series where the value was not known, or nothing was recorded."""


class Timeline(Value):
    """Numbers over time, the oldest first; the last one is of the slot that ended last. A series
    that is not kept is empty.

    Of a pool: `pending` is the most messages that waited in each slot, and `wait_s` the longest
    that a message had waited in it, in seconds. `ready` and `target` are the replicas that were
    ready and that the pool should have had at the end of it. Of a tenant: `tokens` is the fastest
    pace of the slot, in tokens a minute: as its budget counts them, without one all of them.
    """

    pending: tuple[int, ...] = ()
    ready: tuple[int, ...] = ()
    target: tuple[int, ...] = ()
    wait_s: tuple[int, ...] = ()
    tokens: tuple[int, ...] = ()


class History(Value):
    """One pool or one tenant: `recent` is the last 15 minutes in slots of 15 s, `day` the last 24
    hours in slots of 15 minutes.
    """

    recent: Timeline = Timeline()
    day: Timeline = Timeline()

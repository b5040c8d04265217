"""What a pool looked like over time, as a screen draws it."""

from __future__ import annotations

from typing import Final

from controller.model.value import Value

NOT_KNOWN: Final = -1
"""Stands in a series where the value was not known, or nothing was recorded."""


class Timeline(Value):
    """A pool's numbers over time, the oldest first; the last one is of the slot that ended last.

    `pending` is the most messages that waited in each slot. `ready` and `target` are the replicas
    that were ready and that the pool should have had at the end of it.
    """

    pending: tuple[int, ...] = ()
    ready: tuple[int, ...] = ()
    target: tuple[int, ...] = ()


class History(Value):
    """One pool: `recent` is the last 15 minutes in slots of 15 s, `day` the last 24 hours in slots
    of 15 minutes.
    """

    recent: Timeline = Timeline()
    day: Timeline = Timeline()

"""A plan after its first two steps, which the others go on from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.planning.changes import Changes
from controller.planning.compile import FleetTerms
from controller.planning.kept import Alone, Kept


class Begun(NamedTuple):
    """Steps 1 and 2 of the pools that are worked out again, by number.

    `alone` are those whose Deployment is known; `unknown` the others, with their last size.
    """

    terms: FleetTerms
    intents: Intents
    memory: Memory
    now: float
    kept: Kept | None
    changes: Changes
    alone: Mapping[int, Alone]
    unknown: Mapping[int, int | None]

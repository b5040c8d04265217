"""A plan after steps 1 and 2: the input of the later steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.planning.changes import Changes
from controller.planning.compile import FleetTerms
from controller.planning.kept import Kept, LocalPlan


class PlanContext(NamedTuple):
    """The inputs of a plan, and the results of steps 1 and 2 of the pools that are computed again.

    By pool number: `local` has the pools whose Deployment is known, `unknown` the others with their
    last size (None if there is none). `now` is Unix seconds.
    """

    terms: FleetTerms
    intents: Intents
    memory: Memory
    now: float
    kept: Kept | None
    changes: Changes
    local: Mapping[int, LocalPlan]
    unknown: Mapping[int, int | None]

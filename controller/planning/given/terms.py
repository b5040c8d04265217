"""One pool's part of the fleet file, compiled once for each file."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import msgspec

from controller.model.fleet import Behavior, NativeCosts, Pool
from controller.model.metrics import MetricSpec
from controller.notation.formula_syntax import FormulaError
from controller.planning.demand.metrics.external import Tolerance
from controller.planning.demand.metrics.formula import Formula
from controller.planning.given.override import Override


class PoolTerms(msgspec.Struct, frozen=True, gc=False):
    """One pool's part of the fleet file, resolved.

    - `override`: what is in force without schedules, intents and annotations: the pool's own bounds
      and its tier's policy for blindness. `zone`: its tenant's clock.
    - `has_metrics`: its size depends on more than its queue and rule native. `specs`: its metrics;
      for rule hpa without any, its queue. `formula`: of its modifiers, None where it has none.
    - `needs_past`: rule native or its spares use what was learned about the pool. `costs`: those of
      rule native. `turn_s`: when it is the pool's turn within the interval at which the rule
      learns.
    - `learned_behavior`: its windows and policies once rule native uses what it has learned.
    - `configured_spares`: spares that the fleet file names by number.
    """

    pool: Pool
    override: Override
    zone: ZoneInfo
    has_metrics: bool
    specs: tuple[MetricSpec, ...]
    formula: Formula | FormulaError | None
    tolerance: Tolerance
    needs_past: bool
    costs: NativeCosts
    turn_s: float
    learned_behavior: Behavior
    configured_spares: int

"""One pool's decision in the making: each step of the plan reads it and moves it on."""

from __future__ import annotations

from controller.model.decision import Bound, Code, Gate, Number, Reason
from controller.model.fleet import Pool
from controller.model.memory import PoolMemory
from controller.model.observation import PoolObservation, Workload
from controller.planning.allocation import Ceiling
from controller.planning.demand import Work
from controller.planning.measured import Measured, Unknown
from controller.planning.overrides import Override


class Draft:
    """What is decided of one pool so far; it lives for one plan and never leaves it.

    `replicas` is the number on its way from
    recommendation to target to next; `unheld` what it would be if nothing remembered held it.
    `history` are the recommendations to remember. `left_alone`: no limit and no gate applies.
    `min` and `max` are the pool's now, its schedule's where one is open; `ceilings` the other
    limits of this pool alone; `pinned` the spares that an operator asked for. `measured` are its
    metrics, None where it has none; `unknown` the first of them that nothing stands in for.
    """

    __slots__ = (
        "active",
        "bound",
        "ceilings",
        "current",
        "gate",
        "history",
        "left_alone",
        "max",
        "measured",
        "memory",
        "min",
        "now",
        "override",
        "pinned",
        "pool",
        "reasons",
        "recommendation",
        "replicas",
        "resource_version",
        "seen",
        "target",
        "unheld",
        "unknown",
        "work",
    )

    def __init__(
        self,
        pool: Pool,
        seen: PoolObservation,
        *,
        workload: Workload,
        work: Work,
        active: bool,
        memory: PoolMemory,
        reasons: list[Reason],
        now: float,
        override: Override | None = None,
        measured: Measured | None = None,
    ) -> None:
        self.pool = pool
        self.override = override
        self.min, self.max = (pool.min, pool.max) if override is None else override.bounds[:2]
        self.ceilings: list[Ceiling] = []
        self.pinned = 0
        self.seen = seen
        self.work = work
        self.memory = memory
        self.history = memory.recommendations
        self.reasons = reasons
        self.now = now
        self.current = self.replicas = self.unheld = self.target = workload.replicas
        self.recommendation = workload.replicas
        self.resource_version = workload.resource_version
        self.active = active
        self.left_alone = False
        self.measured = measured
        self.unknown: Unknown | None = None
        self.bound = Bound.DEMAND
        self.gate: Gate | None = None

    def because(self, code: Code, value: int | None = None, **numbers: Number) -> None:
        """Add the reason of a rule that was applied, with the replicas after it."""
        self.reasons.append(Reason(code=code, value=value, numbers=numbers))

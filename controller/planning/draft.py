"""One pool's decision in the making: each step of the plan reads it and moves it on."""

from __future__ import annotations

from msgspec.structs import replace

from controller.model.decision import Bound, Code, Gate, Number, Reason
from controller.model.fleet import Behavior, Pool, Rule
from controller.model.memory import PoolMemory
from controller.model.native import NativeMemory
from controller.model.observation import PoolObservation, Workload
from controller.planning.allocation import Ceiling
from controller.planning.demand import Work
from controller.planning.foresight import is_settled
from controller.planning.measured import Measured, Unknown
from controller.planning.overrides import Override


class Draft:
    """What is decided of one pool so far; it lives for one plan and never leaves it.

    `replicas` is the number on its way from recommendation to target to next; `unheld` what it
    would be if nothing remembered held it, `tolerated` how much of it a metric's tolerance keeps
    beyond what the metric needs, `stable` what its windows make of that (0 where none is asked),
    `alone` what its own limits leave it before anything is shared. `history` are the
    recommendations to remember. `left_alone`: no limit and no gate applies. `min` and `max` are the
    pool's now, its schedule's where one is open; `ceilings` the other limits of this pool alone;
    `pinned` the spares that an operator asked for, `spares` those for arrivals. `measured` are its
    metrics, None where it has none; `unknown` the first of them that nothing stands in for.
    `native` is what its rule has learned, and `settled` whether it goes by it. `expects_work`: by
    what it has learned, metrics aside, replicas are worth having although no message waits, and no
    cooldown takes them.
    """

    __slots__ = (
        "active",
        "alone",
        "bound",
        "ceilings",
        "current",
        "expects_work",
        "gate",
        "history",
        "left_alone",
        "max",
        "measured",
        "memory",
        "min",
        "native",
        "now",
        "override",
        "pinned",
        "pool",
        "reasons",
        "recommendation",
        "replicas",
        "resource_version",
        "seen",
        "settled",
        "spares",
        "stable",
        "target",
        "tolerated",
        "unheld",
        "unknown",
        "work",
        "workload",
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
        native: NativeMemory | None = None,
    ) -> None:
        self.pool = pool
        self.override = override
        self.min, self.max = (pool.min, pool.max) if override is None else override.bounds[:2]
        self.ceilings: tuple[Ceiling, ...] = ()
        self.pinned = self.spares = 0
        self.seen = seen
        self.work = work
        self.workload = workload
        self.memory = memory
        self.history = memory.recommendations
        self.reasons = reasons
        self.now = now
        self.current = self.replicas = self.unheld = self.target = workload.replicas
        self.recommendation = self.alone = workload.replicas
        self.stable = self.tolerated = 0
        self.resource_version = workload.resource_version
        self.active = active
        self.left_alone = False
        self.measured = measured
        self.native = native
        self.settled = pool.rule is Rule.NATIVE and work.counted and is_settled(native)
        self.expects_work = self.settled and pool.activation == 0 and bool(work.demand)
        self.unknown: Unknown | None = None
        self.bound = Bound.DEMAND
        self.gate: Gate | None = None

    @property
    def behavior(self) -> Behavior:
        """The pool's. A window downwards that nobody asked for is not needed where its past says
        what is worth keeping.
        """
        behavior = self.pool.behavior
        if not self.settled or self.pool.window_given:
            return behavior
        return replace(behavior, scale_down=replace(behavior.scale_down, stabilization_window_s=0))

    def because(self, code: Code, value: int | None = None, **numbers: Number) -> None:
        """Add the reason of a rule that was applied, with the replicas after it."""
        self.reasons.append(Reason(code=code, value=value, numbers=numbers))

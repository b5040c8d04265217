"""What one step of a plan gives to the next, from the work of a pool to the size it is set to."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from controller.model.decision import Bound, Code, Drain, Gate, Number, Reason
from controller.model.memory import NativeMemory, PoolMemory, Repeats
from controller.planning.amounts import Ceiling


def because(code: Code, value: int | None = None, **numbers: Number) -> Reason:
    """The reason of a rule that was applied, with the replicas after it and its numbers."""
    return Reason(code=code, value=value, numbers=numbers)


class Work(msgspec.Struct, frozen=True, gc=False):
    """The work of one pool.

    `messages` wait or are in flight; None where the number is not known. If `counted`, a complete
    answer gave the number; else there are at least so many. `woken`: a message was published that
    the count does not include yet. `demand` is in replicas, None where it is not known.
    """

    messages: int | None
    counted: bool
    woken: bool
    demand: int | None


class Activator(NamedTuple):
    """What activates the pool: a metric's value strictly above its activation, in thousandths."""

    name: str
    milli: int
    activation_milli: int


class UnusableMetric(NamedTuple):
    """A metric that cannot be used, and the numbers that say why."""

    name: str
    numbers: dict[str, Number]


class Demand(msgspec.Struct, frozen=True, gc=False):
    """What the work of one pool asks for.

    - `work`: the messages and the demand, including that of its metrics. If `work.counted`, the
      demand is complete; else it is a lower bound.
    - `needed`: the replicas that the present work needs, without memory, windows, tolerance and the
      present size; None if not known.
    - `active`: it has work worth waking for. `forced`: an annotation says that it has.
      `activator`: the metric that woke it, if it was one.
    - `settled`: the demand is what rule native has learned. `expects_work`: so replicas are worth
      running although no message waits, and the cooldown does not remove them.
    - `proposal`: for rule hpa the largest proposal of its metrics, None if there is none or it may
      not be followed.
    - `arrivals`: the expected arrivals during one time to ready; None if not known.
    - `unusable`: the first metric that cannot be used, so that the demand is incomplete.
    - `native`, `repeats`, `queue_repeats`, `failures`: to be remembered.
    """

    work: Work
    needed: int | None
    active: bool
    forced: bool
    settled: bool
    expects_work: bool
    arrivals: float | None
    native: NativeMemory | None
    repeats: Repeats | None
    queue_repeats: tuple[Repeats | None, ...]
    failures: dict[str, int]
    reasons: tuple[Reason, ...]
    activator: Activator | None = None
    proposal: int | None = None
    unusable: UnusableMetric | None = None


class Recommendation(msgspec.Struct, frozen=True, gc=False):
    """The size that the pool's rule recommends, before its limits.

    - `min`: the floor in force; an idle pool may rest below its own.
    - `unstabilized`: the size without windows and rate policies.
    - `left_alone`: the pool was scaled to zero by hand; no limit and no gate applies.
    - `memory`: the memory that windows and policies used, with the history after this
      recommendation.
    """

    replicas: int
    bound: Bound
    min: int
    unstabilized: int
    left_alone: bool
    memory: PoolMemory
    reasons: tuple[Reason, ...]


class Limits(msgspec.Struct, frozen=True, gc=False):
    """One pool's limits, and its size before anything is shared.

    - `replicas`: the size after spares and ceilings. `bound`: the rule that decided it.
    - `recommendation`: the recommended size within the bounds, before spares and ceilings.
    - `min`, `max`: the bounds in force. `pinned`: replicas above min that belong to the floor.
      `spares`: replicas on top of the recommendation, including the pinned ones.
    - `ceilings`: the limits besides max.
    - `unstabilized`: the size without windows and rate policies.
    - `is_moving`: a window or a rate policy still delays a change of the recommendation.
    - `left_alone`: no limit and no gate applies.
    - `held`: a gate will keep it from shrinking, so it takes part in sharing with its present size.
    - `memory`: the memory after this step.
    """

    replicas: int
    bound: Bound
    recommendation: int
    min: int
    max: int
    unstabilized: int
    memory: PoolMemory
    pinned: int = 0
    spares: int = 0
    ceilings: tuple[Ceiling, ...] = ()
    is_moving: bool = False
    left_alone: bool = False
    held: bool = False
    reasons: tuple[Reason, ...] = ()


class Target(msgspec.Struct, frozen=True, gc=False):
    """The number of replicas that one pool should have, and the rule that decided it."""

    replicas: int
    bound: Bound
    reasons: tuple[Reason, ...] = ()


class Next(msgspec.Struct, frozen=True, gc=False):
    """The size to set now, in replicas; if it is not the target, the gate and reasons say why.
    `drain`: what the workers are told, None for a pool whose workers never said what they do.
    """

    replicas: int
    gate: Gate | None = None
    reasons: tuple[Reason, ...] = ()
    drain: Drain | None = None


class Gated(msgspec.Struct, frozen=True, gc=False):
    """The size to set now (`replicas`), the gate of this step or of step 4 if there is one, the
    pool's memory, and what its workers are told.
    """

    replicas: int
    gate: Gate | None
    memory: PoolMemory
    reasons: tuple[Reason, ...] = ()
    drain: Drain | None = None

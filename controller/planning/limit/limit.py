"""Step 2, limits: the ceilings and the floors of one pool; a ceiling wins over a floor."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec.structs import replace

from controller.model.decision import Bound, Code, Number, Reason
from controller.model.limits import INT32_MAX
from controller.model.memory import PoolMemory
from controller.planning.allocation.values import Ceiling
from controller.planning.inputs import Halt, Moment, PoolInput
from controller.planning.limit.blind import lift_blind
from controller.planning.limit.held import is_held
from controller.planning.limit.spares import NO_SPARES, spare_base, spares_of
from controller.planning.recommend.recommendation import add_reason
from controller.planning.remember.contest import confirm_override, is_contested
from controller.planning.values import Demand, Limits, Recommendation

_PAUSE: Final = "pause"
_CAP: Final = "cap"
_NO_GROWTH: Final = "no growth"
_BY_OPERATOR: Final = frozenset({Bound.PAUSE, Bound.CAP})


class _Size(msgspec.Struct, frozen=True, gc=False):
    """A size while the limits are applied one by one; the fields are those of `Limits`."""

    replicas: int
    bound: Bound
    min: int
    unstabilized: int
    pinned: int = 0
    spares: int = 0
    ceilings: tuple[Ceiling, ...] = ()


def limit(
    given: PoolInput, demand: Demand, recommendation: Recommendation, moment: Moment
) -> Limits:
    """Apply min and max to the recommendation, without windows or rates; then spares and pauses."""
    reasons: list[Reason] = []
    lifted = lift_blind(given, demand, recommendation, moment, reasons)
    memory = recommendation.memory
    if lifted.blind_since != memory.blind_since:
        memory = replace(memory, blind_since=lifted.blind_since)
    if recommendation.left_alone:
        return _left_alone(given, recommendation, memory, reasons)
    bound = Bound.DEMAND if lifted.is_raised else recommendation.bound
    least, most = recommendation.min, given.override.bounds.max
    recommended, bound = _between_bounds(given, lifted.replicas, bound, least, reasons)
    unstabilized = min(max(recommendation.unstabilized, least), most)
    size = _Size(recommended, bound, least, unstabilized)
    size = _with_spares(given, demand, size, reasons)
    size = _capped(given, size, reasons)
    size = _paused(given, size, reasons)
    for halt in given.override.halts:
        size = _halted(given, halt, size, reasons)
    size = _not_growing(given, size, reasons)
    held = is_held(
        given, demand, memory, moment, replicas=size.replicas, unstabilized=size.unstabilized
    )
    if size.replicas != given.current and memory.replaced is not None and not held:
        memory = confirm_override(memory, moment)
    return Limits(
        replicas=size.replicas,
        bound=size.bound,
        recommendation=recommended,
        min=size.min,
        max=most,
        pinned=size.pinned,
        spares=size.spares,
        ceilings=size.ceilings,
        unstabilized=size.unstabilized,
        is_moving=recommended != unstabilized,
        left_alone=False,
        held=held or is_contested(memory, moment),
        memory=memory,
        reasons=tuple(reasons),
    )


def _left_alone(
    given: PoolInput, recommendation: Recommendation, memory: PoolMemory, reasons: list[Reason]
) -> Limits:
    """A pool that was scaled to zero by hand has no limits."""
    return Limits(
        replicas=given.current,
        bound=recommendation.bound,
        recommendation=recommendation.replicas,
        min=recommendation.min,
        max=given.override.bounds.max,
        pinned=0,
        spares=0,
        ceilings=(),
        unstabilized=given.current,
        is_moving=False,
        left_alone=True,
        held=True,
        memory=memory,
        reasons=tuple(reasons),
    )


def _between_bounds(
    given: PoolInput, replicas: int, bound: Bound, least: int, reasons: list[Reason]
) -> tuple[int, Bound]:
    """The size within min and max (those of a schedule, if one is open), and the bound that decided
    it.
    """
    bounds = given.override.bounds
    if bound is Bound.MAX or replicas > bounds.max:
        replicas, bound = bounds.max, Bound.MAX
        add_reason(reasons, Code.AT_MAX, bounds.max, max=bounds.max)
    elif bound is Bound.MIN or replicas < least:
        replicas, bound = least, Bound.MIN
        add_reason(reasons, Code.AT_MIN, least, min=least)
    else:
        return replicas, bound
    if bounds.scheduled:
        add_reason(reasons, Code.SCHEDULED, replicas, min=least, max=bounds.max)
        return replicas, Bound.SCHEDULE
    return replicas, bound


def _with_spares(given: PoolInput, demand: Demand, size: _Size, reasons: list[Reason]) -> _Size:
    """The size, raised to make room for spares on top of what the present work needs, up to max."""
    recommended, least, most = size.replicas, size.min, given.override.bounds.max
    base = spare_base(demand, recommended, least)
    spares = spares_of(given, demand, base)
    if spares is NO_SPARES:
        return size
    replicas, bound, wanted = recommended, size.bound, base
    for count, kind in ((spares.configured, Bound.WARM), (spares.pinned, Bound.PIN)):
        if not count:
            continue
        wanted += count
        if replicas < min(wanted, most):
            replicas, bound = min(wanted, most), kind
        if wanted > most:
            bound = Bound.MAX
            add_reason(reasons, Code.AT_MAX, most, max=most)
        _explain_spares(given, kind, count, replicas, reasons)
    if (room := min(spares.for_arrivals, max(most - max(wanted, recommended), 0))) > 0:
        wanted += room
        if replicas < wanted:
            replicas, bound = wanted, Bound.WARM
        _explain_spares(given, Bound.WARM, room, replicas, reasons)
    unstabilized_base = spare_base(demand, size.unstabilized, least)
    return _Size(
        replicas=replicas,
        bound=bound,
        min=least,
        unstabilized=max(size.unstabilized, min(unstabilized_base + wanted - base, most)),
        pinned=spares.configured + spares.pinned,
        spares=max(wanted - max(recommended, least), 0),
    )


def _explain_spares(
    given: PoolInput, kind: Bound, spares: int, replicas: int, reasons: list[Reason]
) -> None:
    pin = given.override.pin
    if kind is Bound.PIN and pin is not None:
        add_reason(reasons, Code.PINNED, replicas, spares=spares, who=pin.who, reason=pin.why)
    else:
        add_reason(reasons, Code.WARM_SPARES, replicas, spares=spares)


def _capped(given: PoolInput, size: _Size, reasons: list[Reason]) -> _Size:
    """At most as many as an operator says; a ceiling wins over min and spares."""
    cap = given.override.cap
    if cap is None or cap.replicas >= given.override.bounds.max:
        return size
    most = max(cap.replicas, 0)
    ceiling = Ceiling(limit=most, bound=Bound.CAP, name=_CAP)
    ceilings = (*size.ceilings, ceiling)
    unstabilized = min(size.unstabilized, most)
    if size.replicas <= most:
        return replace(size, ceilings=ceilings, unstabilized=unstabilized)
    add_reason(reasons, Code.CAPPED, most, who=cap.who, reason=cap.why)
    return replace(
        size, replicas=most, bound=Bound.CAP, ceilings=ceilings, unstabilized=unstabilized
    )


def _paused(given: PoolInput, size: _Size, reasons: list[Reason]) -> _Size:
    """An operator's pause: a ceiling of 0; with `keep`, floor and ceiling, but never above max."""
    pause = given.override.pause
    if pause is None:
        return size
    keep, most = pause.keep, given.override.bounds.max
    if keep is None:
        add_reason(reasons, Code.PAUSED, 0, who=pause.who, reason=pause.why)
        return _kept_at(size, 0)
    if keep < 0:
        kept = given.current
        add_reason(reasons, Code.PAUSE_UNREADABLE, kept, keep=keep, who=pause.who)
    else:
        if keep > most:
            add_reason(reasons, Code.AT_MAX, most, max=most)
        kept = min(keep, most)
        add_reason(reasons, Code.KEPT_WHILE_PAUSED, kept, who=pause.who, reason=pause.why)
    cap = given.override.cap
    if cap is None or cap.replicas >= kept:
        return _kept_at(size, kept)
    capped = max(cap.replicas, 0)
    add_reason(reasons, Code.CAPPED, capped, who=cap.who, reason=cap.why)
    return replace(_kept_at(size, capped), bound=Bound.CAP)


def _halted(given: PoolInput, halt: Halt, size: _Size, reasons: list[Reason]) -> _Size:
    """KEDA's pause of a Deployment by annotation. An operator's pause or cap is a ceiling to it,
    except where the annotation keeps the present size.
    """
    current = given.current
    asked = (each.limit for each in size.ceilings if each.bound in _BY_OPERATOR)
    by_operator = min(asked, default=INT32_MAX)
    if halt.unreadable is not None:
        numbers: dict[str, Number] = {"annotation": halt.annotation, "text": halt.unreadable}
        add_reason(reasons, Code.ANNOTATION_UNREADABLE, current, **numbers)
        return _kept_at(size, current)
    if halt.holds or halt.keep is not None:
        kept = current if halt.keep is None else min(halt.keep, by_operator)
        add_reason(reasons, Code.KEPT_BY_ANNOTATION, kept, annotation=halt.annotation)
        return _kept_at(size, kept)
    if halt.grows:
        floor = min(current, given.override.bounds.max, by_operator)
        return _kept_from_shrinking(halt, floor, size, reasons)
    return _kept_from_growing(halt, current, size, reasons)


def _kept_at(size: _Size, replicas: int) -> _Size:
    """The size with this number as floor and as ceiling."""
    ceiling = Ceiling(limit=replicas, bound=Bound.PAUSE, name=_PAUSE)
    return _Size(replicas, Bound.PAUSE, replicas, replicas, ceilings=(*size.ceilings, ceiling))


def _kept_from_shrinking(halt: Halt, floor: int, size: _Size, reasons: list[Reason]) -> _Size:
    least = max(size.min, floor)
    # pinned replicas are a floor above the pool's own min, not above the present size
    pinned = max(size.min + size.pinned - least, 0)
    size = replace(size, min=least, pinned=pinned)
    # replicas that only a window keeps now would be removed later
    if size.replicas > floor or min(size.replicas, size.unstabilized) >= floor:
        return size
    add_reason(reasons, Code.NO_SHRINKING, floor, annotation=halt.annotation)
    unstabilized = max(size.unstabilized, floor)
    return replace(size, replicas=floor, bound=Bound.PAUSE, unstabilized=unstabilized)


def _kept_from_growing(halt: Halt, current: int, size: _Size, reasons: list[Reason]) -> _Size:
    ceiling = Ceiling(limit=current, bound=Bound.PAUSE, name=_PAUSE)
    size = replace(size, ceilings=(*size.ceilings, ceiling))
    if size.replicas <= current:
        return size
    add_reason(reasons, Code.NO_GROWTH, current, annotation=halt.annotation)
    return replace(size, replicas=current, bound=Bound.PAUSE)


def _not_growing(given: PoolInput, size: _Size, reasons: list[Reason]) -> _Size:
    """No more than there are now, because an operator says so; fewer are as good."""
    held, current = given.override.no_growth, given.current
    if held is None:
        return size
    ceiling = Ceiling(limit=current, bound=Bound.NO_GROWTH, name=_NO_GROWTH)
    size = replace(size, ceilings=(*size.ceilings, ceiling))
    if size.replicas <= current:
        return size
    add_reason(reasons, Code.NOT_GROWING, current, who=held.who, reason=held.why)
    return replace(size, replicas=current, bound=Bound.NO_GROWTH)

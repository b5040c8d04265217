"""Step 2, limits: the ceilings and the floors of one pool; a ceiling wins over a floor.

Spares stand on top of what the present work needs, so a spare never counts as work that needs
another spare. The arrivals during one time to ready are assumed to be Poisson distributed, at the
learned rate. A wake-up takes milliseconds, so the time to notice a message is not added.
"""

from __future__ import annotations

import math
from typing import Final

from msgspec.structs import replace

from controller.model.decision import Bound, Code, Reason
from controller.model.readings import Fresh, Stale
from controller.model.value import INT32_MAX
from controller.planning.demand.native import spares_for_arrivals
from controller.planning.inputs import Halt, Moment, PoolInput
from controller.planning.memory import judged
from controller.planning.values import Ceiling, Demand, Limits, because
from controller.planning.windows import warm_until

SLACK: Final = 1.25
"""A spare is kept until the arrival rate is lower by this factor than when it was added."""
_ARRIVAL_DIGITS: Final = 3
_PAUSE: Final = "pause"
_BY_OPERATOR: Final = frozenset({Bound.PAUSE, Bound.CAP})


def limit(given: PoolInput, demand: Demand, size: Limits, moment: Moment) -> Limits:
    """Apply min and max to the recommendation, without windows or rates; then spares and pauses."""
    override, current = given.override, given.current
    since = None if demand.counted else _blind_since(given, demand, moment)
    if since != size.memory.blind_since:
        size = replace(size, memory=replace(size.memory, blind_since=since))
    if size.left_alone:
        return replace(size, recommendation=size.replicas, held=True)
    recommended, bound, reasons = _between_bounds(given, size, since, moment)
    unstabilized = min(max(size.unstabilized, size.min), size.max)
    size = replace(
        size,
        replicas=recommended,
        bound=bound,
        recommendation=recommended,
        unstabilized=unstabilized,
        is_moving=recommended != unstabilized,
        reasons=size.reasons + reasons,
    )
    size = _with_spares(given, demand, size)
    size = _capped(given, size)
    size = _paused(given, size)
    for halt in override.halts:
        size = _halted(given, halt, size)
    if (ban := override.no_growth) is not None:
        reason = because(Code.NOT_GROWING, current, who=ban.who, reason=ban.why)
        size = _at_most(size, current, Bound.NO_GROWTH, "no growth", reason)
    held = _is_held(given, demand, size, moment)
    disagrees = size.replicas != current and not held
    memory, contest = judged(size.memory, current, moment, disagrees=disagrees)
    held = held or contest is not None
    return replace(size, held=held, memory=memory) if held or memory is not size.memory else size


def _between_bounds(
    given: PoolInput, size: Limits, blind_since: float | None, moment: Moment
) -> tuple[int, Bound, tuple[Reason, ...]]:
    """The recommendation within min and max (those of a schedule, if one is open), the bound that
    decided it, and the reasons.

    If the pool has been blind for longer than its tier's policy waits, its size is raised first to
    the policy's replicas, or to those of its own fallback if they are more.
    """
    replicas, bound = size.replicas, size.bound
    bounds, policy, least = given.override.bounds, given.override.blind, size.min
    reasons: list[Reason] = []
    if policy is not None and blind_since is not None:
        fallback = given.terms.pool.fallback
        floor = policy.replicas if fallback is None else max(policy.replicas, fallback.replicas)
        if moment.passed(blind_since + policy.after_s) and replicas <= floor:
            replicas, bound, after_s = floor, Bound.DEMAND, policy.after_s
            reasons.append(because(Code.BLIND_FOR_LONG, floor, since=blind_since, after_s=after_s))
    if bound is Bound.MAX or replicas > bounds.max:
        replicas, bound = bounds.max, Bound.MAX
        reasons.append(because(Code.AT_MAX, replicas, max=replicas))
    elif bound is Bound.MIN or replicas < least:
        replicas, bound = least, Bound.MIN
        reasons.append(because(Code.AT_MIN, least, min=least))
    else:
        return replicas, bound, tuple(reasons)
    if bounds.scheduled:
        bound = Bound.SCHEDULE
        reasons.append(because(Code.SCHEDULED, replicas, min=least, max=bounds.max))
    return replicas, bound, tuple(reasons)


def _blind_since(given: PoolInput, demand: Demand, moment: Moment) -> float:
    """When the work was last known: by the last good answer, the memory, else since now."""
    queue, known = given.seen.queue, given.memory.blind_since
    by_queue = demand.unusable is None and not isinstance(queue, Fresh)
    is_stale = by_queue and isinstance(queue, Stale) and math.isfinite(queue.at)
    if is_stale and moment.reached(queue.at):
        return queue.at
    if known is not None:
        return known
    if by_queue and queue.at > 0 and moment.reached(queue.at):
        return queue.at
    return moment.now


def _with_spares(given: PoolInput, demand: Demand, size: Limits) -> Limits:
    """The size with spares up to max: of the fleet file, pinned, and for a service level."""
    pin, configured = given.override.pin, given.terms.configured_spares
    if pin is None and given.terms.pool.warm is None:
        return size
    pinned = 0 if pin is None else max(pin.count, 0)
    recommended, most = size.replicas, size.max
    base = _spare_base(demand, recommended, size.min)
    arriving = _spares_by_slo(given, demand, base + configured + pinned)
    if not (configured or pinned or arriving):
        return size
    replicas, bound, wanted, reasons = recommended, size.bound, base, list(size.reasons)
    for count, kind in ((configured, Bound.WARM), (pinned, Bound.PIN)):
        if not count:
            continue
        wanted += count
        if replicas < min(wanted, most):
            replicas, bound = min(wanted, most), kind
        if wanted > most:
            bound = Bound.MAX
            reasons.append(because(Code.AT_MAX, most, max=most))
        by = {"who": pin.who, "reason": pin.why} if pin is not None and kind is Bound.PIN else {}
        code = Code.PINNED if by else Code.WARM_SPARES
        reasons.append(because(code, replicas, spares=count, **by))
    if (room := min(arriving, most - max(wanted, recommended))) > 0:
        wanted += room
        if replicas < wanted:
            replicas, bound = wanted, Bound.WARM
        reasons.append(because(Code.WARM_SPARES, replicas, spares=room))
    unstabilized_base = _spare_base(demand, size.unstabilized, size.min)
    return replace(
        size,
        replicas=replicas,
        bound=bound,
        unstabilized=max(size.unstabilized, min(unstabilized_base + wanted - base, most)),
        pinned=configured + pinned,
        spares=max(wanted - max(recommended, size.min), 0),
        reasons=tuple(reasons),
    )


def _spare_base(demand: Demand, recommendation: int, minimum: int) -> int:
    """The size on top of which spares stand: what the present work needs, and at least min.

    It is only min if the work is not known, or if a window or a policy grants less than the work
    needs. Otherwise spares would bypass that window or policy, because the waiting work would use
    them at once.
    """
    needed = demand.needed
    if needed is None or needed > recommendation:
        return minimum
    return max(needed, minimum)


def _spares_by_slo(given: PoolInput, demand: Demand, base: int) -> int:
    """The spares for a service level on top of `base`; those that are there stay within `SLACK`."""
    warm, arrivals = given.terms.pool.warm, demand.arrivals
    if warm is None or warm.slo is None or arrivals is None:
        return 0
    slo = float(warm.slo)
    fewest = spares_for_arrivals(round(arrivals, _ARRIVAL_DIGITS), slo)
    most = spares_for_arrivals(round(arrivals * SLACK, _ARRIVAL_DIGITS), slo)
    return min(max(given.current - base, fewest), most)


def _at_most(size: Limits, most: int, bound: Bound, name: str, reason: Reason) -> Limits:
    """The size under one more ceiling; the reason is given if that lowers it."""
    ceilings = (*size.ceilings, Ceiling(limit=most, bound=bound, name=name))
    if size.replicas <= most:
        return replace(size, ceilings=ceilings)
    reasons = (*size.reasons, reason)
    return replace(size, replicas=most, bound=bound, ceilings=ceilings, reasons=reasons)


def _capped(given: PoolInput, size: Limits) -> Limits:
    """At most as many as an operator says; a ceiling wins over min and spares."""
    cap = given.override.cap
    if cap is None or cap.count >= size.max:
        return size
    most = max(cap.count, 0)
    reason = because(Code.CAPPED, most, who=cap.who, reason=cap.why)
    capped = _at_most(size, most, Bound.CAP, "cap", reason)
    return replace(capped, unstabilized=min(size.unstabilized, most))


def _paused(given: PoolInput, size: Limits) -> Limits:
    """An operator's pause: a ceiling of 0; with `keep`, floor and ceiling, but never above max."""
    pause, cap, most = given.override.pause, given.override.cap, size.max
    if pause is None:
        return size
    if pause.amount is None:
        return _kept_at(size, 0, because(Code.PAUSED, 0, who=pause.who, reason=pause.why))
    kept = given.current if pause.count < 0 else min(pause.count, most)
    reasons = [because(Code.KEPT_WHILE_PAUSED, kept, who=pause.who, reason=pause.why)]
    if pause.count < 0:
        reasons = [because(Code.PAUSE_UNREADABLE, kept, keep=pause.count, who=pause.who)]
    elif pause.count > most:
        reasons.insert(0, because(Code.AT_MAX, most, max=most))
    if cap is None or cap.count >= kept:
        return _kept_at(size, kept, *reasons)
    capped = max(cap.count, 0)
    reason = because(Code.CAPPED, capped, who=cap.who, reason=cap.why)
    return replace(_kept_at(size, capped, *reasons, reason), bound=Bound.CAP)


def _halted(given: PoolInput, halt: Halt, size: Limits) -> Limits:
    """KEDA's pause by annotation; an operator's is a ceiling, unless this keeps the size."""
    current, name = given.current, halt.annotation
    asked = (each.limit for each in size.ceilings if each.bound in _BY_OPERATOR)
    by_operator = min(asked, default=INT32_MAX)
    if (text := halt.unreadable) is not None:
        reason = because(Code.ANNOTATION_UNREADABLE, current, annotation=name, text=text)
        return _kept_at(size, current, reason)
    if halt.holds or halt.keep is not None:
        kept = current if halt.keep is None else min(halt.keep, by_operator)
        return _kept_at(size, kept, because(Code.KEPT_BY_ANNOTATION, kept, annotation=name))
    if not halt.grows:
        reason = because(Code.NO_GROWTH, current, annotation=name)
        return _at_most(size, current, Bound.PAUSE, _PAUSE, reason)
    floor = min(current, size.max, by_operator)
    least = max(size.min, floor)
    # pinned replicas are a floor above the pool's own min, not above the present size
    size = replace(size, min=least, pinned=max(size.min + size.pinned - least, 0))
    # replicas that only a window keeps now would be removed later
    if size.replicas > floor or min(size.replicas, size.unstabilized) >= floor:
        return size
    return replace(
        size,
        replicas=floor,
        bound=Bound.PAUSE,
        unstabilized=max(size.unstabilized, floor),
        reasons=(*size.reasons, because(Code.NO_SHRINKING, floor, annotation=name)),
    )


def _kept_at(size: Limits, replicas: int, *reasons: Reason) -> Limits:
    """The size with this number as floor and as ceiling."""
    ceiling = Ceiling(limit=replicas, bound=Bound.PAUSE, name=_PAUSE)
    return replace(
        size,
        replicas=replicas,
        bound=Bound.PAUSE,
        min=replicas,
        unstabilized=replicas,
        pinned=0,
        spares=0,
        ceilings=(*size.ceilings, ceiling),
        reasons=(*size.reasons, *reasons),
    )


def _is_held(given: PoolInput, demand: Demand, size: Limits, moment: Moment) -> bool:
    """Whether a gate keeps it from shrinking: freeze, rival, pause, blindness, warm-up."""
    override, current = given.override, given.current
    if override.freeze is not None or given.workload.autoscaler:
        return True
    if not isinstance(given.seen.pods, Fresh) or (
        override.halts and any(halt.holds for halt in override.halts)
    ):
        return True
    if size.replicas > current:
        return False
    if not demand.counted:
        return True
    is_warm = min(size.unstabilized, size.replicas) >= current
    return not is_warm and not moment.reached(warm_until(given.terms, size.memory))

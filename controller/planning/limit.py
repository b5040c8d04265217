"""Step 2, limits: the ceilings and the floors of one pool; a ceiling wins over a floor."""

from __future__ import annotations

from typing import Final

from controller.model.decision import Bound, Code, Number
from controller.planning.allocation import Ceiling
from controller.planning.annotations import Halt
from controller.planning.behavior import REPLICAS_LIMIT
from controller.planning.blind import lift_blind
from controller.planning.draft import Draft
from controller.planning.gates import dispute
from controller.planning.history import warm_up_left_s
from controller.planning.spares import spares_for

SPARES: Final = "spares"
"""The name of the ceiling that keeps sharing from adding spares a second time."""


def limit(draft: Draft) -> None:
    """Bring the recommendation between min and max, at once, then what operators asked for."""
    lift_blind(draft)
    if draft.left_alone:
        return
    _between_bounds(draft)
    draft.recommendation = draft.replicas
    warm = draft.pool.warm
    if warm is not None and warm.replicas:
        _add_spares(draft, warm.replicas, Bound.WARM)
        draft.because(Code.WARM_SPARES, draft.replicas, spares=warm.replicas)
    if draft.override is not None:
        _pin(draft)
    if warm is not None:
        _spare(draft)
    _claim_no_more(draft)
    if draft.override is not None:
        _pause(draft)
        for halt in draft.override.halts:
            _halt(draft, halt)
    draft.target = draft.alone = draft.replicas
    if draft.target != draft.current:
        dispute(draft)


def _between_bounds(draft: Draft) -> None:
    """Min and max, or the schedule's where one is open; whichever decides is named."""
    scheduled = draft.override is not None and draft.override.bounds.scheduled
    if draft.bound is Bound.MAX or draft.replicas > draft.max:
        draft.replicas = draft.max
        draft.bound = Bound.SCHEDULE if scheduled else Bound.MAX
        draft.because(Code.AT_MAX, draft.max, max=draft.max)
    elif draft.bound is Bound.MIN or draft.replicas < draft.min:
        draft.replicas = draft.min
        draft.bound = Bound.SCHEDULE if scheduled else Bound.MIN
        draft.because(Code.AT_MIN, draft.min, min=draft.min)
    else:
        return
    if scheduled:
        draft.because(Code.SCHEDULED, draft.replicas, min=draft.min, max=draft.max)


def _pin(draft: Draft) -> None:
    """What an operator asked to be kept ready."""
    pin = draft.override.pin if draft.override is not None else None
    if pin is None or pin.replicas <= 0:
        return
    _add_spares(draft, pin.replicas, Bound.PIN)
    draft.because(Code.PINNED, draft.replicas, spares=pin.replicas, who=pin.who, reason=pin.why)


def _spare(draft: Draft) -> None:
    """As many more as arrivals will need; served last, so they are no floor."""
    spares = min(spares_for(draft), max(draft.max - draft.replicas, 0))
    if spares > 0:
        draft.spares = spares
        wanted = min(_with_spares(draft), draft.max)
        if draft.replicas < wanted:
            draft.replicas, draft.bound = wanted, Bound.WARM
        draft.because(Code.WARM_SPARES, draft.replicas, spares=spares)


def _add_spares(draft: Draft, spares: int, bound: Bound) -> None:
    """So many more than min and the work need, as far as max lets them."""
    draft.pinned += spares
    wanted = _with_spares(draft)
    if draft.replicas < min(wanted, draft.max):
        draft.replicas, draft.bound = min(wanted, draft.max), bound
    if wanted > draft.max:
        draft.bound = Bound.MAX
        draft.because(Code.AT_MAX, draft.max, max=draft.max)


def _with_spares(draft: Draft) -> int:
    """The spares on top of what the work needs, as far as that is known and granted.

    What a policy, silence or a young memory keeps beyond it has its spares among it: the size it is
    kept at may hold spares already, and would grow by them at every plan. So it is with what a
    metric's tolerance keeps. Where a policy or an
    upward window grants less than the work needs, spares would only be the growth it forbids.
    """
    needed = draft.min
    held_back = draft.stable < draft.unheld and draft.stable <= draft.current
    if draft.work.counted and draft.recommendation >= draft.stable and not held_back:
        is_young = warm_up_left_s(draft.pool, draft.memory, draft.now) > 0
        work = min(draft.unheld, draft.stable) if is_young else draft.stable
        if work == draft.work.demand:
            work -= draft.tolerated
        needed = max(needed, work)
    return max(draft.replicas, needed + draft.pinned + draft.spares)


def _claim_no_more(draft: Draft) -> None:
    """Sharing counts the spares on top of the recommendation; here they may be among it. To have
    them is not to be held.
    """
    draft.unheld = max(draft.unheld, draft.min) + draft.pinned + draft.spares
    if draft.replicas < max(draft.recommendation, draft.min) + draft.pinned + draft.spares:
        draft.ceilings += (Ceiling(limit=draft.replicas, bound=draft.bound, name=SPARES),)


def _pause(draft: Draft) -> None:
    """A ceiling of 0; with `keep`, floor and ceiling at once."""
    pause = draft.override.pause if draft.override is not None else None
    if pause is None:
        return
    kept = max(pause.keep or 0, 0)
    _keep_at(draft, kept)
    code = Code.PAUSED if pause.keep is None else Code.KEPT_WHILE_PAUSED
    draft.because(code, kept, who=pause.who, reason=pause.why)


def _halt(draft: Draft, halt: Halt) -> None:
    """KEDA's pause of a Deployment by annotation. An operator's pause is a ceiling to it; what
    holds the Deployment as it is holds against that, too.
    """
    pauses = (each.limit for each in draft.ceilings if each.bound is Bound.PAUSE)
    operators = min(pauses, default=REPLICAS_LIMIT)
    if halt.unreadable is not None:
        _keep_at(draft, draft.current)
        numbers: dict[str, Number] = {"annotation": halt.annotation, "text": halt.unreadable}
        draft.because(Code.ANNOTATION_UNREADABLE, draft.current, **numbers)
    elif halt.holds or halt.keep is not None:
        _keep_at(draft, draft.current if halt.keep is None else min(halt.keep, operators))
        draft.because(Code.KEPT_BY_ANNOTATION, draft.replicas, annotation=halt.annotation)
    elif halt.grows:
        _keep_from_shrinking(draft, halt, min(draft.current, draft.max, operators))
    else:
        _keep_from_growing(draft, halt)


def _keep_at(draft: Draft, replicas: int) -> None:
    """Floor and ceiling at once; what its spares were held to is over with them."""
    others = tuple(each for each in draft.ceilings if each.name != SPARES)
    draft.ceilings = (*others, Ceiling(limit=replicas, bound=Bound.PAUSE, name="pause"))
    draft.min = draft.replicas = draft.unheld = replicas
    draft.bound, draft.pinned, draft.spares = Bound.PAUSE, 0, 0


def _keep_from_shrinking(draft: Draft, halt: Halt, floor: int) -> None:
    draft.min = max(draft.min, floor)
    # what a window holds for now would go later
    if draft.replicas <= floor and min(draft.replicas, draft.unheld) < floor:
        draft.replicas, draft.bound = floor, Bound.PAUSE
        draft.unheld = max(draft.unheld, floor)
        draft.because(Code.NO_SHRINKING, floor, annotation=halt.annotation)


def _keep_from_growing(draft: Draft, halt: Halt) -> None:
    draft.ceilings += (Ceiling(limit=draft.current, bound=Bound.PAUSE, name="pause"),)
    if draft.replicas > draft.current:
        draft.replicas, draft.bound = draft.current, Bound.PAUSE
        draft.because(Code.NO_GROWTH, draft.current, annotation=halt.annotation)

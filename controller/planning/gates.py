"""Step 5, gates: what holds a pool at its present size although its target differs.

They are asked in this order, and the first that holds is the one that is named.
"""

from __future__ import annotations

from typing import Final

from controller.model.decision import Code, Gate, Number
from controller.model.observation import Pod, PodPhase
from controller.model.readings import Fresh
from controller.planning.demand import blindness
from controller.planning.draft import Draft
from controller.planning.history import warm_up_left_s
from controller.planning.stand_down import (
    CONTEST_WINDOW_S,
    agreed,
    disputed,
    quiet_left_s,
    stands_down,
)

UNSCHEDULABLE: Final = "Unschedulable"
"""The scheduler's reason for a pod that fits nowhere."""
NOT_STARTING: Final = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    }
)
"""The kubelet's reasons for a container that goes on waiting until somebody does something."""


def hold(draft: Draft) -> None:
    """Keep the current size where the target may not be followed yet."""
    if not draft.left_alone:
        _ = (
            _frozen(draft)
            or _pods_unknown(draft)
            or _blind(draft)
            or _warming_up(draft)
            or _contested(draft)
            or _not_becoming_ready(draft)
        )
    if draft.memory.replaced is not None and (draft.left_alone or not _is_under_way(draft)):
        draft.memory = agreed(draft.memory)


def stands_still(draft: Draft) -> bool:
    """Whether a gate will keep the pool from shrinking: it then takes part in sharing as it is."""
    return stands_down(draft.memory, draft.now) or _is_held(draft)


def dispute(draft: Draft) -> None:
    """Another size is wanted than the present one: where somebody has set that in place of ours and
    no gate would hold it anyway, it counts as a fight.
    """
    if draft.memory.replaced is not None and not _is_held(draft):
        draft.memory = disputed(draft.memory, draft.now)


def _is_held(draft: Draft) -> bool:
    """Whether a hold that is nobody else's doing keeps the pool from shrinking."""
    if _is_frozen(draft) or _is_halted(draft) or not isinstance(draft.seen.pods, Fresh):
        return True
    if draft.replicas > draft.current:
        return False
    return not draft.work.counted or (
        min(draft.unheld, draft.replicas) < draft.current
        and warm_up_left_s(draft.pool, draft.memory, draft.now) > 0
    )


def _is_frozen(draft: Draft) -> bool:
    return draft.override is not None and draft.override.freeze is not None


def _is_under_way(draft: Draft) -> bool:
    """Whether a window or a policy keeps the recommendation, for now, from what it will be."""
    return draft.recommendation != min(max(draft.unheld, draft.min), draft.max)


def _is_halted(draft: Draft) -> bool:
    return draft.override is not None and any(halt.holds for halt in draft.override.halts)


def _frozen(draft: Draft) -> bool:
    """Hands off: the pool stays as it is, whatever it should be."""
    freeze = draft.override.freeze if draft.override is not None else None
    if freeze is None:
        return False
    _keep(draft, Gate.FREEZE, Code.FROZEN, who=freeze.who, reason=freeze.why)
    return True


def _contested(draft: Draft) -> bool:
    """Somebody else keeps setting the pool back: it is theirs until they leave it alone."""
    if draft.replicas != draft.current:
        draft.memory = disputed(draft.memory, draft.now)
    memory, now = draft.memory, draft.now
    if not stands_down(memory, now):
        return False
    last = memory.set_back[-1]
    _keep(
        draft,
        Gate.CONTESTED,
        Code.CONTESTED,
        times=len(memory.set_back),
        ours=last.ours,
        theirs=last.theirs,
        window_s=CONTEST_WINDOW_S,
        remaining_s=round(quiet_left_s(memory, now), 3),
    )
    return True


def _not_becoming_ready(draft: Draft) -> bool:
    """Pods that crash, cannot start or fit nowhere: more of them would do the same."""
    if draft.replicas <= draft.current or not isinstance(draft.seen.pods, Fresh):
        return False
    stuck = sum(_is_stuck(pod) for pod in draft.seen.pods.value.items)
    if not stuck:
        return False
    _keep(draft, Gate.NOT_BECOMING_READY, Code.NOT_BECOMING_READY, stuck=stuck)
    return True


def _is_stuck(pod: Pod) -> bool:
    if pod.phase is PodPhase.UNSCHEDULED:
        # a pod that the scheduler has not looked at yet has no reason
        return pod.reason == UNSCHEDULABLE
    if pod.phase is PodPhase.STARTING:
        return pod.reason in NOT_STARTING
    return pod.phase is PodPhase.CRASHING


def _pods_unknown(draft: Draft) -> bool:
    """Half a view of the cluster is none: without its pods nothing is written for a pool."""
    pods = draft.seen.pods
    if isinstance(pods, Fresh) or draft.target == draft.current == draft.alone:
        return False
    _keep(draft, Gate.BLIND, Code.PODS_UNKNOWN, **blindness(pods, draft.now))
    return True


def _blind(draft: Draft) -> bool:
    """Silence takes nothing away; a floor or a wake-up may still add."""
    if draft.work.counted or draft.target > draft.current:
        return False
    if draft.unknown is not None:
        _keep(draft, Gate.BLIND, Code.HELD_UNMEASURED, **draft.unknown.numbers)
    else:
        _keep(draft, Gate.BLIND, Code.HELD_BLIND, **blindness(draft.seen.queue, draft.now))
    return True


def _warming_up(draft: Draft) -> bool:
    """A memory that does not reach back one window takes nothing away: nobody knows what was needed
    just before it began.
    """
    if draft.target > draft.current:
        return False
    least = min(draft.unheld, draft.alone)
    if draft.target == draft.current <= least:
        return False
    left_s = warm_up_left_s(draft.pool, draft.memory, draft.now)
    if left_s <= 0:
        return False
    window_s = draft.pool.behavior.scale_down.stabilization_window_s
    _keep(draft, Gate.WARM_UP, Code.HELD_WARM_UP, window_s=window_s, remaining_s=round(left_s, 3))
    return True


def _keep(draft: Draft, gate: Gate, code: Code, **numbers: Number) -> None:
    draft.replicas = draft.current
    draft.gate = gate
    draft.because(code, draft.current, **numbers)

"""Step 5, gates: conditions that hold a pool at its present size although its target differs.

They are checked in a fixed order, and the first that applies is named: frozen, pods unknown, blind,
warming up, contested, not becoming ready.
"""

from __future__ import annotations

from typing import Final

import msgspec

from controller.model.decision import Code, Gate, Number, Reason
from controller.model.memory import PoolMemory
from controller.model.observation import Pod, PodPhase
from controller.model.readings import Fresh
from controller.planning.demand.demand import Demand
from controller.planning.demand.work import blindness
from controller.planning.given.moment import Moment
from controller.planning.given.pool_input import PoolInput
from controller.planning.limit.limits import Limits
from controller.planning.recommend.history import warm_until
from controller.planning.remember.contest import (
    CONTEST_WINDOW_S,
    clear_override,
    confirm_override,
    is_contested,
    quiet_until,
)
from controller.planning.share.target import Target
from controller.planning.step.next import Next

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
"""The kubelet's reasons for a container that waits until a person changes something."""


class Gated(msgspec.Struct, frozen=True, gc=False):
    """The size to set now (`replicas`), the gate of this step or of step 4 if there is one, and the
    pool's memory.
    """

    replicas: int
    gate: Gate | None
    memory: PoolMemory
    reasons: tuple[Reason, ...] = ()


def gated(
    given: PoolInput,
    demand: Demand,
    limits: Limits,
    target: Target,
    following: Next,
    *,
    moment: Moment,
) -> Gated:
    """The size of step 4 (`following`), or the present size if a gate holds the pool."""
    memory = limits.memory
    if limits.left_alone:
        return Gated(following.replicas, following.gate, clear_override(memory))
    held = (
        _frozen(given)
        or _pods_unknown(given, limits, target)
        or _blind(given, demand, target)
        or _warming_up(given, limits, target, moment)
    )
    if held is None:
        if following.replicas != given.current:
            memory = confirm_override(memory, moment)
        held = _contested(memory, moment) or _not_becoming_ready(given, following)
    if memory.replaced is not None and not limits.is_moving:
        memory = clear_override(memory)
    if held is None:
        return Gated(following.replicas, following.gate, memory)
    gate, code, numbers = held
    reason = Reason(code=code, value=given.current, numbers=numbers)
    return Gated(given.current, gate, memory, (reason,))


_Held = tuple[Gate, Code, dict[str, Number]]


def _frozen(given: PoolInput) -> _Held | None:
    """A frozen pool keeps its size, whatever its target is."""
    freeze = given.override.freeze
    if freeze is None:
        return None
    return Gate.FREEZE, Code.FROZEN, {"who": freeze.who, "reason": freeze.why}


def _pods_unknown(given: PoolInput, limits: Limits, target: Target) -> _Held | None:
    """Without a complete list of its pods, a pool is not written."""
    pods = given.seen.pods
    if isinstance(pods, Fresh) or target.replicas == given.current == limits.replicas:
        return None
    return Gate.BLIND, Code.PODS_UNKNOWN, blindness(pods)


def _blind(given: PoolInput, demand: Demand, target: Target) -> _Held | None:
    """Without a complete reading of its work, a pool is not scaled down; it may still grow."""
    if demand.work.counted or target.replicas > given.current:
        return None
    if demand.unusable is not None:
        return Gate.BLIND, Code.HELD_UNMEASURED, demand.unusable.numbers
    return Gate.BLIND, Code.HELD_BLIND, blindness(given.seen.queue)


def _warming_up(given: PoolInput, limits: Limits, target: Target, moment: Moment) -> _Held | None:
    """A pool is not scaled down before its memory covers one stabilization window, because earlier
    recommendations are not known.
    """
    current = given.current
    if target.replicas > current:
        return None
    if target.replicas == current <= min(limits.unstabilized, limits.replicas):
        return None
    until = warm_until(given.terms, limits.memory)
    if moment.reached(until):
        return None
    window_s = given.terms.pool.behavior.scale_down.stabilization_window_s
    return Gate.WARM_UP, Code.HELD_WARM_UP, {"window_s": window_s, "until": until}


def _contested(memory: PoolMemory, moment: Moment) -> _Held | None:
    """Another writer keeps replacing the pool's size: the pool is left alone until that stops."""
    if not is_contested(memory, moment):
        return None
    last = memory.set_back[-1]
    numbers: dict[str, Number] = {
        "times": len(memory.set_back),
        "ours": last.ours,
        "theirs": last.theirs,
        "window_s": CONTEST_WINDOW_S,
        "until": quiet_until(memory),
    }
    return Gate.CONTESTED, Code.CONTESTED, numbers


def _not_becoming_ready(given: PoolInput, following: Next) -> _Held | None:
    """A pool with pods that crash, cannot start or fit on no node does not grow: more pods would
    fail in the same way.
    """
    pods = given.seen.pods
    if following.replicas <= given.current or not isinstance(pods, Fresh):
        return None
    stuck = sum(map(_is_stuck, pods.value.items))
    if not stuck:
        return None
    return Gate.NOT_BECOMING_READY, Code.NOT_BECOMING_READY, {"stuck": stuck}


def _is_stuck(pod: Pod) -> bool:
    if pod.phase is PodPhase.UNSCHEDULED:
        # a pod that the scheduler has not looked at yet has no reason
        return pod.reason == UNSCHEDULABLE
    if pod.phase is PodPhase.STARTING:
        return pod.reason in NOT_STARTING
    return pod.phase is PodPhase.CRASHING

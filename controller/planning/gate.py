"""Step 5, gates: conditions that hold a pool at its present size although its target differs.

They are checked in a fixed order, and the first that applies is named: frozen, another autoscaler,
pods unknown, blind, workers unknown, warming up, contested, not becoming ready. A pool that is held
takes back nothing of what its workers were told; those of a frozen one are told nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from controller.model.decision import Code, Decision, Drain, Gate, Reason
from controller.model.ids import PoolKey
from controller.model.memory import PoolMemory
from controller.model.observation import Pod, PodPhase
from controller.model.readings import Fresh, last_known
from controller.planning.demand.queue import blindness
from controller.planning.inputs import Moment, PoolInput
from controller.planning.memory import judged
from controller.planning.step import is_first
from controller.planning.values import Demand, Limits, Next, Target, because
from controller.planning.windows import warm_until

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


def gated(  # noqa: PLR0917 - the values of all steps before
    given: PoolInput,
    demand: Demand,
    limits: Limits,
    target: Target,
    following: Next,
    moment: Moment,
) -> tuple[Next, PoolMemory]:
    """The size of step 4 (`following`), or the present one if a gate holds it; and the memory."""
    current, held = given.current, None
    if not limits.left_alone:
        held = (
            _left_to_others(given)
            or _blind(given, demand, limits, target)
            or _warming_up(given, limits, target, moment)
        )
    memory, contest = judged(
        limits.memory,
        current,
        moment,
        disagrees=held is None and following.replicas != current,
        agrees=not limits.is_moving,
    )
    if held is None and not limits.left_alone:
        contested = None if contest is None else (Gate.CONTESTED, contest)
        held = contested or _not_becoming_ready(given, following)
    if held is None:
        return following, memory
    gate, reason = held
    reasons = (*following.reasons, reason)
    return Next(current, gate, reasons, _told(given, following, gate)), memory


def _told(given: PoolInput, following: Next, gate: Gate) -> Drain | None:
    """What the workers of a pool that this gate holds are told: whether they may pull is an order
    of a person or a budget, but no more of them stop, and none of those that stopped begins again.
    """
    workers = None if given.seen.workers is None else last_known(given.seen.workers)
    if gate is Gate.FREEZE or following.drain is None or workers is None:
        return None
    if gate is Gate.NOT_BECOMING_READY:
        return following.drain  # it does not shrink: all may work
    orders, pods = following.drain.orders, last_known(given.seen.pods)
    kept = replace(orders, drain=workers.orders.drain, leave=())
    marked = [pod.name for pod in pods.items if is_first(pod)] if pods is not None else []
    return Drain(orders=kept, removable=tuple(marked))


_Held = tuple[Gate, Reason]


def _left_to_others(given: PoolInput) -> _Held | None:
    """A frozen pool keeps its size; one with another autoscaler is left to that one."""
    freeze, autoscaler = given.override.freeze, given.workload.autoscaler
    if freeze is not None:
        reason = because(Code.FROZEN, given.current, who=freeze.who, reason=freeze.why)
        return Gate.FREEZE, reason
    if autoscaler:
        reason = because(Code.OTHER_AUTOSCALER, given.current, autoscaler=autoscaler)
        return Gate.CONTESTED, reason
    return None


def _blind(given: PoolInput, demand: Demand, limits: Limits, target: Target) -> _Held | None:
    """Without a complete list of its pods, a pool is not written. Without a complete reading of its
    work, or of what its workers do, it is not scaled down; it may still grow.
    """
    pods, workers, current = given.seen.pods, given.seen.workers, given.current
    if not (isinstance(pods, Fresh) or target.replicas == current == limits.replicas):
        return Gate.BLIND, because(Code.PODS_UNKNOWN, current, **blindness(pods))
    if not demand.counted and target.replicas <= current:
        if demand.unusable is not None:
            return Gate.BLIND, because(Code.HELD_UNMEASURED, current, **demand.unusable)
        return Gate.BLIND, because(Code.HELD_BLIND, current, **blindness(given.seen.queue))
    if workers is None or isinstance(workers, Fresh) or target.replicas >= current:
        return None
    return Gate.BLIND, because(Code.WORKERS_UNKNOWN, current, **blindness(workers))


def _warming_up(given: PoolInput, limits: Limits, target: Target, moment: Moment) -> _Held | None:
    """No scale-down before the memory covers one window: earlier advice is not known."""
    current = given.current
    if target.replicas > current:
        return None
    if target.replicas == current <= min(limits.unstabilized, limits.replicas):
        return None
    until = warm_until(given.terms, limits.memory)
    if moment.reached(until):
        return None
    window_s = given.terms.pool.behavior.scale_down.stabilization_window_s
    return Gate.WARM_UP, because(Code.HELD_WARM_UP, current, window_s=window_s, until=until)


def _not_becoming_ready(given: PoolInput, following: Next) -> _Held | None:
    """Pods that crash, cannot start or fit nowhere: more of them would fail in the same way."""
    pods = given.seen.pods
    if following.replicas <= given.current or not isinstance(pods, Fresh):
        return None
    stuck = sum(map(_is_stuck, pods.value.items))
    if not stuck:
        return None
    reason = because(Code.NOT_BECOMING_READY, given.current, stuck=stuck)
    return Gate.NOT_BECOMING_READY, reason


def _is_stuck(pod: Pod) -> bool:
    if pod.phase is PodPhase.UNSCHEDULED:
        # a pod that the scheduler has not looked at yet has no reason
        return pod.reason == UNSCHEDULABLE
    if pod.phase is PodPhase.STARTING:
        return pod.reason in NOT_STARTING
    return pod.phase is PodPhase.CRASHING


def followed(decisions: Mapping[PoolKey, Decision], holder: str) -> dict[PoolKey, Decision]:
    """The last gate, of a process that does not lead: it holds all, and the reason says what it
    would set. `holder` leads, empty if that is not known.
    """

    def held(decision: Decision) -> Decision:
        reason = because(
            Code.FOLLOWER,
            decision.current,
            holder=holder or "no known process",
            wanted=decision.next or 0,
        )
        return replace(
            decision,
            next=decision.current,
            gate=Gate.FOLLOWER,
            wake=False,
            reasons=(*decision.reasons, reason),
        )

    return {key: held(each) if each.changes else each for key, each in decisions.items()}

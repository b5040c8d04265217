"""Scale-down of a pool whose workers say what they do: no busy worker is ever deleted.

The pods that must go are told to stop pulling. A pod is drained when its worker has obeyed and has
no task left. Drained pods get the lowest deletion cost, and the replicas are lowered by no more
than the pods that are drained and have that cost.

A ReplicaSet deletes pods that are not ready first, whatever their cost (ActivePodsWithRanks.Less).
So these are told to stop too, and while one of them is not drained, the pool keeps its size. In a
rollout, a paused one included, the Deployment's controller divides a scale-down over several
ReplicaSets: then a pool is lowered only to zero, when all its pods are drained. It also replaces
old pods as new ones become ready, without asking. So that it takes idle ones, as many old pods are
told to stop as there are new ones.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from controller.model.decision import Code, Drain, Gate, Number, Reason
from controller.model.observation import Pod, PodPhase
from controller.model.worker_messages import PoolOrders
from controller.planning.inputs import Moment, PoolInput
from controller.planning.remember.writes import may_shrink_late
from controller.planning.step.crew import Crew, is_first
from controller.planning.step.idle_first import too_young
from controller.planning.values import Next

MARK_SEEN_S: Final = 1.0


def drain(  # noqa: PLR0917 - what a shrinking pool depends on
    given: PoolInput,
    crew: Crew,
    orders: PoolOrders,
    target: int,
    recommendation: int,
    moment: Moment,
) -> Next:
    """The size now, and what the workers are told, which are `orders` and the pods that stop.

    `target` is not above the present size. The minimum runtime counts only if `target` is below
    `recommendation`. All sizes in replicas.
    """
    generations = crew.generations
    if len(generations) > 1 or given.workload.is_rolling_out:
        return _in_rollout(given, crew, orders, target, generations)
    current, pods = given.current, crew.pods
    leaving = max(len(pods) - current, 0)  # a ReplicaSet deletes these at this moment
    missing = 0
    if given.workload.message:  # it cannot create these; others it may create at this moment
        missing = max(current - max(len(pods), given.status_replicas), 0)
    surplus = current - target
    young = {each.name for each in too_young(given, moment)} if target < recommendation else ()
    old = [pod for pod in pods if pod.name not in young or crew.is_told(pod)]
    going = _first_to_go(crew, old, max(len(pods) - target, 0))
    kept = {*going, *_perhaps_leaving(given, crew)}
    told = {*kept, *(_unready(pods) if surplus > 0 else ())}
    removed = min(surplus, max(_removable(crew, going, moment) - leaving, 0) + missing)
    following = Next(current - removed, drain=_drain(crew, orders, told, kept))
    if removed == surplus:
        return following
    numbers: dict[str, Number] = {
        "going": len(going) - leaving,
        "drained": max(len(crew.drained.intersection(going)) - leaving, 0),
        "busy": sum(crew.busy(pod) > 0 for pod in pods if pod.name in going),
    }
    gate, reason = Gate.BUSY, Reason(code=Code.DRAINING, value=current - removed, numbers=numbers)
    if len(going) - leaving + missing <= removed:
        gate = Gate.MINIMUM_RUNTIME
        reason = Reason(code=Code.MINIMUM_RUNTIME, value=current - removed)
    return Next(following.replicas, gate, (reason,), following.drain)


def _in_rollout(
    given: PoolInput,
    crew: Crew,
    orders: PoolOrders,
    target: int,
    generations: Sequence[Sequence[Pod]],
) -> Next:
    """Lowered only to zero; else as many old pods are drained as there are new ones. With pods of
    one template alone, those of the other are not created yet, or gone already.
    """
    new, older = (generations[0], generations[1:]) if generations else ((), ())
    if target == 0:
        going = [pod.name for pod in crew.pods]
    else:
        going = _first_to_go(crew, [pod for pods in older for pod in pods], len(new))
    drained = [name for name in going if name in crew.drained]
    told = _drain(crew, orders, going, going)
    if target == given.current:
        return Next(target, drain=told)
    if target == 0 and len(drained) == len(crew.pods):
        return Next(0, drain=told)
    numbers: dict[str, Number] = {"generations": max(len(generations), 2)}
    code = Code.ROLLOUT_PAUSED if given.workload.paused else Code.ROLLING_OUT
    reason = Reason(code=code, value=given.current, numbers=numbers)
    return Next(given.current, Gate.BUSY, (reason,), told)


def _first_to_go(crew: Crew, pods: Iterable[Pod], count: int) -> list[str]:
    """The names of the pods that go: those that a ReplicaSet takes first anyhow, then those that
    were told already, then those whose node ends, then idle ones, then those with the fewest tasks
    and the shortest past.
    """

    def harm(pod: Pod) -> tuple[bool, bool, bool, int, float, str]:
        ready_at = pod.ready_at or pod.created_at
        is_ready, stays = pod.phase is PodPhase.READY, not pod.node_ends
        return is_ready, not crew.is_told(pod), stays, crew.busy(pod), -ready_at, pod.name

    return [pod.name for pod in sorted(pods, key=harm)[:count]]


def _removable(crew: Crew, going: Sequence[str], moment: Moment) -> int:
    """How many of these a ReplicaSet would take now, and no other pod before them. It reads pods by
    a watch of its own, which may be behind ours, so a mark counts after `MARK_SEEN_S`. A mark after
    now was made before the clock was set back.
    """
    gone = crew.drained.intersection(going)
    for pod in crew.pods:
        if pod.phase is PodPhase.READY:
            if is_first(pod) and pod.name not in gone:
                return 0
        elif pod.name not in crew.drained:
            return 0
    marks = [pod.marked_at for pod in crew.pods if pod.name in gone and is_first(pod)]
    return sum(at is None or at > moment.now or moment.reached(at + MARK_SEEN_S) for at in marks)


def _perhaps_leaving(given: PoolInput, crew: Crew) -> Iterable[str]:
    """The pods that may be deleted at this moment, although the pool grows again: the Deployment's
    controller has not seen its present size yet, and may still act on the one before; or a smaller
    size was asked for, and may still be set.
    """
    workload = given.workload
    has_seen = workload.observed_generation >= workload.generation
    if has_seen and not may_shrink_late(given.memory, workload):
        return ()
    return (pod.name for pod in crew.pods if is_first(pod) and crew.is_told(pod))


def _unready(pods: Iterable[Pod]) -> Iterable[str]:
    return (pod.name for pod in pods if pod.phase is not PodPhase.READY)


def _drain(crew: Crew, orders: PoolOrders, told: Iterable[str], going: Collection[str]) -> Drain:
    """These orders for the pods `told`. A pod in `going` that is marked keeps its mark while it
    obeys newer orders: a ReplicaSet may be choosing it at this moment.
    """
    marked = {pod.name for pod in crew.pods if is_first(pod)}
    return Drain(
        orders=replace(orders, drain=tuple(sorted(crew.ending.union(told)))),
        removable=tuple(sorted((crew.drained | marked).intersection(going))),
    )

"""Step 4: moves a pool from its present size towards its target. Only idle replicas are removed,
and a pool grows only into room that other replicas have left. If sharing reduces the pool, new
replicas also keep their minimum runtime.

If the workers of a pool say what they do, no busy worker is ever deleted. The pods that must go are
told to stop pulling. A pod is drained when its worker has obeyed and has no task left. Drained pods
get the lowest deletion cost, and the replicas are lowered by no more than the pods that are drained
and have that cost.

A ReplicaSet deletes pods that are not ready first, whatever their cost (ActivePodsWithRanks.Less).
So these are told to stop too, and while one of them is not drained, the pool keeps its size. In a
rollout, a paused one included, the Deployment's controller divides a scale-down over several
ReplicaSets: then a pool is lowered only to zero, when all its pods are drained. It also replaces
old pods as new ones become ready, without asking. So that it takes idle ones, as many old pods are
told to stop as there are new ones.

A StatefulSet removes its pods from the highest ordinal down, and no others (kubernetes
pkg/controller/statefulset, startOrdinal and endOrdinal). So it shrinks only by as many as are idle
from the top: a busy pod keeps all pods below it. The pods that go are known in advance, so no mark
is needed, and neither a rollout nor a pod that is not ready changes which they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from controller.model.decision import Code, Drain, Gate, Number
from controller.model.observation import DELETED_FIRST, Pod, PodPhase, Workers
from controller.model.readings import last_known
from controller.model.worker_messages import PoolOrders, WorkerState
from controller.planning.demand.queue import IMPLAUSIBLE_MESSAGES
from controller.planning.inputs import Moment, PoolInput
from controller.planning.memory import may_shrink_late
from controller.planning.room import Grown
from controller.planning.share.rows import local_day
from controller.planning.values import Limits, Next, Target, because

TOLD_AHEAD: Final = 100
"""The most pods of a StatefulSet that are told to stop before they are there."""
MARK_SEEN_S: Final = 1.0
ORDERS_END_S: Final = 10.0
"""Orders that end within this time are not relied on: a worker's clock may be ahead of ours."""
_ENDED: Final = frozenset({PodPhase.TERMINATING, PodPhase.FAILED})
_WITHOUT_PROCESS: Final = frozenset({PodPhase.UNSCHEDULED, PodPhase.STARTING})


def step(
    given: PoolInput, limits: Limits, target: Target, grown: Grown | None, moment: Moment
) -> Next:
    """The size to set now, and its workers' orders; `grown`: what tight room allows, if less."""
    if limits.left_alone:
        return Next(given.current)
    least = min(target.replicas, given.current)
    young = _too_young(given, moment) if least < limits.recommendation else []
    crew = _crew_of(given, target, moment)
    if crew is not None and not given.seen.unmarkable:
        shrinking = _drain if given.workload.first_ordinal is None else _drain_from_the_top
        drained = shrinking(given, crew, least, young, moment)
        if target.replicas <= given.current:
            return drained
        return replace(_by_queue(given, target.replicas, grown, young), drain=drained.drain)
    following = _by_queue(given, target.replicas, grown, young)
    # nothing else can choose the pods of an unmarkable pool, so that none is told to stop in vain
    return following if crew is None else replace(following, drain=Drain(orders=crew.orders))


def _by_queue(given: PoolInput, wanted: int, grown: Grown | None, young: Sequence[Pod]) -> Next:
    """The size of a pool of which only the queue says how many replicas are busy: messages in
    flight by slots, rounded up. They are assumed to fill one replica after another. It removes as
    many replicas as are idle and old enough; the highest of a StatefulSet may be the busy one, so
    none goes before all are idle.
    """
    current, depth, busy = given.current, last_known(given.seen.queue), 0
    if wanted == current:
        return Next(current)
    if depth is not None and 0 <= depth.in_flight < IMPLAUSIBLE_MESSAGES:
        busy = min(current, -(-depth.in_flight // max(given.terms.pool.slots, 1)))
    if wanted > current:
        if grown is None:
            return Next(wanted)
        return _held(grown.replicas, Gate.ROOM, Code.ROOM, busy=busy, row=grown.refused_by)
    is_busy = current - busy < current - wanted
    if given.workload.first_ordinal is None:
        kept = current - min(current - wanted, max(current - busy - len(young), 0))
    elif busy:
        return _held(current, Gate.BUSY, Code.BUSY_SOMEWHERE, busy=busy)
    else:
        kept = min(max([wanted, *(_place(given, pod) + 1 for pod in young)]), current)
    if kept == wanted:
        return Next(wanted)
    young_ones = Gate.MINIMUM_RUNTIME, Code.MINIMUM_RUNTIME
    gate, code = (Gate.BUSY, Code.BUSY) if is_busy else young_ones
    return _held(kept, gate, code, busy=busy)


class Crew(msgspec.Struct, frozen=True, gc=False):
    """The pods that count as replicas, and what is known of the workers in them.

    - `orders`: what the workers are told, but for the pods that stop. `states`: by pod.
    - `drained`: the names that were told to stop pulling and with which no task is lost: of pods
      that have obeyed and have no task, and of pods that are not there (a pod of this name that
      begins now obeys before its first pull). `ending`: the names of those told that are being
      deleted: they stay told, for their workers may run until SIGTERM reaches them.
    """

    pods: tuple[Pod, ...]
    workers: Workers
    orders: PoolOrders
    states: Mapping[str, WorkerState]
    drained: frozenset[str]
    ending: frozenset[str]
    slots: int

    def is_told(self, pod: Pod) -> bool:
        """Whether the pod was told to stop pulling."""
        return pod.name in self.workers.orders.drain

    def busy(self, pod: Pod) -> int:
        """The pod's tasks, all its slots if its worker does not say, 0 before it can have one."""
        state = self.states.get(pod.name)
        if state is not None:
            return state.busy
        return 0 if pod.phase in _WITHOUT_PROCESS else self.slots


def _crew_of(given: PoolInput, target: Target, moment: Moment) -> Crew | None:
    """The crew; None if workers never said what they do: then only the queue tells."""
    seen, slots = given.seen, max(given.terms.pool.slots, 1)
    workers = None if seen.workers is None else last_known(seen.workers)
    if workers is None:
        return None
    # those that stand by for it are told through its orders
    if not (workers.states or workers.revision or seen.stand_by is not None):
        return None
    known, depth = last_known(seen.pods), last_known(seen.queue)
    items = () if known is None else known.items
    pods = tuple(each for each in items if each.phase not in _ENDED)
    deleted = (each.name for each in items if each.phase is PodPhase.TERMINATING)
    states = {state.worker: state for state in workers.states}
    elsewhere = max(depth.in_flight, 0) if depth is not None else 0
    elsewhere -= 0 if seen.stand_by is None else seen.stand_by.busy
    elsewhere -= sum(states[pod.name].busy for pod in pods if pod.name in states)
    return Crew(
        pods=pods,
        workers=workers,
        orders=_pulling(given, target, moment),
        states=states,
        drained=_drained(pods, workers, states, -(-max(elsewhere, 0) // slots), moment),
        ending=frozenset(deleted).intersection(workers.orders.drain),
        slots=slots,
    )


def _pulling(given: PoolInput, target: Target, moment: Moment) -> PoolOrders:
    """Orders of a pool that does not shrink: workers pull unless paused or out of budget, those on
    an ending node hand back. They end with pause or budget day, also without a controller.
    """
    pause, pods = given.override.pause, last_known(given.seen.pods)
    ending = () if pods is None else (pod.name for pod in pods.items if pod.node_ends)
    leave = tuple(sorted(ending))
    if pause is not None and pause.amount is None:
        return PoolOrders(pull=False, because="pause", until=pause.until, leave=leave)
    if any(halt.keep == 0 for halt in given.override.halts):
        return PoolOrders(pull=False, because="pause", leave=leave)
    if any(reason.code is Code.BUDGET_SPENT for reason in target.reasons):
        until = local_day(moment.now, given.terms.zone).end
        return PoolOrders(pull=False, because="budget", until=until, leave=leave)
    return PoolOrders(leave=leave)


def is_first(pod: Pod) -> bool:
    """Whether a ReplicaSet deletes this pod before the others that are ready."""
    return pod.deletion_cost == DELETED_FIRST


def _drained(
    pods: tuple[Pod, ...],
    workers: Workers,
    states: Mapping[str, WorkerState],
    busy_elsewhere: int,
    moment: Moment,
) -> frozenset[str]:
    """The drained pods; of those without a state as many are busy as messages show."""
    orders = workers.orders
    if orders.until is not None and moment.reached(orders.until - ORDERS_END_S):
        return frozenset()
    told = {pod.name: pod for pod in pods if pod.name in orders.drain}
    obeyed = (states[name] for name in orders.drain if name in states)
    # a newer revision than ours may be one that calls the worker back
    idle_now = (each for each in obeyed if each.obeyed == workers.revision and not each.pulling)
    found = {state.worker for state in idle_now if state.busy == 0}
    silent = [name for name in workers.silent if name not in states]
    found.update(name for name in silent if name not in told)
    found.update(name for name in silent if name in told and told[name].phase in _WITHOUT_PROCESS)
    running = [name for name in silent if name in told and name not in found]
    unknown = [p for p in pods if p.name not in states and p.phase not in _WITHOUT_PROCESS]
    found.update(running[: max(len(unknown) - busy_elsewhere, 0)])
    return frozenset(found)


def _too_young(given: PoolInput, moment: Moment) -> list[Pod]:
    """The pods that became ready less than their minimum runtime ago."""
    runtime_s, pods = given.terms.pool.minimum_runtime_s, last_known(given.seen.pods)
    if runtime_s <= 0 or pods is None:
        return []
    ready = (pod for pod in pods.items if pod.ready_at is not None)
    return [pod for pod in ready if not moment.reached((pod.ready_at or 0.0) + runtime_s)]


def _may_still_shrink(given: PoolInput) -> bool:
    """Whether pods may be deleted although the pool grows again: the Deployment's controller has
    not seen its size, or a smaller one was asked for and may still be set.
    """
    workload = given.workload
    is_unseen = workload.observed_generation < workload.generation
    return is_unseen or may_shrink_late(given.memory, workload)


def _held(
    replicas: int, gate: Gate, code: Code, drain: Drain | None = None, **numbers: Number
) -> Next:
    """A size that is not the target, and why."""
    return Next(replicas, gate, (because(code, replicas, **numbers),), drain)


def _drain(given: PoolInput, crew: Crew, target: int, young: Sequence[Pod], moment: Moment) -> Next:
    """The size now, and the orders if workers say what they do; `target` is at most `current`."""
    generations: defaultdict[str, list[Pod]] = defaultdict(list)
    for pod in crew.pods:
        generations[pod.generation].append(pod)
    if len(generations) > 1 or given.workload.is_rolling_out:
        return _in_rollout(given, crew, target, list(generations.values()))
    current, pods = given.current, crew.pods
    leaving = max(len(pods) - current, 0)  # a ReplicaSet deletes these at this moment
    missing = 0
    if given.workload.message:  # it cannot create these; others it may create at this moment
        missing = max(current - max(len(pods), given.status_replicas), 0)
    surplus = current - target
    old = [pod for pod in pods if pod not in young or crew.is_told(pod)]
    going = _first_to_go(crew, old, max(len(pods) - target, 0))
    kept = {*going}
    if _may_still_shrink(given):
        kept.update(pod.name for pod in pods if is_first(pod) and crew.is_told(pod))
    unready = [pod.name for pod in pods if pod.phase is not PodPhase.READY] if surplus > 0 else ()
    removed = min(surplus, max(_removable(crew, going, moment) - leaving, 0) + missing)
    replicas, told = current - removed, _told(crew, {*kept, *unready}, kept)
    if removed == surplus:
        return Next(replicas, drain=told)
    if len(going) - leaving + missing <= removed:
        return _held(replicas, Gate.MINIMUM_RUNTIME, Code.MINIMUM_RUNTIME, told)
    return _held(
        replicas,
        Gate.BUSY,
        Code.DRAINING,
        told,
        going=len(going) - leaving,
        drained=max(len(crew.drained.intersection(going)) - leaving, 0),
        busy=sum(crew.busy(pod) > 0 for pod in pods if pod.name in going),
    )


def _in_rollout(given: PoolInput, crew: Crew, target: int, generations: list[list[Pod]]) -> Next:
    """Lowered only to zero; else as many old pods are drained as there are new ones. With pods of
    one template alone, those of the other are not created yet, or gone already.
    """
    generations.sort(key=lambda pods: -max(pod.created_at for pod in pods))
    new, older = (generations[0], generations[1:]) if generations else ([], [])
    if target == 0:
        going = [pod.name for pod in crew.pods]
    else:
        going = _first_to_go(crew, [pod for pods in older for pod in pods], len(new))
    told = _told(crew, going, going)
    if target == given.current or (target == 0 and crew.drained.issuperset(going)):
        return Next(target, drain=told)
    code = Code.ROLLOUT_PAUSED if given.workload.paused else Code.ROLLING_OUT
    return _held(given.current, Gate.BUSY, code, told, generations=max(len(generations), 2))


def _first_to_go(crew: Crew, pods: Iterable[Pod], count: int) -> list[str]:
    """The pods that go: those a ReplicaSet takes first anyhow, told ones, those of ending nodes,
    idle ones, then those with the fewest tasks and the shortest past.
    """

    def harm(pod: Pod) -> tuple[bool, bool, bool, int, float, str]:
        ready_at = pod.ready_at or pod.created_at
        is_ready, stays = pod.phase is PodPhase.READY, not pod.node_ends
        return is_ready, not crew.is_told(pod), stays, crew.busy(pod), -ready_at, pod.name

    return [pod.name for pod in sorted(pods, key=harm)[:count]]


def _removable(crew: Crew, going: Sequence[str], moment: Moment) -> int:
    """How many of these a ReplicaSet would take now, and no other pod before. It may be behind our
    watch, so a mark counts after `MARK_SEEN_S`; one after now is older.
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


def _told(crew: Crew, told: Iterable[str], going: Iterable[str]) -> Drain:
    """The crew's orders for the pods `told`. A pod in `going` that is marked keeps its mark while
    it obeys newer orders: a ReplicaSet may be choosing it at this moment.
    """
    marked = {pod.name for pod in crew.pods if is_first(pod)}
    return Drain(
        orders=replace(crew.orders, drain=tuple(sorted(crew.ending.union(told)))),
        removable=tuple(sorted((crew.drained | marked).intersection(going))),
    )


def _drain_from_the_top(
    given: PoolInput, crew: Crew, target: int, young: Sequence[Pod], _moment: Moment
) -> Next:
    """The same for the pods of a StatefulSet."""
    current = given.current
    kept = max([target, *(_place(given, pod) + 1 for pod in young if not crew.is_told(pod))])
    kept = min(kept, current)
    names = _names(given, crew, kept)
    following = min(current, max(names, default=current - 1) + 1)
    while following > kept and names[following - 1] in crew.drained:
        following -= 1
    told = {*names.values(), *crew.ending}
    if _may_still_shrink(given):
        told.update(pod.name for pod in crew.pods if crew.is_told(pod))
    drain = Drain(orders=replace(crew.orders, drain=tuple(sorted(told))))
    if following == target:
        return Next(following, drain=drain)
    if following == kept:
        return _held(following, Gate.MINIMUM_RUNTIME, Code.MINIMUM_RUNTIME, drain)
    going = [pod for pod in crew.pods if kept <= _place(given, pod) < current]
    return _held(
        following,
        Gate.BUSY,
        Code.BUSY_AT_THE_TOP,
        drain,
        going=current - kept,
        busy=sum(crew.busy(pod) > 0 for pod in going),
        pod=names[following - 1],
    )


def _place(given: PoolInput, pod: Pod) -> int:
    """Replicas kept without this pod, by ordinal; a pod without one goes never."""
    return -1 if pod.ordinal is None else pod.ordinal - (given.workload.first_ordinal or 0)


def _names(given: PoolInput, crew: Crew, kept: int) -> dict[int, str]:
    """The names of the pods that go, by place, also of those that may come soon. Pods are created
    from the lowest ordinal up, so none comes `TOLD_AHEAD` above the highest that is there.
    """
    name, first = given.terms.pool.workload.name, given.workload.first_ordinal or 0
    highest = max((_place(given, pod) for pod in crew.pods), default=-1)
    end = min(given.current, max(kept, highest + 1) + TOLD_AHEAD)
    names = {number: f"{name}-{first + number}" for number in range(kept, end)}
    beyond = (pod for pod in crew.pods if _place(given, pod) >= given.current)
    return names | {_place(given, pod): pod.name for pod in beyond}

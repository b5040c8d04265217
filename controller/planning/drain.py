"""Scale-down removes only idle replicas: busy ones finish their tasks first. If sharing reduces the
pool, new replicas also keep their minimum runtime.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from controller.model.decision import Code, Drain, Gate, Number, Reason
from controller.model.observation import DELETED_FIRST, Pod, PodPhase, QueueDepth, Workers
from controller.model.readings import Reading, last_known
from controller.model.worker_messages import PoolOrders, WorkerState
from controller.planning.demand.queue import IMPLAUSIBLE_MESSAGES
from controller.planning.inputs import Moment, PoolInput
from controller.planning.remember.writes import may_shrink_late
from controller.planning.values import Next


def shrink(given: PoolInput, target: int, recommendation: int, moment: Moment) -> Next:
    """The size after removing as many replicas above `target` as are idle and old enough.

    The minimum runtime counts only if `target` is below `recommendation`. All sizes in replicas.
    """
    current, pool = given.current, given.terms.pool
    busy = busy_replicas(given.seen.queue, pool.slots, current)
    surplus, idle = current - target, current - busy
    young = len(too_young(given, moment)) if target < recommendation else 0
    removed = min(surplus, max(idle - young, 0))
    if removed == surplus:
        return Next(target)
    replicas = current - removed
    gate, code = Gate.MINIMUM_RUNTIME, Code.MINIMUM_RUNTIME
    if idle < surplus:
        gate, code = Gate.BUSY, Code.BUSY
    numbers: dict[str, Number] = {"busy": busy}
    return Next(replicas, gate, (Reason(code=code, value=replicas, numbers=numbers),))


def busy_replicas(queue: Reading[QueueDepth], slots: int, current: int) -> int:
    """The number of busy replicas: messages in flight by `slots`, rounded up, at most `current`;
    0 if the queue is not known. Messages are assumed to fill one replica after another.
    """
    depth = last_known(queue)
    if depth is None or not 0 <= depth.in_flight < IMPLAUSIBLE_MESSAGES:
        return 0
    return min(current, -(-depth.in_flight // max(slots, 1)))


def too_young(given: PoolInput, moment: Moment) -> list[Pod]:
    """The pods that became ready less than their minimum runtime ago."""
    runtime_s, pods = given.terms.pool.minimum_runtime_s, last_known(given.seen.pods)
    if runtime_s <= 0 or pods is None:
        return []
    return [
        pod
        for pod in pods.items
        if pod.ready_at is not None and not moment.reached(pod.ready_at + runtime_s)
    ]


ORDERS_END_S: Final = 10.0
"""Orders that end within this time are not relied on: a worker's clock may be ahead of ours."""
_ENDED: Final = frozenset({PodPhase.TERMINATING, PodPhase.FAILED})
_WITHOUT_PROCESS: Final = frozenset({PodPhase.UNSCHEDULED, PodPhase.STARTING})


class Crew(msgspec.Struct, frozen=True, gc=False):
    """The pods that count as replicas, and what is known of the workers in them.

    - `states`: by pod. `drained`: the names that were told to stop pulling and with which no task
      is lost: of pods that have obeyed and have no task, and of pods that are not there (a pod of
      this name that begins now obeys before its first pull). `ending`: the names of those told that
      are being deleted: they stay told, for their workers may run until SIGTERM reaches them.
    """

    pods: tuple[Pod, ...]
    workers: Workers
    states: Mapping[str, WorkerState]
    drained: frozenset[str]
    ending: frozenset[str]
    slots: int

    @property
    def generations(self) -> list[list[Pod]]:
        """The pods by pod template, those of the newest first; several during a rollout."""
        found: defaultdict[str, list[Pod]] = defaultdict(list)
        for pod in self.pods:
            found[pod.generation].append(pod)
        return sorted(found.values(), key=lambda pods: -max(pod.created_at for pod in pods))

    def is_told(self, pod: Pod) -> bool:
        """Whether the pod was told to stop pulling."""
        return pod.name in self.workers.orders.drain

    def busy(self, pod: Pod) -> int:
        """The pod's tasks, all its slots if its worker does not say, 0 before it can have one."""
        state = self.states.get(pod.name)
        if state is not None:
            return state.busy
        return 0 if pod.phase in _WITHOUT_PROCESS else self.slots


def crew_of(given: PoolInput, moment: Moment) -> Crew | None:
    """The crew; None for a pool whose workers never said what they do: only its queue tells then
    how many of them are busy.
    """
    seen, slots = given.seen, max(given.terms.pool.slots, 1)
    workers = None if seen.workers is None else last_known(seen.workers)
    if workers is None or not (workers.states or workers.revision):
        return None
    known = last_known(seen.pods)
    items = () if known is None else known.items
    pods = tuple(each for each in items if each.phase not in _ENDED)
    deleted = (each.name for each in items if each.phase is PodPhase.TERMINATING)
    states = {state.worker: state for state in workers.states}
    depth = last_known(seen.queue)
    elsewhere = max(depth.in_flight, 0) if depth is not None else 0
    elsewhere -= sum(states[pod.name].busy for pod in pods if pod.name in states)
    return Crew(
        pods=pods,
        workers=workers,
        states=states,
        drained=_drained(pods, workers, states, -(-max(elsewhere, 0) // slots), moment),
        ending=frozenset(deleted).intersection(workers.orders.drain),
        slots=slots,
    )


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
    """The drained pods. Of pods without a state, so many are taken for busy as the messages that
    no worker reports would fill (`busy_elsewhere`).
    """
    orders = workers.orders
    if orders.until is not None and moment.reached(orders.until - ORDERS_END_S):
        return frozenset()
    told = {pod.name: pod for pod in pods if pod.name in orders.drain}
    found = {
        name
        for name in orders.drain
        if (state := states.get(name)) is not None and _has_obeyed(state, workers.revision)
    }
    silent = [each for name in workers.silent if (each := told.get(name)) and name not in states]
    found.update(pod.name for pod in silent if pod.phase in _WITHOUT_PROCESS)
    found.update(name for name in workers.silent if name not in told and name not in states)
    unknown = [p for p in pods if p.name not in states and p.phase not in _WITHOUT_PROCESS]
    idle = max(len(unknown) - busy_elsewhere, 0)
    found.update([pod.name for pod in silent if pod.phase not in _WITHOUT_PROCESS][:idle])
    return frozenset(found)


def _has_obeyed(state: WorkerState, revision: int) -> bool:
    # a newer revision than ours may be one that calls the worker back
    return state.obeyed == revision and not state.pulling and state.busy == 0


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
    following = Next(current - removed, drain=_orders(crew, orders, told, kept))
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
    told = _orders(crew, orders, going, going)
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


def _orders(crew: Crew, orders: PoolOrders, told: Iterable[str], going: Collection[str]) -> Drain:
    """These orders for the pods `told`. A pod in `going` that is marked keeps its mark while it
    obeys newer orders: a ReplicaSet may be choosing it at this moment.
    """
    marked = {pod.name for pod in crew.pods if is_first(pod)}
    return Drain(
        orders=replace(orders, drain=tuple(sorted(crew.ending.union(told)))),
        removable=tuple(sorted((crew.drained | marked).intersection(going))),
    )

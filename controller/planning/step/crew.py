"""The pods of a pool whose workers say what they do, and which of them are drained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

import msgspec

from controller.model.observation import DELETED_FIRST, Pod, PodPhase, Workers
from controller.model.readings import last_known
from controller.model.worker_messages import WorkerState
from controller.planning.inputs import Moment, PoolInput

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

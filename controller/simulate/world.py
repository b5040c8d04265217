"""A virtual cluster: pools of replicas with slots and cold starts, driven by events.

Time jumps from event to event. Events are an arrival, a completion, a replica that becomes ready,
and a look of the pool's policy. Nothing changes between them.
"""

from __future__ import annotations

import math
import random
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from itertools import count, repeat
from typing import Final, NamedTuple, Protocol

from controller.simulate.trace import TraceTask

NEVER: Final = math.inf
# of a normal distribution: nine of ten draws are below the mean and so many standard deviations
_P90_SIGMAS: Final = 1.2815515655446004
# with messages still waiting this long after the trace's end, the policy will never serve them
GIVE_UP_S: Final = 3600.0


class SeenPool(NamedTuple):
    """What a controller can see of one pool.

    `pending` and `in_flight` are messages. `arrivals` and `completions` count since the start.
    `replicas` is the requested size, `ready` plus `starting`; `busy` ready replicas have a task.
    """

    pending: int
    in_flight: int
    arrivals: int
    completions: int
    replicas: int
    ready: int
    starting: int
    busy: int
    slots: int
    time_to_ready_s: float


class Answer(NamedTuple):
    """The replicas that a policy requests, and when it looks again without an event (seconds)."""

    replicas: int
    look_at: float = NEVER


class Policy(Protocol):
    """One pool's scaling rule; each pool has its own instance.

    It looks at its own `look_at`. With `on_events` it also looks after an arrival, a completion or
    a replica that becomes ready: at the next multiple of `interval_s`, or at once if that is 0.
    """

    interval_s: float
    on_events: bool

    def look(self, seen: SeenPool, now: float) -> Answer:
        """The pool's next size; `now` in seconds since the start of the trace."""
        ...


class World(NamedTuple):
    """The virtual cluster.

    - `slots`: tasks at a time per replica.
    - `time_to_ready_s`: seconds from decision to ready, the median; `time_to_ready_p90_s`: nine of
      ten are ready by then, drawn from a log-normal distribution. None: all take equally long.
    - `least`: with so many ready replicas the pool begins; with those that its mean load keeps
      busy, if that is more and `is_warm`.
    - `seed`: of what is drawn.
    """

    slots: int = 1
    time_to_ready_s: float = 19.0
    time_to_ready_p90_s: float | None = None
    least: int = 0
    is_warm: bool = False
    seed: int = 1

    def starts(self) -> Iterator[float]:
        """The times to ready of one replica after the other, in seconds."""
        if self.time_to_ready_p90_s is None or not self.time_to_ready_s:
            return repeat(self.time_to_ready_s)
        spread = math.log(self.time_to_ready_p90_s / self.time_to_ready_s) / _P90_SIGMAS
        draw, mean = random.Random(self.seed).lognormvariate, math.log(self.time_to_ready_s)
        return (draw(mean, spread) for _ in count())

    def began_with(self, tasks: Sequence[TraceTask], end_s: float) -> int:
        """With how many ready replicas a pool begins."""
        if not self.is_warm or not end_s:
            return self.least
        busy = sum(task.service_s for task in tasks) / end_s
        return max(self.least, math.ceil(busy / self.slots))


class Action(NamedTuple):
    """One change of a pool's replicas, at `at` (seconds)."""

    at: float
    before: int
    after: int


class PoolRun(NamedTuple):
    """The result of one pool's run.

    - `waits_s`: the wait of each started task (start − arrival), in order of start.
    - `replica_s`: the replica-seconds paid for.
    - `actions`: all changes of its replicas; it began with `began_with`. `unserved`: tasks that
      were never started.
    """

    waits_s: Sequence[float]
    replica_s: float
    actions: list[Action]
    unserved: int = 0
    began_with: int = 0


class VirtualPool:
    """One pool: a queue in order of arrival, and replicas that start, work and stop when idle.

    - A message goes to the fullest replica with a free slot, so that other replicas become idle;
      where all are busy, to one of `standbys`, if there are any.
    - Scale-down removes starting replicas first (Kubernetes deletes pods that are not ready first),
      then idle ones, then those with the fewest tasks: these finish what they have and take no
      more, as within a grace period that is long enough. A ReplicaSet does not know who is idle.
    - A replica is paid for from the decision to start it until it has ended.
    """

    standbys: Standbys | None = None

    def __init__(self, tasks: Sequence[TraceTask], world: World, end_s: float) -> None:
        self._tasks = tasks
        self._world = world
        self._slots = world.slots
        self._starts_s = world.starts()
        self._sources: Sequence[VirtualPool] = (self,)
        self.queue: deque[TraceTask] = deque()
        self._ends: list[tuple[float, int, int]] = []  # when, on which replica, of which source
        self._starting: dict[int, float] = {}
        self._ready_at: list[tuple[float, int]] = []
        self._began_with = world.began_with(tasks, end_s)
        self._load = dict.fromkeys(range(-self._began_with, 0), 0)
        self._by_load: list[dict[int, None]] = [{} for _ in range(world.slots + 1)]
        self._by_load[0] = dict.fromkeys(self._load)
        self._draining: dict[int, int] = {}
        self._started = 0
        self._arrived = 0
        self.in_flight = 0
        self._paid_since = 0.0
        self._replica_s = 0.0
        self._waits = array("d")
        self._actions: list[Action] = []

    def next_at(self) -> float:
        """When the next event comes; `NEVER` if none does."""
        ready_at, ends = self._ready_at, self._ends
        while ready_at and ready_at[0][1] not in self._starting:
            heappop(ready_at)  # it was removed before it was ready
        return min(
            self._tasks[self._arrived].arrival_s if self._arrived < len(self._tasks) else NEVER,
            ends[0][0] if ends else NEVER,
            ready_at[0][0] if ready_at else NEVER,
        )

    def happen(self, now: float) -> None:
        """One of the events of this moment."""
        tasks, arrived = self._tasks, self._arrived
        if arrived < len(tasks) and tasks[arrived].arrival_s == now:
            self.queue.append(tasks[arrived])
            self._arrived += 1
        elif self._ends and self._ends[0][0] == now:
            _, replica, source = heappop(self._ends)
            self._sources[source].in_flight -= 1
            self._finish(replica, now)
        else:
            _, replica = heappop(self._ready_at)
            del self._starting[replica]
            self._by_load[0][replica] = None
            self._load[replica] = 0
        self.dispatch(now)
        if self.queue and self.standbys is not None:
            self.standbys.dispatch(now)

    def _finish(self, replica: int, now: float) -> None:
        """A task of this replica has ended; a draining one without tasks has too."""
        load = self._load.get(replica)
        if load is not None:
            del self._by_load[load][replica]
            self._by_load[load - 1][replica] = None
            self._load[replica] = load - 1
        elif self._draining[replica] > 1:
            self._draining[replica] -= 1
        else:
            self._pay(now)
            del self._draining[replica]

    def _source(self) -> int | None:
        """Which of its sources has its next task."""
        return 0 if self.queue else None

    def dispatch(self, now: float) -> None:
        """Give waiting messages to free slots."""
        source = self._source()
        for load in range(self._slots - 1, -1, -1):
            free = self._by_load[load]
            while free and source is not None:
                replica, _ = free.popitem()
                taken = load
                while source is not None and taken < self._slots:
                    task = self._sources[source].begin(now)
                    heappush(self._ends, (now + task.service_s, replica, source))
                    taken += 1
                    source = self._source()
                self._by_load[taken][replica] = None
                self._load[replica] = taken

    def begin(self, now: float) -> TraceTask:
        """Hand over the task that has waited longest."""
        task = self.queue.popleft()
        self._waits.append(now - task.arrival_s)
        self.in_flight += 1
        return task

    def seen(self) -> SeenPool:
        """What a controller can see of it now."""
        ready, starting, pending = len(self._load), len(self._starting), len(self.queue)
        return SeenPool(
            pending=pending,
            in_flight=self.in_flight,
            arrivals=self._arrived,
            completions=self._arrived - pending - self.in_flight,
            replicas=ready + starting,
            ready=ready,
            starting=starting,
            busy=ready - len(self._by_load[0]),
            slots=self._slots,
            time_to_ready_s=self._world.time_to_ready_s,
        )

    def resize(self, after: int, now: float) -> None:
        """Request so many replicas."""
        before = len(self._load) + len(self._starting)
        if after == before:
            return
        self._pay(now)
        self._actions.append(Action(now, before, after))
        for _ in range(after - before):
            self._started += 1
            self._starting[self._started] = ready_at = now + next(self._starts_s)
            heappush(self._ready_at, (ready_at, self._started))
        for _ in range(before - after):
            if self._starting:
                self._starting.popitem()
            else:
                self._remove()

    def _remove(self) -> None:
        """Take the ready replica with the fewest tasks; it finishes those."""
        load, replicas = next((n, each) for n, each in enumerate(self._by_load) if each)
        replica, _ = replicas.popitem()
        del self._load[replica]
        if load:
            self._draining[replica] = load

    def _pay(self, now: float) -> None:
        alive = len(self._load) + len(self._starting) + len(self._draining)
        self._replica_s += alive * (now - self._paid_since)
        self._paid_since = now

    def ended(self, end_s: float) -> PoolRun:
        """The result of the run, which ends at `end_s`."""
        self._pay(end_s)
        return PoolRun(
            self._waits,
            self._replica_s,
            self._actions,
            unserved=len(self.queue),
            began_with=self._began_with,
        )


class Standbys(VirtualPool):
    """Replicas without a queue of their own: a free one takes the task that has waited longest."""

    def __init__(self, served: Sequence[VirtualPool], world: World, end_s: float) -> None:
        super().__init__((), world, end_s)
        self._sources = served
        for pool in served:
            pool.standbys = self

    def _source(self) -> int | None:
        waiting = [
            (pool.queue[0].arrival_s, number)
            for number, pool in enumerate(self._sources)
            if pool.queue
        ]
        return min(waiting)[1] if waiting else None

    def busy_for(self) -> list[int]:
        """How many of them work for each of the pools that they serve."""
        busy = [0] * len(self._sources)
        for _, _, source in self._ends:
            busy[source] += 1
        return busy


def run_pool(tasks: Sequence[TraceTask], policy: Policy, world: World, end_s: float) -> PoolRun:
    """Run until all tasks are done and `end_s` has passed, and return the result. It gives up after
    `GIVE_UP_S` more if messages wait and no event comes.
    """
    pool = VirtualPool(tasks, world, end_s)
    interval_s, on_events = policy.interval_s, policy.on_events
    now = look_at = 0.0
    while True:
        event_at = pool.next_at()
        if event_at > look_at:
            patience_s = GIVE_UP_S if pool.queue else 0.0
            if event_at == NEVER and look_at > end_s + patience_s:
                break
            now = look_at
            answer = policy.look(pool.seen(), now)
            look_at = answer.look_at if answer.look_at > now else math.nextafter(now, NEVER)
            pool.resize(answer.replicas, now)
            continue
        if event_at == NEVER:
            break
        now = event_at
        pool.happen(now)
        if on_events:
            look_at = min(look_at, next_moment(now, interval_s))
    return pool.ended(max(now, end_s))


def next_moment(now: float, interval_s: float) -> float:
    """The first multiple of `interval_s` that is not before `now`; `now` if it is 0."""
    return math.ceil(now / interval_s) * interval_s if interval_s > 0 else now

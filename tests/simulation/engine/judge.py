"""What never may happen, asked after each plan, each write that leaves and each that is accepted.

It knows the truth, and what each process has really been told; it does not ask the engine.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial
from typing import Final, NamedTuple

from controller.engine.loop import Planner
from controller.model.decision import Decision, Gate
from controller.model.fleet import Pool
from controller.model.ids import PoolKey
from controller.model.intents import Intent, IntentKind, Intents
from controller.model.memory import Memory
from controller.model.observation import Observation
from controller.model.readings import Fresh
from controller.nats.bucket import BucketEntry
from controller.planning.compile import FleetTerms
from controller.planning.memo import Kept, Planned
from controller.planning.memory import SEEN_WITHIN_S
from simulation.engine.cluster import Deployment
from simulation.engine.controller import ApiClientFactory, Controller
from simulation.engine.operators import Asked
from simulation.engine.setting import SHORT
from simulation.engine.wire import ApiClient
from simulation.engine.work import INTENTS
from simulation.engine.world import COUNTING, DIGEST, REPORTING, UP_PERIOD_S, UP_PODS, World
from support.world import START


class _Right(NamedTuple):
    """What the lease gives a process: its reign, and until when it may begin a write."""

    reign: int = 0
    until: float = -math.inf


class _Step(NamedTuple):
    """A change of a size; `seen_at`: when the process that made the next one first saw it."""

    sent_at: float
    change: int
    reign: int
    seen_at: float


class _Need(NamedTuple):
    """So many replicas were needed when `name` planned; its successors know it from `shared_at`."""

    at: float
    replicas: int
    name: str
    shared_at: float = math.inf


DELIVERED_S: Final = 1.0
"""What the server tells is known within this time to a process that follows it without a gap."""
SHARED_S: Final = 0.6
"""What a leader has planned by is kept for its successor within this time."""


class _Can(Enum):
    """What a process can do, as far as the world lets it."""

    ALL = "all"
    NOTHING = "nothing but to give the lease back"
    LESS = "less"


def _can(process: Controller) -> _Can:
    api, nats, machine = process.api, process.nats, process.machine
    if machine.has_ended or machine.pauses or api.cuts or api.losses or api.slow_s or api.busy:
        return _Can.LESS
    if process.journal_down is not None or nats.cuts:
        return _Can.NOTHING
    is_hindered = nats.losses or any(process.queues.ill.values())
    return _Can.LESS if is_hindered else _Can.ALL


EDGE_S: Final = 0.1
"""Of a window: it ends with the plan after the reading."""
OTHERS_EDGE_S: Final = EDGE_S + SHORT.interval_s
"""Where another process has read it: this one may have read the queue an interval earlier."""
USELESS_S: Final = 12.0
"""Five seconds of patience, one to notice, and the times of the lease."""


class Judge:
    """Raises BrokenPromiseError."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._times = world.setting.times
        self._rights: dict[str, _Right] = {}
        self._decided: dict[tuple[str, PoolKey], Decision] = {}
        self._sent_at: dict[tuple[str, PoolKey], float] = {}
        self._writers: dict[tuple[PoolKey, int], str] = {}
        self._steps: defaultdict[PoolKey, list[_Step]] = defaultdict(list)
        self._seen: dict[tuple[str, PoolKey], tuple[int | None, float]] = {}
        self._too_low: dict[tuple[str, PoolKey], str] = {}
        self._versions: dict[tuple[str, PoolKey], str] = {}
        self._first_plan: dict[PoolKey, float] = {}
        self._needs: defaultdict[PoolKey, list[_Need]] = defaultdict(list)
        self._standing: dict[str, Asked] = {}
        self._known: defaultdict[str, dict[str, Asked]] = defaultdict(dict)
        self._states: dict[str, tuple[_Can, float]] = {}
        self.writes = 0
        world.kernel.after(1.0, self._look)
        world.memory.on_put.append(self._asked)
        world.memory.on_restored = self._no_longer_shared

    def _look(self) -> None:
        """Who can decide nothing does not lead for long beside a process that can."""
        now, holder = self._world.kernel.now, self._world.lease.holder
        known = {each.machine.name: _can(each) for each in self._world.controllers}
        for name, can in known.items():
            if self._states.get(name, (None, 0.0))[0] is not can:
                self._states[name] = can, now
        lasting = {n: can for n, can in known.items() if now - self._states[n][1] > USELESS_S}
        is_useless = lasting.get(holder) is _Can.NOTHING and _Can.ALL in lasting.values()
        self._never(is_useless, f"{holder} keeps the lease, though it can decide nothing")
        self._world.kernel.after(1.0, self._look)

    def _asked(self, entry: BucketEntry) -> None:
        """Somebody has asked for something, or taken it back: who hears it knows it soon."""
        if not entry.key.startswith(INTENTS):
            return
        asked = Asked.of(entry)
        self._world.kernel.note("desk", f"{entry.key} {asked and asked.amount}")
        self._standing.pop(entry.key, None)
        for known in self._known.values():
            known.pop(entry.key, None)
        if asked is None:
            return
        self._standing[entry.key] = asked
        for each in self._world.controllers:
            if not each.watch.gaps:
                self._world.kernel.after(
                    DELIVERED_S, partial(self._is_known, each, each.watch.number, entry.key, asked)
                )

    def _is_known(self, controller: Controller, number: int, key: str, asked: Asked) -> None:
        if controller.machine.pauses:  # who is stopped hears it when it goes on
            again = partial(self._is_known, controller, number, key, asked)
            self._world.kernel.after(DELIVERED_S, again)
        elif controller.watch.number == number and self._standing.get(key) is asked:
            self._known[controller.machine.name][key] = asked

    def learned(self, controller: Controller) -> None:
        """The process has read all of the bucket."""
        for key, entry in self._world.memory.entries(INTENTS).items():
            asked = self._standing.get(key)
            if asked is not None and asked.at == entry.at:
                self._known[controller.machine.name][key] = asked

    def forget(self, name: str) -> None:
        """The process has ended, and no later one has its name."""
        self._rights.pop(name, None)
        self._known.pop(name, None)
        self._states.pop(name, None)
        for known in (self._decided, self._sent_at, self._seen, self._versions, self._too_low):
            for place in [each for each in known if each[0] == name]:
                del known[place]  # type: ignore[attr-defined]

    def is_contested(self, name: str, key: PoolKey) -> bool:
        """Whether this process leaves the pool to another writer for now."""
        decision = self._decided.get((name, key))
        return decision is not None and decision.gate is Gate.CONTESTED

    def planner_of(self, controller: Controller, plan: Planner) -> Planner:
        """The planner, watched."""

        def watched(  # noqa: PLR0917 - a planner's arguments
            observation: Observation,
            terms: FleetTerms,
            intents: Intents,
            memory: Memory,
            now: float,
            kept: Kept | None = None,
        ) -> Planned:
            planned = plan(observation, terms, intents, memory, now, kept)
            for key in observation.pools:
                decision = planned.plan.decisions.get(key)
                if decision is None:
                    continue
                place = controller.machine.name, key
                if self._seen.get(place, (None, 0.0))[0] != decision.current:
                    self._seen[place] = decision.current, self._world.kernel.now
                if key not in observation.under_way:
                    self._decided[place] = decision
                    self._versions[place] = controller.view.version(key)
                    self._planned(controller, terms.pools[key].pool, decision, intents)
            return planned

        return watched

    def client_of(self, controller: Controller, make: ApiClientFactory) -> ApiClient:
        """The connection to the API server, watched."""
        client: ApiClient = make(
            on_send=lambda deployment, replicas, version: self._sent(
                controller, deployment, replicas, version
            ),
            on_applied=lambda deployment, before, after: self._applied(
                controller, deployment, before, after
            ),
            on_lease=lambda takes: self._lease_asked(controller, takes=takes),
        )
        return client

    def _lease_asked(self, controller: Controller, *, takes: bool) -> Callable[[], None]:
        name, asked_at = controller.machine.name, self._world.kernel.now
        if not takes:
            self._rights[name] = _Right()
            return lambda: None

        def answered() -> None:
            lease = self._world.lease
            self._rights[name] = _Right(lease.reign, asked_at + self._times.right_s)

        return answered

    def _planned(
        self, controller: Controller, pool: Pool, decision: Decision, intents: Intents
    ) -> None:
        """No decrease on silence; bounds, floors, budgets, intents, windows, cooldown."""
        current, wanted = decision.current, decision.next
        if wanted is not None:  # without a view of its object a pool has no recommendation
            self._note_need(controller, pool)
        self._too_low.pop((controller.machine.name, pool.key), None)
        if wanted is None or current is None or wanted == current:
            return
        key, who = pool.key, f"{controller.machine.name} decides {pool.key} {current} → {wanted}"
        is_spent = self._world.budget_is_spent(pool.tenant)
        handed = {each.kind for each in intents if _concerns(each, pool)}
        is_stopped = is_spent or not handed.isdisjoint({IntentKind.PAUSE, IntentKind.CAP})
        self._as_asked(controller, pool, who, current, wanted, is_stopped=is_stopped)
        self._never(not controller.view.is_certain(key), f"{who}, without a view of it")
        if wanted > current:
            self._never(wanted > pool.max, f"{who}, above its max {pool.max}")
            self._never(is_spent, f"{who}, though the budget of {pool.tenant} is spent")
            return
        self._never(key not in controller.queues.certain, f"{who}, without knowing its work")
        if key in REPORTING:
            reading = controller.workers.read(key)
            self._never(not isinstance(reading, Fresh), f"{who}, without knowing its workers")
            self._never(bool(controller.deaf), f"{who}, while it does not hear its workers")
        if not is_stopped:
            self._never(wanted < pool.min, f"{who}, below its min {pool.min}")
            self._too_low[controller.machine.name, key] = next(
                self._too_low_for(controller, pool, who, current, wanted), ""
            )

    def _as_asked(
        self,
        controller: Controller,
        pool: Pool,
        who: str,
        current: int,
        wanted: int,
        *,
        is_stopped: bool,
    ) -> None:
        """What people ask for is done by every process that must know of it."""
        now = START + self._world.kernel.now
        for asked in self._known[controller.machine.name].values():
            ends = asked.until
            if not asked.concerns(pool) or (
                ends is not None and (ends <= now or controller.step_s > 0)
            ):
                continue
            words = f"{who}, though a {asked.kind} has stood for {now - asked.at:.1f} s"
            self._never(asked.kind == IntentKind.FREEZE, words)
            if wanted > current:
                stops = asked.kind in {IntentKind.PAUSE, IntentKind.NO_GROWTH}
                self._never(stops, words)
                self._never(asked.kind == IntentKind.CAP and wanted > asked.amount, words)
            elif asked.kind == IntentKind.PIN and not is_stopped:
                self._never(wanted < min(asked.amount, current), words)

    def _note_need(self, controller: Controller, pool: Pool) -> None:
        """What the pool needed, as far as this process knows, and from when on others do."""
        now, key, name = self._world.kernel.now, pool.key, controller.machine.name
        self._first_plan.setdefault(key, now)
        depth = controller.queues.last.get(key)
        if depth is None or key not in controller.queues.certain:
            return
        messages = depth.pending + depth.in_flight
        if not messages:
            return
        needs = self._needs[key]
        longest_s = max(pool.cooldown_s, pool.behavior.scale_down.stabilization_window_s)
        while needs and needs[0].at < now - longest_s:
            del needs[0]
        replicas = 1 if key in COUNTING else min(messages, pool.max)
        shared_at = math.inf
        if controller.right.may_write() and not self._is_troubled(controller):
            shared_at = now + SHARED_S
        needs.append(_Need(controller.queues.read_at[key], replicas, name, shared_at))

    def _no_longer_shared(self) -> None:
        """An older copy of the bucket does not have what was saved since, and its leader may have
        ended with it.
        """
        for key, needs in self._needs.items():
            self._needs[key] = [each._replace(shared_at=math.inf) for each in needs]

    def _too_low_for(
        self, controller: Controller, pool: Pool, who: str, current: int, wanted: int
    ) -> Iterator[str]:
        """No pool is lowered below what was needed within its window, nor to zero before it has
        cooled down, nor before it has been watched for a whole window. A follower may want to.
        """
        now, key, name = self._world.kernel.now, pool.key, controller.machine.name
        window_s = pool.behavior.scale_down.stabilization_window_s
        watched_s = now - self._first_plan[key]
        if watched_s < window_s:
            yield f"{who}, {watched_s:.1f} s after it was seen for the first time"
        for need in self._needs[key]:
            if need.name != name and need.shared_at > now:
                continue
            ago_s = now - need.at + (EDGE_S if need.name == name else OTHERS_EDGE_S)
            words = f"{who}, though {need.name} needed {need.replicas} {ago_s:.1f} s ago"
            if not wanted and ago_s < pool.cooldown_s:
                yield f"{words}: it cools down"
            is_low = wanted < min(need.replicas, pool.max, current) and key not in COUNTING
            if wanted and is_low and ago_s < window_s:  # KEDA: to zero whatever the window says
                yield words

    def _is_troubled(self, controller: Controller) -> bool:
        nats = controller.nats
        return bool(nats.cuts or nats.losses or controller.machine.pauses)

    def _sent(
        self, controller: Controller, deployment: Deployment, replicas: int | None, version: str
    ) -> None:
        """No write without the right to write, and none that was not decided."""
        name, key, now = controller.machine.name, deployment.pool.key, self._world.kernel.now
        right, lease = self._rights.get(name, _Right()), self._world.lease
        who = f"{name} writes {key}"
        self._never(
            now >= right.until, f"{who} {now - right.until:.3f} s after its right had ended"
        )
        is_past = right.reign < lease.reign and not self._was_damaged()
        self._never(is_past, f"{who}, while {lease.holder} leads")
        self.writes += 1
        if replicas is None:
            return
        self._sent_at[name, key] = now
        decision = self._decided.get((name, key))
        decided = None if decision is None else decision.next
        self._never(decided != replicas, f"{who} = {replicas}, though {decided} was decided")
        too_low = self._too_low.get((name, key), "")
        self._never(bool(too_low), too_low)
        seen = self._versions.get((name, key))
        self._never(version != seen, f"{who} = {replicas} over version {version!r}, saw {seen}")
        is_down = controller.journal_down is not None or controller.signal.is_on
        self._never(is_down, f"{who}, though a switch is on")
        is_old = bool(version) and int(version) < controller.view.applied_version.get(key, 0)
        self._never(is_old, f"{who} = {replicas} again, after its answer that this was applied")
        self._world.kernel.note(name, f"asks {key} = {replicas} in place of version {version}")

    def _was_damaged(self) -> bool:
        """Whether a person has just taken the lease from its holder, who writes until it hears."""
        lease = self._world.lease
        return self._world.kernel.now - lease.damaged_at < self._times.duration_s

    def _applied(
        self, controller: Controller, deployment: Deployment, before: int, after: int
    ) -> None:
        """One writer per reign and object, none of an older reign, and no step taken twice."""
        name, pool = controller.machine.name, deployment.pool
        reign = self._rights.get(name, _Right()).reign
        self._world.kernel.note("api", f"{pool.key} {before} → {after} by {name}, reign {reign}")
        who = f"a write of {name} (reign {reign}) to {pool.key} was accepted"
        if reign:
            is_past = reign < deployment.last_reign and not self._was_damaged()
            self._never(is_past, f"{who} after one of {deployment.last_reign}")
            deployment.last_reign = reign
            other = self._writers.setdefault((pool.key, reign), name)
            self._never(other != name, f"{who}, as one of {other} was")
        if pool.key == DIGEST.key:
            self._stepped(name, pool.key, before, after, reign)

    def person_scales(self, deployment: Deployment, replicas: int) -> None:
        """What a person takes away was there when the period began: it may be given again."""
        now, lowered_by = self._world.kernel.now, deployment.replicas - replicas
        if lowered_by > 0:
            self._steps[deployment.pool.key].append(_Step(now, -lowered_by, 0, now))

    def _never(self, broken: bool, words: str) -> None:
        if broken:
            raise self._world.kernel.breaks(words)

    def _stepped(self, name: str, key: PoolKey, before: int, after: int, reign: int) -> None:
        """The HPA's rule: the size at the period's start, and so many more. A change counts from
        when it was decided, which is a little before it was sent; one that was asked for again
        counts from the first time, or from when it was seen if that is more than `SEEN_WITHIN_S`
        later: so an increase counts from when it was sent at the earliest, and a decrease from when
        it was seen at the latest. What the process of an earlier reign added may not have been
        saved when it ended.
        """
        sent_at, late_s = self._sent_at[name, key], self._times.write_s
        steps = self._steps[key]
        if steps:
            _, seen_at = self._seen.get((name, key), (None, 0.0))
            steps[-1] = steps[-1]._replace(seen_at=max(steps[-1].sent_at, seen_at))
        known = [each for each in steps if sent_at - each.seen_at < UP_PERIOD_S + late_s]
        added = sum(
            max(each.change, 0)
            for each in known
            if each.reign == reign and sent_at - each.sent_at < UP_PERIOD_S - SEEN_WITHIN_S
        )
        most = before - added - sum(min(each.change, 0) for each in known) + UP_PODS
        is_more = before < after
        self._never(
            is_more and after > most, f"{name} took {key} to {after}, {most} at most at once"
        )
        self._steps[key] = [*known, _Step(sent_at, after - before, reign, sent_at)]


def _concerns(intent: Intent, pool: Pool) -> bool:
    scope = intent.scope
    return scope.pool in {None, pool.key} and scope.tenant in {None, pool.tenant}

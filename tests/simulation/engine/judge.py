"""What never may happen, asked after each plan, each write that leaves and each that is accepted.

It knows the truth, and what each process has really been told; it does not ask the engine.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from controller.engine.loop import Planner
from controller.model.decision import Decision, Gate
from controller.model.fleet import Pool
from controller.model.ids import PoolKey
from controller.model.intents import Intent, IntentKind, Intents
from controller.model.memory import Memory
from controller.model.observation import Observation
from controller.model.readings import Fresh
from controller.planning.compile import FleetTerms
from controller.planning.memo import Kept, Planned
from controller.planning.memory import SEEN_WITHIN_S
from controller.planning.planner import plan
from simulation.engine.cluster import Deployment
from simulation.engine.controller import ApiClientFactory, Controller
from simulation.engine.wire import ApiClient
from simulation.engine.world import DIGEST, REPORTING, UP_PERIOD_S, UP_PODS, World


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
        self.writes = 0

    def forget(self, name: str) -> None:
        """The process has ended, and no later one has its name."""
        self._rights.pop(name, None)
        for known in (self._decided, self._sent_at, self._seen):
            for place in [each for each in known if each[0] == name]:
                del known[place]  # type: ignore[attr-defined]

    def is_contested(self, name: str, key: PoolKey) -> bool:
        """Whether this process leaves the pool to another writer for now."""
        decision = self._decided.get((name, key))
        return decision is not None and decision.gate is Gate.CONTESTED

    def planner_of(self, controller: Controller) -> Planner:
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
        """No decrease on silence; bounds, floors, budgets, freezes."""
        current, wanted = decision.current, decision.next
        if wanted is None or current is None or wanted == current:
            return
        key, who = pool.key, f"{controller.machine.name} decides {pool.key} {current} → {wanted}"
        asked = [each for each in intents if _concerns(each, pool)]
        kinds = {each.kind for each in asked}
        self._never(IntentKind.FREEZE in kinds, f"{who}, though it is frozen")
        self._never(not controller.view.is_certain(key), f"{who}, without a view of it")
        if wanted > current:
            self._never(wanted > pool.max, f"{who}, above its max {pool.max}")
            self._never(IntentKind.PAUSE in kinds, f"{who}, though it is paused")
            self._never(IntentKind.NO_GROWTH in kinds, f"{who}, though it may not grow")
            spent = self._world.budget_is_spent(pool.tenant)
            self._never(spent, f"{who}, though the budget of {pool.tenant} is spent")
            return
        self._never(key not in controller.queues.certain, f"{who}, without knowing its work")
        if key in REPORTING:
            reading = controller.workers.read(key)
            self._never(not isinstance(reading, Fresh), f"{who}, without knowing its workers")
            self._never(bool(controller.deaf), f"{who}, while it does not hear its workers")
        if IntentKind.PAUSE not in kinds and not self._world.budget_is_spent(pool.tenant):
            self._never(wanted < pool.min, f"{who}, below its min {pool.min}")

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
        was_damaged = now - lease.damaged_at < self._times.duration_s
        self._never(
            right.reign < lease.reign and not was_damaged, f"{who}, while {lease.holder} leads"
        )
        self.writes += 1
        if replicas is None:
            return
        self._sent_at[name, key] = now
        decision = self._decided.get((name, key))
        decided = None if decision is None else decision.next
        self._never(decided != replicas, f"{who} = {replicas}, though {decided} was decided")
        is_old = bool(version) and int(version) < controller.view.applied_version.get(key, 0)
        self._never(is_old, f"{who} = {replicas} again, after its answer that this was applied")
        self._world.kernel.note(name, f"asks {key} = {replicas} in place of version {version}")

    def _applied(
        self, controller: Controller, deployment: Deployment, before: int, after: int
    ) -> None:
        """One writer per reign and object, none of an older reign, and no step taken twice."""
        name, pool = controller.machine.name, deployment.pool
        reign = self._rights.get(name, _Right()).reign
        self._world.kernel.note("api", f"{pool.key} {before} → {after} by {name}, reign {reign}")
        who = f"a write of {name} (reign {reign}) to {pool.key} was accepted"
        if reign:
            self._never(
                reign < deployment.last_reign, f"{who} after one of {deployment.last_reign}"
            )
            deployment.last_reign = reign
            other = self._writers.setdefault((pool.key, reign), name)
            self._never(other != name, f"{who}, as one of {other} was")
        if pool.key == DIGEST.key:
            self._stepped(name, pool.key, before, after, reign)

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

"""Step 5 of a tick: build the snapshot; only the views of changed pools are made anew."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from math import inf, nextafter
from typing import Final

from msgspec.structs import replace

from controller.engine.actuate import Recorder, Write
from controller.engine.show.findings import (
    Found,
    by_cause,
    cost_findings,
    decision_findings,
    file_findings,
    findings,
    model_findings,
    needs_attention,
    pool_findings,
    refusal_findings,
    usage_findings,
    wait_findings,
)
from controller.engine.show.lasting import Since, WorkFindings
from controller.engine.show.past import HistoryRecorder, QueueMeters
from controller.engine.show.supply import ModelViews, RoomViews
from controller.engine.show.tenants import TenantViews, times_of
from controller.model.decision import Condition, Decision, Outcome, Standing
from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.intents import Intents
from controller.model.observation import Observation, PoolObservation
from controller.model.settings import LeaseView, Notice
from controller.model.snapshot import (
    Finding,
    Link,
    LoopStats,
    PoolView,
    Role,
    Snapshot,
    condition_of,
)
from controller.planning.memo import Kept
from controller.planning.share.claims import KnownDraws, cost_terms_of
from controller.planning.share.rows import TenantScarcity

MOST_AHEAD_S: Final = 3600.0
"""The clock of the leader before may have been ahead of ours by so much."""
_UNSEEN = PoolObservation()
_OF_FIRST_READINGS: Final = frozenset({Condition.BLIND, Condition.STALE})


class SnapshotBuilder:
    """Keeps each pool's latest view, and numbers the snapshots of this process."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        recorder: Recorder,
        name: str,
        context: str,
        interval_s: float,
        epoch: float,
        process: str = "",
        notices: tuple[Notice, ...] = (),
        journal: str = "",
        version: str = "",
    ) -> None:
        """`name` is the fleet file's name, `context` the kubeconfig context, `epoch` the start of
        this process (Unix seconds), `process` its name, `journal` the file that keeps its
        snapshots, `version` that of the program, and `notices` are about keys of the file.

        A later `epoch` may be set: then all snapshots are newer than those before it.
        """
        self._fleet = fleet
        self.recorder = recorder
        self._costs = cost_terms_of(fleet)
        self._work = WorkFindings(fleet)
        self._aims = {pool.key: pool.aim_s for pool in fleet.pools if pool.aim_s is not None}
        self._tiers = {tenant.name: tenant.tier.name for tenant in fleet.tenants}
        self._name = name
        self._context = context
        self._interval_s = interval_s
        self.epoch = epoch
        self._process = process
        self._journal = journal
        self._version = version
        self._file_findings = tuple(file_findings(notices))
        self._sequence = 0
        self._pools = {pool.key: pool for pool in fleet.pools}
        self._history = HistoryRecorder(self._pools, self._tiers)
        self._since, self._found_since = Since(), Since()
        self._seen: dict[PoolKey, PoolObservation] = {}
        self._decisions: dict[PoolKey, Decision] = {}
        self._outcomes: dict[PoolKey, Outcome] = {}
        self._changed: set[PoolKey] = set(self._pools)
        self._views: dict[PoolKey, PoolView] = {}
        self._queues = QueueMeters(pool.key for pool in fleet.pools for _ in pool.queues)
        draws = KnownDraws(fleet)
        self._of_tenants = TenantViews(fleet, draws, self._since)
        self._of_all_models = ModelViews(fleet, draws)
        self._room = RoomViews(fleet)
        self._scarce: Mapping[str, TenantScarcity] = {}
        self._intents = Intents()
        self._shown: tuple[PoolView, ...] = ()
        self._of_pools: dict[PoolKey, tuple[Found, ...]] = {}
        self._attention: dict[PoolKey, Decision] = {}
        self._unmeasured: frozenset[PoolKey] | None = None
        self._of_models: tuple[Found, ...] = ()
        self._latest = Observation()
        """Of its pools `_seen` has more."""
        self._ticks = 0
        self._late = 0
        self._took_s = 0.0

    def go_on_from(self, before: SnapshotBuilder) -> None:
        """Continue the snapshots of another fleet in the same process, for the pools that stay."""
        self._since, self._found_since = before._since, before._found_since
        self._of_tenants.since = self._since
        stay = {
            key
            for key, pool in self._pools.items()
            if (old := before._pools.get(key)) is not None and old.queues == pool.queues
        }
        self._queues.go_on_from(before._queues, stay)
        self._history.go_on_from(before._history)
        self._ticks, self._late, self._took_s = before._ticks, before._late, before._took_s

    def begin_with(self, past: Snapshot, now: float) -> None:
        """Go on at `now` (Unix seconds) from what the process before this one has shown last. The
        snapshots count as newer than that, although its clock may have been ahead by some time.
        """
        if self.epoch <= past.epoch <= now + MOST_AHEAD_S:
            self.epoch = nextafter(past.epoch, inf)
        self.recorder.begin_with(each for each in past.events if each.at <= now)
        if past.at > now:
            return
        found = ((_found(each), True, each.since) for each in past.findings)
        self._found_since.begin_with(found, now)
        self._since.begin_with((*_of_standings(past.pools), *times_of(past.tenants)), now)
        self._changed.update(self._pools)
        self._of_tenants.look_again()
        self._history.begin_with(past, now)

    def saw(self, observation: Observation) -> None:
        """Take a tick's observation, of all pools or of some."""
        seen = self._seen
        changed = {
            key: each for key, each in observation.pools.items() if seen.get(key) is not each
        }
        if observation.clock_step_s:
            self._queues.forget()
            self._since.shift(observation.clock_step_s)
            self._found_since.shift(observation.clock_step_s)
            self._changed.update(self._views)
        if changed:
            for key, each in changed.items():
                self._measure_queues(key, seen.get(key, _UNSEEN), each)
            seen.update(changed)
            self._changed.update(changed)
        self._latest = observation

    def _measure_queues(
        self, pool: PoolKey, before: PoolObservation, after: PoolObservation
    ) -> None:
        known, found = before.queues or (before.queue,), after.queues or (after.queue,)
        for number, (one, other) in enumerate(zip_longest(known, found)):
            if other is not None and other is not one:
                self._queues.saw(pool, other, number)

    def decided(self, decisions: Mapping[PoolKey, Decision]) -> None:
        """Take the decisions that a tick made again."""
        self._decisions.update(decisions)
        self._changed.update(decisions)

    def planned(self, kept: Kept | None, intents: Intents) -> None:
        """Take what the plan knows beside decisions; `kept` is None without the whole fleet."""
        if kept is not None:
            self._scarce = kept.scarcity.tenants
        self._intents = intents

    def ticked(self, took_s: float) -> None:
        """Count a full tick, which took this long with the reading of the queues."""
        self._ticks += 1
        self._took_s = took_s

    def written(self, write: Write) -> None:
        """Take a write's outcome."""
        self._outcomes[write.decision.pool] = write.outcome
        self._changed.add(write.decision.pool)

    def count_late(self, slots: int) -> None:
        """Count the slots that were skipped because a tick took too long."""
        self._late += slots

    def snapshot(
        self,
        *,
        now: float,
        role: Role,
        links: Sequence[Link] = (),
        notices: Iterable[Found] = (),
        failures: Iterable[tuple[str, int]] = (),
        lease: LeaseView | None = None,
        frozen_by: tuple[str, ...] = (),
    ) -> Snapshot:
        """The next snapshot, as of `now` (Unix seconds)."""
        self._sequence += 1
        latest = self._latest
        self._renew_views(now)
        queues, models = self._queues.rates(now), self._of_all_models.views()
        found = findings(
            links,
            latest.tenants,
            latest.capacity,
            notices=(
                *by_cause(notices, links),
                *usage_findings(latest.tenants, latest.refused_events),
                *self._file_findings,
                *cost_findings(self._costs, self._decisions),
                *self._of_models,
                *refusal_findings(models),
                *decision_findings(self._attention.values(), now),
                *by_cause((found for each in self._of_pools.values() for found in each), links),
                *self._work.found(latest.tenants, self._scarce, now),
                *wait_findings(self._aims, queues, self._decisions, now),
            ),
            since=lambda *thing: self._found_since.of(thing, True, now),
        )
        self._found_since.forget_all_but(map(_found, found))
        tenants = self._of_tenants.views(latest, self._scarce, self._intents, now)
        self._history.saw_tenants(tenants)
        histories = self._history.pass_time(now)
        return Snapshot(
            epoch=self.epoch,
            sequence=self._sequence,
            at=now,
            interval_s=self._interval_s,
            fleet=self._name,
            context=self._context,
            role=role,
            lease=lease,
            links=tuple(links),
            pools=self._shown,
            queues=queues,
            tenants=tenants,
            models=models,
            room=self._room.view(latest.capacity),
            nodes=self._room.nodes(latest.capacity),
            events=self.recorder.events(),
            findings=found,
            process=self._process,
            journal=self._journal,
            version=self._version,
            frozen_by=frozen_by,
            histories=histories.pools,
            tenant_histories=histories.tenants,
            loop=LoopStats(
                ticks=self._ticks,
                late_ticks=self._late,
                last_tick_s=self._took_s,
                decisions=self.recorder.decisions,
                writes=self.recorder.written_count,
                failed_writes=self.recorder.failed_count,
                failures=tuple(failures),
            ),
        )

    def _renew_views(self, now: float) -> None:
        """Rebuild the views and findings of the pools that changed."""
        if not self._changed:
            return
        for key in self._changed:
            pool = self._pools.get(key)
            if pool is None:
                continue
            view = self._view(pool)
            standing = self._standing(view, now)
            view = self._views[key] = replace(view, standing=standing)
            self._history.saw(view, self._queues.oldest_at(key), now)
            self._of_tenants.take(view)
            self._of_all_models.take(view)
            self._room.take(view)
            self._of_pools.pop(key, None)
            if of_pool := tuple(pool_findings(view)):
                self._of_pools[key] = of_pool
            self._attention.pop(key, None)
            if view.decision is not None:
                self._work.decided((view.decision,), now, standing.bound_since)
                if needs_attention(view.decision):
                    self._attention[key] = view.decision
        self._changed.clear()
        self._shown = tuple(self._views[pool.key] for pool in self._fleet.pools)
        unmeasured = frozenset(
            key for key, view in self._views.items() if view.observation.task_usage is None
        )
        if unmeasured != self._unmeasured:
            self._unmeasured = unmeasured
            self._of_models = tuple(model_findings(self._fleet, self._seen))

    def _standing(self, view: PoolView, now: float) -> Standing:
        condition, decision = condition_of(view), view.decision
        is_sure = condition not in _OF_FIRST_READINGS
        since = self._since.of((view.key, "condition"), condition, now, is_sure=is_sure)
        if decision is None:
            return Standing(condition=condition, since=since)
        bound, gate = decision.bound, decision.gate
        bound_since = self._since.of((view.key, "bound"), (bound, gate), now, is_sure=is_sure)
        return Standing(
            condition=condition, since=since, bound=bound, gate=gate, bound_since=bound_since
        )

    def _view(self, pool: Pool) -> PoolView:
        return PoolView(
            key=pool.key,
            tenant=pool.tenant,
            tier=self._tiers.get(pool.tenant, ""),
            namespace=pool.namespace,
            deployment=pool.deployment,
            statefulset=pool.statefulset,
            stream=pool.stream,
            consumer=pool.consumer,
            lower_queues=pool.lower_queues,
            serves=pool.serves,
            requests=pool.requests,
            slots=pool.slots,
            target_per_replica=pool.target,
            min=pool.min,
            max=pool.max,
            observation=self._seen.get(pool.key, _UNSEEN),
            decision=self._decisions.get(pool.key),
            outcome=self._outcomes.get(pool.key),
        )


def _found(finding: Finding) -> Hashable:
    """What keeps its time: a warning that becomes critical is critical since then."""
    return finding.subject, finding.kind, finding.severity


def _of_standings(views: Iterable[PoolView]) -> Iterator[tuple[Hashable, object, float | None]]:
    for view in views:
        if (left := view.standing) is not None:
            yield (view.key, "condition"), left.condition, left.since
            yield (view.key, "bound"), (left.bound, left.gate), left.bound_since

"""Step 5 of a tick: the snapshot, built from what was seen, decided and written last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from controller.engine.actuate import Write
from controller.engine.decision_findings import decision_findings
from controller.engine.findings import Found, findings
from controller.engine.fleet_findings import cost_findings, file_findings
from controller.engine.model_findings import model_findings
from controller.engine.record import Recorder
from controller.engine.usage_findings import usage_findings
from controller.model.decision import Decision
from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.observation import (
    ClusterRoom,
    Observation,
    PoolObservation,
    RefusedEvents,
    TenantObservation,
)
from controller.model.outcome import Outcome
from controller.model.readings import Absent, Reading, Why
from controller.model.settings import Notice
from controller.model.snapshot import Finding, Link, LoopStats, PoolView, Role, Snapshot
from controller.planning.share.spending import cost_terms_of


class Scene:
    """Remembers each pool's latest view and numbers the snapshots of this process."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        name: str,
        context: str,
        role: Role,
        interval_s: float,
        epoch: float,
        notices: tuple[Notice, ...] = (),
    ) -> None:
        """`name` is the fleet file's, `context` the cluster's, `epoch` when this process began, and
        `notices` what is to be said of the file.
        """
        self._fleet = fleet
        self._costs = cost_terms_of(fleet)
        self._tiers = {tenant.name: tenant.tier.name for tenant in fleet.tenants}
        self._name = name
        self._context = context
        self._role = role
        self._interval_s = interval_s
        self._epoch = epoch
        self._notices = notices
        self._sequence = 0
        self._seen: dict[PoolKey, PoolObservation] = {}
        self._tenants: dict[str, TenantObservation] = {}
        self._capacity: Reading[ClusterRoom] = Absent(why=Why.NEVER_READ)
        self._refused = RefusedEvents()
        self._outcomes: dict[PoolKey, Outcome] = {}
        self._findings: tuple[Finding, ...] = ()
        self._ticks = 0
        self._late = 0
        self._took_s = 0.0

    def saw(self, observation: Observation) -> None:
        """Take a tick's view."""
        self._seen.update(observation.pools)
        self._tenants, self._capacity = observation.tenants, observation.capacity
        self._refused = observation.refused_events

    def ticked(self, took_s: float) -> None:
        """The whole fleet was passed over, asking included, in so many seconds."""
        self._ticks += 1
        self._took_s = took_s

    def written(self, write: Write) -> None:
        """Take a write's outcome."""
        self._outcomes[write.decision.pool] = write.outcome

    def count_late(self, slots: int) -> None:
        """So many slots were skipped because a tick took too long."""
        self._late += slots

    def snapshot(
        self,
        *,
        decisions: Mapping[PoolKey, Decision],
        links: Sequence[Link],
        recorder: Recorder,
        notices: Iterable[Found],
        failed_readings: int,
        now: float,
    ) -> Snapshot:
        """The next snapshot."""
        self._sequence += 1
        pools = tuple(self._view(pool, decisions.get(pool.key)) for pool in self._fleet.pools)
        self._findings = findings(
            pools,
            links,
            self._tenants,
            self._capacity,
            notices=(
                *notices,
                *usage_findings(self._tenants, self._refused),
                *file_findings(self._notices),
                *cost_findings(self._costs, decisions),
                *model_findings(self._fleet, self._seen),
                *decision_findings(decisions.values(), now),
            ),
            known=self._findings,
            now=now,
        )
        return Snapshot(
            epoch=self._epoch,
            sequence=self._sequence,
            at=now,
            interval_s=self._interval_s,
            fleet=self._name,
            context=self._context,
            role=self._role,
            links=tuple(links),
            pools=pools,
            events=recorder.events(),
            findings=self._findings,
            loop=LoopStats(
                ticks=self._ticks,
                late_ticks=self._late,
                last_tick_s=self._took_s,
                decisions=recorder.decisions,
                writes=recorder.written_count,
                failed_writes=recorder.failed_count,
                failed_readings=failed_readings,
            ),
        )

    def _view(self, pool: Pool, decision: Decision | None) -> PoolView:
        return PoolView(
            key=pool.key,
            tenant=pool.tenant,
            tier=self._tiers.get(pool.tenant, ""),
            namespace=pool.namespace,
            deployment=pool.deployment,
            stream=pool.stream,
            consumer=pool.consumer,
            slots=pool.slots,
            target_per_replica=pool.target,
            min=pool.min,
            max=pool.max,
            observation=self._seen.get(pool.key, PoolObservation()),
            decision=decision,
            outcome=self._outcomes.get(pool.key),
        )

"""Fixed snapshots of days that a fleet can have, beside the burst and the calm."""

from __future__ import annotations

from msgspec.structs import replace

from controller.model.observation import Pod, PodPhase, Pods
from controller.model.readings import Fresh
from controller.model.snapshot import Finding, PoolView, Severity, Snapshot
from tui import fleet_scenarios, scenarios
from tui.scenarios import NOW

MANY_PODS = 5_000
_PODS_OF_A_POOL = 50


def _with_pods(view: PoolView, pods: Pods) -> PoolView:
    seen = replace(view.observation, pods=Fresh(value=pods, at=NOW - 0.4))
    return replace(view, observation=seen)


def cold_node() -> Snapshot:
    """A node has just joined: the five pods of one pool on it wait for its first pull of their
    image, the pods on the warm node were ready after 20 s.
    """
    name = "coder-large-5b8d"
    cold = tuple(
        Pod(
            name=f"{name}-{index:05d}",
            phase=PodPhase.STARTING,
            node="cpu-04-new",
            created_at=NOW - 74,
            scheduled_at=NOW - 71 + index,
            since=NOW - 71 + index,
            reason="ContainerCreating",
            message="pulling image registry/agents/coder:3.0",
        )
        for index in range(5)
    )
    warm = tuple(
        Pod(
            name=f"{name}-{index:05d}",
            phase=PodPhase.READY,
            node="cpu-01",
            created_at=NOW - 620,
            scheduled_at=NOW - 618,
            started_at=NOW - 609,
            ready_at=NOW - 600,
            since=NOW - 600,
        )
        for index in range(10, 14)
    )
    fleet = fleet_scenarios.burst()
    pods = Pods(ready=4, starting=5, items=(*cold, *warm))
    pools = tuple(
        _with_pods(view, pods) if view.key == "acme/coder-large" else view for view in fleet.pools
    )
    return replace(fleet, pools=pools)


def over_budget() -> Snapshot:
    """One tenant has spent its day's tokens and is stopped, another is paced and near its end."""
    fleet = fleet_scenarios.over_budget()
    spent = Finding(
        severity=Severity.CRITICAL,
        subject="globex",
        kind="budget",
        text="the day's 2,000,000 tokens are spent: its agents stop until 00:00Z",
        since=NOW - 180,
    )
    nearly = Finding(
        severity=Severity.WARNING,
        subject="acme",
        kind="budget",
        text="94 % of the day's 5,000,000 tokens are used; they run out in 7 min at this pace",
        since=NOW - 1260,
    )
    return replace(fleet, findings=(spent, nearly))


def five_thousand_pods() -> Snapshot:
    """A hundred pools with fifty pods each, all ready but one in every pool."""
    views = tuple(
        scenarios.pool(
            f"tenant-{index // 10:02d}",
            f"agent-{index:04d}",
            in_flight=_PODS_OF_A_POOL,
            ready=_PODS_OF_A_POOL - 1,
            current=_PODS_OF_A_POOL,
            demand=_PODS_OF_A_POOL,
            pods=_fifty(f"agent-{index:04d}"),
        )
        for index in range(MANY_PODS // _PODS_OF_A_POOL)
    )
    return replace(scenarios.mixed_fleet(), pools=views, findings=())


def _fifty(name: str) -> Pods:
    items = tuple(
        Pod(
            name=f"{name}-6f5d-{index:05d}",
            phase=PodPhase.READY if index else PodPhase.STARTING,
            node=f"cpu-{index % 12:02d}",
            created_at=NOW - 40,
            scheduled_at=NOW - 39,
            started_at=NOW - 30 if index else None,
            ready_at=NOW - 20 if index else None,
            since=NOW - 20 if index else NOW - 39,
        )
        for index in range(_PODS_OF_A_POOL)
    )
    return Pods(ready=_PODS_OF_A_POOL - 1, starting=1, items=items)

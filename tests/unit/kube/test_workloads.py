"""What is returned for a pool is the same object until something about it changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from controller.kube.client import Client, LinkTracker
from controller.kube.watch import WATCH_GRACE_S
from controller.kube.workloads import ClusterWorkloads, Namespace
from controller.model.fleet import Pool, ResourceMetric, UtilizationTarget
from controller.model.ids import WorkloadKind, WorkloadName
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import (
    Observation,
    PoolObservation,
    QueueDepth,
    TenantObservation,
    Workload,
)
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import Resources
from controller.model.settings import KubernetesSettings
from support.planning import plan
from support.world import make_fleet, make_pool

RESEARCH = make_pool("research")
NAMESPACE = RESEARCH.namespace
OURS = frozenset({WorkloadName("research")})


class SilentClient(Client):
    """An API server that never answers: events come from the test alone."""

    def __init__(self, clock: Any) -> None:
        self.clock, self.link, self.listing = clock, LinkTracker(clock), 0

    async def call(self, *_: Any, **__: Any) -> bytes:
        await asyncio.Event().wait()
        return b""


class Watched:
    """One cluster's workloads, and the events that a test lets come."""

    def __init__(self, tasks: asyncio.TaskGroup, clock: Any) -> None:
        self.clock = clock
        client = SilentClient(clock)
        self.link = client.link
        self.link.answered()
        self.workloads = ClusterWorkloads(client, tasks, KubernetesSettings())

    @property
    def namespace(self) -> Namespace:
        return self.workloads._namespaces[NAMESPACE]

    def watch(self) -> None:
        """Lists and watches have begun, and are complete."""
        self.workloads.set_namespaces(frozenset({NAMESPACE}))
        here = self.namespace
        for kind in ("deployments", "pods", "resourcequotas"):
            reflector = here.reflectors[kind]
            reflector.freshness.completed()
            reflector.freshness.opened()
            reflector.freshness.confirmed()

    def deployment(
        self, replicas: int = 8, cpu: str = "250m", version: str = "10", name: str = "research"
    ) -> None:
        template = {"spec": {"containers": [{"resources": {"requests": {"cpu": cpu}}}]}}
        self.namespace.views[WorkloadKind.DEPLOYMENT].put(
            raw(
                {
                    "metadata": {"name": name, "uid": "u", "resourceVersion": version},
                    "spec": {
                        "replicas": replicas,
                        "template": template,
                    },
                    "status": {"replicas": replicas, "readyReplicas": replicas},
                }
            )
        )

    def pod(self, name: str = "research-bcd-1", deployment: str = "research", **more: Any) -> None:
        owner = {"kind": "ReplicaSet", "name": f"{deployment}-bcd", "controller": True}
        ready = {
            "type": "Ready",
            "status": "True",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        self.namespace.pod_view.put(
            raw(
                {
                    "metadata": {
                        "name": name,
                        "labels": {"pod-template-hash": "bcd"},
                        "ownerReferences": [owner],
                    },
                    "spec": {"nodeName": "n", "containers": [{"name": "agent", **more}]},
                    "status": {"phase": "Running", "conditions": [ready]},
                }
            )
        )

    def quota(self, **hard: str) -> None:
        quota = {"metadata": {"name": "tenant"}, "spec": {"hard": hard}}
        self.namespace.quotas.put(raw(quota))

    def warning(self, seconds_ago: float = 0.0, name: str = "e") -> None:
        self.namespace.warnings.put(self.warning_event(seconds_ago, name))

    def warning_event(self, seconds_ago: float = 0.0, name: str = "e") -> msgspec.Raw:
        return raw(
            {
                "metadata": {"name": name},
                "type": "Warning",
                "involvedObject": {"kind": "Deployment", "name": "research"},
                "eventTime": datetime.fromtimestamp(
                    self.clock.now() - seconds_ago, UTC
                ).isoformat(),
            }
        )

    def seen(self, pool: Pool = RESEARCH) -> tuple[object, ...]:
        """All that is returned for a pool."""
        known = self.workloads
        return (
            known.workload(pool),
            known.pods(pool),
            known.measured_pods(pool),
            known.warnings(pool),
            known.quota(NAMESPACE, OURS),
        )


def raw(found: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(found).encode())


def same(before: tuple[object, ...], after: tuple[object, ...]) -> list[bool]:
    return [each is other for each, other in zip(before, after, strict=True)]


@pytest.fixture
async def watched(clock: Any) -> AsyncIterator[Watched]:
    async with asyncio.TaskGroup() as tasks:
        made = Watched(tasks, clock)
        yield made
        made.workloads.set_namespaces(frozenset())


async def test_an_unchanged_pool_returns_the_same_objects(watched: Watched) -> None:
    watched.watch()
    watched.deployment()
    watched.pod()
    watched.quota(pods="10")
    watched.warning()
    before = watched.seen()
    watched.clock.advance(600)
    watched.link.answered()
    watched.deployment()  # a relist brings the same again
    watched.pod()
    watched.quota(pods="10")
    watched.warning(600)
    watched.namespace.reflectors["deployments"].freshness.completed()
    watched.namespace.warnings.replace([watched.warning_event(600)])
    assert same(before, watched.seen()) == [True] * 5


async def test_what_is_missing_is_the_same_object_and_keeps_its_time(watched: Watched) -> None:
    unwatched = watched.workloads.workload(RESEARCH)
    assert isinstance(unwatched, Absent)
    watched.clock.advance(5)
    assert watched.workloads.workload(RESEARCH) is unwatched
    assert watched.workloads.quota(NAMESPACE, OURS) is unwatched
    watched.watch()
    missing = watched.workloads.workload(RESEARCH)
    assert isinstance(missing, Absent)
    assert missing.why is Why.OBJECT_MISSING
    watched.clock.advance(5)
    watched.link.answered()
    assert watched.workloads.workload(RESEARCH) is missing


async def test_an_event_changes_the_readings_of_its_own_object_only(watched: Watched) -> None:
    watched.watch()
    other = make_pool("etl")
    watched.deployment()
    watched.deployment(name="etl")
    watched.pod()
    watched.quota(pods="10")
    before, others = watched.seen(), watched.seen(other)
    watched.deployment(replicas=9, version="11")
    assert same(before, watched.seen()) == [False, True, True, True, True]
    assert same(others, watched.seen(other)) == [True] * 5
    before = watched.seen()
    watched.pod("research-bcd-2")
    assert same(before, watched.seen()) == [True, False, True, True, True]
    before = watched.seen()
    watched.warning()
    assert same(before, watched.seen()) == [True, True, True, False, True]
    before = watched.seen()
    watched.pod("web-1", "web")
    assert same(before, watched.seen()) == [True, True, True, True, False], "it uses the quota"


async def test_a_write_of_our_own_is_a_change_that_wakes_nothing(watched: Watched) -> None:
    watched.watch()
    watched.deployment()
    woken: list[tuple[str, str]] = []
    watched.workloads.on_change(lambda *names: woken.append(names))
    before = watched.seen()
    watched.workloads.applied(RESEARCH, "u", 9, "20")
    assert same(before, watched.seen()) == [False, True, True, True, True]
    assert woken == []
    reading = watched.workloads.workload(RESEARCH)
    assert isinstance(reading, Fresh)
    assert reading.value.replicas == 9


async def test_what_only_the_hpa_sees_of_a_pod_is_a_change(watched: Watched) -> None:
    target = UtilizationTarget(percent=50)
    metrics = (ResourceMetric(resource="cpu", target=target),)
    watched.workloads.prepare([msgspec.structs.replace(RESEARCH, metrics=metrics)])
    watched.watch()
    watched.deployment()
    watched.pod()
    before = watched.seen()
    assert len(watched.workloads.measured_pods(RESEARCH)) == 1
    watched.pod(resources={"requests": {"example.com/gpu": "1"}})
    assert same(before, watched.seen()) == [True, True, False, True, True]


async def test_warnings_are_the_same_object_until_the_oldest_expires(watched: Watched) -> None:
    watched.watch()
    watched.warning(seconds_ago=600.0, name="old")
    watched.warning(name="new")
    both = watched.workloads.warnings(RESEARCH)
    assert len(both) == 2
    watched.clock.advance(2999)
    assert watched.workloads.warnings(RESEARCH) is both
    watched.clock.advance(2)
    assert len(watched.workloads.warnings(RESEARCH)) == 1
    watched.clock.advance(600)
    assert watched.workloads.warnings(RESEARCH) == ()


async def test_silence_makes_stale_in_time(watched: Watched) -> None:
    watched.watch()
    watched.deployment()
    fresh = watched.seen()
    watched.link.silent(Why.TIMED_OUT, "no answer in time")
    watched.clock.advance(WATCH_GRACE_S)
    assert same(fresh, watched.seen()) == [True] * 5
    watched.clock.advance(0.1)
    stale = watched.workloads.workload(RESEARCH)
    assert isinstance(stale, Stale)
    assert (stale.why, stale.at) == (Why.TIMED_OUT, 1_000_000.0)
    watched.clock.advance(100)
    assert watched.workloads.workload(RESEARCH) is stale
    watched.link.answered()
    assert isinstance(watched.workloads.workload(RESEARCH), Fresh)


async def test_a_clock_that_was_set_makes_every_reading_anew(watched: Watched) -> None:
    watched.watch()
    watched.deployment()
    before = watched.workloads.workload(RESEARCH)
    watched.clock.wall += 3600
    watched.link.answered()
    after = watched.workloads.workload(RESEARCH)
    assert isinstance(before, Fresh)
    assert isinstance(after, Fresh)
    assert after.at == before.at + 3600


def planned(watched: Watched, pending: int) -> tuple[int | None, int | None]:
    """The pool's replicas now, and what they are set to with so many messages waiting (None: it is
    not written).
    """
    known, now = watched.workloads, watched.clock.now()
    seen = PoolObservation(
        queue=Fresh(value=QueueDepth(pending=pending, in_flight=0), at=now),
        workload=known.workload(RESEARCH),
        pods=known.pods(RESEARCH),
    )
    tenant = TenantObservation(quota=known.quota(NAMESPACE, OURS))
    observation = Observation(pools={RESEARCH.key: seen}, tenants={RESEARCH.tenant: tenant})
    fleet = make_fleet(msgspec.structs.replace(RESEARCH, max=50))
    decided, _ = plan(observation, fleet, Intents(), Memory(), now)
    decision = decided.decisions[RESEARCH.key]
    return decision.current, decision.next


@pytest.mark.parametrize("odd", ["-1", "lots", str(2**63), "9223372036854775.808"])
async def test_requests_that_cannot_be_believed_neither_shrink_nor_grow_a_pool(
    watched: Watched, odd: str
) -> None:
    watched.watch()
    watched.deployment()
    watched.quota(cpu="3")
    assert planned(watched, pending=50) == (8, 12), "3 cores at 250m each"
    watched.deployment(cpu=odd, version="11")
    reading = watched.workloads.workload(RESEARCH)
    assert isinstance(reading, Stale)
    assert (reading.why, reading.value.replicas) == (Why.IMPLAUSIBLE, 8)
    assert reading.value.requests == Resources(cpu_milli=250)
    assert planned(watched, pending=50) == (8, None)
    assert planned(watched, pending=0) == (8, None)


async def test_requests_that_were_never_readable_are_no_reading_and_no_write(
    watched: Watched,
) -> None:
    watched.watch()
    watched.deployment(cpu="-1")
    reading: Reading[Workload] = watched.workloads.workload(RESEARCH)
    assert isinstance(reading, Absent)
    assert (reading.why, reading.detail) == (
        Why.IMPLAUSIBLE,
        "spec.template requests: '-1' is negative",
    )
    assert planned(watched, pending=50) == (None, None)


@pytest.mark.parametrize("odd", ["-1", str(2**63)])
async def test_a_quota_that_cannot_be_believed_is_not_unlimited_and_takes_nothing(
    watched: Watched, odd: str
) -> None:
    watched.watch()
    watched.deployment()
    watched.quota(pods="9")
    assert planned(watched, pending=50) == (8, 9)
    watched.quota(pods=odd)
    reading = watched.workloads.quota(NAMESPACE, OURS)
    assert isinstance(reading, Stale)
    assert (reading.why, reading.value.replicas) == (Why.IMPLAUSIBLE, 9)
    assert watched.workloads.quota(NAMESPACE, OURS) is reading
    assert planned(watched, pending=50) == (8, 9)
    assert planned(watched, pending=8) == (8, 8)

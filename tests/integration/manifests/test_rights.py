"""The printed Roles are enough, and each of their rights is used: the product runs with them on the
simulated API, which enforces RBAC, and each right is taken away once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from msgspec.structs import replace

from agentdash.demo.cluster.objects import DEPLOYMENTS
from controller.config import parse
from controller.engine.supervise import SystemClock
from controller.kube.cluster import Cluster
from controller.kube.errors import ApiError
from controller.kube.metrics import metric_sources
from controller.kube.writes import EventWriter, KubernetesLease
from controller.manifests.objects import Installation
from controller.manifests.rights import LOOKING, cluster_rights, lease_rights, tenant_rights
from controller.manifests.workload import manifests
from controller.model.decision import Announcement
from controller.model.fleet import Pool
from controller.model.readings import Fresh
from controller.model.settings import KubernetesSettings, LeaseRecord, Settings
from controller.ports import StoreError
from fakes.cluster import SimCluster
from fakes.metrics import GivenMetrics, GivenObjectValue, GivenPodValue, GivenSeries, GivenUsage
from fakes.rbac import Rbac
from support.live import until
from support.manifests import plain
from support.stateful import create_statefulset

NAMESPACE: Final = "tenant-acme"
TOKEN: Final = "of-the-administrator"
KINDS: Final = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
FLEET: Final = """\
version: 1
nats: {servers: [nats://nats:4222]}
controller: {lease: {namespace: agentdash}}
tenants: {acme: {tier: growth, namespace: tenant-acme}}
pools:
  - name: research
    tenant: acme
    queue: {stream: TASKS, consumer: research}
    replicas: {min: 0, max: 5}
    signals: {cases: {external: {name: open_cases}}}
    metrics:
      - {type: Resource, resource: {name: cpu, target: {type: AverageValue, averageValue: 1}}}
      - type: Pods
        pods: {metric: {name: sessions}, target: {type: AverageValue, averageValue: 3}}
      - type: Object
        object:
          metric: {name: depth}
          describedObject: {apiVersion: v1, kind: Pod, name: broker}
          target: {type: Value, value: 3}
  - name: notes
    tenant: acme
    statefulset: notes-db
    queue: {stream: TASKS, consumer: notes}
    replicas: {min: 0, max: 5}
"""

Asked = tuple[str, str, str]
"""The verb, API group and resource of a request, as RBAC names them."""


def settings() -> Settings:
    return parse(FLEET, "fleet.yaml")


def printed() -> list[Any]:
    made = manifests(settings(), FLEET, Installation(image="agentdash:1"), KINDS)
    return [plain(each.body) for each in made]


def rights() -> list[Asked]:
    """Each single right that the Roles give."""
    found = settings()
    every = (
        *tenant_rights(found)[NAMESPACE],
        *lease_rights(found.controller.lease),
        *cluster_rights(found),
    )
    return [(verb, each.group, resource) for each in every for verb, resource in each.asked()]


def without(role: dict[str, Any], taken: Collection[Asked]) -> dict[str, Any]:
    """The Role without these rights."""
    rules = []
    for rule in role.get("rules", ()):
        for each in rule["resources"]:
            [group] = rule["apiGroups"]
            verbs = [verb for verb in rule["verbs"] if (verb, group, each) not in taken]
            rules.append({**rule, "resources": [each], "verbs": verbs})
    return {**role, "rules": [rule for rule in rules if rule["verbs"]]} if rules else role


class HastyClock(SystemClock):
    """A minute of it takes a tenth of a second."""

    def monotonic(self) -> float:
        return 600.0 * super().monotonic()

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / 600.0)


class World:
    """The simulated cluster with the printed objects, and the product's parts logged in so."""

    def __init__(
        self,
        sim: SimCluster,
        cluster: Cluster,
        lease: KubernetesLease,
        sources: Any,
        events: EventWriter,
    ) -> None:
        self.sim, self.cluster, self.lease, self.sources = sim, cluster, lease, sources
        self.events = events

    def asked(self, statuses: Collection[int]) -> Iterator[Asked]:
        """What was asked for with these answers, discovery and the version apart."""
        for request in self.sim.requests:
            if request.status in statuses and (found := _right_of(request)) is not None:
                yield found


def _right_of(request: Any) -> Asked | None:
    if not request.resource:
        return None
    of_object = request.resource.endswith("/depth")
    resource = "*/depth" if of_object else request.resource
    return request.verb, request.group, resource


@asynccontextmanager
async def world(folder: Path, taken: Collection[Asked] = ()) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        sim = await stack.enter_async_context(SimCluster(speed=500.0))
        await sim.create_namespace(NAMESPACE, quota={"pods": "20"})
        await sim.create_namespace("agentdash")
        await sim.create_deployment("research", NAMESPACE, replicas=1)
        create_statefulset(sim, "notes-db", NAMESPACE, replicas=1)
        metrics = GivenMetrics(sim)
        for given in (
            GivenUsage(namespace=NAMESPACE, usage={"agent": {"cpu": "100m"}}),
            GivenSeries(namespace=NAMESPACE, metric="open_cases", value="3"),
            GivenPodValue(namespace=NAMESPACE, metric="sessions", value="2"),
            GivenObjectValue(
                namespace=NAMESPACE, resource="pods", name="broker", metric="depth", value="3"
            ),
        ):
            metrics.set(given)
        await until(lambda: _ready(sim) == 1)
        Rbac(sim, TOKEN)
        config = await _apply(sim, taken)
        sim.requests.clear()
        path = folder / "kubeconfig"
        path.write_text(json.dumps(config), "utf-8")
        clock, pools = SystemClock(), settings().fleet.pools
        found = KubernetesSettings(kubeconfig=str(path))
        cluster = await stack.enter_async_context(Cluster.connect(found, clock))
        cluster.workloads.prepare(pools)
        cluster.set_namespaces(frozenset({NAMESPACE}))
        own = cluster.client.apart()
        stack.push_async_callback(own.close)
        lease = KubernetesLease(own, clock, namespace="agentdash", name="agentdash")
        sources = await stack.enter_async_context(
            metric_sources(cluster.client, cluster.workloads, pools, clock, "")
        )
        for_events = cluster.client.apart()
        stack.push_async_callback(for_events.close)
        events = EventWriter(for_events, cluster.workloads, HastyClock(), "test")
        yield World(sim, cluster, lease, sources, events)


def _ready(sim: SimCluster) -> int:
    stored = sim.store.get(DEPLOYMENTS, NAMESPACE, "research")
    assert stored is not None
    return int(stored.object["status"].get("readyReplicas", 0))


async def _apply(sim: SimCluster, taken: Collection[Asked]) -> dict[str, Any]:
    """Create what is printed; returns a kubeconfig with the printed ServiceAccount's token."""
    header = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(sim.url, headers=header) as session:
        for each in printed():
            group = each["apiVersion"]
            root = f"/apis/{group}" if "/" in group else f"/api/{group}"
            namespace = each["metadata"].get("namespace")
            place = f"{root}/namespaces/{namespace}" if namespace else root
            path = f"{place}/{each['kind'].lower()}s"
            async with session.post(path, json=without(each, taken)) as answer:
                assert answer.status == 201, await answer.text()
        path = "/api/v1/namespaces/agentdash/serviceaccounts/agentdash/token"
        async with session.post(path, json={"spec": {}}) as answer:
            token = (await answer.json())["status"]["token"]
    config = sim.kubeconfig()
    config["users"][0]["user"] = {"token": token}
    return config


async def use_everything(here: World, enough: Callable[[], bool]) -> list[str]:
    """What a controller does in the cluster, until `enough`; returns what failed, in the product's
    own words.
    """
    research, notes = settings().fleet.pools
    failed: list[str] = []
    record = LeaseRecord(holder="me", duration_s=15.0, acquired_at=1.0, renewed_at=1.0)
    watching = asyncio.create_task(here.lease.watch(lambda: None))
    try:
        seen = await here.lease.write(record, replaces=await here.lease.read())
        await here.lease.write(record, replaces=seen)
        await here.lease.read()
    except StoreError as error:
        failed.append(str(error))
    for pool in (research, notes):
        with suppress(ApiError):
            await here.cluster.workloads.reread(pool)
        workload = here.cluster.workloads.workload(pool)
        if isinstance(workload, Fresh):
            version = workload.value.resource_version
            done = await here.cluster.actuator.scale(pool, 2, version, urgent=False)
            failed.append(done.detail)
    pods = here.cluster.workloads.pods(research)
    if isinstance(pods, Fresh):
        [pod, *_] = pods.value.items
        failed.append((await here.cluster.actuator.mark(research, pod.name, -1)).detail)
    for source in here.sources:
        answers = (await source.read(3.0)).values()
        failed += [each.detail for each in answers if not isinstance(each, Fresh)]
    failed.append(await _announce_twice(here, research))
    await until(enough)
    watching.cancel()
    return list(filter(None, failed))


async def _announce_twice(here: World, pool: Pool) -> str:
    """Why it is not written; empty if it is: first as an event, then as one more of its series."""
    writing = asyncio.create_task(here.events.run())
    for times in (1, 2):
        here.events.announce(pool, Announcement(reason="Scaled", note="from 1 to 2"))
        await until(lambda times=times: _event_writes(here, 200, 201, 403) == times)
    if _event_writes(here, 403):  # the answer is on its way
        await until(here.events.refusal)
    writing.cancel()
    return here.events.refusal()


def _event_writes(here: World, *statuses: int) -> int:
    asked = here.asked(statuses)
    return sum(group == "events.k8s.io" and verb != "list" for verb, group, _ in asked)


async def test_the_printed_roles_are_enough_and_each_right_is_used(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.cluster.synced(1.0)
        failed = await use_everything(here, lambda: set(rights()) <= set(here.asked((200, 201))))
        assert failed == []
        assert list(here.asked((403,))) == []
        assert set(here.asked((200, 201))) == set(rights())


def test_a_kind_of_workload_that_no_pool_names_needs_no_rights() -> None:
    only = replace(settings(), fleet=replace(settings().fleet, pools=settings().fleet.pools[1:]))
    every = tenant_rights(only)[NAMESPACE]
    asked = {resource for each in every for _, resource in each.asked()}
    assert {"statefulsets", "statefulsets/scale"} < asked
    assert not {"deployments", "deployments/scale"} & asked
    assert ("patch", "pods") not in {each for right in every for each in right.asked()}


@pytest.mark.parametrize("verb", sorted({verb for verb, _, _ in rights()}))
async def test_without_a_right_just_its_requests_are_refused(tmp_path: Path, verb: str) -> None:
    taken = {each for each in rights() if each[0] == verb}
    async with world(tmp_path, taken) as here:
        await here.cluster.synced(1.0)
        failed = await use_everything(here, lambda: taken <= set(here.asked((403,))))
        assert set(here.asked((403,))) == taken
        for _, group, resource in taken:
            if verb in {"patch", "create"} or "metrics" in group:
                assert resource.removeprefix("*/") in " ".join(failed), "the failure names it"


def test_a_person_at_a_dashboard_needs_no_more_than_the_logs() -> None:
    theirs = set(LOOKING.asked())
    assert theirs == {("get", "pods/log")}

"""Checks of what the pools name in the cluster: workloads, their pods, rivals, quotas."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from fractions import Fraction
from math import ceil
from typing import Final
from urllib.parse import quote

import msgspec

from controller.doctor.report import Findings, Patient
from controller.kube import wire
from controller.kube.client import Client
from controller.kube.errors import ApiError
from controller.kube.rivals import RivalView
from controller.kube.supply import NodeView, QuotaView, asked_by, class_of, requested
from controller.kube.watch import Refused, WatchTarget, pages
from controller.model.fleet import ContainerResourceMetric, Pool, ResourceMetric, UtilizationTarget
from controller.model.ids import PoolKey, WorkloadKind, WorkloadName
from controller.model.scarcity import Resources
from controller.model.servers import FIELD_MANAGER, named, reset_by
from controller.model.text import clean_name
from controller.model.value import UndecodableError
from controller.notation.quantity import exact_amount, read_duration


class Qos(StrEnum):
    """core/v1 PodQOSClass: who is ended first when a node has no memory left."""

    GUARANTEED = "Guaranteed"
    BURSTABLE = "Burstable"
    BEST_EFFORT = "BestEffort"


async def workloads(patient: Patient, found: Findings) -> None:
    """Each workload is there; its containers request, and say when they are ready."""
    selector = patient.settings.kubernetes.selector
    chosen = f" with the labels {selector}" if selector else ""
    known: dict[PoolKey, list[wire.WireContainer]] = {}
    async for pool, workload in _of_pools(patient):
        if workload is not None:
            known[pool.key] = _containers(workload)
            _template(pool, known[pool.key], found)
            continue
        key = pool.workload.kind.lower()
        found.fail(
            f"there is no readable {pool.workload}{chosen} in {pool.namespace}",
            f"kubectl -n {pool.namespace} get {key}s; create it, or mend {key} and the tenant's "
            "namespace in the fleet file",
            pool.key,
        )
    for pool in patient.pools:
        for served in pool.serves:
            _is_alike(pool, served, known, found)
    found.ok_if_clean(f"{_counted(patient.pools)} are there, with requests and probes")


def _is_alike(
    standby: Pool,
    served: PoolKey,
    known: Mapping[PoolKey, list[wire.WireContainer]],
    found: Findings,
) -> None:
    """Say in what the containers of those that stand by differ from those of a pool they serve."""
    ours, theirs = known.get(standby.key), known.get(served)
    if ours is None or theirs is None:
        return
    parts = ("image", "command", "args", "resources")
    differ = [
        part
        for part in parts
        if [getattr(each, part) for each in ours] != [getattr(each, part) for each in theirs]
    ]
    if differ:
        found.warn(
            f"{standby.key} stands by for {served}, and their containers differ in "
            f"{' and '.join(differ)}: its tasks are done by another program than its own workers",
            f"{_kubectl(standby, 'edit')}: use the same in both; or take {served} out of the "
            "standby's pools",
            served,
        )


async def _of_pools(patient: Patient) -> AsyncIterator[tuple[Pool, wire.WireDeployment | None]]:
    """Each pool with its workload, None where that is not readable. Raises KubeError."""
    selector = patient.settings.kubernetes.selector or ""
    for namespace, pools in patient.namespaces():
        there: dict[WorkloadName, wire.WireDeployment] = {}
        for kind, raw in await of_kinds(patient.client, namespace, pools, selector):
            with suppress(UndecodableError):
                each = wire.WireDeployment.of(raw)
                there[WorkloadName(clean_name(each.metadata.name), kind)] = each
        for pool in pools:
            yield pool, there.get(pool.workload)


def _counted(pools: Iterable[Pool]) -> str:
    """`3 Deployments and 1 StatefulSet`."""
    counts = Counter(pool.workload.kind for pool in pools)
    return " and ".join(
        f"{counts[kind]} {kind}{'s' * (counts[kind] != 1)}" for kind in WorkloadKind if counts[kind]
    )


async def of_kinds(
    client: Client, namespace: str, pools: Iterable[Pool], selector: str = ""
) -> list[tuple[WorkloadKind, msgspec.Raw]]:
    """All workloads in a namespace of the kinds that these pools name."""
    return [
        (kind, raw)
        for kind in sorted({pool.workload.kind for pool in pools})
        for raw in await _list(client, "/apis/apps/v1", namespace, kind.plural, selector)
    ]


def _containers(workload: wire.WireDeployment) -> list[wire.WireContainer]:
    template = (workload.spec or wire.WireDeploymentSpec()).template or wire.WirePodTemplate()
    return (template.spec or wire.WirePodSpec()).containers or []


def _template(pool: Pool, containers: Sequence[wire.WireContainer], found: Findings) -> None:
    bare = [
        each for each in containers if None in (asked_by(each, "cpu"), asked_by(each, "memory"))
    ]
    if bare:
        names = ", ".join(clean_name(each.name) for each in bare)
        text = (
            f"{pool.workload.name}: {names} requests no CPU or no memory: its pods are "
            f"{qos(containers)}, and neither room nor quotas can be worked out"
        )
        todo = (
            f"{_kubectl(pool, 'set resources')} --requests=cpu=...,memory=...; "
            "`agentdash profile TOOL...` suggests amounts"
        )
        if any(
            isinstance(each, ResourceMetric | ContainerResourceMetric)
            and isinstance(each.target, UtilizationTarget)
            for each in pool.metrics
        ):
            found.fail(f"{text}; its metric of utilization cannot be either", todo, pool.key)
        else:
            found.warn(text, todo, pool.key)
    if containers and not any(each.readiness_probe for each in containers):
        found.warn(
            f"{pool.workload.name} has no readiness probe: a replica counts as ready before it "
            "works",
            f"{_kubectl(pool, 'edit')}: add one; agentdash.worker answers /readyz on port 9465 "
            "(AGENTDASH_LISTEN=0.0.0.0:9465)",
            pool.key,
        )


def qos(containers: Iterable[wire.WireContainer]) -> Qos:
    """The class of a pod of these containers (ComputePodQOS in core/v1/helper/qos)."""
    guaranteed, anything = True, False
    for each in containers:
        resources = each.resources or wire.WireResourceRequirements()
        for name in ("cpu", "memory"):
            limit = (resources.limits or {}).get(name)
            asked = asked_by(each, name)
            anything = anything or asked is not None
            guaranteed = guaranteed and limit is not None and _amount(limit) == _amount(asked)
    if not anything:
        return Qos.BEST_EFFORT
    return Qos.GUARANTEED if guaranteed else Qos.BURSTABLE


def _amount(written: wire.WireQuantity | None) -> Fraction | None:
    try:
        return None if written is None else exact_amount(written)
    except ValueError:
        return None


_KILLED_AFTER_S: Final = 30
"""core/v1 DefaultTerminationGracePeriodSeconds."""
_SPARE_S: Final = 5
"""What a worker needs beside AGENTDASH_GRACE."""


async def workers(patient: Patient, found: Findings) -> None:
    """No Deployment is paused, and workers are told what the fleet file says."""
    async for pool, workload in _of_pools(patient):
        spec = (workload and workload.spec) or wire.WireDeploymentSpec()
        if spec.paused:
            found.warn(
                f"{pool.workload.name} is paused: a new template starts no pods",
                _kubectl(pool, "rollout resume"),
                pool.key,
            )
        pod = (spec.template or wire.WirePodTemplate()).spec or wire.WirePodSpec()
        for container in pod.containers or ():
            if any(each.name.startswith("AGENTDASH_") for each in container.env or ()):
                _told(pool, container, found)
                _ends_in_time(pool, container, pod.termination_grace_period_seconds, found)
    found.ok_if_clean("workers are told what the fleet file says, and have time to end")


def _kubectl(pool: Pool, verb: str) -> str:
    """`kubectl -n acme edit deployment/research`: a command about a pool's workload."""
    workload = pool.workload
    return f"kubectl -n {pool.namespace} {verb} {workload.kind.lower()}/{workload.name}"


def _value(container: wire.WireContainer, name: str, otherwise: str) -> str | None:
    """A variable of a container; None where it comes from elsewhere."""
    for each in container.env or ():
        if each.name == name:
            return each.value
    return None if container.env_from else otherwise


def _told(pool: Pool, container: wire.WireContainer, found: Findings) -> None:
    """Say where a worker's queues or slots are not the pool's."""
    if pool.serves:  # who stands by has its pools' queues, and one slot
        return
    queues = ",".join(f"{stream}/{consumer}" for stream, consumer in pool.queues)
    for name, otherwise, wanted, effect in (
        ("AGENTDASH_QUEUES", "", queues, "the pool is scaled by a queue that they do not work on"),
        ("AGENTDASH_SLOTS", "1", str(pool.slots), "replicas are counted for other slots"),
    ):
        told = _value(container, name, otherwise)
        if told is None or told.replace(" ", "") == wanted or not pool.queues:
            continue
        found.warn(
            f"{pool.workload.name}: {name} of {clean_name(container.name)} is "
            f"{clean_name(told) or 'not set'}, and the fleet file says {wanted}: {effect}",
            f"{_kubectl(pool, 'set env')} -c {clean_name(container.name)} {name}={wanted}, or mend "
            "the pool",
            pool.key,
        )


def _ends_in_time(
    pool: Pool, container: wire.WireContainer, killed_after_s: int | None, found: Findings
) -> None:
    """Say where Kubernetes kills a pod before its worker has handed back its tasks."""
    told = _value(container, "AGENTDASH_GRACE", "25s") or "0s"  # agentdash.worker.settings
    given_s = _KILLED_AFTER_S if killed_after_s is None else killed_after_s
    try:
        needed_s = ceil(read_duration(f"{told}s" if told.isdecimal() else told)) + _SPARE_S
    except ValueError:
        return  # the worker says so itself, and does not start
    if given_s < needed_s:
        pod = f'{{"spec":{{"terminationGracePeriodSeconds":{needed_s}}}}}'
        found.warn(
            f"{pool.workload.name}: its pods are killed {given_s} s after SIGTERM, and its workers "
            f"need {needed_s} s (AGENTDASH_GRACE and {_SPARE_S} s): what they have not "
            "handed back by then waits for its redelivery",
            f'{_kubectl(pool, "patch")} -p \'{{"spec":{{"template":{pod}}}}}\'',
            pool.key,
        )


async def nodes(patient: Patient, found: Findings) -> None:
    """Each class of nodes has a node, or may get one."""
    classes = patient.settings.fleet.capacity.node_classes
    view = NodeView()
    if classes:
        target = WatchTarget(kind="nodes", path="/api/v1/nodes")
        try:
            view.replace(await _all(patient.client, target))
        except ApiError as error:
            if error.status != 403:
                raise
            found.skip("nodes may not be listed")
            return
    chosen = {class_of(node.labels, classes) for node in view.kept.values()}
    for each in classes:
        if each.name not in chosen:
            tell = found.warn if each.max_nodes else found.fail
            tell(
                f"no node is of class {each.name} ({each.selector or 'those of no other class'}): "
                f"its pools have no room{' until one is added' * bool(each.max_nodes)}",
                "kubectl get nodes --show-labels, then mend capacity.node_classes",
                each.name,
            )
    found.ok_if_clean(f"{len(classes)} classes of nodes, each with a node")


async def rivals(patient: Patient, found: Findings) -> None:
    """No HPA and no ScaledObject scales a pool's workload."""
    for namespace, pools in patient.namespaces():
        for root, plural, kind in (
            ("/apis/autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
            ("/apis/keda.sh/v1alpha1", "scaledobjects", "ScaledObject"),
        ):
            view = RivalView(kind, lambda _: None)
            try:
                view.replace(await _list(patient.client, root, namespace, plural))
            except ApiError as error:
                if error.status not in {403, 404}:  # KEDA is not there; the rights say the rest
                    raise
            for pool in pools:
                if rival := view.of(pool.workload):
                    found.fail(
                        f"{rival} scales {pool.workload.name}, so agentdash leaves it alone",
                        f"kubectl -n {namespace} delete {rival}, or take the pool out of the fleet "
                        "file",
                        pool.key,
                    )
    found.ok_if_clean("no other autoscaler scales a pool's workload")


async def quotas(patient: Patient, found: Findings) -> None:
    """The namespaces' ResourceQuotas allow what the pools' max asks for together."""
    for namespace, pools in patient.namespaces():
        view = QuotaView()
        try:
            view.replace(await _list(patient.client, "/api/v1", namespace, "resourcequotas"))
            templates = await of_kinds(patient.client, namespace, pools)
        except ApiError as error:
            if error.status != 403:
                raise
            found.skip(f"the ResourceQuotas of {namespace} may not be listed", namespace)
            continue
        hard = view.hard
        if isinstance(hard, Refused):
            found.warn(hard.detail, f"kubectl -n {namespace} edit resourcequota", namespace)
            hard = hard.last or Resources()
        wanted = _wanted(pools, templates)
        for name, allowed, asked, unit in (
            ("pods", hard.replicas, wanted.replicas, ""),
            ("CPU", hard.cpu_milli, wanted.cpu_milli, "m"),
            ("bytes of memory", hard.memory_bytes, wanted.memory_bytes, ""),
        ):
            if allowed is not None and asked is not None and asked > allowed:
                found.warn(
                    f"the ResourceQuota of {namespace} allows {allowed:,}{unit} {name}, and the "
                    f"max of its pools asks for {asked:,}{unit}: they never all reach it",
                    f"kubectl -n {namespace} edit resourcequota: raise it; or lower replicas.max",
                    namespace,
                )
    found.ok_if_clean("the quotas of the namespaces allow every pool's max")


def _wanted(
    pools: Sequence[Pool], templates: Iterable[tuple[WorkloadKind, msgspec.Raw]]
) -> Resources:
    """What all pools take at their max; None for an amount that one of them does not request."""
    each: dict[WorkloadName, Resources] = {}
    for kind, raw in templates:
        try:
            found = wire.WireDeployment.of(raw)
            template = (found.spec or wire.WireDeploymentSpec()).template or wire.WirePodTemplate()
            name = WorkloadName(clean_name(found.metadata.name), kind)
            each[name] = requested(template.spec or wire.WirePodSpec())
        except (UndecodableError, ValueError):
            continue  # the check of workloads tells it
    asked = [(pool.max, pool.requests or each.get(pool.workload, Resources())) for pool in pools]

    def total(field: str) -> int | None:
        in_all = 0
        for most, requests in asked:
            amount: int | None = getattr(requests, field)
            if amount is None:
                return None
            in_all += most * amount
        return in_all

    return Resources(
        replicas=sum(most for most, _ in asked),
        cpu_milli=total("cpu_milli"),
        memory_bytes=total("memory_bytes"),
    )


async def _list(
    client: Client, root: str, namespace: str, plural: str, selector: str = ""
) -> list[msgspec.Raw]:
    """All objects of one kind in a namespace, within the deadline. Raises KubeError."""
    target = WatchTarget(
        kind=plural,
        path=f"{root}/namespaces/{quote(namespace, safe='')}/{plural}",
        label_selector=selector,
    )
    return await _all(client, target)


async def _all(client: Client, target: WatchTarget) -> list[msgspec.Raw]:
    return [raw async for page in pages(client, target) for raw in page.items or ()]


_DEFAULT: Final = "25%"
"""apps/v1 SetDefaults_Deployment."""


async def owners(patient: Patient, found: Findings) -> None:
    """Nothing that restores the size of a manifest owns spec.replicas of a pool's workload."""
    async for pool, workload in _of_pools(patient):
        for entry in (workload.metadata.managed_fields or ()) if workload else ():
            spec = entry.fields_v1 and entry.fields_v1.spec
            if not spec or spec.replicas is None or entry.manager == FIELD_MANAGER:
                continue
            manager = clean_name(entry.manager)
            todo = reset_by(manager, entry.operation)
            if todo:
                found.warn(
                    f"{named(manager)} owns spec.replicas of {pool.workload.name} and sets it back "
                    "to its manifest's; agentdash leaves the pool alone when it does",
                    todo,
                    pool.key,
                )
    found.ok_if_clean("nothing that restores a manifest owns the size of a pool's workload")


async def rollouts(patient: Patient, found: Findings) -> None:
    """A rollout of a pool's Deployment waits for new pods before it stops old ones."""
    async for pool, workload in _of_pools(patient):
        if workload is None or pool.workload.kind is not WorkloadKind.DEPLOYMENT:
            continue
        strategy = (workload.spec or wire.WireDeploymentSpec()).strategy or wire.WireStrategy()
        rolling = strategy.rolling_update or wire.WireRollingUpdate()
        share = _DEFAULT if rolling.max_unavailable is None else rolling.max_unavailable
        if strategy.type == "Recreate":
            what = "stops all its pods at once, as its strategy is Recreate"
        elif lost := unavailable(share, pool.max):
            what = (
                f"stops up to {lost} of {pool.max} pods at once, as its maxUnavailable is "
                f"{clean_name(str(share))}"
            )
        else:
            continue
        found.warn(
            f"a rollout of {pool.workload.name} {what}: busy workers too",
            f"{_kubectl(pool, 'edit')}: set spec.strategy to RollingUpdate with maxUnavailable 0, "
            "and minReadySeconds to the length of the longest task",
            pool.key,
        )
    found.ok_if_clean("rollouts wait for new pods before they stop old ones")


def unavailable(share: int | str, replicas: int) -> int:
    """How many of so many pods a rolling update may stop at once: maxUnavailable is a number or a
    percentage, rounded down (apps deployment util ResolveFenceposts). 0 for what is neither.
    """
    if isinstance(share, str):
        digits = share.removesuffix("%")
        if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
            return 0
        return min(int(digits) * replicas // 100, replicas)
    return max(0, min(share, replicas))

"""Checks of what else changes a pool's pods: owners of its size, and its own rollouts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Final

import msgspec

from controller.doctor.of_pools import of_kinds
from controller.doctor.patient import Patient
from controller.doctor.report import Findings
from controller.kube import wire
from controller.model.decoding import UndecodableError, decoded
from controller.model.field_managers import FIELD_MANAGER, named, reset_by
from controller.model.fleet import Pool
from controller.model.ids import WorkloadKind, WorkloadName
from controller.model.text import clean_name

_DEFAULT: Final = "25%"
"""apps/v1 SetDefaults_Deployment."""


class _RollingUpdate(wire.WireObject):
    max_unavailable: int | str | None = None


class _RolloutStrategy(wire.WireObject):
    type: str = "RollingUpdate"
    rolling_update: _RollingUpdate | None = None


class _RolledSpec(wire.WireObject):
    strategy: _RolloutStrategy | None = None


class _RolledWorkload(wire.WireObject):
    """apps/v1 Deployment or StatefulSet: who writes its fields, and how its pods are replaced."""

    metadata: wire.WireDeploymentMetadata
    spec: _RolledSpec | None = None


_WORKLOAD: Final = msgspec.json.Decoder(_RolledWorkload)


async def owners(patient: Patient, found: Findings) -> None:
    """Nothing that restores the size of a manifest owns spec.replicas of a pool's workload."""
    async for pool, workload in _of_pools(patient):
        for entry in _owners(workload):
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
        if pool.workload.kind is not WorkloadKind.DEPLOYMENT:
            continue
        strategy = (workload.spec or _RolledSpec()).strategy or _RolloutStrategy()
        rolling = strategy.rolling_update or _RollingUpdate()
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
            "set spec.strategy to RollingUpdate with maxUnavailable 0, and minReadySeconds to the "
            "length of the longest task",
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


def _owners(workload: _RolledWorkload) -> Iterable[wire.WireManagedEntry]:
    """The entries of managedFields that own `spec.replicas`, but for ours."""
    for entry in workload.metadata.managed_fields or ():
        fields = entry.fields_v1
        is_owner = fields is not None and fields.spec is not None and fields.spec.replicas
        if is_owner and entry.manager != FIELD_MANAGER:
            yield entry


async def _of_pools(patient: Patient) -> AsyncIterator[tuple[Pool, _RolledWorkload]]:
    """Each pool with its workload, where that is there and can be read. Raises KubeError."""
    selector = patient.settings.kubernetes.selector or ""
    for namespace, pools in patient.namespaces():
        there: dict[WorkloadName, _RolledWorkload] = {}
        for kind, raw in await of_kinds(patient.client, namespace, pools, selector):
            try:
                each = decoded(_WORKLOAD, raw)
            except UndecodableError:
                continue  # the check of workloads tells it
            there[WorkloadName(clean_name(each.metadata.name), kind)] = each
        for pool in pools:
            if (workload := there.get(pool.workload)) is not None:
                yield pool, workload

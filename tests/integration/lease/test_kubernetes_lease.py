"""What only a Lease of Kubernetes can meet: rights, lost replies, other programs' fields."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from agentdash.demo.cluster.objects import LEASES
from controller.kube.writes import KubernetesLease
from controller.model.settings import LeaseRecord
from controller.ports import StoreAwayError, StoreConflictError, StoreRefusedError
from fakes.cluster import ApiFault

RECORD = LeaseRecord(holder="one", duration_s=2.5, acquired_at=1.7e9, renewed_at=1.7e9 + 0.000001)


async def test_the_record_is_written_as_kubectl_shows_it(cluster: Any) -> None:
    await cluster.lease.write(RECORD, replaces=None)
    stored = cluster.sim.store.get(LEASES, "default", "agentdash")
    assert stored.object["spec"] == {
        "holderIdentity": "one",
        "leaseDurationSeconds": 3,
        "acquireTime": "2023-11-14T22:13:20.000000Z",
        "renewTime": "2023-11-14T22:13:20.000001Z",
        "leaseTransitions": 0,
    }


async def test_labels_and_fields_of_others_stay(cluster: Any) -> None:
    first = await cluster.lease.write(RECORD, replaces=None)
    store = cluster.sim.store
    stored = store.get(LEASES, "default", "agentdash")
    labels = {**stored.object["metadata"], "labels": {"team": "platform"}}
    store.update(stored, {**stored.object, "metadata": labels})
    with pytest.raises(StoreConflictError):
        await cluster.lease.write(RECORD, replaces=first)
    found = await cluster.lease.read()
    assert found.is_same_as(first)
    await cluster.lease.write(replace(RECORD, renewed_at=1.7e9 + 2.0), replaces=found)
    stored = store.get(LEASES, "default", "agentdash")
    assert stored.object["metadata"]["labels"] == {"team": "platform"}


@pytest.mark.parametrize("verb", ["get", "create"])
async def test_without_the_right_the_missing_rule_is_named(cluster: Any, verb: str) -> None:
    cluster.sim.faults.add(ApiFault(verb=verb, path="/leases", status=403))
    ask = cluster.lease.read() if verb == "get" else cluster.lease.write(RECORD, replaces=None)
    with pytest.raises(StoreRefusedError) as refused:
        await ask
    words = str(refused.value)
    assert words.startswith("Lease default/agentdash: ")
    assert "Role in default" in words
    assert "[coordination.k8s.io], resources [leases], verbs [get, create, patch, watch]" in words


async def test_without_its_namespace_the_setting_is_named(cluster: Any) -> None:
    client = cluster.lease._client
    lost = KubernetesLease(client, cluster.lease._clock, namespace="nowhere", name="agentdash")
    assert await lost.read() is None
    with pytest.raises(StoreRefusedError, match=r"controller\.lease\.namespace"):
        await lost.write(RECORD, replaces=None)


async def test_a_lost_reply_is_found_by_the_next_look(cluster: Any) -> None:
    first = await cluster.lease.write(RECORD, replaces=None)
    cluster.sim.faults.add(ApiFault(verb="patch", path="/leases", cut=True, times=1))
    with pytest.raises(StoreAwayError):
        await cluster.lease.write(replace(RECORD, renewed_at=1.7e9 + 2.0), replaces=first)
    found = await cluster.lease.read()
    assert found.holder == "one"
    assert not found.is_same_as(first)


async def test_an_answer_of_a_proxy_is_no_lease(cluster: Any) -> None:
    await cluster.lease.write(RECORD, replaces=None)
    cluster.sim.faults.add(ApiFault(verb="get", path="/leases", garble=True))
    with pytest.raises(StoreAwayError, match="no Lease"):
        await cluster.lease.read()

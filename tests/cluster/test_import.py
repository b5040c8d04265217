"""`agentdash import --cluster` of a real API server."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from controller.config import parse
from controller.kube.errors import ApiError, HeldBackError

pytestmark = pytest.mark.cluster

# of KEDA's CRD: the names, and that its fields are kept as they are
CRD: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "scaledobjects.keda.sh"},
    "spec": {
        "group": "keda.sh",
        "scope": "Namespaced",
        "names": {
            "plural": "scaledobjects",
            "kind": "ScaledObject",
            "listKind": "ScaledObjectList",
        },
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                    }
                },
            }
        ],
    },
}


async def test_what_a_real_cluster_has_becomes_a_fleet_file(admin: Any) -> None:
    space = admin.namespace
    hpas = f"/apis/autoscaling/v2/namespaces/{space}/horizontalpodautoscalers"
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "maxReplicas": 3,
        "metrics": [{"type": "Resource", "resource": cpu}],
    }
    await admin.ask("POST", hpas, {"metadata": {"name": "web"}, "spec": spec})
    given = ["import", "--cluster", "-n", space, "--kubeconfig", admin.settings.kubeconfig]
    # without KEDA there are no ScaledObjects, which is no fault
    made_of_it, _ = await _asked(given)
    [web] = parse(made_of_it, "fleet").fleet.pools
    assert (web.namespace, web.min, web.max) == (space, 1, 3)

    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await admin.ask("POST", crds, CRD)
    try:
        await _until_served(admin, space)
        metadata = {"account": "A", "stream": "S", "consumer": "c", "lagThreshold": "7"}
        trigger = {"type": "nats-jetstream", "metadata": metadata}
        scaled = {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": "worker"},
            "spec": {"scaleTargetRef": {"name": "worker"}, "triggers": [trigger]},
        }
        objects = f"/apis/keda.sh/v1alpha1/namespaces/{space}/scaledobjects"
        owner = await admin.ask("POST", objects, scaled)
        # the HPA that KEDA makes for it is no autoscaler of its own
        reference = {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "name": "worker",
            "uid": owner["metadata"]["uid"],
        }
        meta = {"name": "keda-hpa-worker", "ownerReferences": [reference]}
        made = {**spec, "scaleTargetRef": {**spec["scaleTargetRef"], "name": "worker"}}  # type: ignore[dict-item]
        await admin.ask("POST", hpas, {"metadata": meta, "spec": made})
        out, err = await _asked(given)
    finally:
        await admin.ask("DELETE", f"{crds}/{CRD['metadata']['name']}")
    pools = {pool.key: pool for pool in parse(out, "fleet").fleet.pools}
    assert set(pools) == {f"{space}/web", f"{space}/worker"}
    assert (pools[f"{space}/worker"].stream, pools[f"{space}/worker"].consumer) == ("S", "c")
    assert "2 wholly, 0 in part, 0 not" in err


async def _asked(arguments: list[str]) -> tuple[str, str]:
    """What a process of agentdash prints to standard output and to standard error."""
    pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
    command = (sys.executable, "-m", "agentdash", *arguments)
    process = await asyncio.create_subprocess_exec(*command, **pipes)
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode(), err.decode()


async def _until_served(admin: Any, space: str) -> None:
    """Wait until the API server answers for the new kind."""
    path = f"/apis/keda.sh/v1alpha1/namespaces/{space}/scaledobjects"
    async with asyncio.timeout(20):
        while True:
            try:
                await admin.ask("GET", path)
            except HeldBackError as error:
                await asyncio.sleep(error.retry_after_s)
            except ApiError as error:
                if error.status not in {404, 429}:  # 429: its storage is made
                    raise
                await asyncio.sleep(0.2)
            else:
                return

"""StatefulSets in a simulated cluster."""

from __future__ import annotations

from agentdash.demo.cluster.objects import STATEFUL_SETS
from agentdash.demo.cluster.registry import StoredObject
from fakes.cluster import SimCluster


def create_statefulset(
    sim: SimCluster, name: str, namespace: str, *, replicas: int = 0, **spec: object
) -> StoredObject:
    """Add a StatefulSet of one container; `spec` adds to its own (podManagementPolicy)."""
    amounts = {"cpu": "250m", "memory": "512Mi"}
    resources = {"requests": amounts, "limits": dict(amounts)}
    container = {"name": "agent", "image": "registry.example/agent:1", "resources": resources}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    body = {
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": template,
            "serviceName": name,
            **spec,
        },
    }
    return sim.registry.create(STATEFUL_SETS, namespace, body)

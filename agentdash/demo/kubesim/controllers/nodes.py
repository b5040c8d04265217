"""Nodes as their kubelets report them, and the taint of a cordoned node."""

from __future__ import annotations

from agentdash.demo.kubesim.clock import stamp
from agentdash.demo.kubesim.controllers.workqueue import WorkQueue
from agentdash.demo.kubesim.quantities import canonical, milli
from agentdash.demo.kubesim.registry import Registry
from agentdash.demo.kubesim.resources import NODES
from agentdash.demo.kubesim.store import Change, StoredObject

_CORDONED = "node.kubernetes.io/unschedulable"
_KUBELET_VERSION = "v1.36.3"
_GIB = 1024**3 * 1000


def register(
    registry: Registry, name: str, *, cpu: str, memory: str, pods: str, labels: dict[str, str]
) -> StoredObject:
    """Add a Ready node with these allocatable amounts; its capacity is a little more."""
    now = stamp()
    whole_cpus = -(-milli(cpu) // 1000) * 1000
    capacity = canonical("memory", -(-milli(memory) * 6 // 5 // (4 * _GIB)) * 4 * _GIB)
    node = registry.create(
        NODES,
        "",
        {
            "metadata": {
                "name": name,
                "labels": {
                    "kubernetes.io/hostname": name,
                    "kubernetes.io/role": "agent",
                    "node.kubernetes.io/instance-type": "e2-standard-4",
                    "type": "simulated",
                    **labels,
                },
                "annotations": {"node.alpha.kubernetes.io/ttl": "0"},
            },
            "spec": {},
        },
    )
    status = {
        "capacity": {"cpu": canonical("cpu", whole_cpus), "memory": capacity, "pods": pods},
        "allocatable": {"cpu": cpu, "memory": memory, "pods": pods},
        "phase": "Running",
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "lastHeartbeatTime": now,
                "lastTransitionTime": now,
                "reason": "KubeletReady",
                "message": "kubelet is posting ready status",
            }
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
        "nodeInfo": {
            **dict.fromkeys(
                (
                    "machineID",
                    "systemUUID",
                    "bootID",
                    "kernelVersion",
                    "osImage",
                    "containerRuntimeVersion",
                    "kubeProxyVersion",
                ),
                "",
            ),
            "kubeletVersion": _KUBELET_VERSION,
            "operatingSystem": "linux",
            "architecture": "amd64",
        },
    }
    return registry.set_status(node, status)


class NodeController:
    """The part of the node controller that taints cordoned nodes."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.queue: WorkQueue[str] = WorkQueue(self.sync)
        registry.store.subscribe(self._on_change)

    def _on_change(self, change: Change) -> None:
        if change.new.resource is NODES and change.type != "DELETED":
            self.queue.add(change.new.key[1])

    def sync(self, name: str) -> None:
        """Add the taint to a cordoned node, or remove it from one that is not."""
        node = self._registry.store.get(NODES, "", name)
        if node is None:
            return
        spec = node.object.get("spec") or {}
        taints = list(spec.get("taints") or ())
        others = [taint for taint in taints if taint["key"] != _CORDONED]
        wanted = bool(spec.get("unschedulable"))
        if wanted == (len(others) < len(taints)):
            return
        if wanted:
            others.append({"key": _CORDONED, "effect": "NoSchedule", "timeAdded": stamp()})
        changed = {key: value for key, value in spec.items() if key != "taints"}
        if others:
            changed["taints"] = others
        self._registry.store.update(node, node.object | {"spec": changed})

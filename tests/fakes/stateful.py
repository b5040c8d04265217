"""The controller of StatefulSets for the simulated cluster: pods with ordinals, created from the
lowest up and deleted from the highest down. It does not replace pods of an older template.
"""

from __future__ import annotations

from collections.abc import Mapping

from agentdash.demo.cluster.objects import (
    PODS,
    STATEFUL_SETS,
    Object,
    StatusError,
    is_ready,
    is_terminating,
)
from agentdash.demo.cluster.registry import StoredObject
from agentdash.demo.cluster.workloads import WorkloadControllers, pod_of, template_hash

_REVISION_LABEL = "controller-revision-hash"
_STATEFUL = "statefulset-controller"


class StatefulSets:
    """It works in the queue of the other controllers."""

    def __init__(self, workloads: WorkloadControllers) -> None:
        self._workloads = workloads
        workloads.by_kind[STATEFUL_SETS] = self.sync

    def sync(self, stored: StoredObject) -> None:
        spec, pods = stored.object["spec"], self._by_ordinal(stored)
        first = (spec.get("ordinals") or {}).get("start", 0)
        wanted = range(first, first + spec["replicas"])
        is_parallel = spec["podManagementPolicy"] == "Parallel"
        if self._grown(stored, wanted, pods, is_parallel=is_parallel):
            leaving = sorted(pods.keys() - set(wanted), reverse=True)
            for ordinal in leaving if is_parallel else leaving[:1]:
                if not is_terminating(pods[ordinal].object):
                    self._workloads._registry.delete(PODS, *pods[ordinal].key)
                    self._say_pod(stored, ordinal, "Delete")
        present = self._workloads._registry.read(STATEFUL_SETS, *stored.key)
        self._workloads._registry.set_status(
            present, _stateful_status(present, self._by_ordinal(present))
        )

    def _by_ordinal(self, stored: StoredObject) -> dict[int, StoredObject]:
        pods = self._workloads._store.owned(stored.uid, PODS)
        return {int(pod.key[1].rpartition("-")[2]): pod for pod in pods}

    def _grown(
        self,
        stored: StoredObject,
        wanted: range,
        pods: Mapping[int, StoredObject],
        *,
        is_parallel: bool,
    ) -> bool:
        """Create missing pods, one after the other unless parallel; False while one is awaited."""
        for ordinal in wanted:
            pod = pods.get(ordinal)
            if pod is None:
                self._create_ordinal(stored, ordinal)
            is_healthy = pod is not None and is_ready(pod.object) and not is_terminating(pod.object)
            if not is_parallel and not is_healthy:
                return False
        return True

    def _create_ordinal(self, stored: StoredObject, ordinal: int) -> None:
        retry, name = self._workloads._retries[stored.uid], f"{stored.key[1]}-{ordinal}"
        if retry.waiting:
            return
        pod = pod_of(stored, {"name": name})
        labels = pod["metadata"].get("labels") or {}
        revision = f"{stored.key[1]}-{template_hash(stored.object['spec']['template'])}"
        pod["metadata"]["labels"] = labels | {_REVISION_LABEL: revision}
        try:
            self._workloads._registry.create(PODS, stored.key[0], pod)
        except StatusError as refusal:
            words = f"Create Pod {name} in StatefulSet {stored.key[1]} failed error: "
            words += refusal.message
            self._workloads._recorder.say(stored, "FailedCreate", words, _STATEFUL, is_warning=True)
            self._workloads._try_later(stored, retry, refusal.message)
            return
        retry.failures = 0
        self._say_pod(stored, ordinal, "Create")

    def _say_pod(self, stored: StoredObject, ordinal: int, did: str) -> None:
        name = stored.key[1]
        words = f"{did} Pod {name}-{ordinal} in StatefulSet {name} successful"
        self._workloads._recorder.say(stored, f"Successful{did}", words, _STATEFUL)


def _stateful_status(stored: StoredObject, pods: Mapping[int, StoredObject]) -> Object:
    ready = sum(is_ready(pod.object) for pod in pods.values())
    active = sum(not is_terminating(pod.object) for pod in pods.values())
    counts = {"readyReplicas": ready, "currentReplicas": active, "updatedReplicas": active}
    return {
        "observedGeneration": stored.object["metadata"]["generation"],
        "replicas": len(pods),
        **{name: count for name, count in counts.items() if count},
        "availableReplicas": ready,
    }

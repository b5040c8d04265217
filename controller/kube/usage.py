"""What the pods of one namespace use of its quota, by workload."""

from __future__ import annotations

from controller.model.ids import WorkloadName
from controller.model.limits import INT64_MAX
from controller.model.scarcity import Resources


class NamespaceUsage:
    """The quota usage of each pod of the namespace. A sum is computed on demand, and kept until a
    pod that counts in it changes.
    """

    def __init__(self) -> None:
        self._takes: dict[str, tuple[WorkloadName | None, Resources]] = {}
        self._sums: dict[frozenset[WorkloadName], Resources] = {}

    def put(self, pod: str, workload: WorkloadName | None, takes: Resources | None) -> None:
        """Set the pod's usage; None if it uses nothing any more."""
        if takes is None:
            self.drop(pod)
            return
        known = self._takes.get(pod)
        if known != (workload, takes):
            if known is not None:
                self._forget_sums(known[0])
            self._takes[pod] = workload, takes
            self._forget_sums(workload)

    def drop(self, pod: str) -> None:
        """Remove the pod."""
        known = self._takes.pop(pod, None)
        if known is not None:
            self._forget_sums(known[0])

    def keep(self, pods: set[str | None]) -> None:
        """Remove all pods except these."""
        for name in self._takes.keys() - pods:
            self.drop(name)

    def of_others(self, workloads: frozenset[WorkloadName]) -> Resources:
        """The total usage of the pods that belong to none of these workloads."""
        known = self._sums.get(workloads)
        if known is None:
            others = [takes for owner, takes in self._takes.values() if owner not in workloads]
            known = self._sums[workloads] = added(others)
        return known

    def _forget_sums(self, owner: WorkloadName | None) -> None:
        """Drop the sums that include the pods of this owner."""
        for workloads in [each for each in self._sums if owner not in each]:
            del self._sums[workloads]


def added(amounts: list[Resources]) -> Resources:
    """The sum, capped at int64; an amount that is None counts as 0."""
    return Resources(
        replicas=min(INT64_MAX, sum(each.replicas or 0 for each in amounts)),
        cpu_milli=min(INT64_MAX, sum(each.cpu_milli or 0 for each in amounts)),
        memory_bytes=min(INT64_MAX, sum(each.memory_bytes or 0 for each in amounts)),
    )

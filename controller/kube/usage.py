"""What the pods of one namespace take, by whose they are."""

from __future__ import annotations

from controller.model.scarcity import Resources


class NamespaceUsage:
    """Every pod's share of the namespace; the sums are made when they are asked for, and kept until
    a pod changes.
    """

    def __init__(self) -> None:
        self._takes: dict[str, tuple[str | None, Resources]] = {}
        self._sums: dict[frozenset[str], Resources] = {}

    def put(self, pod: str, deployment: str | None, takes: Resources | None) -> None:
        """This pod takes so much, or nothing any more."""
        if takes is None:
            self.drop(pod)
        elif self._takes.get(pod) != (deployment, takes):
            self._takes[pod] = deployment, takes
            self._sums.clear()

    def drop(self, pod: str) -> None:
        """This pod is gone."""
        if self._takes.pop(pod, None) is not None:
            self._sums.clear()

    def keep(self, pods: set[str | None]) -> None:
        """No pods but these are there."""
        for name in self._takes.keys() - pods:
            self.drop(name)

    def of_others(self, deployments: frozenset[str]) -> Resources:
        """What all pods take together that belong to none of these Deployments."""
        known = self._sums.get(deployments)
        if known is None:
            others = [takes for owner, takes in self._takes.values() if owner not in deployments]
            known = self._sums[deployments] = added(others)
        return known


def added(amounts: list[Resources]) -> Resources:
    """The sum; what is not said counts as nothing."""
    return Resources(
        replicas=sum(each.replicas or 0 for each in amounts),
        cpu_milli=sum(each.cpu_milli or 0 for each in amounts),
        memory_bytes=sum(each.memory_bytes or 0 for each in amounts),
    )

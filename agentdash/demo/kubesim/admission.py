"""Admission: what a valid object must pass before it is stored (namespace, priority, quotas)."""

from __future__ import annotations

import random
from collections.abc import Iterable

from agentdash.demo.kubesim import defaults
from agentdash.demo.kubesim.errors import Cause, StatusError, details_of, forbidden, not_found
from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.quantities import canonical, milli
from agentdash.demo.kubesim.resources import (
    NAMESPACES,
    PODS,
    PRIORITY_CLASSES,
    RESOURCE_QUOTAS,
    Resource,
)
from agentdash.demo.kubesim.store import Store
from agentdash.demo.kubesim.usage import Amounts, PodTotals, quota_amounts


class Admission:
    """The admission plug-ins that an autoscaler notices."""

    def __init__(self, store: Store, usage: PodTotals, rng: random.Random) -> None:
        self._store, self._usage, self._rng = store, usage, rng

    def admit(self, resource: Resource, item: Object) -> None:
        """Complete a new object, or raise StatusError 404 (namespace) or 403 (closing, quota)."""
        metadata = item["metadata"]
        if resource.namespaced:
            self._check_namespace(resource, metadata["namespace"], metadata["name"])
        if resource is PODS:
            defaults.admit_pod(item, self._rng, self._priority(item))
            self._check_quotas(item)

    def _check_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        found = self._store.get(NAMESPACES, "", namespace)
        if found is None:
            raise not_found(NAMESPACES, namespace)
        if found.object["status"]["phase"] == "Terminating" and resource.plural != "events":
            message = (
                f"unable to create new content in namespace {namespace} because it is being "
                "terminated"
            )
            refusal = forbidden(resource, name, message)
            words = f"namespace {namespace} is being terminated"
            cause = Cause("NamespaceTerminating", words, "metadata.namespace")
            details = {**details_of(resource, name), "causes": [cause.as_json()]}
            raise StatusError(403, "Forbidden", refusal.message, details)

    def _priority(self, pod: Object) -> int:
        name = pod["spec"].get("priorityClassName")
        if not name:
            return 0
        found = self._store.get(PRIORITY_CLASSES, "", name)
        if found is None:
            words = f"no PriorityClass with name {name} was found"
            raise forbidden(PODS, pod["metadata"]["name"], words)
        return int(found.object["value"])

    def _check_quotas(self, pod: Object) -> None:
        metadata = pod["metadata"]
        asked = quota_amounts(pod["spec"])
        used = self._usage.by_namespace[metadata["namespace"]]
        for quota in self._store.each(RESOURCE_QUOTAS, metadata["namespace"]):
            hard = {
                name: milli(amount)
                for name, amount in ((quota.object.get("spec") or {}).get("hard") or {}).items()
            }
            missing = _unstated(hard, pod)
            if missing:
                words = f"failed quota: {quota.key[1]}: must specify {missing}"
                raise forbidden(PODS, metadata["name"], words)
            over = sorted(
                name
                for name in hard
                if asked.get(name, 0) + used.get(name, 0) > hard[name] and asked.get(name, 0)
            )
            if over:
                words = (
                    f"exceeded quota: {quota.key[1]}, requested: {_shown(over, asked)}, "
                    f"used: {_shown(over, used)}, limited: {_shown(over, hard)}"
                )
                raise forbidden(PODS, metadata["name"], words)


def _unstated(hard: Amounts, pod: Object) -> str:
    """The resources that a quota counts and a container does not state, as the real message lists
    them.
    """
    shown = []
    for name in sorted(hard):
        what, _, resource = name.rpartition(".")
        if resource not in {"cpu", "memory"} or what not in {"", "requests", "limits"}:
            continue
        without = [
            container["name"]
            for container in pod["spec"]["containers"]
            if resource not in ((container.get("resources") or {}).get(what or "requests") or {})
        ]
        if without:
            shown.append(f"{name} for: {','.join(without)}")
    return "; ".join(shown)


def _shown(names: Iterable[str], amounts: Amounts) -> str:
    return ",".join(f"{name}={canonical(name, amounts.get(name, 0))}" for name in names)

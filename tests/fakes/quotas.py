"""ResourceQuotas for the simulated cluster: they admit a new pod, or refuse it in the real server's
words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentdash.demo.cluster.objects import (
    PODS,
    RESOURCE_QUOTAS,
    Amounts,
    Kind,
    Object,
    StatusError,
    added,
    amounts_of,
    details_of,
    milli,
)
from agentdash.demo.cluster.registry import Registry


class Quotas:
    """Those of all namespaces."""

    def __init__(self, registry: Registry) -> None:
        self._store = registry.store
        registry.admit = self.check

    def check(self, pod: Object) -> None:
        """Raise StatusError 403 for a pod that a ResourceQuota of its namespace does not allow."""
        metadata, asked = pod["metadata"], used_of_quota(pod["spec"])
        quotas = list(self._store.each(RESOURCE_QUOTAS, metadata["namespace"]))
        if not quotas:
            return
        pods = (each.object for each in self._store.each(PODS, metadata["namespace"]))
        used = added(used_of_quota(each["spec"]) for each in pods)
        for quota in quotas:
            allowed = (quota.object.get("spec") or {}).get("hard") or {}
            hard = {name: milli(amount) for name, amount in allowed.items()}
            over = sorted(
                name
                for name in hard
                if asked.get(name, 0) and asked[name] + used.get(name, 0) > hard[name]
            )
            if over:
                shown = (
                    ",".join(f"{name}={canonical(name, of.get(name, 0))}" for name in over)
                    for of in (asked, used, hard)
                )
                words = "exceeded quota: {}, requested: {}, used: {}, limited: {}"
                raise forbidden(PODS, metadata["name"], words.format(quota.key[1], *shown))


def forbidden(kind: Kind, name: str, why: str) -> StatusError:
    """403 for one object or, with no name, for all of a kind."""
    shown = f'{kind.qualified} "{name}"' if name else kind.qualified
    return StatusError(403, "Forbidden", f"{shown} is forbidden: {why}", details_of(kind, name))


def canonical(name: str, thousandths: int) -> str:
    """An amount of the resource `name` as the API prints it, memory in binary units."""
    if thousandths % 1000:
        return f"{thousandths}m"
    whole = thousandths // 1000
    if "memory" in name:
        for power, letter in reversed(list(enumerate("KMGTPE", start=1))):
            unit = 1024**power
            if whole and whole % unit == 0:
                return f"{whole // unit}{letter}i"
    return str(whole)


def used_of_quota(spec: Mapping[str, Any]) -> Amounts:
    """What one pod counts for in a ResourceQuota: pods, requests.*, limits.*."""
    requests, limits = amounts_of(spec), amounts_of(spec, "limits")
    prefixed = {f"requests.{name}": amount for name, amount in requests.items()}
    prefixed |= {f"limits.{name}": amount for name, amount in limits.items()}
    return {"pods": 1000, "count/pods": 1000} | requests | prefixed

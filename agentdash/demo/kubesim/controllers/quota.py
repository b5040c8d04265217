"""ResourceQuotas: `status.used` follows the pods of the namespace."""

from __future__ import annotations

from agentdash.demo.kubesim.controllers.workqueue import WorkQueue
from agentdash.demo.kubesim.quantities import canonical
from agentdash.demo.kubesim.registry import Registry
from agentdash.demo.kubesim.resources import PODS, RESOURCE_QUOTAS
from agentdash.demo.kubesim.store import Change


class QuotaController:
    """The quota controller, by namespace."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.queue: WorkQueue[str] = WorkQueue(self.sync)
        registry.store.subscribe(self._on_change)

    def _on_change(self, change: Change) -> None:
        if change.new.resource in {PODS, RESOURCE_QUOTAS}:
            self.queue.add(change.new.key[0])

    def sync(self, namespace: str) -> None:
        """Write what is used, in the amounts' canonical form."""
        used = self._registry.usage.by_namespace[namespace]
        for quota in self._registry.store.each(RESOURCE_QUOTAS, namespace):
            hard = (quota.object.get("spec") or {}).get("hard") or {}
            shown = {name: canonical(name, used.get(name, 0)) for name in hard}
            self._registry.set_status(quota, {"hard": dict(hard), "used": shown})

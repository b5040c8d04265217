"""The metrics of one worker process, under the names of agentdash's dashboards and alerts."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from agentdash.worker.router import TierUse
from agentdash.worker.task import Priority
from controller.model.scarcity import ModelTier
from controller.model.text import clean_name
from controller.model.worker_messages import UsedTokens

DURATION_BUCKETS_S: Final = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400)


class WorkerMetrics:
    """What one worker counts."""

    def __init__(self, tenant: str, role: str) -> None:
        """`role` is the pool's name."""
        self.registry = CollectorRegistry()
        self._tenant, self._role = tenant, role
        self._tasks = Counter(
            "agent_tasks",
            "Tasks that ended.",
            ("role", "status", "priority"),
            registry=self.registry,
        )
        self._duration = Histogram(
            "agent_session_duration_seconds",
            "How long a try at a task took.",
            ("role",),
            buckets=DURATION_BUCKETS_S,
            registry=self.registry,
        )
        self._tokens = Counter(
            "agent_tokens_consumed",
            "Tokens that agents used.",
            ("tenant", "role", "model", "kind"),
            registry=self.registry,
        )
        self._tools = Counter(
            "agent_tool_calls",
            "Calls of tools.",
            ("role", "tool", "status"),
            registry=self.registry,
        )
        self._context = Gauge(
            "agent_context_utilization",
            "The part of the model's context that the last session to say so had taken.",
            ("role",),
            registry=self.registry,
        )
        self._lost = Gauge(
            "agent_slots_lost",
            "Slots held by agents that were cut and do not end.",
            ("role",),
            registry=self.registry,
        )
        self._routed = Counter(
            "agent_routed_calls",
            "Answers of models that a router chose, by tier and whether they were accepted.",
            ("tenant", "role", "tier", "status"),
            registry=self.registry,
        )
        self._usd = Counter(
            "agent_routed_usd",
            "What these answers cost.",
            ("tenant", "role", "tier"),
            registry=self.registry,
        )
        self._usd_if_premium = Counter(
            "agent_routed_if_premium_usd",
            "What the accepted answers would have cost with the best model.",
            ("tenant", "role", "tier"),
            registry=self.registry,
        )

    def routed(self, tier: ModelTier, use: TierUse) -> None:
        """Count answers of a tier and their cost."""
        labels = (self._tenant, self._role, tier.value)
        self._routed.labels(*labels, "accepted").inc(use.done)
        self._routed.labels(*labels, "not accepted").inc(use.tries - use.done)
        self._usd.labels(*labels).inc(float(use.usd))
        self._usd_if_premium.labels(*labels).inc(float(use.usd_if_premium))

    def task_ended(self, status: str, priority: Priority) -> None:
        """Count a task by how it ended."""
        self._tasks.labels(self._role, status, priority.value).inc()

    def session_ended(self, seconds: float) -> None:
        """Count a try at a task."""
        self._duration.labels(self._role).observe(seconds)

    def used(self, model: str, tokens: UsedTokens) -> None:
        """Count tokens by kind."""
        for kind in ("input", "cached_input", "output"):
            number: int = getattr(tokens, kind)
            if number:
                labels = (self._tenant, self._role, clean_name(model), kind)
                self._tokens.labels(*labels).inc(number)

    def slots_lost(self, number: int) -> None:
        """Keep how many slots are lost."""
        self._lost.labels(self._role).set(number)

    def tool_called(self, tool: str, ok: bool) -> None:
        """Count a call of a tool."""
        self._tools.labels(self._role, clean_name(tool), "ok" if ok else "error").inc()

    def context_taken(self, part: float) -> None:
        """Keep how full a model's context is, 0 to 1."""
        self._context.labels(self._role).set(part)

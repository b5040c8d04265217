"""The rows of every table as plain values: what JSON and CSV have instead of formatted text.

Units are in the names, times are Unix seconds, and what is not known is None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Generic, NamedTuple, TypeAlias

from agentdash.tui import words
from agentdash.tui.attention import AttentionRow
from agentdash.tui.columns import R
from agentdash.tui.events import event_author
from agentdash.tui.info import Fact
from agentdash.tui.model_tokens import in_words, kind_today
from agentdash.tui.models import model_share, refused_replicas
from agentdash.tui.nodes import UnplacedPods, class_name
from agentdash.tui.pods import PodRow, cold_start_s, worker_state
from agentdash.tui.queues import QueueRow
from agentdash.tui.single_nodes import NodeRow, requests_of_replica
from agentdash.tui.tenants import tenant_history, tenant_since, tenant_state, used_share
from agentdash.tui.tier_shares import saved_usd, tier_share
from agentdash.tui.view import Frame, PoolRow
from controller.model.intents import Intent
from controller.model.readings import Stale
from controller.model.scarcity import ModelTier, Resources
from controller.model.snapshot import (
    NOT_KNOWN,
    Finding,
    ModelDraw,
    ModelView,
    NodeClassView,
    ScaleEvent,
    TenantView,
)

PlainValue: TypeAlias = str | int | float | bool | list[str] | list[int | None] | None


class ValueField(NamedTuple, Generic[R]):
    """One value of a row: its name in JSON and CSV, and the column of the screen that shows it."""

    name: str
    column: str
    value: Callable[[R, Frame], PlainValue]


def _why(row: PoolRow, frame: Frame) -> str | None:
    decision = row.view.decision
    return None if decision is None else words.last_sentence(decision, frame.at)


def _series(numbers: Sequence[int]) -> list[int | None]:
    return [None if each == NOT_KNOWN else each for each in numbers]


POOL_FIELDS: Final[Sequence[ValueField[PoolRow]]] = (
    ValueField("pool", "POOL", lambda row, _: row.key),
    ValueField("tier", "TIER", lambda row, _: row.view.tier),
    ValueField("state", "STATE", lambda row, _: row.state.word),
    ValueField("since", "SINCE", lambda row, _: row.since),
    ValueField("ready", "READY", lambda row, _: row.ready),
    ValueField("replicas", "NOW→NEXT", lambda row, _: row.current),
    ValueField("next", "NOW→NEXT", lambda row, _: row.next),
    ValueField("target", "TARGET", lambda row, _: row.target),
    ValueField("demand", "WANT", lambda row, _: row.demand),
    ValueField("pending", "PENDING", lambda row, _: row.queue.pending if row.queue else None),
    ValueField("in_flight", "IN FLIGHT", lambda row, _: row.queue.in_flight if row.queue else None),
    ValueField("queue_is_old", "PENDING", lambda row, _: row.queue_is_old),
    ValueField("workload_is_old", "READY", lambda row, _: row.workload_is_old),
    ValueField("min", "MIN/MAX", lambda row, _: row.view.min),
    ValueField("max", "MIN/MAX", lambda row, _: row.view.max),
    ValueField("pressure", "PRESS", lambda row, _: row.pressure),
    ValueField("bound", "BOUND", lambda row, _: row.bound or None),
    ValueField(
        "pending_last_15_min", "LAST 15 MIN", lambda row, _: _series(row.history.recent.pending)
    ),
    ValueField[PoolRow](
        "ready_last_15_min", "READY  TARGET", lambda row, _: _series(row.history.recent.ready)
    ),
    ValueField[PoolRow](
        "target_last_15_min", "READY  TARGET", lambda row, _: _series(row.history.recent.target)
    ),
    ValueField("wake", "WAKE", lambda row, _: str(row.view.observation.wake)),
    ValueField("why", "WHY", _why),
)
FINDING_FIELDS: Final[Sequence[ValueField[Finding]]] = (
    ValueField("severity", "!", lambda finding, _: str(finding.severity)),
    ValueField("subject", "SUBJECT", lambda finding, _: finding.subject),
    ValueField("kind", "WHAT", lambda finding, _: finding.kind),
    ValueField("text", "WHAT", lambda finding, _: finding.text),
    ValueField("since", "SINCE", lambda finding, _: finding.since),
)
ATTENTION_FIELDS: Final[Sequence[ValueField[AttentionRow]]] = (
    ValueField("severity", "SEVERITY", lambda row, _: str(row.finding.severity)),
    ValueField("subject", "SUBJECT", lambda row, _: row.finding.subject),
    ValueField("kind", "WHAT", lambda row, _: row.finding.kind),
    ValueField("text", "WHAT", lambda row, _: row.finding.text),
    ValueField("since", "SINCE", lambda row, _: row.finding.since),
    ValueField("leads_to", "LEADS TO", lambda row, _: row.leads_to or None),
)
FACT_FIELDS: Final[Sequence[ValueField[Fact]]] = (
    ValueField("fact", "FACT", lambda fact, _: fact.name),
    ValueField("since", "SINCE", lambda fact, _: fact.since),
    ValueField("is", "IS", lambda fact, _: fact.text),
)
EVENT_FIELDS: Final[Sequence[ValueField[ScaleEvent]]] = (
    ValueField("at", "TIME", lambda event, _: event.at),
    ValueField("age_s", "AGO", lambda event, frame: max(frame.now - event.at, 0.0)),
    ValueField("pool", "POOL", lambda event, _: event.pool),
    ValueField("by", "BY", lambda event, _: event_author(event)),
    ValueField("before", "CHANGE", lambda event, _: event.before),
    ValueField("after", "CHANGE", lambda event, _: event.after),
    ValueField("bound", "BOUND", lambda event, _: event.bound),
    ValueField("outcome", "OUTCOME", lambda event, _: str(event.outcome.kind)),
    ValueField("outcome_detail", "OUTCOME", lambda event, _: event.outcome.detail),
    ValueField(
        "because", "BECAUSE", lambda event, _: words.reason_sentence(event.reason, event.at)
    ),
)


def _of_queue(name: str, column: str) -> ValueField[QueueRow]:
    def value(row: QueueRow, frame: Frame) -> PlainValue:
        del frame
        found: int | None = None if row.depth is None else getattr(row.depth, name)
        return found

    return ValueField(name, column, value)


QUEUE_FIELDS: Final[Sequence[ValueField[QueueRow]]] = (
    ValueField("pool", "POOL", lambda row, _: row.pool.key),
    ValueField("state", "STATE", lambda row, _: row.state.word),
    ValueField("since", "SINCE", lambda row, _: row.since),
    _of_queue("pending", "PENDING"),
    _of_queue("in_flight", "FLIGHT"),
    _of_queue("redelivered", "REDEL"),
    ValueField("is_old", "PENDING", lambda row, _: isinstance(row.reading, Stale)),
    ValueField("oldest_at", "OLDEST", lambda row, _: row.oldest_at),
    ValueField("oldest_is_older", "OLDEST", lambda row, _: row.rates.oldest_is_older),
    ValueField("arrivals_per_minute", "IN/m", lambda row, _: row.rates.arrivals_per_minute),
    ValueField("completions_per_minute", "DONE/m", lambda row, _: row.rates.completions_per_minute),
    ValueField("waited_p50_s", "P50", lambda row, _: row.rates.waited_p50_s),
    ValueField("waited_p95_s", "P95", lambda row, _: row.rates.waited_p95_s),
    ValueField(
        "wait_s_last_15_min",
        "WAIT, 15 MIN",
        lambda row, _: _series(row.pool.history.recent.wait_s),
    ),
    _of_queue("waiting_pulls", "PULLS"),
    ValueField("stream", "STREAM", lambda row, _: row.name.stream),
    ValueField("consumer", "CONSUMER", lambda row, _: row.name.consumer),
)


def _of_tokens(name: str, field: str, column: str) -> ValueField[TenantView]:
    def value(view: TenantView, frame: Frame) -> PlainValue:
        del frame
        found: float | None = None if view.tokens is None else getattr(view.tokens, field)
        return found

    return ValueField(name, column, value)


def _used_and_most(
    name: str,
    field: str,
    column: str,
    used: Callable[[R], Resources],
    most: Callable[[R], Resources],
) -> tuple[ValueField[R], ValueField[R]]:
    """What is used of a resource, and how much of it there is."""
    return (
        ValueField(f"{name}_used", column, lambda row, _: getattr(used(row), field)),
        ValueField(f"{name}_limit", column, lambda row, _: getattr(most(row), field)),
    )


def _quota(
    name: str, field: str, column: str
) -> tuple[ValueField[TenantView], ValueField[TenantView]]:
    return _used_and_most(name, field, column, lambda view: view.used, lambda view: view.quota)


def _of_tier(tier: ModelTier) -> ValueField[TenantView]:
    return ValueField(f"share_{tier.value}", "N/S/P %", lambda view, _: tier_share(view, tier))


def _of_kind(kind: str) -> ValueField[TenantView]:
    return ValueField(f"{kind}_tokens_today", "TOKENS/DAY", lambda view, _: kind_today(view, kind))


def _of_intent(
    name: str, find: Callable[[TenantView], Intent | None]
) -> Iterator[ValueField[TenantView]]:
    """Who asked for it, why and until when (Unix seconds)."""

    def of(part: str) -> Callable[[TenantView, Frame], PlainValue]:
        def value(view: TenantView, frame: Frame) -> PlainValue:
            del frame
            found: PlainValue = getattr(find(view), part, None)
            return found

        return value

    for column, part in (("by", "who"), ("why", "why"), ("until", "until")):
        yield ValueField(f"{name}_{column}", "OPERATORS", of(part))


TENANT_FIELDS: Final[Sequence[ValueField[TenantView]]] = (
    ValueField[TenantView]("tenant", "TENANT", lambda view, _: view.name),
    ValueField[TenantView]("tier", "TIER", lambda view, _: view.tier),
    ValueField[TenantView]("namespace", "TENANT", lambda view, _: view.namespace),
    ValueField[TenantView]("state", "STATE", lambda view, _: tenant_state(view).word),
    ValueField[TenantView]("since", "SINCE", lambda view, _: tenant_since(view)),
    _of_tokens("tokens_used", "used", "TOKENS/DAY"),
    _of_tokens("tokens_limit", "cap", "TOKENS/DAY"),
    _of_tokens("tokens_reserved", "reserved", "TOKENS/DAY"),
    ValueField[TenantView](
        "tokens_are_old",
        "TOKENS/DAY",
        lambda view, _: None if view.tokens is None else view.tokens.is_old,
    ),
    ValueField[TenantView]("share", "SHARE", lambda view, _: used_share(view)),
    _of_tokens("tokens_per_minute", "burn_per_minute", "TOK/m"),
    ValueField[TenantView](
        "tokens_per_minute_last_15_min",
        "TOK/m, 15 MIN",
        lambda view, frame: _series(tenant_history(view.name, frame).recent.tokens),
    ),
    _of_tokens("tokens_run_out_at", "runs_out_at", "RUNS OUT"),
    _of_tokens("tokens_reset_at", "resets_at", "RUNS OUT"),
    ValueField[TenantView]("pools", "POOLS", lambda view, _: view.pools),
    ValueField[TenantView]("usd_per_hour", "USD/h", lambda view, _: view.usd_per_hour),
    ValueField[TenantView]("usd_per_hour_limit", "USD/h", lambda view, _: view.usd_limit),
    *(_of_kind(kind) for kind in ("input", "cached_input", "output")),
    ValueField[TenantView](
        "tokens_by_model",
        "TOKENS/DAY",
        lambda view, _: None if view.by_model is None else in_words(view.by_model),
    ),
    *(_of_tier(tier) for tier in ModelTier),
    ValueField[TenantView]("saved_usd_today", "SAVED", lambda view, _: saved_usd(view)),
    ValueField[TenantView](
        "tiers_are_old",
        "N/S/P %",
        lambda view, _: None if view.tiers is None else view.tiers.is_old,
    ),
    *_quota("pods", "replicas", "PODS"),
    *_quota("cpu_milli", "cpu_milli", "CPU"),
    *_quota("memory_bytes", "memory_bytes", "MEMORY"),
    *_of_intent("paused", lambda view: view.pause),
    *_of_intent("frozen", lambda view: view.freeze),
    *_of_intent("held", lambda view: view.no_growth),
    ValueField[TenantView](
        "budget_tokens",
        "OPERATORS",
        lambda view, _: None if view.day_budget is None else view.day_budget.tokens,
    ),
    *_of_intent("budget", lambda view: view.day_budget),
)


def _of_pod(name: str, column: str) -> ValueField[PodRow]:
    def value(row: PodRow, frame: Frame) -> PlainValue:
        del frame
        found: PlainValue = None if row.pod is None else getattr(row.pod, name) or None
        return found

    return ValueField(name, column, value)


def _cold_start(row: PodRow, frame: Frame) -> float | None:
    return None if row.pod is None else cold_start_s(row.pod, frame.now)


def _busy(row: PodRow) -> int | None:
    state = None if row.pod is None else worker_state(row.pool, row.pod)
    return None if state is None else state.busy


def _lost(row: PodRow) -> int | None:
    state = None if row.pod is None else worker_state(row.pool, row.pod)
    return None if state is None else state.lost


POD_FIELDS: Final[Sequence[ValueField[PodRow]]] = (
    _of_pod("name", "POD"),
    ValueField("pool", "POOL", lambda row, _: row.pool.key),
    ValueField(
        "phase", "PHASE", lambda row, _: "unknown" if row.pod is None else str(row.pod.phase)
    ),
    ValueField("is_old", "PHASE", lambda row, _: row.is_old),
    _of_pod("since", "SINCE"),
    ValueField("busy_slots", "WORK", lambda row, _: _busy(row)),
    ValueField("lost_slots", "WORK", lambda row, _: _lost(row)),
    _of_pod("created_at", "AGE"),
    _of_pod("scheduled_at", "COLD"),
    _of_pod("started_at", "STEPS"),
    _of_pod("ready_at", "COLD"),
    ValueField("cold_start_s", "COLD", _cold_start),
    ValueField("restarts", "RST", lambda row, _: None if row.pod is None else row.pod.restarts),
    _of_pod("node", "NODE"),
    ValueField("why_it_waits", "WHY IT WAITS", lambda row, _: row.why or None),
)


def _room(
    name: str, field: str, column: str
) -> tuple[ValueField[NodeClassView], ValueField[NodeClassView]]:
    return _used_and_most(name, field, column, lambda view: view.used, lambda view: view.room)


CLASS_FIELDS: Final[Sequence[ValueField[NodeClassView]]] = (
    ValueField[NodeClassView]("class", "CLASS", lambda view, _: class_name(view)),
    ValueField[NodeClassView]("nodes", "NODES", lambda view, _: list(view.nodes)),
    ValueField[NodeClassView]("nodes_limit", "NODES", lambda view, _: view.most_nodes),
    ValueField[NodeClassView]("pods_used", "PODS", lambda view, _: view.pods),
    ValueField[NodeClassView]("pods_limit", "PODS", lambda view, _: view.room.replicas),
    *_room("cpu_milli", "cpu_milli", "CPU"),
    *_room("memory_bytes", "memory_bytes", "MEMORY"),
    ValueField[NodeClassView]("free_replicas", "FREE", lambda view, _: view.fits),
    ValueField[NodeClassView]("of_pool", "REPLICAS OF", lambda view, _: view.typical),
)


def _of_node(name: str, field: str, column: str) -> tuple[ValueField[NodeRow], ValueField[NodeRow]]:
    return _used_and_most(name, field, column, lambda row: row.used, lambda row: row.node.holds)


NODE_FIELDS: Final[Sequence[ValueField[NodeRow]]] = (
    ValueField[NodeRow]("node", "NODE", lambda row, _: row.key),
    ValueField[NodeRow]("class", "CLASS", lambda row, _: row.node.node_class or None),
    ValueField[NodeRow]("is_open", "STATE", lambda row, _: not row.node.closed),
    ValueField[NodeRow]("closed_because", "STATE", lambda row, _: row.node.closed or None),
    ValueField[NodeRow]("taints", "TAINTS", lambda row, _: list(row.node.taints)),
    *_of_node("pods", "replicas", "PODS"),
    *_of_node("cpu_milli", "cpu_milli", "CPU"),
    *_of_node("memory_bytes", "memory_bytes", "MEMORY"),
)
NODE_POD_FIELDS: Final[Sequence[ValueField[PodRow]]] = (
    *(field for field in POD_FIELDS if field.column not in {"COLD", "STEPS", "WHY IT WAITS"}),
    ValueField[PodRow]("cpu_milli", "CPU", lambda row, _: requests_of_replica(row.pool).cpu_milli),
    ValueField[PodRow](
        "memory_bytes", "MEMORY", lambda row, _: requests_of_replica(row.pool).memory_bytes
    ),
)
UNPLACED_FIELDS: Final[Sequence[ValueField[UnplacedPods]]] = (
    ValueField("pool", "POOL", lambda row, _: row.key),
    ValueField("pods", "PODS", lambda row, _: row.pods),
    ValueField("since", "FOR", lambda row, _: row.since),
    ValueField("stops_growth", "GROWTH", lambda row, _: row.stops_growth),
    ValueField("reason", "THE SCHEDULER SAYS", lambda row, _: row.reason),
)


def _drawn(
    name: str, limit: str, column: str, sums: Callable[[ModelDraw], float]
) -> tuple[ValueField[ModelView], ValueField[ModelView]]:
    """What is drawn of a limit, and what is usable of it."""
    return (
        ValueField[ModelView](name, column, lambda view, _: sum(sums(draw) for draw in view.draws)),
        ValueField[ModelView](
            f"{name}_limit",
            column,
            lambda view, _: next((each.usable for each in view.limits if each.name == limit), None),
        ),
    )


MODEL_FIELDS: Final[Sequence[ValueField[ModelView]]] = (
    ValueField[ModelView]("model", "MODEL", lambda view, _: view.key),
    *_drawn("requests_per_minute", "requests", "REQ/m", lambda draw: draw.requests_per_minute),
    *_drawn(
        "input_tokens_per_minute",
        "input tokens",
        "IN TOK/m",
        lambda draw: draw.input_tokens_per_minute,
    ),
    *_drawn(
        "output_tokens_per_minute",
        "output tokens",
        "OUT TOK/m",
        lambda draw: draw.output_tokens_per_minute,
    ),
    *_drawn("parallel_calls", "parallel calls", "PARALLEL", lambda draw: draw.parallel),
    ValueField[ModelView](
        "all_known", "REQ/m", lambda view, _: all(each.is_known for each in view.draws)
    ),
    ValueField[ModelView]("share", "SHARE", lambda view, _: model_share(view)),
    ValueField[ModelView]("refused_replicas", "REFUSED", lambda view, _: refused_replicas(view)),
    ValueField[ModelView]("calls_per_minute", "CALLS/m", lambda view, _: view.calls_per_minute),
    ValueField[ModelView](
        "refused_calls_per_minute", "429/m", lambda view, _: view.refused_calls_per_minute
    ),
    ValueField[ModelView]("pools", "POOLS", lambda view, _: len(view.draws)),
    ValueField[ModelView](
        "drawn_by", "DRAWN BY", lambda view, _: [str(draw.pool) for draw in view.draws]
    ),
)

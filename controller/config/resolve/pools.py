"""A pool of the fleet file as a value."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from controller.config.resolve.behavior import behavior
from controller.config.resolve.metrics import fallback, metrics, modifiers, signals
from controller.config.schema.behavior import BehaviorEntry
from controller.config.schema.pools import NativeEntry, PoolEntry, UsageEntry
from controller.model.fleet import NativeCosts, NativePreset, Pool, Rule, Tenant
from controller.model.ids import QueueName, pool_key
from controller.model.scarcity import Resources, TaskUsage, Warm
from controller.model.schedule import Schedule
from controller.model.worker_terms import SessionLimits

_MIB: Final = 2**20
PROFILES: Final[Mapping[str, Resources]] = MappingProxyType(
    {
        "lightweight": Resources(cpu_milli=250, memory_bytes=512 * _MIB),
        "standard": Resources(cpu_milli=500, memory_bytes=1024 * _MIB),
        "compute": Resources(cpu_milli=1000, memory_bytes=2048 * _MIB),
    }
)
"""What one replica requests, by profile."""


def pool(entry: PoolEntry, tenant: Tenant) -> Pool:
    """A pool's value; the tenant is the one that the entry names."""
    rule, target = Rule(entry.rule), entry.target or entry.slots
    entries = [entry.queue] if entry.queue is not None else entry.queues or []
    first, *lower = [QueueName(each.stream, each.consumer) for each in entries]
    return Pool(
        key=pool_key(entry.tenant, entry.name),
        name=entry.name,
        tenant=entry.tenant,
        namespace=tenant.namespace,
        deployment="" if entry.statefulset else entry.deployment or entry.name,
        statefulset=entry.statefulset or "",
        stream=first.stream,
        consumer=first.consumer,
        lower_queues=tuple(lower),
        behavior=behavior(entry.behavior or BehaviorEntry(), rule),
        rule=rule,
        slots=entry.slots,
        target=target,
        min=entry.replicas.min,
        max=entry.replicas.max,
        activation=entry.activation,
        cooldown_s=entry.cooldown,
        initial_cooldown_s=entry.initial_cooldown,
        idle=entry.replicas.idle,
        weight=entry.weight,
        minimum_runtime_s=entry.minimum_runtime,
        aim_s=entry.aim,
        schedules=tuple(
            Schedule(window=one.window, min=one.min, max=one.max) for one in entry.schedules
        ),
        warm=Warm(slo=entry.warm.slo, replicas=entry.warm.replicas) if entry.warm else None,
        requests=PROFILES[entry.profile] if entry.profile else None,
        nodes=tuple(entry.nodes or ()),
        model=entry.model,
        router=tuple(entry.router or ()),
        session=SessionLimits(
            tokens=entry.session.tokens,
            duration_s=entry.session.duration,
            tool_calls=entry.session.tool_calls,
        ),
        usage=_usage(entry.usage) if entry.usage else None,
        native=_native(entry.native),
        without_behavior=rule is Rule.HPA and entry.behavior is None,
        window_given=_gives_window(entry.behavior),
        signals=signals(entry.signals),
        metrics=metrics(entry.metrics, rule, target),
        modifiers=modifiers(entry.modifiers),
        fallback=fallback(entry.fallback),
    )


def _gives_window(entry: BehaviorEntry | None) -> bool:
    return entry is not None and entry.scale_down.stabilization_window_seconds is not None


def _native(entry: NativeEntry) -> NativePreset | NativeCosts:
    if entry.start_wait_cost is None or entry.keep_wait_cost is None:
        return NativePreset(entry.setting or NativePreset.PROMPT)
    return NativeCosts(
        start_wait_cost=float(entry.start_wait_cost),
        keep_wait_cost=float(entry.keep_wait_cost),
        hold_s=entry.hold or 0.0,
        late_share=None if entry.late_share is None else float(entry.late_share),
    )


def _usage(entry: UsageEntry) -> TaskUsage:
    return TaskUsage(
        input_tokens=entry.input_tokens,
        cached_input_tokens=entry.cached_input_tokens,
        output_tokens=entry.output_tokens,
        calls=entry.calls,
        seconds=entry.seconds,
    )

"""A checked fleet file becomes settings: every name resolved, every default filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from controller.config.schema import (
    BehaviorEntry,
    FleetFile,
    NatsEntry,
    PoolEntry,
    ScalingEntry,
    SecretEntry,
    TenantEntry,
)
from controller.model.fleet import (
    Behavior,
    Fleet,
    PolicyType,
    Pool,
    Rule,
    ScalingPolicy,
    ScalingRules,
    SelectPolicy,
    Tenant,
    Tier,
)
from controller.model.ids import pool_key
from controller.model.secret import SecretRef
from controller.model.settings import (
    ControllerSettings,
    KubernetesSettings,
    NatsCredentials,
    NatsSettings,
    NatsTls,
    Settings,
)

# autoscaling/v2: the windows of a direction that names none
UP_WINDOW_S: Final = 0
DOWN_WINDOW_S: Final = 300


def settings(file: FleetFile) -> Settings:
    """The settings of a file whose references have been checked."""
    tiers = {name: Tier(name=name, priority=tier.priority) for name, tier in file.tiers.items()}
    tenants = {
        name: _tenant(name, tenant, tiers[tenant.tier]) for name, tenant in file.tenants.items()
    }
    return Settings(
        nats=_nats(file.nats),
        kubernetes=KubernetesSettings(
            context=file.kubernetes.context, selector=file.kubernetes.selector
        ),
        controller=ControllerSettings(
            interval_s=file.controller.interval, read_only=file.controller.read_only
        ),
        fleet=Fleet(
            tiers=tuple(tiers.values()),
            tenants=tuple(tenants.values()),
            pools=tuple(_pool(pool, tenants) for pool in file.pools),
        ),
    )


def _nats(nats: NatsEntry) -> NatsSettings:
    login, tls = nats.credentials, nats.tls
    return NatsSettings(
        servers=tuple(nats.servers),
        credentials=NatsCredentials(
            creds=SecretRef(file=login.file) if login.file else None,
            user=login.user,
            password=_secret(login.password),
            token=_secret(login.token),
            nkey=_secret(login.nkey),
        ),
        tls=NatsTls(ca=tls.ca, cert=tls.cert, key=tls.key) if tls else None,
    )


def _secret(entry: SecretEntry | None) -> SecretRef | None:
    return SecretRef(file=entry.file, env=entry.env) if entry else None


def _tenant(name: str, entry: TenantEntry, tier: Tier) -> Tenant:
    return Tenant(name=name, tier=tier, namespace=entry.namespace or name, timezone=entry.timezone)


def _pool(entry: PoolEntry, tenants: Mapping[str, Tenant]) -> Pool:
    return Pool(
        key=pool_key(entry.tenant, entry.name),
        name=entry.name,
        tenant=entry.tenant,
        namespace=tenants[entry.tenant].namespace,
        deployment=entry.deployment or entry.name,
        stream=entry.queue.stream,
        consumer=entry.queue.consumer,
        behavior=_behavior(entry.behavior),
        rule=Rule(entry.rule),
        slots=entry.slots,
        target=entry.target or entry.slots,
        min=entry.replicas.min,
        max=entry.replicas.max,
        activation=entry.activation,
        cooldown_s=entry.cooldown,
        initial_cooldown_s=entry.initial_cooldown,
    )


def _behavior(entry: BehaviorEntry) -> Behavior:
    """Rule native: a direction without policies has no rate limit, where the HPA would put its own
    default policies (up: 4 pods or 100 % in 15 s).
    """
    return Behavior(
        scale_up=_rules(entry.scale_up, UP_WINDOW_S),
        scale_down=_rules(entry.scale_down, DOWN_WINDOW_S),
    )


def _rules(entry: ScalingEntry, default_window_s: int) -> ScalingRules:
    window_s = entry.stabilization_window_seconds
    return ScalingRules(
        stabilization_window_s=default_window_s if window_s is None else window_s,
        select_policy=SelectPolicy(entry.select_policy),
        policies=tuple(
            ScalingPolicy(
                type=PolicyType(policy.type), value=policy.value, period_s=policy.period_seconds
            )
            for policy in entry.policies or ()
        ),
    )

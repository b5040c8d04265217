"""The reference fleet file, which has every section, loads as exactly these values."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec

from controller.config import load
from controller.model.fleet import (
    Behavior,
    CronWindow,
    ExternalSeries,
    Fleet,
    NativePreset,
    PolicyType,
    Pool,
    PrometheusQuery,
    Rule,
    ScalingPolicy,
    ScalingRules,
    Schedule,
    Signal,
    Tenant,
    Tier,
    WeeklyWindow,
)
from controller.model.ids import pool_key
from controller.model.metrics import (
    AverageValueTarget,
    ExternalMetric,
    Fallback,
    FallbackBehavior,
    Modifiers,
    ResourceMetric,
    UtilizationTarget,
    ValueTarget,
)
from controller.model.scarcity import (
    Budget,
    Capacity,
    LlmModel,
    ModelTier,
    NodeClass,
    Pacing,
    Price,
    RateLimits,
    Resources,
    TaskUsage,
    TokenCount,
    Warm,
)
from controller.model.settings import PrometheusSettings

REFERENCE = Path(__file__).with_name("reference.yaml")
GIB = 2**30
ENTERPRISE = Tier(name="enterprise", priority=1000)
GROWTH = Tier(name="growth", priority=500)
ACME = Tenant(
    name="acme",
    tier=ENTERPRISE,
    namespace="tenant-acme",
    timezone="America/New_York",
    weight=Decimal(1),
    quota=Resources(replicas=20, cpu_milli=16_000, memory_bytes=64 * GIB),
    budget=Budget(
        tokens_per_day=5_000_000,
        count=TokenCount(input=Decimal(1), output=Decimal(1), cached_input=Decimal("0.1")),
        warn=Decimal("0.8"),
        hard=True,
        pacing=Pacing.ON_WARNING,
        usd_per_hour=Decimal(50),
        usd_alert=Decimal(40),
        usd_per_workflow=Decimal(1),
    ),
)
GPT_LARGE = LlmModel(
    name="gpt-large",
    tier=ModelTier.PREMIUM,
    limits=RateLimits(
        requests_per_minute=600,
        input_tokens_per_minute=400_000,
        output_tokens_per_minute=80_000,
        parallel=40,
        burst=60,
        headroom=Decimal("0.1"),
    ),
    shared=True,
    price=Price(input=Decimal("2.5"), output=Decimal(10), cached_input=Decimal("0.25")),
)
CAPACITY = Capacity(
    resources=Resources(replicas=100, cpu_milli=96_000, memory_bytes=400 * GIB),
    usd_per_hour=Decimal(300),
    node_classes=(
        NodeClass(
            name="spot", selector="cloud.google.com/gke-spot=true", min_nodes=1, max_nodes=25
        ),
        NodeClass(name="on-demand", selector="", min_nodes=1, max_nodes=10),
    ),
)
RESEARCH = Pool(
    key=pool_key("acme", "research"),
    name="research",
    tenant="acme",
    namespace="tenant-acme",
    deployment="research",
    stream="TASKS",
    consumer="acme-research",
    behavior=Behavior(
        scale_up=ScalingRules(
            stabilization_window_s=30,
            policies=(ScalingPolicy(type=PolicyType.PODS, value=10, period_s=60),),
        ),
        scale_down=ScalingRules(
            stabilization_window_s=300,
            policies=(ScalingPolicy(type=PolicyType.PODS, value=5, period_s=120),),
        ),
    ),
    rule=Rule.NATIVE,
    slots=1,
    target=1,
    min=0,
    max=20,
    idle=None,
    cooldown_s=900.0,
    aim_s=20.0,
    nodes=("spot", "on-demand"),
    native=NativePreset.PROMPT,
    warm=Warm(slo=Decimal("0.99")),
    requests=Resources(cpu_milli=500, memory_bytes=GIB),
    model="gpt-large",
    usage=TaskUsage(
        input_tokens=30_000,
        cached_input_tokens=8_000,
        output_tokens=2_000,
        calls=12,
        seconds=Decimal(90),
    ),
    schedules=(
        Schedule(
            window=WeeklyWindow(days=(0, 1, 2, 3, 4), from_minute=480, until_minute=1080), min=2
        ),
        Schedule(window=CronWindow(cron="0 18 * * 5", for_s=223_200.0), max=3),
    ),
)
DOUBLE = ScalingPolicy(type=PolicyType.PERCENT, value=100, period_s=15)
BROWSER = Pool(
    key=pool_key("globex", "browser"),
    name="browser",
    tenant="globex",
    namespace="globex",
    deployment="browser",
    stream="TASKS",
    consumer="globex-browser",
    behavior=Behavior(
        scale_up=ScalingRules(
            stabilization_window_s=0,
            policies=(ScalingPolicy(type=PolicyType.PODS, value=4, period_s=15), DOUBLE),
        ),
        scale_down=ScalingRules(stabilization_window_s=300, policies=(DOUBLE,)),
    ),
    without_behavior=True,
    window_given=False,
    rule=Rule.HPA,
    min=1,
    max=10,
    signals=(
        Signal(name="backlog", source=PrometheusQuery(query="sum(agent_backlog)")),
        Signal(
            name="cases", source=ExternalSeries(name="firestore_active", selector="team=globex")
        ),
    ),
    metrics=(
        ExternalMetric(name="queue", target=AverageValueTarget(milli=5_000)),
        ExternalMetric(name="backlog", target=ValueTarget(milli=30_000)),
        ResourceMetric(resource="memory", target=UtilizationTarget(percent=75)),
    ),
    modifiers=Modifiers(formula="(queue + backlog) / 2", target_milli=5_000, activation_milli=0),
    fallback=Fallback(failure_threshold=3, replicas=4, behavior=FallbackBehavior.STATIC),
)
FLEET = Fleet(
    tiers=(ENTERPRISE, GROWTH, Tier(name="starter", priority=100)),
    tenants=(ACME, Tenant(name="globex", tier=GROWTH, namespace="globex")),
    pools=(RESEARCH, BROWSER),
    models=(GPT_LARGE,),
    capacity=CAPACITY,
)


def test_the_whole_shape_loads_as_these_values() -> None:
    settings = load(REFERENCE)
    assert settings.fleet == FLEET
    assert settings.prometheus == PrometheusSettings(url="http://prometheus:9090")


def test_keys_of_the_reference_without_effect_give_notices() -> None:
    assert [notice.path for notice in load(REFERENCE).notices] == [
        "pools[1].signals.cases",
    ]


def test_a_fleet_survives_json() -> None:
    assert msgspec.json.decode(msgspec.json.encode(FLEET), type=Fleet) == FLEET

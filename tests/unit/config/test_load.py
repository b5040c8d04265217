"""The settings of a fleet file: its values, and the defaults of keys that are left out."""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controller.config import FleetFileError, load, parse
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
from controller.model.settings import (
    ControllerSettings,
    KubernetesSettings,
    NatsCredentials,
    NatsSettings,
    NatsTls,
    SecretRef,
    Settings,
)

Dump = Callable[[object], str]
GROWTH = Tier(name="growth", priority=500)


def only_pool(document: object, dump: Dump) -> Pool:
    (pool,) = parse(dump(document), "fleet.yaml").fleet.pools
    return pool


def test_a_key_that_is_left_out_has_its_default(fleet: dict[str, Any], dump: Dump) -> None:
    assert parse(dump(fleet), "fleet.yaml") == Settings(
        nats=NatsSettings(servers=("nats://127.0.0.1:4222",)),
        kubernetes=KubernetesSettings(),
        controller=ControllerSettings(interval_s=1.0, read_only=False),
        fleet=Fleet(
            tiers=(
                Tier(name="enterprise", priority=1000),
                GROWTH,
                Tier(name="starter", priority=100),
            ),
            tenants=(Tenant(name="acme", tier=GROWTH, namespace="acme", timezone="UTC"),),
            pools=(
                Pool(
                    key=pool_key("acme", "research"),
                    name="research",
                    tenant="acme",
                    namespace="acme",
                    deployment="research",
                    stream="TASKS",
                    consumer="acme-research",
                    behavior=Behavior(
                        scale_up=ScalingRules(stabilization_window_s=0),
                        scale_down=ScalingRules(stabilization_window_s=300),
                    ),
                    rule=Rule.NATIVE,
                    slots=1,
                    target=1,
                    min=0,
                    max=20,
                    activation=0,
                    cooldown_s=900.0,
                    initial_cooldown_s=0.0,
                    window_given=False,
                ),
            ),
        ),
    )


def test_every_written_value_is_kept() -> None:
    settings = parse(
        """
version: 1
nats:
  servers: [wss://a.example:443/nats, "ws://[::1]:80"]
  credentials: {user: agentdash, password: {env: NATS_PASSWORD}}
  tls: {ca: ca.pem, cert: cert.pem, key: key.pem}
kubernetes: {context: arn:aws:eks:eu-1:7:cluster/x, selector: "app=a,!b,c in (d, e)"}
controller: {interval: 500ms, read_only: true}
tiers: {gold: {priority: 7}}
tenants: {acme: {tier: gold, namespace: tenant-acme, timezone: UTC}}
pools:
  - name: research
    tenant: acme
    deployment: research.v2
    queue: {stream: TASKS, consumer: c}
    slots: 4
    replicas: {min: 2, max: 3}
    rule: native
    target: 2
    activation: 5
    cooldown: 1h30m
    initial_cooldown: 90
""",
        "fleet.yaml",
    )
    assert settings.nats.servers == ("wss://a.example:443/nats", "ws://[::1]:80")
    assert settings.nats.credentials == NatsCredentials(
        user="agentdash", password=SecretRef(env="NATS_PASSWORD")
    )
    assert settings.nats.tls == NatsTls(ca="ca.pem", cert="cert.pem", key="key.pem")
    assert settings.kubernetes == KubernetesSettings(
        context="arn:aws:eks:eu-1:7:cluster/x", selector="app=a,!b,c in (d, e)"
    )
    assert settings.controller == ControllerSettings(interval_s=0.5, read_only=True)
    assert settings.fleet.tiers == (Tier(name="gold", priority=7),)
    (pool,) = settings.fleet.pools
    assert (pool.namespace, pool.deployment) == ("tenant-acme", "research.v2")
    assert (pool.slots, pool.target, pool.activation) == (4, 2, 5)
    assert (pool.min, pool.max) == (2, 3)
    assert (pool.cooldown_s, pool.initial_cooldown_s) == (5400.0, 90.0)


@pytest.mark.parametrize(
    ("written", "credentials"),
    [
        ({"file": "nats.creds"}, NatsCredentials(creds=SecretRef(file="nats.creds"))),
        ({"token": {"file": "token"}}, NatsCredentials(token=SecretRef(file="token"))),
        ({"nkey": {"env": "SEED"}}, NatsCredentials(nkey=SecretRef(env="SEED"))),
        (None, NatsCredentials()),
    ],
)
def test_each_way_to_log_in(
    fleet: dict[str, Any], dump: Dump, written: object, credentials: NatsCredentials
) -> None:
    fleet["nats"]["credentials"] = written
    assert parse(dump(fleet), "fleet.yaml").nats.credentials == credentials


def test_target_follows_slots(fleet: dict[str, Any], dump: Dump) -> None:
    fleet["pools"][0]["slots"] = 8
    assert only_pool(fleet, dump).target == 8


def test_a_direction_keeps_its_own_policies_and_the_other_stays_without(
    fleet: dict[str, Any], dump: Dump
) -> None:
    policies = [
        {"type": "Pods", "value": 10, "periodSeconds": 60},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ]
    fleet["pools"][0]["behavior"] = {
        "scaleUp": {
            "stabilizationWindowSeconds": 30,
            "selectPolicy": "Min",
            "policies": policies,
        }
    }
    assert only_pool(fleet, dump).behavior == Behavior(
        scale_up=ScalingRules(
            stabilization_window_s=30,
            select_policy=SelectPolicy.MIN,
            policies=(
                ScalingPolicy(type=PolicyType.PODS, value=10, period_s=60),
                ScalingPolicy(type=PolicyType.PERCENT, value=100, period_s=15),
            ),
        ),
        scale_down=ScalingRules(stabilization_window_s=300),
    )


def test_a_written_window_of_zero_is_not_the_default(fleet: dict[str, Any], dump: Dump) -> None:
    fleet["pools"][0]["behavior"] = {
        "scaleDown": {"stabilizationWindowSeconds": 0, "selectPolicy": "Disabled"}
    }
    down = only_pool(fleet, dump).behavior.scale_down
    assert down == ScalingRules(stabilization_window_s=0, select_policy=SelectPolicy.DISABLED)


def test_null_means_not_set(fleet: dict[str, Any], dump: Dump) -> None:
    plain = parse(dump(fleet), "fleet.yaml")
    fleet |= {"controller": None, "tiers": None, "prometheus": None, "capacity": None}
    fleet["pools"][0] |= {"cooldown": None, "behavior": {"scaleUp": None}, "signals": None}
    fleet["pools"][0] |= {"warm": None, "nodes": None, "metrics": None, "modifiers": None}
    fleet["pools"][0]["replicas"]["idle"] = None
    assert parse(dump(fleet), "fleet.yaml") == plain


def test_idle_may_be_less_than_min(fleet: dict[str, Any], dump: Dump) -> None:
    fleet["pools"][0]["replicas"] = {"min": 2, "max": 10, "idle": 1}
    (pool,) = parse(dump(fleet), "fleet.yaml").fleet.pools
    assert (pool.min, pool.max, pool.idle) == (2, 10, 1)


def test_anchors_and_merge_keys_spare_repetition() -> None:
    settings = parse(
        """
version: 1
nats: {servers: [nats://localhost]}
tenants: {acme: {tier: growth}}
pools:
  - &usual
    name: a
    tenant: acme
    queue: {stream: TASKS, consumer: a}
    replicas: {max: 3}
  - {<<: *usual, name: b, queue: {stream: TASKS, consumer: b}}
""",
        "fleet.yaml",
    )
    assert [(pool.key, pool.max) for pool in settings.fleet.pools] == [("acme/a", 3), ("acme/b", 3)]


def test_a_thousand_pools_keep_the_files_order(fleet: dict[str, Any], dump: Dump) -> None:
    (pool,) = fleet["pools"]
    fleet["pools"] = [
        pool | {"name": f"p{number}", "queue": {"stream": "TASKS", "consumer": f"c{number}"}}
        for number in range(1000)
    ]
    pools = parse(dump(fleet), "fleet.yaml").fleet.pools
    assert [pool.name for pool in pools] == [f"p{number}" for number in range(1000)]


def test_a_file_is_read_anew_at_each_load(
    fleet: dict[str, Any], dump: Dump, tmp_path: Path
) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text("\ufeff" + dump(fleet), encoding="utf-8")
    assert load(path).controller.interval_s == 1.0
    path.write_text(dump(fleet | {"controller": {"interval": 5}}), encoding="utf-8")
    assert load(path).controller.interval_s == 5.0


def test_the_shipped_example_loads_with_a_tenant_in_each_tier(tmp_path: Path) -> None:
    example = importlib.resources.files("agentdash").joinpath("fleet.example.yaml")
    fleet = parse(example.read_text(encoding="utf-8"), "fleet.example.yaml").fleet
    assert [tenant.tier for tenant in fleet.tenants] == list(fleet.tiers)
    assert len(fleet.tiers) == 3
    assert len(fleet.pools) == 6


def test_a_file_that_cannot_be_read_is_reported_with_the_reason(tmp_path: Path) -> None:
    missing = tmp_path / "no.yaml"
    with pytest.raises(FleetFileError) as caught:
        load(missing)
    assert str(caught.value) == f"{missing}:1:1: cannot be read: No such file or directory"
    with pytest.raises(FleetFileError, match=":1:1: cannot be read: Is a directory"):
        load(tmp_path)
    with pytest.raises(FleetFileError, match="cannot be read: embedded null"):
        load(Path("a\0b"))


def test_bytes_that_are_not_utf8_are_reported_with_their_position(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_bytes("version: 1\n# ü: ".encode() + b"\xfc\n")
    with pytest.raises(FleetFileError, match=r"fleet\.yaml:2:6: is not UTF-8 here"):
        load(path)


def test_too_large_a_file_is_refused_before_it_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_bytes(b"# " + "ü".encode() * 2**23)
    with pytest.raises(FleetFileError, match=r"fleet\.yaml:1:1: is larger than 16 MiB"):
        load(path)
    with pytest.raises(FleetFileError, match="larger than 16 MiB"):
        parse("#" * (2**24 + 1), "fleet.yaml")

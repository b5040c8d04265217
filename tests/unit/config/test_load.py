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
    Pool,
    Rule,
    ScalingRules,
    SelectPolicy,
    Tenant,
    Tier,
)
from controller.model.ids import QueueName, pool_key
from controller.model.settings import (
    ControllerSettings,
    KubernetesSettings,
    NatsCredentials,
    NatsSettings,
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


@pytest.mark.parametrize(
    ("written", "credentials"),
    [
        (
            {"user": "agentdash", "password": {"env": "NATS_PASSWORD"}},
            NatsCredentials(user="agentdash", password=SecretRef(env="NATS_PASSWORD")),
        ),
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


def test_a_written_window_of_zero_is_not_the_default(fleet: dict[str, Any], dump: Dump) -> None:
    fleet["pools"][0]["behavior"] = {
        "scaleDown": {"stabilizationWindowSeconds": 0, "selectPolicy": "Disabled"}
    }
    down = only_pool(fleet, dump).behavior.scale_down
    assert down == ScalingRules(stabilization_window_s=0, select_policy=SelectPolicy.DISABLED)


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


def test_the_queues_of_a_pool_stand_in_the_order_of_their_priority(
    fleet: dict[str, Any], dump: Dump
) -> None:
    del fleet["pools"][0]["queue"]
    fleet["pools"][0]["queues"] = [{"stream": "S", "consumer": name} for name in ("high", "low")]
    pool = only_pool(fleet, dump)
    assert pool.queues == (QueueName("S", "high"), QueueName("S", "low"))
    assert (pool.stream, pool.consumer) == ("S", "high")

"""The election's settings: defaults, what the bucket's name makes of it, and ratios that fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from controller.config import load
from controller.model.settings import LeaseSettings, LeaseStore, LeaseTimes

FILE = """\
version: 1
nats: {{servers: [nats://localhost]{bucket}}}
tenants: {{acme: {{tier: growth}}}}
controller: {{{controller}}}
"""


def text(controller: str = "", bucket: str = "") -> str:
    return FILE.format(controller=controller, bucket=bucket)


@pytest.fixture
def settings(tmp_path: Path) -> Callable[[str], LeaseSettings]:
    def read(written: str) -> LeaseSettings:
        path = tmp_path / "fleet.yaml"
        path.write_text(written, "utf-8")
        return load(path).controller.lease

    return read


def test_without_a_word_it_is_one_lease_of_the_cluster(
    settings: Callable[[str], LeaseSettings],
) -> None:
    found = settings(text())
    assert found == LeaseSettings()
    assert (found.store, found.namespace, found.name) == (
        LeaseStore.KUBERNETES,
        "default",
        "agentdash",
    )


@pytest.mark.parametrize(
    ("bucket", "name"), [("eu_Fleet-2", "eu-fleet-2"), ("_fleet_", "fleet"), ("__", "agentdash")]
)
def test_two_fleets_with_a_bucket_each_have_a_lease_each(
    settings: Callable[[str], LeaseSettings], bucket: str, name: str
) -> None:
    assert settings(text(bucket=f", bucket: {bucket}")).name == name


def test_all_of_it_can_be_set(settings: Callable[[str], LeaseSettings]) -> None:
    lease = "store: nats, name: one, namespace: two, duration: 1m, renew_deadline: 40s, retry: 5s"
    assert settings(text(f"lease: {{{lease}}}")) == LeaseSettings(
        store=LeaseStore.NATS,
        name="one",
        namespace="two",
        times=LeaseTimes(duration_s=60.0, renew_deadline_s=40.0, retry_s=5.0),
    )

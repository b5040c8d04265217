"""The election's settings: defaults, what the bucket's name makes of it, and ratios that fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from controller.config import load
from controller.model.lease import LeaseStore, LeaseTimes
from controller.model.settings import LeaseSettings

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


@pytest.mark.parametrize(
    ("lease", "complaint"),
    [
        ("duration: 8s", "duration (8s) must be at least 1s more than renew_deadline (10s)"),
        ("renew_deadline: 15s", "duration (15s) must be at least 1s more"),
        ("retry: 9s", "retry (9s) is too long for renew_deadline (10s): it must be below 4.17s"),
        ("duration: 10m", '"10m" must be between 1s and 5m'),
        ("store: etcd", "controller.lease.store: must be"),
        ("namespace: A_B", "controller.lease.namespace"),
        ("nam: x", "did you mean"),
    ],
)
def test_what_cannot_work_is_refused_with_its_line(
    complaints: Callable[[str], list[str]], lease: str, complaint: str
) -> None:
    said = complaints(text(f"lease: {{{lease}}}"))
    assert any(complaint in line and "fleet.yaml:4:" in line for line in said), said

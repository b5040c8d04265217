"""The election's settings: defaults, what the bucket's name makes of it, and ratios that fit."""

from __future__ import annotations

from controller.config import parse
from controller.model.settings import LeaseSettings, LeaseStore, LeaseTimes
from support.table import tabled


def lease(controller: str = "", bucket: str = "agentdash") -> LeaseSettings:
    nats = f"{{servers: [nats://localhost], bucket: {bucket}}}"
    text = f"version: 1\nnats: {nats}\ncontroller: {{{controller}}}\n"
    return parse(text, "fleet.yaml").controller.lease


def test_without_a_word_it_is_one_lease_of_the_cluster() -> None:
    found = lease()
    assert found == LeaseSettings()
    place = (found.store, found.namespace, found.name)
    assert place == (LeaseStore.KUBERNETES, "default", "agentdash")


@tabled(
    ("bucket", "name"), [("eu_Fleet-2", "eu-fleet-2"), ("_fleet_", "fleet"), ("__", "agentdash")]
)
def test_two_fleets_with_a_bucket_each_have_a_lease_each(bucket: str, name: str) -> None:
    assert lease(bucket=bucket).name == name


def test_all_of_it_can_be_set() -> None:
    keys = "store: nats, name: one, namespace: two, duration: 1m, renew_deadline: 40s, retry: 5s"
    assert lease(f"lease: {{{keys}}}") == LeaseSettings(
        store=LeaseStore.NATS,
        name="one",
        namespace="two",
        times=LeaseTimes(duration_s=60.0, renew_deadline_s=40.0, retry_s=5.0),
    )

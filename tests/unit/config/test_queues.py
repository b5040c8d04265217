"""Pools with several queues in the fleet file."""

from __future__ import annotations

import pytest

from controller.config import parse
from controller.model.ids import QueueName
from tests.unit.config.conftest import Complain

HEAD = """\
version: 1
nats: {servers: [nats://h]}
tenants: {acme: {tier: growth}}
pools:
"""
HIGH, LOW = "{stream: S, consumer: high}", "{stream: S, consumer: low}"


def pools(*keys: str) -> str:
    return HEAD + "".join(
        f"  - {{name: p{number}, tenant: acme, replicas: {{max: 3}}, {each}}}\n"
        for number, each in enumerate(keys)
    )


def test_the_queues_of_a_pool_stand_in_the_order_of_their_priority() -> None:
    settings = parse(pools(f"queues: [{HIGH}, {LOW}]", "queue: {stream: S, consumer: c}"), "f.yaml")
    first, second = settings.fleet.pools
    assert first.queues == (QueueName("S", "high"), QueueName("S", "low"))
    assert (first.stream, first.consumer) == ("S", "high")
    assert second.queues == (QueueName("S", "c"),)


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        (["slots: 1"], "5:5: pools[0]: give exactly one of queue and queues"),
        (
            [f"queue: {HIGH}, queues: [{LOW}]"],
            "5:5: pools[0]: give exactly one of queue and queues",
        ),
        (["queues: []"], "5:58: pools[0].queues: must not be empty: name at least one"),
        (
            [f"queues: [{HIGH}, {HIGH}]"],
            'pools[0].queues[1].consumer: another pool is fed by the consumer "S/high" already',
        ),
        (
            [f"queues: [{HIGH}, {LOW}]", f"queue: {LOW}"],
            'pools[1].queue.consumer: another pool is fed by the consumer "S/low" already (line 5)',
        ),
        (
            [f"queue: {LOW}", f"queues: [{HIGH}, {LOW}]"],
            'pools[1].queues[1].consumer: another pool is fed by the consumer "S/low" already',
        ),
        ([f"queues: [{HIGH}, S/low]"], 'pools[0].queues[1]: must be a mapping, not "S/low"'),
        ([f"queues: {HIGH}"], "pools[0].queues: must be a list, not a mapping"),
    ],
)
def test_mistakes_in_queues_are_named(
    complaints: Complain, keys: list[str], complaint: str
) -> None:
    lines = complaints(pools(*keys))
    assert [line for line in lines if complaint in line], lines

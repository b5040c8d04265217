"""Pools with several queues in the fleet file."""

from __future__ import annotations

from controller.config import parse
from controller.model.ids import QueueName

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

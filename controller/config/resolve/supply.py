"""Models and capacity of the fleet file as values."""

from __future__ import annotations

from controller.config.prices import table_price
from controller.config.schema.supply import (
    CapacityEntry,
    ModelEntry,
    NodeClassEntry,
    PriceEntry,
    RateLimitsEntry,
)
from controller.model.scarcity import (
    Capacity,
    LlmModel,
    ModelTier,
    NodeClass,
    Price,
    RateLimits,
    Resources,
)


def model(name: str, entry: ModelEntry) -> LlmModel:
    """A model's value. Without a price in the file it has the maintained table's."""
    return LlmModel(
        name=name,
        tier=ModelTier(entry.tier),
        context_tokens=entry.context,
        limits=_limits(entry.limits) if entry.limits else None,
        shared=entry.shared,
        price=_price(entry.price) if entry.price else table_price(name),
    )


def capacity(entry: CapacityEntry) -> Capacity:
    """What the whole fleet may use."""
    return Capacity(
        resources=Resources(
            replicas=entry.replicas, cpu_milli=entry.cpu, memory_bytes=entry.memory
        ),
        usd_per_hour=entry.usd_per_hour,
        node_classes=tuple(_node_class(name, one) for name, one in entry.node_classes.items()),
    )


def _node_class(name: str, entry: NodeClassEntry) -> NodeClass:
    return NodeClass(
        name=name,
        selector=entry.selector or "",
        min_nodes=entry.nodes.min,
        max_nodes=entry.nodes.max,
    )


def _limits(entry: RateLimitsEntry) -> RateLimits:
    return RateLimits(
        requests_per_minute=entry.requests_per_minute,
        tokens_per_minute=entry.tokens_per_minute,
        input_tokens_per_minute=entry.input_tokens_per_minute,
        output_tokens_per_minute=entry.output_tokens_per_minute,
        parallel=entry.parallel,
        burst=entry.burst,
        headroom=entry.headroom,
    )


def _price(entry: PriceEntry) -> Price:
    return Price(input=entry.input, output=entry.output, cached_input=entry.cached_input)

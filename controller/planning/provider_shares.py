"""What the fleet file says to the workers of each pool, and each worker's part of the limits.

A limit is divided by water-filling: a worker gets what it needs, and workers that need more than an
equal part of what is left share that part equally. What a worker needs is its recent use with some
room to grow; of a limit that its calls wait for it needs all. What nobody needs goes to all alike,
so that a call after a pause does not wait. Sums never exceed the limit: amounts per minute are
whole thousandths, parallel calls are whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from math import floor, inf
from types import MappingProxyType
from typing import Any, Final

from controller.model.fleet import Fleet
from controller.model.ids import PoolKey
from controller.model.scarcity import LlmModel, RateLimits
from controller.model.value import MILLI
from controller.model.worker_messages import (
    ModelDemand,
    ModelShare,
    ModelTerms,
    RateShare,
    WorkerState,
    WorkerTerms,
)
from controller.planning.share.rows import rate_key


def model_terms(fleet: Fleet) -> dict[str, ModelTerms]:
    """The terms of every model: its tier, the size of its context, its prices."""
    return {
        model.name: ModelTerms(
            name=model.name,
            tier=model.tier,
            context_tokens=model.context_tokens,
            input_price=None if model.price is None else model.price.input,
            cached_input_price=None if model.price is None else model.price.cached_input,
            output_price=None if model.price is None else model.price.output,
        )
        for model in fleet.models
    }


def pool_terms(fleet: Fleet) -> dict[PoolKey, WorkerTerms]:
    """The terms of every pool: the limits of a session, its models and their prices, and the most
    that a workflow of its tenant may cost.
    """
    models = model_terms(fleet)
    tenants = {tenant.name: tenant for tenant in fleet.tenants}
    return {
        pool.key: WorkerTerms(
            session=pool.session,
            model=pool.model or "",
            models=tuple(models[name] for name in pool.usable_models() if name in models),
            usd_per_workflow=tenants[pool.tenant].budget.usd_per_workflow,
        )
        for pool in fleet.pools
    }


GROWTH: Final = 1.25
"""A worker that waits for nothing needs this multiple of its recent use."""
IDLE_PART: Final = 0.01
"""The least need of a worker, as a part of an equal share. What idle workers are given is lost to
the others; an idle worker's first call takes what its bucket holds, and its next ones wait for the
share that follows.
"""

PARALLEL: Final = "parallel"
_PER_MINUTE: Final = (
    "requests_per_minute",
    "tokens_per_minute",
    "input_tokens_per_minute",
    "output_tokens_per_minute",
)


def provider_shares(
    fleet: Fleet,
    workers: Mapping[PoolKey, Iterable[WorkerState]],
    turn: int = 0,
    coming: Mapping[PoolKey, int] = MappingProxyType({}),
) -> dict[PoolKey, tuple[ModelShare, ...]]:
    """For each pool the shares of its workers in the models that it may use and that have limits.

    `workers` are those that run. Where a limit on parallel calls is smaller than the number of
    workers, `turn` decides which of them get one: count it up every few seconds.
    `coming` is how many workers of each pool are starting.
    """
    shares: dict[PoolKey, list[ModelShare]] = {pool.key: [] for pool in fleet.pools}
    for model, pools in _pools_by_key(fleet):
        if model.limits is None:
            continue
        demands = {
            (pool, state.worker): next(
                (each for each in state.demand if each.model == model.name),
                ModelDemand(model=model.name),
            )
            for pool in pools
            for state in workers.get(pool, ())
        }
        parts = _divided(model.limits, list(demands.values()), turn)
        sharing = len(demands) + max(1, sum(coming.get(pool, 0) for pool in pools))
        newcomer = _equal_part(model.limits, sharing)
        # stored for pools without workers, too: it must not change with each worker of another one
        first = _equal_part(model.limits, 1 << (sharing - 1).bit_length())
        of_pool: dict[PoolKey, dict[str, RateShare]] = defaultdict(dict)
        for (pool, worker), part in zip(demands, parts, strict=True):
            of_pool[pool][worker] = part
        for pool in pools:
            shares[pool].append(
                ModelShare(
                    model=model.name,
                    newcomer=newcomer if workers.get(pool) else first,
                    workers=of_pool[pool],
                )
            )
    return {pool: tuple(each) for pool, each in shares.items()}


def _pools_by_key(fleet: Fleet) -> list[tuple[LlmModel, list[PoolKey]]]:
    """Each model with the pools that draw on the same limits of it."""
    models = {model.name: model for model in fleet.models}
    pools: dict[str, tuple[LlmModel, list[PoolKey]]] = {}
    for pool in fleet.pools:
        for name in pool.usable_models():
            model = models.get(name)
            if model is not None:
                pools.setdefault(rate_key(model, pool.tenant), (model, []))[1].append(pool.key)
    return list(pools.values())


def _divided(limits: RateLimits, demands: Sequence[ModelDemand], turn: int) -> list[RateShare]:
    """Each worker's part of each limit, in the order of the demands."""
    shares: list[dict[str, Any]] = [{"burst": _burst(limits, len(demands))} for _ in demands]
    for name, usable in _usable_milli(limits).items():
        needs = _needs(name, usable, demands, MILLI)
        for share, part in zip(shares, _filled(usable, needs, turn), strict=True):
            share[name] = part / MILLI
    if limits.parallel is not None:
        needs = [max(1.0, need) for need in _needs(PARALLEL, limits.parallel, demands, 1)]
        for share, part in zip(shares, _filled(limits.parallel, needs, turn), strict=True):
            share[PARALLEL] = part
    return [RateShare(**share) for share in shares]


def _needs(name: str, usable: int, demands: Sequence[ModelDemand], unit: int) -> list[float]:
    least = IDLE_PART * usable / max(len(demands), 1)
    return [
        inf if name in each.short_of else max(least, GROWTH * getattr(each, name) * unit)
        for each in demands
    ]


def _filled(usable: int, needs: Sequence[float], turn: int) -> list[int]:
    """Whole amounts: what each needs, but no more than an equal part of what the others leave; then
    what is left over, in equal parts.
    """
    count = len(needs)
    order = sorted(range(count), key=lambda index: (needs[index], (index - turn) % count))
    parts = [0] * count
    left = usable
    for served, index in enumerate(order):
        equal = left // (count - served)
        parts[index] = equal if needs[index] >= equal else floor(needs[index])
        left -= parts[index]
    for served, index in enumerate(order):
        extra = left // (count - served)
        parts[index] += extra
        left -= extra
    return parts


def _usable_milli(limits: RateLimits) -> dict[str, int]:
    """What may be used of each limit per minute, in thousandths."""
    part = 1 - Fraction(limits.headroom)
    found = ((name, getattr(limits, name)) for name in _PER_MINUTE)
    return {name: floor(limit * part * MILLI) for name, limit in found if limit is not None}


def _equal_part(limits: RateLimits, count: int) -> RateShare:
    """One of `count` equal parts of each limit."""
    parts = {name: usable // count / MILLI for name, usable in _usable_milli(limits).items()}
    parallel = None if limits.parallel is None else max(1, limits.parallel // count)
    return RateShare(**parts, parallel=parallel, burst=_burst(limits, count))


def _burst(limits: RateLimits, count: int) -> int:
    """A worker's part of the burst, at least one request. Without a burst in the fleet file the
    requests are spread evenly: some providers enforce a limit per minute within each second.
    """
    return max(1, (limits.burst or 1) // count)

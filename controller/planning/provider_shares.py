"""What the fleet file says to the workers of each pool, and each worker's part of the limits.

A limit is divided over the tenants first, in the order in which replicas are: a small baseline for
each, then what they need, strictly by tier and inside a tier by weight; then over the workers of a
tenant by need. What a worker needs is its recent use with some room to grow; of a limit that its
calls wait for it needs all. What is left when all have what they need goes to all by weight, so
that a call after a pause does not wait. Sums never exceed the limit, with those that workers hold
which are not known yet: amounts per minute are whole thousandths, parallel calls are whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from math import floor, inf
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from controller.model.fleet import Fleet, Pool, Tenant
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
    """Each pool's terms: limits of a session, models with prices, the most for a workflow."""
    models = model_terms(fleet)
    tenants = {tenant.name: tenant for tenant in fleet.tenants}
    return {
        pool.key: WorkerTerms(
            session=pool.session,
            model=pool.model or "",
            models=tuple(models[name] for name in pool.usable_models() if name in models),
            usd_per_workflow=tenants[pool.tenant].budget.usd_per_workflow,
            tier=tenants[pool.tenant].tier.priority,
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
BASELINE_PART: Final = 0.1
"""So much of a limit is for the baselines of tenants, by weight."""
KEPT_PART: Final = Fraction(2, 100)
"""So much of a limit, or its headroom where that is more, is for workers that are not known yet:
each may use a part of it until it has a share of its own.
"""
COMING_PART: Final = Fraction(20, 100)
"""The most of a limit that is kept for workers that are known to be starting."""
NEWCOMERS: Final = 4
"""The least number of unknown workers that find room."""

PARALLEL: Final = "parallel"
_PER_MINUTE: Final = (
    "requests_per_minute",
    "tokens_per_minute",
    "input_tokens_per_minute",
    "output_tokens_per_minute",
)


class _Claim(NamedTuple):
    """What one worker of a tenant needs of a model."""

    tenant: str
    demand: ModelDemand


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
    tenants = {tenant.name: tenant for tenant in fleet.tenants}
    for model, pools in _pools_by_key(fleet):
        if model.limits is None:
            continue
        claims = {
            (pool.key, state.worker): _Claim(pool.tenant, _demand(state, model.name))
            for pool in pools
            for state in workers.get(pool.key, ())
        }
        starting = sum(coming.get(pool.key, 0) for pool in pools)
        newcomer, kept = _kept_for_newcomers(model.limits, len(claims), starting)
        of_pool: dict[PoolKey, dict[str, RateShare]] = defaultdict(dict)
        parts = _divided(model.limits, kept, tuple(claims.values()), tenants, turn)
        for (pool_key, worker), part in zip(claims, parts, strict=True):
            of_pool[pool_key][worker] = part
        for pool in pools:
            share = ModelShare(model=model.name, newcomer=newcomer, workers=of_pool[pool.key])
            shares[pool.key].append(share)
    return {pool: tuple(each) for pool, each in shares.items()}


def _demand(state: WorkerState, model: str) -> ModelDemand:
    found = (each for each in state.demand if each.model == model)
    return next(found, ModelDemand(model=model))


def _kept_for_newcomers(
    limits: RateLimits, known: int, starting: int
) -> tuple[RateShare, Fraction]:
    """A share for a worker not known yet, and the part of the limits kept for all such; stored also
    for pools without workers, so it must not change with each worker of another one.
    """
    count = 1 << (max(1, starting) - 1).bit_length()
    if not known:
        return _part(limits, Fraction(1, count), count), Fraction(1)
    kept = max(KEPT_PART, min(COMING_PART, Fraction(starting, known + starting)))
    count = max(NEWCOMERS, count)
    return _part(limits, kept / count, known + count), kept


def _pools_by_key(fleet: Fleet) -> list[tuple[LlmModel, list[Pool]]]:
    """Each model with the pools that draw on the same limits of it."""
    models = {model.name: model for model in fleet.models}
    pools: dict[str, tuple[LlmModel, list[Pool]]] = {}
    for pool in fleet.pools:
        for name in pool.usable_models():
            model = models.get(name)
            if model is not None:
                pools.setdefault(rate_key(model, pool.tenant), (model, []))[1].append(pool)
    return list(pools.values())


def _divided(
    limits: RateLimits,
    kept: Fraction,
    claims: Sequence[_Claim],
    tenants: Mapping[str, Tenant],
    turn: int,
) -> list[RateShare]:
    """Each worker's part of each limit but for what is kept, in the order of the claims."""
    shares: list[dict[str, Any]] = [{"burst": _burst(limits, len(claims))} for _ in claims]
    amounts = {name: (most, MILLI) for name, most in _milli(limits, _left(limits, kept)).items()}
    if limits.parallel is not None:
        amounts[PARALLEL] = (limits.parallel - _parallel_kept(limits.parallel, kept), 1)
    for name, (usable, unit) in amounts.items():
        needs = [_need(name, each.demand, usable / len(claims), unit) for each in claims]
        for share, part in zip(shares, _dealt(usable, needs, claims, tenants, turn), strict=True):
            share[name] = part if name == PARALLEL else part / MILLI
    return [RateShare(**share) for share in shares]


def _need(name: str, demand: ModelDemand, equal: float, unit: int) -> float:
    """What a worker needs of a limit, in its units; `equal` is an equal share of it."""
    if name in demand.short_of:
        return inf
    used: float = getattr(demand, name)
    return max(1.0 if name == PARALLEL else IDLE_PART * equal, GROWTH * used * unit)


def _dealt(
    usable: int,
    needs: Sequence[float],
    claims: Sequence[_Claim],
    tenants: Mapping[str, Tenant],
    turn: int,
) -> list[int]:
    """Whole amounts for the workers: over the tenants first, then over the workers of each."""
    of_tenant: dict[str, list[int]] = defaultdict(list)
    for index, claim in enumerate(claims):
        of_tenant[claim.tenant].append(index)
    names, parts = list(of_tenant), [0] * len(claims)
    known = [tenants.get(name) for name in names]
    given = _in_order(
        usable,
        [sum(needs[index] for index in of_tenant[name]) for name in names],
        [0 if tenant is None else tenant.tier.priority for tenant in known],
        [Fraction(1 if tenant is None else tenant.weight) for tenant in known],
        turn,
    )
    for name, amount in zip(names, given, strict=True):
        indices = of_tenant[name]
        wants, alike = [needs[index] for index in indices], [Fraction(1)] * len(indices)
        ranks = [0] * len(indices)
        # each of a tenant's turns goes to another of its workers
        filled = _in_order(amount, wants, ranks, alike, turn // len(names))
        for index, part in zip(indices, filled, strict=True):
            parts[index] = part
    return parts


def _in_order(
    usable: int,
    needs: Sequence[float],
    ranks: Sequence[int],
    weights: Sequence[Fraction],
    turn: int,
) -> list[int]:
    """Each gets its baseline, then its need by rank, then an equal part of what is left."""
    everyone, parts = range(len(needs)), [0] * len(needs)
    baseline, weight = BASELINE_PART * usable, float(sum(weights))
    baselines = [max(1.0, baseline * float(each) / weight) for each in weights]
    phases = [(list(everyone), list(map(min, needs, baselines)))]
    phases += [
        ([each for each in everyone if ranks[each] == rank], list(needs))
        for rank in sorted(set(ranks), reverse=True)
    ]
    phases.append((list(everyone), [inf] * len(needs)))
    for members, upto in phases:
        wants = [upto[each] - parts[each] for each in members]
        more = _filled(usable - sum(parts), wants, [weights[each] for each in members], turn)
        for each, amount in zip(members, more, strict=True):
            parts[each] += amount
    return parts


def _filled(
    usable: int, wants: Sequence[float], weights: Sequence[Fraction], turn: int
) -> list[int]:
    """Whole amounts: what each wants, at most its part, by weight, of what others leave."""
    count, left, weight = len(wants), usable, sum(weights)
    parts = [0] * count
    for index in sorted(
        range(count), key=lambda each: (wants[each] / weights[each], (each - turn) % count)
    ):
        part = floor(left * weights[index] / weight)
        parts[index] = part if wants[index] >= part else max(0, floor(wants[index]))
        left -= parts[index]
        weight -= weights[index]
    return parts


def _left(limits: RateLimits, kept: Fraction) -> Fraction:
    """The part of the limits for workers that are known: the headroom is for the others, too."""
    return 1 - max(Fraction(limits.headroom), kept)


def _parallel_kept(parallel: int, kept: Fraction) -> int:
    """The parallel calls for workers that are not known yet. Of a small limit none is kept: such a
    worker may pass it by one call until it is told its share.
    """
    return 0 if parallel < 2 * NEWCOMERS else max(1, floor(parallel * kept))


def _milli(limits: RateLimits, part: Fraction) -> dict[str, int]:
    """A part of each limit per minute, in thousandths."""
    found = ((name, getattr(limits, name)) for name in _PER_MINUTE)
    return {name: floor(limit * part * MILLI) for name, limit in found if limit is not None}


def _part(limits: RateLimits, part: Fraction, sharing: int) -> RateShare:
    """A part of each limit, at least one parallel call; `sharing` workers have the burst."""
    part = min(part, 1 - Fraction(limits.headroom))
    rates = {name: amount / MILLI for name, amount in _milli(limits, part).items()}
    parallel = None if limits.parallel is None else max(1, floor(limits.parallel * part))
    return RateShare(**rates, parallel=parallel, burst=_burst(limits, sharing))


def _burst(limits: RateLimits, count: int) -> int:
    """A worker's part of the burst, at least one request. Without a burst in the fleet file the
    requests are spread evenly: some providers enforce a limit per minute within each second.
    """
    return max(1, (limits.burst or 1) // count)

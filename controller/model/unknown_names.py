"""Finds names in observations and intents that the fleet does not have.

Such a name is nearly always misspelt, and that has consequences: a freeze of a pool that does not
exist protects no pool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from controller.model.faults import member
from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.intents import Intents, Scope
from controller.model.metrics import QUEUE, MetricSpec
from controller.model.nearest import nearest
from controller.model.observation import Observation
from controller.model.readings import last_known
from controller.model.text import clean_name

MAX_NEAREST: Final = 3
"""The most similar names that a sentence suggests."""
_LISTED: Final = 10


class NameKind(StrEnum):
    """What a name stands for."""

    POOL = "pool"
    TENANT = "tenant"
    NODE_CLASS = "node class"
    METRIC = "metric"


class UnknownName(NamedTuple):
    """A name that the fleet does not have, with its path, such as `intents.freezes[0].scope`.

    `pool` is the key of a metric's pool, empty for other kinds of names.
    """

    path: str
    kind: NameKind
    name: str
    pool: str = ""


def unknown_names(
    fleet: Fleet,
    observation: Observation,
    intents: Intents,
    reading_name: Callable[[MetricSpec], str],
) -> Iterator[UnknownName]:
    """Every name in the observation and the intents that the fleet does not have.

    `reading_name` gives the name of a metric's reading in an observation. Names of the fleet that
    are missing there are allowed: an observation need not have all pools.
    """
    pools = {pool.key: pool for pool in fleet.pools}
    tenants = {tenant.name for tenant in fleet.tenants}
    yield from _of_pools(observation, pools, reading_name)
    for name in sorted(observation.tenants.keys() - tenants):
        yield UnknownName(member("observation.tenants", name), NameKind.TENANT, name)
    if (room := last_known(observation.capacity)) is not None:
        known = {one.name for one in fleet.capacity.node_classes}
        for name in sorted(room.classes.keys() - known):
            path = member("observation.capacity.value.classes", name)
            yield UnknownName(path, NameKind.NODE_CLASS, name)
    for path, key in _pools_of(intents):
        if key not in pools:
            yield UnknownName(path, NameKind.POOL, key)
    for index, budget in enumerate(intents.budgets):
        if budget.tenant not in tenants:
            yield UnknownName(f"intents.budgets[{index}].tenant", NameKind.TENANT, budget.tenant)
    for path, scope in scopes_of(intents):
        if scope.pool is not None and scope.pool not in pools:
            yield UnknownName(f"{path}.pool", NameKind.POOL, scope.pool)
        if scope.tenant is not None and scope.tenant not in tenants:
            yield UnknownName(f"{path}.tenant", NameKind.TENANT, scope.tenant)


def _of_pools(
    observation: Observation,
    pools: Mapping[PoolKey, Pool],
    reading_name: Callable[[MetricSpec], str],
) -> Iterator[UnknownName]:
    for key, seen in observation.pools.items():
        path = member("observation.pools", key)
        if key not in pools:
            yield UnknownName(path, NameKind.POOL, key)
        elif seen.metrics:
            known = metric_names(pools[key], reading_name)
            for name in sorted(seen.metrics.keys() - known):
                yield UnknownName(member(f"{path}.metrics", name), NameKind.METRIC, name, key)
    for key in sorted(observation.under_way.keys() - pools.keys()):
        yield UnknownName(member("observation.under_way", key), NameKind.POOL, key)


def _pools_of(intents: Intents) -> Iterator[tuple[str, str]]:
    """The pool of each intent that is always about one pool, with its path."""
    for index, pin in enumerate(intents.pins):
        yield f"intents.pins[{index}].pool", pin.pool
    for index, cap in enumerate(intents.caps):
        yield f"intents.caps[{index}].pool", cap.pool


def scopes_of(intents: Intents) -> Iterator[tuple[str, Scope]]:
    """The scope of each intent that may be about a pool, a tenant or the fleet, with its path."""
    for index, pause in enumerate(intents.pauses):
        yield f"intents.pauses[{index}].scope", pause.scope
    for index, freeze in enumerate(intents.freezes):
        yield f"intents.freezes[{index}].scope", freeze.scope
    for index, held in enumerate(intents.no_growths):
        yield f"intents.no_growths[{index}].scope", held.scope


def metric_names(pool: Pool, reading_name: Callable[[MetricSpec], str]) -> set[str]:
    """The allowed names of a pool's readings: its metrics, its signals and its queue."""
    return {
        QUEUE,
        *(signal.name for signal in pool.signals),
        *(reading_name(spec) for spec in pool.metrics),
    }


def sentence(
    unknown: UnknownName,
    fleet: Fleet,
    reading_name: Callable[[MetricSpec], str],
    *,
    advised: bool = True,
) -> str:
    """The unknown name as a sentence. If `advised`, it suggests similar names of the fleet, or
    lists the first names if none is similar.
    """
    name = clean_name(unknown.name)
    subject = f"the fleet has no {unknown.kind} {name}"
    if unknown.kind is NameKind.METRIC:
        subject = f"no metric or signal of {unknown.pool} is called {name}"
    if not advised:
        return subject
    match unknown.kind:
        case NameKind.POOL:
            return unknown_pool(unknown.name, fleet)
        case NameKind.TENANT:
            known = [tenant.name for tenant in fleet.tenants]
        case NameKind.NODE_CLASS:
            known = [one.name for one in fleet.capacity.node_classes]
        case NameKind.METRIC:
            pool = next(each for each in fleet.pools if each.key == unknown.pool)
            known = sorted(metric_names(pool, reading_name))
    return f"{subject}; {_advice(unknown.name, known)}"


def unknown_pool(name: str, fleet: Fleet) -> str:
    """`sentence` for an unknown pool: a pool with its name at another tenant is suggested too."""
    keys = [str(pool.key) for pool in fleet.pools]
    same_name = [pool.key for pool in fleet.pools if pool.name == name.rpartition("/")[2]]
    return f"the fleet has no pool {clean_name(name)}; {_advice(name, keys, same_name)}"


def listed(names: Iterable[str]) -> str:
    """The first ten names, and how many more there are."""
    given = list(names)
    told, more = ", ".join(given[:_LISTED]), len(given) - _LISTED
    return f"{told} and {more:,} more" if more > 0 else told


def _advice(name: str, known: Iterable[str], first: Iterable[str] = ()) -> str:
    names = list(known)
    near = list(dict.fromkeys([*first, *nearest(name, names, MAX_NEAREST)]))[:MAX_NEAREST]
    if near:
        return f"nearest: {', '.join(near)}"
    return f"it has {listed(names)}" if names else "it has none"

"""What is scarce by the fleet's own word, and what a replica of each pool uses of it. It depends on
the fleet alone, which seldom changes, so it is worked out once and kept for the last few fleets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from math import ceil
from types import MappingProxyType
from typing import Final, NamedTuple

from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.scarcity import LlmModel, Price, Resources, TaskUsage, TokenCount
from controller.planning.allocation import Amount, Row, SharingError
from controller.planning.cost import FLEET_ROW, replica_usd_per_hour
from controller.planning.rates import CallRate, RateLimit, calls_per_minute, rate_rows, rate_uses

MILLION: Final = 1_000_000
_KEPT: Final = 4
_FINE, _FINEST = 1_000, 1_000_000_000
_MAPPINGS_PER_POOL: Final = 4
Uses = Mapping[str, Amount]


class ReplicaUses(NamedTuple):
    """What one replica takes of each row: everywhere, and beside it on each class of nodes that the
    pool may use and whose room is known, in its order of preference. Both are read-only.
    """

    everywhere: Uses
    flavors: tuple[Uses, ...]


class FleetTerms:
    """A fleet's tenants, models and rate limits, and what its replicas use."""

    __slots__ = (
        "_kept",
        "_token_uses",
        "models",
        "rate_rows",
        "tenant_weights",
        "tenants",
        "tiers",
        "weights",
    )

    def __init__(self, fleet: Fleet) -> None:
        self.models = {model.name: model for model in fleet.models}
        self.tenants = {tenant.name: tenant for tenant in fleet.tenants}
        self.tiers = {tenant.name: tenant.tier.priority for tenant in fleet.tenants}
        self.tenant_weights: Mapping[str, Amount] = {
            tenant.name: tenant.weight for tenant in fleet.tenants
        }
        self.weights = {pool.key: _plain_weight(pool.weight) for pool in fleet.pools}
        self.rate_rows = tuple(self._rate_rows(fleet))
        self._token_uses: dict[PoolKey, tuple[Pool, TaskUsage | None, Uses]] = {}
        self._kept: deque[RowUses] = deque(maxlen=_KEPT)

    def on(self, rows: Mapping[str, Row], classes: Mapping[str, Resources]) -> RowUses:
        """What replicas use of these rows, with these classes of nodes."""
        names, known = tuple(rows), tuple(classes)
        for uses in tuple(self._kept):
            if uses.names == names and uses.classes == known:
                return uses
        made = RowUses(self, names, known)
        self._kept.append(made)
        return made

    def token_uses(self, pool: Pool, usage: TaskUsage | None) -> Uses:
        """What one replica whose tasks take so much takes of budgets, money and rate limits,
        whether there are such rows or not. Raises SharingError for a task that takes no time.
        """
        found = self._token_uses.get(pool.key)
        if found is None or found[0] is not pool or found[1] != usage:
            uses = {} if usage is None else dict(self._new_token_uses(pool, usage))
            found = self._token_uses[pool.key] = pool, usage, uses
        return found[2]

    def _new_token_uses(self, pool: Pool, usage: TaskUsage) -> Iterator[tuple[str, Amount]]:
        tenant = self.tenants.get(pool.tenant)
        tasks = tasks_per_minute(pool, usage)
        if tenant is not None:
            counted = tasks * counted_tokens(usage, tenant.budget.count)
            yield f"budget:{pool.tenant}", counted
        model = self.models.get(pool.model or "")
        if model is not None and model.price is not None:
            usd = replica_usd_per_hour(Decimal(0), tasks, usd_per_task(usage, model.price))
            yield FLEET_ROW, usd
            yield f"{FLEET_ROW}:{pool.tenant}", usd
        if model is not None and model.limits is not None:
            rate = CallRate(
                calls=calls_per_minute(pool.slots, usage.calls, usage.seconds),
                input_tokens=tasks * usage.input_tokens,
                output_tokens=tasks * usage.output_tokens,
                slots=pool.slots,
            )
            yield from rate_uses(_key(model, pool), _limit(model), rate).items()

    def _rate_rows(self, fleet: Fleet) -> Iterator[Row]:
        drawn: set[tuple[str, str]] = set()
        for pool in fleet.pools:
            model = self.models.get(pool.model or "")
            if model is not None and model.limits is not None:
                drawn.add((_key(model, pool), model.name))
        for key, name in sorted(drawn):
            yield from rate_rows(key, _limit(self.models[name]))


class RowUses:
    """What the replicas of a fleet use while there are certain rows and classes of nodes.

    Pools that use the same have the same mapping.
    """

    __slots__ = ("_alike", "_exists", "_of", "_terms", "classes", "names")

    def __init__(self, terms: FleetTerms, names: tuple[str, ...], classes: tuple[str, ...]) -> None:
        self.names, self.classes = names, classes
        self._terms = terms
        self._exists = frozenset(names)
        self._of: dict[PoolKey, tuple[Pool, Resources | None, TaskUsage | None, ReplicaUses]] = {}
        self._alike: dict[tuple[tuple[str, Amount], ...], Uses] = {}

    def of(self, pool: Pool, requests: Resources | None, usage: TaskUsage | None) -> ReplicaUses:
        """What one replica of a pool uses whose pods request and whose tasks take so much."""
        found = self._of.get(pool.key)
        if found is None or found[0] is not pool or found[1] != requests or found[2] != usage:
            uses = self._new(pool, requests, usage)
            found = self._of[pool.key] = pool, requests, usage, uses
        return found[3]

    def _new(self, pool: Pool, requests: Resources | None, usage: TaskUsage | None) -> ReplicaUses:
        room = _amounts(requests)
        amounts: dict[str, Amount] = {}
        for name, amount in room.items():
            amounts[name] = amount
            amounts[f"quota-{name}:{pool.tenant}"] = amount
        amounts.update(self._terms.token_uses(pool, usage))
        return ReplicaUses(
            self._existing(amounts),
            tuple(
                self._existing({f"{name}@{each}": amount for name, amount in room.items()})
                for each in pool.nodes
                if each in self.classes
            ),
        )

    def _existing(self, amounts: Uses) -> Uses:
        """Of rows that there are what is more than nothing."""
        uses = {
            name: _plain(amount)
            for name, amount in amounts.items()
            if name in self._exists and amount
        }
        if len(self._alike) > _MAPPINGS_PER_POOL * (len(self._of) + 1):
            self._alike.clear()  # uses that are measured anew are not kept for ever
        return self._alike.setdefault(tuple(uses.items()), MappingProxyType(uses))


_lately: Final[deque[tuple[Fleet, FleetTerms]]] = deque(maxlen=_KEPT)


def terms_of(fleet: Fleet) -> FleetTerms:
    """The terms of a fleet; the same object again for the same fleet."""
    for known, terms in tuple(_lately):
        if known is fleet:
            return terms
    terms = FleetTerms(fleet)
    _lately.append((fleet, terms))
    return terms


def tasks_per_minute(pool: Pool, usage: TaskUsage) -> Fraction:
    """Tasks one replica does with all its slots at work."""
    if usage.seconds <= 0:
        raise SharingError(pool.key, "a task that takes no time has no rate")
    return Fraction(60 * pool.slots) / Fraction(usage.seconds)


def counted_tokens(usage: TaskUsage, count: TokenCount) -> Fraction:
    """One task's tokens, weighed as the tenant's budget weighs them."""
    return Fraction(
        usage.input_tokens * count.input
        + usage.output_tokens * count.output
        + usage.cached_input_tokens * count.cached_input
    )


def usd_per_task(usage: TaskUsage, price: Price) -> Decimal:
    """What the tokens of one task cost."""
    cached = price.input if price.cached_input is None else price.cached_input
    return (
        usage.input_tokens * price.input
        + usage.output_tokens * price.output
        + usage.cached_input_tokens * cached
    ) / MILLION


def _key(model: LlmModel, pool: Pool) -> str:
    """What the rows of a model's limits are named by: its own key, or one for each tenant."""
    return model.name if model.shared else f"{model.name}/{pool.tenant}"


def _limit(model: LlmModel) -> RateLimit:
    limits = model.limits
    if limits is None:
        return RateLimit()
    return RateLimit(
        requests_per_minute=limits.requests_per_minute,
        input_tokens_per_minute=limits.input_tokens_per_minute,
        output_tokens_per_minute=limits.output_tokens_per_minute,
        parallel=limits.parallel,
        headroom=limits.headroom,
    )


def _amounts(requests: Resources | None) -> dict[str, Amount]:
    """What one replica takes of places, millicores and bytes, where that is known."""
    amounts: dict[str, Amount] = {"replicas": 1}
    if requests is not None and requests.cpu_milli is not None:
        amounts["cpu"] = requests.cpu_milli
    if requests is not None and requests.memory_bytes is not None:
        amounts["memory"] = requests.memory_bytes
    return amounts


def _plain_weight(weight: Decimal) -> Amount:
    """A whole weight as an int; any other as it is, whether it can be a weight or not."""
    if weight.is_finite() and weight > 0 and weight == weight.to_integral_value():
        return int(weight)
    return weight


def _plain(amount: Amount) -> Amount:
    """A whole number as an int, which is much quicker to calculate with; and a fraction in very
    small parts, as measured times make them, in billionths, rounded up: thousands of unlike parts
    of one row would have no common measure of a bearable size.
    """
    if not isinstance(amount, Fraction):
        return amount
    if amount.denominator == 1:
        return amount.numerator
    if amount.denominator <= _FINE:
        return amount
    return Fraction(ceil(amount * _FINEST), _FINEST)

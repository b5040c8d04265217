"""What one replica of each pool uses of each row: replicas, CPU, memory, tokens, USD, calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from math import ceil
from types import MappingProxyType
from typing import Final

from controller.model.fleet import Pool, Tenant
from controller.model.ids import PoolKey
from controller.model.scarcity import LlmModel, Price, Resources, TaskUsage, TokenCount
from controller.model.value import CPU, MEMORY
from controller.planning.allocation.values import Amount, ReplicaUses, SharingError
from controller.planning.share.cost import FLEET_ROW, replica_usd_per_hour
from controller.planning.share.rates import CallRate, calls_per_minute, rate_key, rate_uses

MILLION: Final = 1_000_000
REPLICAS: Final = "replicas"
_FINE, _FINEST = 1_000, 1_000_000_000
_MOST_ALIKE: Final = 4
_Pairs = tuple[tuple[str, Amount], ...]


class KnownUses:
    """A cache of the uses of one replica of each pool, for rows and classes of nodes with these
    names.

    A pool's uses are computed again only if its requests or its tasks' usage change. Pools with
    equal uses get the same object.
    """

    __slots__ = ("_alike", "_existing", "_of", "classes", "names")

    def __init__(self, names: tuple[str, ...], classes: tuple[str, ...]) -> None:
        self.names, self.classes = names, classes
        self._existing = frozenset(names)
        self._of: dict[PoolKey, tuple[Pool, Resources | None, TaskUsage | None, ReplicaUses]] = {}
        self._alike: dict[tuple[_Pairs, ...], ReplicaUses] = {}

    def of(
        self,
        pool: Pool,
        requests: Resources | None,
        usage: TaskUsage | None,
        *,
        tenant: Tenant | None,
        model: LlmModel | None,
    ) -> ReplicaUses:
        """The uses of one replica of the pool, with these requests of its pod and this usage of one
        task. Raises SharingError if a task takes no time.
        """
        found = self._of.get(pool.key)
        if found is None or found[0] is not pool or found[1] != requests or found[2] != usage:
            uses = self._worked_out(pool, requests, usage, tenant, model)
            found = self._of[pool.key] = pool, requests, usage, uses
        return found[3]

    def _worked_out(
        self,
        pool: Pool,
        requests: Resources | None,
        usage: TaskUsage | None,
        tenant: Tenant | None,
        model: LlmModel | None,
    ) -> ReplicaUses:
        room = room_of(requests)
        everywhere = dict(room)
        for name, amount in room.items():
            everywhere[f"quota-{name}:{pool.tenant}"] = amount
        if usage is not None:
            everywhere.update(_token_uses(pool, usage, tenant, model))
        parts = (
            self._drawn(everywhere),
            *(
                self._drawn({f"{name}@{each}": amount for name, amount in room.items()})
                for each in pool.nodes
                if each in self.classes
            ),
        )
        if len(self._alike) > _MOST_ALIKE * (len(self._of) + 1):
            self._alike.clear()  # a limit on its size, as measured uses change all the time
        alike = self._alike.get(parts)
        if alike is None:
            first, *flavors = (MappingProxyType(dict(part)) for part in parts)
            alike = self._alike[parts] = ReplicaUses(first, tuple(flavors))
        return alike

    def _drawn(self, amounts: Mapping[str, Amount]) -> _Pairs:
        """The amounts above zero of rows that exist."""
        return tuple(
            [
                (name, _plain(amount))
                for name, amount in amounts.items()
                if amount and name in self._existing
            ]
        )


def room_of(requests: Resources | None) -> dict[str, Amount]:
    """What one replica uses of physical room: 1 replica, and if known CPU (millicores) and memory
    (bytes).
    """
    amounts: dict[str, Amount] = {REPLICAS: 1}
    if requests is not None and requests.cpu_milli is not None:
        amounts[CPU] = requests.cpu_milli
    if requests is not None and requests.memory_bytes is not None:
        amounts[MEMORY] = requests.memory_bytes
    return amounts


def tasks_per_minute(pool: Pool, usage: TaskUsage) -> Fraction:
    """The tasks per minute of one replica with all slots busy. Raises SharingError if a task takes
    no time.
    """
    if usage.seconds <= 0:
        raise SharingError(pool.key, "a task that takes no time has no rate")
    return Fraction(60 * pool.slots) / Fraction(usage.seconds)


def counted_tokens(usage: TaskUsage, count: TokenCount) -> Fraction:
    """The tokens of one task with the weights of the tenant's budget."""
    return Fraction(
        usage.input_tokens * count.input
        + usage.output_tokens * count.output
        + usage.cached_input_tokens * count.cached_input
    )


def usd_per_task(usage: TaskUsage, price: Price) -> Decimal:
    """The cost of one task's tokens in USD; prices are per million tokens."""
    cached = price.input if price.cached_input is None else price.cached_input
    return (
        usage.input_tokens * price.input
        + usage.output_tokens * price.output
        + usage.cached_input_tokens * cached
    ) / MILLION


def _token_uses(
    pool: Pool, usage: TaskUsage, tenant: Tenant | None, model: LlmModel | None
) -> Iterator[tuple[str, Amount]]:
    """The replica's uses of budget, cost and rate rows, whether these rows exist or not."""
    tasks = tasks_per_minute(pool, usage)
    if tenant is not None:
        yield f"budget:{pool.tenant}", tasks * counted_tokens(usage, tenant.budget.count)
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
        yield from rate_uses(rate_key(model, pool.tenant), model.limits, rate).items()


def _plain(amount: Amount) -> Amount:
    """The amount in a form that is fast to calculate with.

    A whole number becomes an int. A fraction with a large denominator, as measured times give, is
    rounded up to billionths, because the common denominator of thousands of such fractions would be
    huge.
    """
    if not isinstance(amount, Fraction):
        return amount
    if amount.denominator == 1:
        return amount.numerator
    if amount.denominator <= _FINE:
        return amount
    return Fraction(ceil(amount * _FINEST), _FINEST)

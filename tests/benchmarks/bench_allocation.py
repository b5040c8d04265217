"""How long sharing takes: `python tests/benchmarks/bench_allocation.py`, a line per size and kind.

Each fleet has ten replicas wanted per pool. Plenty: everything fits. One row: a cluster with six
for every ten, each pool a tenant of its own. Tenants: twenty pools each, cluster CPU and memory,
quotas that bind some of them, and eight models' rate limits. As in a plan, the pools' weights and
what their replicas use are worked out once; `first` is with that.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from fractions import Fraction
from operator import attrgetter
from types import MappingProxyType

from controller.model.decision import Bound
from controller.planning.allocation.divide import divide, without_refusals
from controller.planning.allocation.owners import owners_of
from controller.planning.allocation.rows import Rows, Wanted, supply_of
from controller.planning.allocation.tariff import Tariff
from controller.planning.allocation.values import ReplicaUses
from support.sharing import HALF_FED, Amount, Claim, Row, allocate, columns

TARGETS_MS = {100: 1.0, 1_000: 6.0, 10_000: 60.0}
TIERS = (1000, 500, 100)
Case = tuple[list[Claim], list[Row]]


PLACE: Mapping[str, Amount] = MappingProxyType({"replicas": 1})


def single(size: int, capacity: int, tiers: tuple[int, ...] = TIERS) -> Case:
    claims = [
        Claim(
            pool=f"pool-{number:05}",
            tenant=f"tenant-{number:05}",
            tier=tiers[number % len(tiers)],
            demand=1 + number * 7 % 19,
            current=number % 11,
            min=number % 2,
            warm=number % 3,
            uses=PLACE,
        )
        for number in range(size)
    ]
    return claims, [Row(name="replicas", capacity=capacity, fair=True)]


def plenty(size: int) -> Case:
    return single(size, 20 * size)


def one_row(size: int) -> Case:
    return single(size, 6 * size)


def one_tier(size: int) -> Case:
    return single(size, 6 * size, (100,))


def tenants(size: int) -> Case:
    claims = []
    for number in range(size):
        tenant = f"tenant-{number // 20:05}"
        cpu = (Fraction(1, 4), Fraction(1, 2), 1)[number % 3]
        claims.append(
            Claim(
                pool=f"{tenant}/pool-{number % 20:05}",
                tenant=tenant,
                tier=TIERS[number // 20 % 3],
                weight=1 + number % 2,
                demand=1 + number * 7 % 19,
                current=number % 11,
                min=number % 2,
                uses=MappingProxyType(
                    {
                        "replicas": 1,
                        "cpu": cpu,
                        "memory": 512 << number % 3,
                        f"quota:{tenant}": 1,
                        f"rpm:{number % 8}": 10 + number % 3,
                    }
                ),
            )
        )
    rows = [
        Row(name="replicas", capacity=20 * size, fair=True),
        Row(name="cpu", capacity=4 * size, fair=True),
        Row(name="memory", capacity=8192 * size, fair=True),
        *(Row(name=f"rpm:{key}", capacity=10 * size, soft=HALF_FED) for key in range(8)),
    ]
    rows.extend(
        Row(name=f"quota:tenant-{number:05}", capacity=120 + number % 200, bound=Bound.QUOTA)
        for number in range(-(-size // 20))
    )
    return claims, rows


def measure(case: Case, runs: int = 8) -> tuple[float, list[float]]:
    """Milliseconds of one core: to share from nothing, and each time after that."""
    claims, rows = case
    first = timed(lambda: allocate(claims, rows))
    ordered = sorted(rows, key=attrgetter("name"))
    field, by_column = columns(claims, {})
    uses = [(each.pool, ReplicaUses(each.uses)) for each in claims]
    tariff = Tariff(uses, ordered)
    profile_of = [tariff.profile_of(name, use) or 0 for name, use in uses]
    supply, wanted = supply_of(tariff, ordered), Wanted(len(ordered))
    for profile, want in zip(profile_of, by_column.wants, strict=True):
        wanted.add(tariff, profile, want)

    owners = owners_of(field, tariff, profile_of)

    def share() -> None:
        short = wanted.short(supply.left)
        if short:
            divide(field, by_column, Rows(supply, tariff, profile_of, short), owners)
        else:
            without_refusals(by_column)

    return first, [timed(share) for _ in range(runs)]


def timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1000


KINDS: dict[str, Callable[[int], Case]] = {
    "plenty": plenty,
    "one row": one_row,
    "one tier": one_tier,
    "tenants": tenants,
}


def main() -> None:
    for size, target_ms in TARGETS_MS.items():
        for kind, build in KINDS.items():
            first, times = measure(build(size))
            print(
                f"share {size:>6,} pools, {kind:>8}: median {statistics.median(times):7.2f} ms,"
                f" worst {max(times):7.2f} ms, first {first:7.2f} ms (target {target_ms:g} ms)"
            )


if __name__ == "__main__":
    main()

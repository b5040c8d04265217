"""What happened in the demo's world, counted at its end, and the summary of it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
from nats import errors
from nats.js import JetStreamContext
from nats.js.errors import NoKeysError, NotFoundError

from agentdash.worker.session import MESSAGE_ID_HEADER, RESULTS_BUCKET, result_key


class WorldReport(msgspec.Struct, frozen=True, kw_only=True):
    """Counts since the start; `waits_s` are seconds from a task's publication to its start, by
    tenant, and `priority_waits_s` those of each pool with priorities, by priority, the highest
    first.

    - `lost` tasks are neither ended nor in their queue, `twice` is how many results were stored a
      second time; None where NATS did not answer at the end.
    - `killed` workers were told to stop at work because their pool was scaled down, `reclaimed`
      ones because their node was taken away, `ordered` of them by the controller while it still
      ran. `resumed` tasks went on from a checkpoint.
    - `calls` of models, of which `refused_calls` met a limit of the provider (429).
    - `tokens` by tier; `usd` is what they cost, and `usd_if_large` what the answers would have cost
      with the large model alone.
    """

    published: int = 0
    done: int = 0
    pods_started: int = 0
    waits_s: dict[str, tuple[float, ...]] = {}
    priority_waits_s: dict[str, dict[str, tuple[float, ...]]] = {}
    lost: int | None = None
    twice: int | None = None
    killed: int = 0
    reclaimed: int = 0
    ordered: int = 0
    resumed: int = 0
    calls: int = 0
    refused_calls: int = 0
    tokens: dict[str, int] = {}
    usd: float = 0.0
    usd_if_large: float = 0.0


class SpentTokens(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's tokens of today, of those that it may use."""

    tenant: str
    used: int
    cap: int


def percentile(values: Sequence[float], part: float) -> float | None:
    """The nearest-rank percentile; None where there are no values."""
    if not values:
        return None
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(part * len(ranked)))]


def summary(
    world: WorldReport,
    *,
    seconds: float,
    decisions: int,
    writes: int,
    tiers: dict[str, str],
    budgets: Sequence[SpentTokens],
) -> list[str]:
    """The lines at the end of a demo without a screen. `tiers` are those of the tenants, the one
    with the highest priority first.
    """
    waits = ", ".join(
        f"{tenant} ({tier}) {_waits(world.waits_s.get(tenant, ()))}"
        for tenant, tier in tiers.items()
    )
    did = f"{decisions} decisions, {writes} patches, {world.pods_started} pods started"
    lost, twice = _number(world.lost), _number(world.twice)
    stopped = f"{world.killed} busy workers stopped by a scale-down"
    ordered = f"{world.ordered} by the controller's order before it ended"
    resumed = f"{world.resumed} tasks went on from their checkpoint"
    return [
        f"{seconds:.0f} s: {world.published} tasks, {world.done} done, {did}",
        f"waits, p50 and p95: {waits}",
        *_priorities(world),
        f"promises: {lost} tasks lost, {twice} results stored twice, {stopped}",
        f"a node was taken away: {world.reclaimed} workers stopped at work, {ordered}, {resumed}",
        f"provider: {world.calls} calls, {world.refused_calls} refused (429)",
        *_tokens(world),
        *(f"budget: {each.tenant} used {each.used:,} of {each.cap:,} tokens" for each in budgets),
    ]


def _waits(waits_s: Sequence[float]) -> str:
    found = (percentile(waits_s, part) for part in (0.5, 0.95))
    return " / ".join("-" if wait is None else f"{wait:.1f} s" for wait in found)


def _priorities(world: WorldReport) -> Iterator[str]:
    """The waits of each pool with priorities."""
    for pool, waits in world.priority_waits_s.items():
        text = ", ".join(f"{priority} {_waits(waits_s)}" for priority, waits_s in waits.items())
        yield f"waits of {pool} by priority, p50 and p95: {text}"


def _number(counted: int | None) -> str:
    return "unknown" if counted is None else str(counted)


def _tokens(world: WorldReport) -> Iterator[str]:
    """The share of each tier, and what was saved; nothing before the first answer."""
    total = sum(world.tokens.values())
    if total and world.usd_if_large:
        shares = ", ".join(f"{tier} {tokens / total:.0%}" for tier, tokens in world.tokens.items())
        saved = 1 - world.usd / world.usd_if_large
        yield f"tokens: {total:,} ({shares}); {saved:.0%} saved against premium alone"


COUNT_S: Final = 3.0


class Counted(NamedTuple):
    """Tasks that are neither ended nor in their queue, and results that were stored twice."""

    lost: int
    twice: int


class PoolName(NamedTuple):
    """A pool, by the names in its tasks' results."""

    tenant: str
    pool: str


async def count(
    stream: JetStreamContext, name: str, published: Collection[str], pools: Mapping[str, PoolName]
) -> Counted | None:
    """What became of the published tasks, given by the keys of their results; `pools` has the pool
    of each subject. The workers must have ended. None if NATS does not answer.
    """
    try:
        async with asyncio.timeout(COUNT_S):
            bucket = await stream.key_value(RESULTS_BUCKET)
            try:
                ended = set(await bucket.keys())
            except NoKeysError:
                ended = set()
            stored = (await bucket.status()).stream_info.state
            waiting = await _waiting(stream, name, pools)
    except (TimeoutError, errors.Error):
        return None
    # each result is created once, and none is deleted: one more message is a second one
    return Counted(lost=len(set(published) - ended - waiting), twice=stored.last_seq - len(ended))


async def _waiting(stream: JetStreamContext, name: str, pools: Mapping[str, PoolName]) -> set[str]:
    """The keys of the tasks whose messages are still in the stream."""
    found: set[str] = set()
    sequence = 0
    while True:
        try:
            message = await stream.get_msg(name, sequence + 1, subject=">", next=True)
        except NotFoundError:
            return found
        sequence = message.seq or sequence + 1
        tenant, pool = pools[message.subject or ""]
        found.add(result_key(tenant, pool, (message.headers or {}).get(MESSAGE_ID_HEADER, "")))

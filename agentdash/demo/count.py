"""Counts at the end what became of the demo's tasks, from what NATS has stored."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from nats import errors
from nats.js import JetStreamContext
from nats.js.errors import NoKeysError, NotFoundError

from agentdash.worker.task import MESSAGE_ID_HEADER, RESULTS_BUCKET, result_key

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

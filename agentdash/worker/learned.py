"""What routers have learned of a pool's tasks, kept for the workers that come later.

Each worker adds its own tries to what is stored (compare-and-set), and goes on from the sum: so the
workers of a pool learn from each other, too.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated, Final

import msgspec
from nats import errors
from nats.js import JetStreamContext
from nats.js.api import KeyValueConfig
from nats.js.errors import (
    KeyDeletedError,
    KeyWrongLastSequenceError,
    NoStreamResponseError,
    NotFoundError,
)

from agentdash.worker.router import TierHistory, Tries, TriesOf, latest, then
from agentdash.worker.streams import bucket
from controller.model.backoff import Backoff
from controller.model.text import clean

log = logging.getLogger(__name__)

LEARNED_BUCKET: Final = "agentdash_learned"
LEARNED_KEPT_S: Final = 30 * 86_400.0
"""What a pool has not changed for so long is forgotten."""
RECALL_S: Final = 1.0
"""How long a start waits for it."""
SAVES: Final = 10
"""A write that other workers overtake so often is left to the next time."""
LONGEST_NAME: Final = 200
"""Kinds of tasks with longer names are not stored."""

Amount = Annotated[float, msgspec.Meta(ge=0, le=1e6)]


class _Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    kind: str
    model: str
    done: Amount
    failed: Amount


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    entries: tuple[_Entry, ...] = ()


class LearnedTries:
    """What one pool's router has learned, in a bucket; the first save creates it."""

    def __init__(
        self, stream: JetStreamContext, tenant: str, pool: str, history: TierHistory
    ) -> None:
        self._stream, self._history = stream, history
        self._bucket = bucket(stream, LEARNED_BUCKET)
        self._key = f"{tenant}.{pool}"

    async def recall(self) -> None:
        """Go on from what is stored. What cannot be read is learned anew."""
        try:
            async with asyncio.timeout(RECALL_S):
                known, _ = await self._read()
        except (errors.Error, TimeoutError) as error:
            # the server does not answer what our user may not ask
            words = clean(error) or "no answer"
            log.warning("what routers have learned could not be read: %s", words)
        else:
            self._history.go_on_from(known)

    async def save(self) -> None:
        """Add what was learned since the last time. What cannot be stored is kept for the next."""
        unsaved = self._history.take_unsaved()
        if not unsaved:
            return
        known = None
        try:
            known = await self._add(unsaved)
        except errors.Error as error:
            log.debug("what the router has learned could not be stored: %s", clean(error))
        finally:
            if known is None:
                self._history.give_back(unsaved)
            else:
                self._history.go_on_from(known)

    async def _add(self, unsaved: TriesOf) -> TriesOf | None:
        """What is stored then; None if others were faster each time."""
        waits = Backoff(0.002, 0.1)
        for _ in range(SAVES):
            known, revision = await self._read()
            known = then(known, unsaved)
            try:
                await self._put(_encoded(known), revision)
            except KeyWrongLastSequenceError:
                await asyncio.sleep(waits.next_s())
                continue
            return known
        return None

    async def _put(self, value: bytes, revision: int) -> None:
        try:
            await self._bucket.update(self._key, value, last=revision)
        except NoStreamResponseError:
            config = KeyValueConfig(LEARNED_BUCKET, ttl=LEARNED_KEPT_S, direct=False)
            await self._stream.create_key_value(config)
            await self._bucket.update(self._key, value, last=revision)

    async def _read(self) -> tuple[TriesOf, int]:
        """What is stored, and its revision; nothing and 0 if there is nothing."""
        try:
            entry = await self._bucket.get(self._key)
        except KeyDeletedError as deleted:
            return {}, deleted.entry.revision or 0
        except NotFoundError:
            return {}, 0
        revision = entry.revision or 0
        try:
            stored = msgspec.json.decode(entry.value or b"{}", type=_Stored)
        except msgspec.DecodeError as error:
            log.warning("what routers have learned cannot be read and is ignored: %s", clean(error))
            return {}, revision
        return {
            (each.kind, each.model): Tries(each.done, each.failed) for each in stored.entries
        }, revision


def _encoded(known: TriesOf) -> bytes:
    entries = (
        _Entry(kind=kind, model=model, done=round(each.done, 3), failed=round(each.failed, 3))
        for (kind, model), each in latest(known).items()
        if len(kind) <= LONGEST_NAME and len(model) <= LONGEST_NAME
    )
    return msgspec.json.encode(_Stored(entries=tuple(entries)))

"""What people have seen of a fleet, in a bucket, so that it outlasts the process.

    past.NUMBER    a part: the histories of some pools; the first has what is not of a pool, too

Each part stands for itself and says when it was saved: nothing is decided by them, so a part that
is lost costs a person the history of its pools and no more.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec.structs import replace

from controller.model.decoding import UndecodableError, decoded
from controller.model.tick import ShownPast
from controller.model.value import Value
from controller.nats.bucket import Bucket
from controller.ports import StoreConflictError, StoreMissingError

log = logging.getLogger(__name__)

PAST_VERSION: Final = 1
POOLS_IN_PART: Final = 200
"""Their histories are 600 kB at most before they are compressed."""
MOST_PAST_PARTS: Final = 256
MOST_PART_BYTES: Final = 4 * 2**20
"""Of one part before it is compressed."""
_LEVEL: Final = 1
_PREFIX: Final = "past"


class _PastPart(Value):
    version: int
    parts: int
    past: ShownPast


_PART: Final = msgspec.msgpack.Decoder(_PastPart)


class PastBucket:
    """Loads and saves the past; one save at a time."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._revisions: dict[str, int] = {}

    async def load(self) -> tuple[ShownPast, ...]:
        """What was saved last, in parts; what cannot be understood is left out. Raises
        StoreError.
        """
        found: list[ShownPast] = []
        number = parts = 0
        while number <= parts:
            part = await self._part(_key(number))
            if part is not None:
                found.append(part.past)
                parts = min(part.parts, MOST_PAST_PARTS) - 1
            number += 1
        return tuple(found)

    async def save(self, past: ShownPast) -> None:
        """Replace what was saved. Raises StoreConflictError when another process has saved since;
        the next save replaces that. Raises StoreError.
        """
        pieces = list(_pieces(past))
        for number, piece in enumerate(pieces):
            part = _PastPart(version=PAST_VERSION, parts=len(pieces), past=piece)
            value = zlib.compress(msgspec.msgpack.encode(part), _LEVEL)
            await self._put(_key(number), value)
        # the bucket keeps earlier values of a key, and a larger fleet's parts
        await self._bucket.purge(_PREFIX, before=self._revisions[_key(0)])

    async def _part(self, key: str) -> _PastPart | None:
        try:
            entry = await self._bucket.get(key)
        except StoreMissingError:
            return None
        if entry is None or entry.deleted:
            return None
        self._revisions[key] = entry.revision
        try:
            unpacker = zlib.decompressobj()
            content = unpacker.decompress(entry.value, MOST_PART_BYTES)
            part = decoded(_PART, content)
        except (zlib.error, UndecodableError) as error:
            log.info("a part of the fleet's past cannot be understood: %s", error)
            return None
        return part if part.version == PAST_VERSION else None

    async def _put(self, key: str, value: bytes) -> None:
        if key not in self._revisions:
            self._revisions[key] = await self._latest(key)
        try:
            self._revisions[key] = await self._bucket.put(
                key, value, expected=self._revisions.pop(key)
            )
        except StoreConflictError:
            raise StoreConflictError("another controller has saved the fleet's past") from None

    async def _latest(self, key: str) -> int:
        try:
            entry = await self._bucket.get(key)
        except StoreMissingError:
            return 0
        return 0 if entry is None else entry.revision


def _key(number: int) -> str:
    return f"{_PREFIX}.{number}"


def _pieces(past: ShownPast) -> Iterator[ShownPast]:
    pools = sorted(past.histories)[: POOLS_IN_PART * MOST_PAST_PARTS]
    for first in range(0, max(len(pools), 1), POOLS_IN_PART):
        histories = {key: past.histories[key] for key in pools[first : first + POOLS_IN_PART]}
        if first:
            yield ShownPast(at=past.at, histories=histories)
        else:
            yield replace(past, histories=histories)

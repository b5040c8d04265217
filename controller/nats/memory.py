"""The planner's memory in a bucket: in parts, each with the memory of some pools; see parted.py.

`memory.seen` is written again and again while what is saved stays true: so the next process knows
until when this one has watched, though nothing was saved for hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from controller.model.decoding import UndecodableError, decoded
from controller.model.ids import PoolKey
from controller.model.memory import Memory, PoolMemory
from controller.model.tick import SavedMemory
from controller.nats.bucket import Bucket
from controller.nats.parted import MOST_VALUE_BYTES, PART_BYTES, PartedValue
from controller.ports import StoreConflictError, StoreUnreadableError

VERSION: Final = 2
_NAME: Final = "memory"
_SEEN_KEY: Final = f"{_NAME}.seen"

_PART: Final = msgspec.json.Decoder(dict[PoolKey, PoolMemory])


class _Seen(msgspec.Struct):
    """What holds of the memory with this `head` (its revision); see `MemoryStore.seen`."""

    head: int
    is_partial: bool = False


_SEEN: Final = msgspec.json.Decoder(_Seen)


class MemoryBucket:
    """Loads and saves the memory; one save at a time."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._value = PartedValue(bucket, _NAME, version=VERSION)
        self._seen_revision: int | None = None

    async def load(self) -> SavedMemory | None:
        """What was saved last, complete; None if nothing was ever saved.

        Raises StoreUnreadableError for what is damaged or was written by a newer version;
        StoreError.
        """
        found = await self._value.load()
        if found is None:
            return None
        pools: dict[PoolKey, PoolMemory] = {}
        for part in found.parts:
            try:
                pools.update(decoded(_PART, part, most_bytes=MOST_VALUE_BYTES))
            except UndecodableError as error:
                raise StoreUnreadableError(f"a part of it cannot be understood: {error}") from None
        seen_at, is_partial = await self._last_seen()
        now = (await self._bucket.look()).at
        return SavedMemory(
            memory=Memory(pools=pools),
            saved_at=found.saved_at,
            age_s=None if now is None else now - found.stored_at,
            seen_s=None if now is None or seen_at is None else now - seen_at,
            is_partial=is_partial,
        )

    async def save(self, memory: Memory, now: float) -> None:
        """Replace what was saved, all of it or nothing.

        Raises StoreConflictError when another process has saved since this one last read the head;
        the next save replaces that memory. Raises StoreError.
        """
        await self._value.save(_encode_parts(memory), now)

    async def seen(self, *, is_partial: bool) -> None:
        """Note that what was saved is all there is to know until now, or that it `is_partial`.

        Raises StoreConflictError when another process has done so since this one last read or
        wrote it. Raises StoreError.
        """
        head = self._value.revision
        if head is None:
            raise StoreConflictError("it is not known which memory is stored")
        if self._seen_revision is None:
            await self._last_seen()
        expected, self._seen_revision = self._seen_revision or 0, None
        note = msgspec.json.encode(_Seen(head, is_partial))
        self._seen_revision = await self._bucket.put(_SEEN_KEY, note, expected=expected)

    async def _last_seen(self) -> tuple[float | None, bool]:
        """When (Unix seconds, by the store's clock) the memory whose head was read last was said to
        be all there is to know, and whether it is partial.
        """
        entry = await self._bucket.get(_SEEN_KEY)
        self._seen_revision = 0 if entry is None else entry.revision
        if entry is None or entry.deleted:
            return None, False
        try:
            seen = decoded(_SEEN, entry.value, most_bytes=MOST_VALUE_BYTES)
        except UndecodableError:
            return None, True
        # a note about an earlier memory says nothing of this one
        return (entry.at, seen.is_partial) if seen.head == self._value.revision else (None, False)


def _encode_parts(memory: Memory) -> Iterator[bytes]:
    """The pools in order, as many in a part as it holds. Each part is encoded when the one before
    has been written.
    """
    part: dict[PoolKey, msgspec.Raw] = {}
    size = 0
    for key in sorted(memory.pools):
        encoded = msgspec.json.encode(memory.pools[key])
        if part and size + len(encoded) > PART_BYTES:
            yield msgspec.json.encode(part)
            part, size = {}, 0
        part[key] = msgspec.Raw(encoded)
        size += len(encoded) + len(key)
    if part:
        yield msgspec.json.encode(part)

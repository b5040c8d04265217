"""The planner's memory in a bucket: in parts, each with the memory of some pools; see parted.py."""

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
from controller.ports import StoreUnreadableError

VERSION: Final = 2
_NAME: Final = "memory"

_PART: Final = msgspec.json.Decoder(dict[PoolKey, PoolMemory])


class MemoryBucket:
    """Loads and saves the memory; one save at a time."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._value = PartedValue(bucket, _NAME, version=VERSION)

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
        now = (await self._bucket.look()).at
        age_s = None if now is None else now - found.stored_at
        return SavedMemory(memory=Memory(pools=pools), saved_at=found.saved_at, age_s=age_s)

    async def save(self, memory: Memory, now: float) -> None:
        """Replace what was saved, all of it or nothing.

        Raises StoreConflictError when another process has saved since this one last read the head;
        the next save replaces that memory. Raises StoreError.
        """
        await self._value.save(_encode_parts(memory), now)


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

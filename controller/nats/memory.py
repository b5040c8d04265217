"""The planner's memory in a bucket: in parts, which one head entry makes valid all at once.

    memory.head             read first: when the memory was saved, and each part's revision
    memory.set.SET.NUMBER   a part: the memory of some pools; a SET is written once

An interrupted save does not change the previous head and its parts. nats-py's ObjectStore stores in
parts too, but without compare-and-set, which is needed to notice a second controller that saves.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Final

import msgspec

from controller.model.decoding import UndecodableError, decoded
from controller.model.ids import PoolKey
from controller.model.memory import Memory, PoolMemory
from controller.model.stored import SavedMemory
from controller.model.value import Value
from controller.nats.bucket import Bucket
from controller.ports.stores import StoreConflictError, StoreMissingError, StoreUnreadableError

VERSION: Final = 2
HEAD: Final = "memory.head"
PARTS: Final = "memory.set"
PART_BYTES: Final = 128 * 1024
"""A server takes 1 MB by default, and its answers are a third larger (base64)."""
MOST_VALUE_BYTES: Final = 2**20
"""Of one value: no server takes more by default, and none of ours is a fifth of it."""
READS: Final = 3
"""How often a load begins again because a save has replaced what it was reading."""


class _Head(Value):
    version: int
    saved_at: float
    parts: tuple[int, ...] = ()


class _Version(msgspec.Struct):
    """The field that the heads of all versions have."""

    version: int


_VERSIONED: Final = msgspec.json.Decoder(_Version)
_HEAD: Final = msgspec.json.Decoder(_Head)
_PART: Final = msgspec.json.Decoder(dict[PoolKey, PoolMemory])


class MemoryBucket:
    """Loads and saves the memory; one save at a time."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._head: int | None = None

    async def load(self) -> SavedMemory | None:
        """What was saved last, complete; None if nothing was ever saved.

        Raises StoreUnreadableError for what is damaged or was written by a newer version;
        StoreError.
        """
        for _ in range(READS):
            try:
                entry = await self._bucket.get(HEAD)
            except StoreMissingError:
                return None
            if entry is None or entry.deleted:
                return None
            self._head = entry.revision
            head = _decode_head(entry.value)
            pools = await self._parts(head)
            if pools is not None:
                now = (await self._bucket.look()).at
                age_s = None if now is None else now - entry.at
                return SavedMemory(memory=Memory(pools=pools), saved_at=head.saved_at, age_s=age_s)
        raise StoreUnreadableError("parts of it are missing")

    async def save(self, memory: Memory, now: float) -> None:
        """Replace what was saved, all of it or nothing.

        Raises StoreConflictError when another process has saved since this one last read the head;
        the next save replaces that memory. Raises StoreError.
        """
        if self._head is None:
            self._head = await self._latest_head()
        name = f"{PARTS}.{secrets.token_hex(8)}"
        revisions = [
            await self._bucket.put(f"{name}.{number}", part, expected=0)
            for number, part in enumerate(_encode_parts(memory))
        ]
        head = msgspec.json.encode(_Head(version=VERSION, saved_at=now, parts=tuple(revisions)))
        expected, self._head = self._head, None
        try:
            # after any failure it is not known whose head is stored, so the next save reads it
            self._head = await self._bucket.put(HEAD, head, expected=expected)
        except StoreConflictError:
            raise StoreConflictError(
                "another memory is stored: another controller runs, or the store was restored"
            ) from None
        # the previous set, and parts left by interrupted saves
        await self._bucket.purge(PARTS, before=revisions[0] if revisions else self._head)

    async def _latest_head(self) -> int:
        try:
            entry = await self._bucket.get(HEAD)
        except StoreMissingError:
            return 0
        return 0 if entry is None else entry.revision

    async def _parts(self, head: _Head) -> dict[PoolKey, PoolMemory] | None:
        """The pools of all parts; None if one was replaced meanwhile."""
        pools: dict[PoolKey, PoolMemory] = {}
        for revision in head.parts:
            entry = await self._bucket.at_revision(revision)
            if entry is None or not entry.key.startswith(PARTS):
                return None
            try:
                pools.update(decoded(_PART, entry.value, most_bytes=MOST_VALUE_BYTES))
            except UndecodableError as error:
                raise StoreUnreadableError(f"a part of it cannot be understood: {error}") from None
        return pools


def _decode_head(value: bytes) -> _Head:
    try:
        version = decoded(_VERSIONED, value, most_bytes=MOST_VALUE_BYTES).version
        if version == VERSION:
            return decoded(_HEAD, value, most_bytes=MOST_VALUE_BYTES)
    except UndecodableError as error:
        raise StoreUnreadableError(f"its head cannot be understood: {error}") from None
    raise StoreUnreadableError(f"it has format {version}, this program reads {VERSION}")


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

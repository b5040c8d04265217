"""A value of many parts in a bucket, which one head entry makes valid all at once.

    NAME.head             read first: its format, when it was saved, and each part's revision
    NAME.set.SET.NUMBER   a part; a SET is written once

An interrupted save does not change the previous head and its parts. nats-py's ObjectStore stores in
parts too, but without compare-and-set, which is needed to notice a second controller that saves.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from controller.model.decoding import UndecodableError, decoded
from controller.model.value import Value
from controller.nats.bucket import Bucket
from controller.ports import StoreConflictError, StoreMissingError, StoreUnreadableError

PART_BYTES: Final = 128 * 1024
"""A server takes 1 MB by default, and its answers are a third larger (base64)."""
MOST_VALUE_BYTES: Final = 2**20
"""Of one value: no server takes more by default, and none of ours is a fifth of it."""
MOST_PARTS: Final = 4096
READS: Final = 3
"""How often a load begins again because a save has replaced what it was reading."""


class Parted(NamedTuple):
    """What was saved: when (Unix seconds, by the clock of the process that saved it, and by the
    server's), and the parts.
    """

    saved_at: float
    stored_at: float
    parts: tuple[bytes, ...]


class _Head(Value):
    version: int
    saved_at: float
    parts: tuple[int, ...] = ()


class _Version(msgspec.Struct):
    """The field that the heads of all versions have."""

    version: int


_VERSIONED: Final = msgspec.json.Decoder(_Version)
_HEAD: Final = msgspec.json.Decoder(_Head)


def head_key(name: str) -> str:
    """Where the head of the value `name` is."""
    return f"{name}.head"


def parts_prefix(name: str) -> str:
    """Below which the parts of the value `name` are."""
    return f"{name}.set"


class PartedValue:
    """Loads and saves one value; one save at a time."""

    def __init__(self, bucket: Bucket, name: str, *, version: int) -> None:
        """`version` is the format of its parts."""
        self._bucket = bucket
        self._name = name
        self._version = version
        self._head: int | None = None

    @property
    def revision(self) -> int | None:
        """Of the head that this process has read or written last; None if that is not known."""
        return self._head

    async def load(self) -> Parted | None:
        """What was saved last, complete; None if nothing was ever saved.

        Raises StoreUnreadableError for what is damaged or has another format; StoreError.
        """
        for _ in range(READS):
            try:
                entry = await self._bucket.get(head_key(self._name))
            except StoreMissingError:
                return None
            if entry is None or entry.deleted:
                return None
            self._head = entry.revision
            head = self._decode_head(entry.value)
            parts = await self._parts(head)
            if parts is not None:
                return Parted(head.saved_at, entry.at, parts)
        raise StoreUnreadableError("parts of it are missing")

    async def save(self, parts: Iterable[bytes], now: float) -> int:
        """Replace what was saved, all of it or nothing; `now` is Unix seconds. Each part is taken
        when the one before has been written. The revision that it has then.

        Raises StoreConflictError when another process has saved since this one last read the head;
        the next save replaces that. Raises StoreError.
        """
        if self._head is None:
            self._head = await self._latest_head()
        name = f"{parts_prefix(self._name)}.{secrets.token_hex(8)}"
        revisions = [
            await self._bucket.put(f"{name}.{number}", part, expected=0)
            for number, part in enumerate(parts)
        ]
        head = msgspec.json.encode(
            _Head(version=self._version, saved_at=now, parts=tuple(revisions))
        )
        expected, self._head = self._head, None
        try:
            # after any failure it is not known whose head is stored, so the next save reads it
            saved = self._head = await self._bucket.put(
                head_key(self._name), head, expected=expected
            )
        except StoreConflictError:
            raise StoreConflictError(
                f"another {self._name} is stored: another controller runs, or the store was"
                " restored"
            ) from None
        # the previous set, and parts left by interrupted saves
        await self._bucket.purge(
            parts_prefix(self._name), before=revisions[0] if revisions else saved
        )
        return saved

    async def _latest_head(self) -> int:
        try:
            entry = await self._bucket.get(head_key(self._name))
        except StoreMissingError:
            return 0
        return 0 if entry is None else entry.revision

    async def _parts(self, head: _Head) -> tuple[bytes, ...] | None:
        """All parts; None if one was replaced meanwhile."""
        if len(head.parts) > MOST_PARTS:
            raise StoreUnreadableError(f"it has {len(head.parts):,} parts, {MOST_PARTS:,} at most")
        found: list[bytes] = []
        for revision in head.parts:
            entry = await self._bucket.at_revision(revision)
            if entry is None or not entry.key.startswith(f"{parts_prefix(self._name)}."):
                return None
            found.append(entry.value)
        return tuple(found)

    def _decode_head(self, value: bytes) -> _Head:
        try:
            version = decoded(_VERSIONED, value, most_bytes=MOST_VALUE_BYTES).version
            if version == self._version:
                return decoded(_HEAD, value, most_bytes=MOST_VALUE_BYTES)
        except UndecodableError as error:
            raise StoreUnreadableError(f"its head cannot be understood: {error}") from None
        raise StoreUnreadableError(f"it has format {version}, this program reads {self._version}")

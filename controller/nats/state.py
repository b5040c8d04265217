"""What a controller keeps in the bucket: values of many parts, which one head entry makes valid all
at once; the planner's memory, and beside it (NAME is `spent`) what tenants have spent; and who
leads, for fleets without Leases of Kubernetes.

    NAME.head             read first: its format, when it was saved, and each part's revision
    NAME.set.SET.NUMBER   a part; a SET is written once
    memory.seen           written again while what is saved stays true: so the next process knows
                          until when this one has watched
    lease                 the record of the process that leads

An interrupted save does not change the previous head and its parts. nats-py's ObjectStore stores in
parts too, but without compare-and-set, which is needed to notice a second controller that saves.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from controller.model.ids import PoolKey
from controller.model.intents import Intents
from controller.model.memory import Memory, PoolMemory, SavedMemory
from controller.model.observation import TenantSpent
from controller.model.settings import LeaseRecord, SeenLease
from controller.model.text import clean_name
from controller.model.value import UndecodableError, Value, decoded
from controller.nats.bucket import Bucket
from controller.nats.intents import read_intents
from controller.nats.session import NatsSession
from controller.ports import (
    StoreAwayError,
    StoreConflictError,
    StoreError,
    StoreMissingError,
    StoreRefusedError,
    StoreUnreadableError,
)

PART_BYTES: Final = 128 * 1024
"""A server takes 1 MB by default, and its answers are a third larger (base64)."""
MOST_VALUE_BYTES: Final = 2**20
"""Of one value: no server takes more by default, and none of ours is a fifth of it."""
MOST_PARTS: Final = 4096
MOST_BYTES: Final = 64 * 2**20
"""Of all parts: those of 10,000 pools have a third of it."""
READS: Final = 3
"""How often a load begins again because a save has replaced what it was reading."""


class Parted(NamedTuple):
    """When it was saved (Unix seconds, by its process and by the server), and the parts."""

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
        self.head: int | None = None
        """The revision of the head that this process has read or written last, if it is known."""

    async def load(self) -> Parted | None:
        """What was saved last, or None. Raises StoreError, also for damaged or other formats."""
        for _ in range(READS):
            try:
                entry = await self._bucket.get(head_key(self._name))
            except StoreMissingError:
                return None
            if entry is None or entry.deleted:
                return None
            self.head = entry.revision
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
        expected = self.head
        if expected is None:
            expected = 0
            with suppress(StoreMissingError):
                entry = await self._bucket.get(head_key(self._name))
                expected = 0 if entry is None else entry.revision
        name = f"{parts_prefix(self._name)}.{secrets.token_hex(8)}"
        revisions = [
            await self._bucket.put(f"{name}.{number}", part, expected=0)
            for number, part in enumerate(parts)
        ]
        head = msgspec.json.encode(
            _Head(version=self._version, saved_at=now, parts=tuple(revisions))
        )
        self.head = None
        try:
            # after any failure it is not known whose head is stored, so the next save reads it
            saved = self.head = await self._bucket.put(
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

    async def _parts(self, head: _Head) -> tuple[bytes, ...] | None:
        """All parts; None if one was replaced meanwhile."""
        if len(head.parts) > MOST_PARTS:
            raise StoreUnreadableError(f"it has {len(head.parts):,} parts, {MOST_PARTS:,} at most")
        found, size = list[bytes](), 0
        for revision in head.parts:
            entry = await self._bucket.at_revision(revision)
            if entry is None or not entry.key.startswith(f"{parts_prefix(self._name)}."):
                return None
            found.append(entry.value)
            if (size := size + len(entry.value)) > MOST_BYTES:
                raise StoreUnreadableError(f"it has more than {MOST_BYTES:,} bytes")
        return tuple(found)

    def _decode_head(self, value: bytes) -> _Head:
        try:
            version = decoded(_VERSIONED, value, most_bytes=MOST_VALUE_BYTES).version
            if version == self._version:
                return decoded(_HEAD, value, most_bytes=MOST_VALUE_BYTES)
        except UndecodableError as error:
            raise StoreUnreadableError(f"its head cannot be understood: {error}") from None
        raise StoreUnreadableError(f"it has format {version}, this program reads {self._version}")


VERSION: Final = 2
_NAME: Final = "memory"
_SEEN_KEY: Final = f"{_NAME}.seen"

_PART: Final = msgspec.json.Decoder(dict[PoolKey, PoolMemory])
_SPENT: Final = msgspec.json.Decoder(dict[str, TenantSpent])

log = logging.getLogger(__name__)


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
        self._spent_value = PartedValue(bucket, "spent", version=1)
        self._spent: dict[str, TenantSpent] | None = None
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
        for written in found.parts:
            try:
                part = decoded(_PART, written, most_bytes=MOST_VALUE_BYTES)
            except UndecodableError as error:
                raise StoreUnreadableError(f"a part of it cannot be understood: {error}") from None
            pools.update(part)
        seen_at, is_partial = await self._last_seen()
        now = (await self._bucket.look()).at
        return SavedMemory(
            memory=Memory(pools=pools, spent=await self._load_spent()),
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
        await self._value.save(_encode_parts(memory.pools), now)
        if memory.spent != self._spent and (memory.spent or self._spent):
            await self._spent_value.save(_encode_parts(memory.spent), now)
            self._spent = memory.spent

    async def _load_spent(self) -> dict[str, TenantSpent]:
        """What tenants have spent. What cannot be read of it is not worth the rest."""
        self._spent = None
        try:
            found = await self._spent_value.load()
            parts = () if found is None else found.parts
            spent: dict[str, TenantSpent] = {}
            for written in parts:
                part = decoded(_SPENT, written, most_bytes=MOST_VALUE_BYTES)
                spent.update(part)
        except (StoreUnreadableError, UndecodableError) as error:
            log.warning("what tenants have spent before cannot be read: %s", error)
            return {}
        return spent

    async def seen(self, *, is_partial: bool) -> None:
        """Note that what was saved is all there is to know until now, or that it `is_partial`.

        Raises StoreConflictError when another process has done so since this one last read or
        wrote it. Raises StoreError.
        """
        head = self._value.head
        if head is None:
            raise StoreConflictError("it is not known which memory is stored")
        if self._seen_revision is None:
            await self._last_seen()
        expected, self._seen_revision = self._seen_revision or 0, None
        note = msgspec.json.encode(_Seen(head, is_partial))
        self._seen_revision = await self._bucket.put(_SEEN_KEY, note, expected=expected)

    async def _last_seen(self) -> tuple[float | None, bool]:
        """When (by the store) this memory was all there is to know, and if it is partial."""
        entry = await self._bucket.get(_SEEN_KEY)
        self._seen_revision = 0 if entry is None else entry.revision
        if entry is None or entry.deleted:
            return None, False
        try:
            seen = decoded(_SEEN, entry.value, most_bytes=MOST_VALUE_BYTES)
        except UndecodableError:
            return None, True
        # a note about an earlier memory says nothing of this one
        return (entry.at, seen.is_partial) if seen.head == self._value.head else (None, False)


def _encode_parts(values: Mapping[Any, Value]) -> Iterator[bytes]:
    """The values in the order of keys, as many as fit in a part; encoded one at a time."""
    part: dict[str, msgspec.Raw] = {}
    size = 0
    for key in sorted(values):
        encoded = msgspec.json.encode(values[key])
        if part and size + len(encoded) > PART_BYTES:
            yield msgspec.json.encode(part)
            part, size = {}, 0
        part[key] = msgspec.Raw(encoded)
        size += len(encoded) + len(key)
    if part:
        yield msgspec.json.encode(part)


class StoredState(Value):
    """The memory saved last and the intents in force, and what could not be read of them."""

    saved_memory: SavedMemory | None = None
    memory_problem: str = ""
    intents: Intents = Intents()
    intent_problems: tuple[str, ...] = ()


async def read_stored_state(bucket: Bucket, *, with_memory: bool, timeout_s: float) -> StoredState:
    """Read both, each within the time. Never raises, never writes."""
    silent, state = f"no answer within {timeout_s:g} s", StoredState()
    if with_memory:
        try:
            async with asyncio.timeout(timeout_s):
                state = replace(state, saved_memory=await MemoryBucket(bucket).load())
        except (StoreError, TimeoutError) as error:
            state = replace(state, memory_problem=str(error) or silent)
    try:
        async with asyncio.timeout(timeout_s):
            stored = await read_intents(bucket)
    except (StoreError, TimeoutError) as error:
        why = f"cannot be read ({error})" if str(error) else f"gave {silent}"
        return replace(state, intent_problems=(f"{why}, so the plan has none",))
    problems = tuple(f"{fault.key} {fault.text}" for fault in stored.faults)
    return replace(state, intents=stored.in_force(), intent_problems=problems)


LEASE_KEY: Final = "lease"

_RECORD: Final = msgspec.json.Decoder(LeaseRecord)


class BucketLease:
    """The `Lease` port on a key without a TTL, which a server would judge by its clock."""

    def __init__(self, session: NatsSession, bucket: Bucket) -> None:
        self._session = session
        self._bucket = bucket

    @property
    def name(self) -> str:
        """What it is and where."""
        return f"key {LEASE_KEY} of {self._bucket}"

    async def read(self) -> SeenLease | None:
        """The value now; a deleted key has no holder, because a write must replace its marker."""
        with self._lease_errors():
            try:
                entry = await self._bucket.get(LEASE_KEY)
            except StoreMissingError:
                return None
        if entry is None:
            return None
        try:
            record = decoded(_RECORD, b"" if entry.deleted else entry.value)
        except UndecodableError:
            record = LeaseRecord(holder="", duration_s=0.0, acquired_at=0.0, renewed_at=0.0)
        return _seen(record, entry.revision)

    async def write(self, record: LeaseRecord, *, replaces: SeenLease | None) -> SeenLease:
        """Put it if the key has the version that was read. Creates the bucket if there is none."""
        expected = 0 if replaces is None else int(replaces.version)
        with self._lease_errors():
            if replaces is None:
                # `Bucket.put` cannot notice that there is no bucket, because the watch of another
                # process listens on the same subject
                try:
                    await self._bucket.look()
                except StoreMissingError:
                    await self._bucket.create()
            revision = await self._bucket.put(
                LEASE_KEY, msgspec.json.encode(record), expected=expected
            )
        return _seen(record, revision)

    async def watch(self, on_change: Callable[[], None]) -> None:
        """Call back at each new value. Without the right to subscribe, nothing is noticed."""
        await self._session.keep_listening(self._bucket.subject(LEASE_KEY), lambda _: on_change())

    @contextmanager
    def _lease_errors(self) -> Iterator[None]:
        try:
            yield
        except StoreConflictError as error:
            raise StoreConflictError(f"{self.name} was changed by another process") from error
        except StoreRefusedError as error:
            raise StoreRefusedError(f"{self.name}: {error}; the docs list the rights") from error
        except StoreError as error:
            raise StoreAwayError(f"{self.name}: {error}") from error


def _seen(record: LeaseRecord, revision: int) -> SeenLease:
    return SeenLease(
        holder=clean_name(record.holder),
        duration_s=record.duration_s,
        transitions=record.transitions,
        stamp=f"{record.acquired_at} {record.renewed_at}",
        version=str(revision),
    )

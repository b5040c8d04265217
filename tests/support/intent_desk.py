"""Writes operators' intents into a bucket, each as a replacement of one known revision, so that no
operator undoes unseen what another has just done.
"""

from __future__ import annotations

from typing import Final

import msgspec

from controller.model.ids import dns_label
from controller.model.intents import Pause, Pin, Scope
from controller.model.text import clean
from controller.model.value import Value
from controller.nats.bucket import Bucket, BucketEntry
from controller.nats.intent_codec import (
    PREFIX,
    Intent,
    IntentBody,
    IntentKey,
    IntentKind,
    decode_intent,
    key_of,
)
from controller.ports import StoreConflictError, StoreMissingError

VERSION: Final = 1


class StoredIntent(Value):
    """An intent as it is stored: the next writer names its revision as replaced."""

    intent: Intent
    revision: int
    at: float


class Withdrawal(Value):
    """What is left where an intent was: who took it away and why."""

    who: str = ""
    why: str = ""


_WITHDRAWAL: Final = msgspec.json.Decoder(Withdrawal)


class IntentConflictError(StoreConflictError):
    """Another operator was faster: `revision` is theirs, `by` and `at` (Unix seconds) say who and
    when, `intent` is what is stored now, None if it was taken away or cannot be read.
    """

    def __init__(self, *, intent: Intent | None, revision: int, by: str, at: float) -> None:
        super().__init__(f"changed meanwhile by {by or 'a writer without a name'}")
        self.intent = intent
        self.revision = revision
        self.by = by
        self.at = at


class IntentDesk:
    """Reads and writes intents one by one. Raises StoreError; after a StoreAwayError read again
    before writing again, because the write may have happened.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def read(self, kind: IntentKind, scope: Scope) -> StoredIntent | None:
        """The intent of this kind for this scope, if there is one. Raises ValueError for one that
        cannot be read.
        """
        key = IntentKey(kind, scope)
        entry = await self._entry(key)
        if entry is None or entry.deleted:
            return None
        intent = decode_intent(key, entry.value)
        return StoredIntent(intent=intent, revision=entry.revision, at=entry.at)

    async def put(self, intent: Intent, *, replaces: int | None) -> int:
        """Store it in place of the one with this revision, or where there is none; returns its
        revision. Raises IntentConflictError, and ValueError for names that no intent can have.
        """
        key = key_of(intent)
        text = key_text(key)
        expected = replaces if replaces is not None else await self._vacant(key)
        try:
            return await self._bucket.put(text, encode_intent(intent), expected=expected)
        except StoreConflictError:
            raise await self._conflict(key) from None

    async def withdraw(
        self, kind: IntentKind, scope: Scope, *, replaces: int, who: str = "", why: str = ""
    ) -> int:
        """Take the one with this revision away; returns the revision of what says so. Raises
        IntentConflictError.
        """
        key = IntentKey(kind, scope)
        note = msgspec.json.encode(Withdrawal(who=who, why=why))
        try:
            return await delete(self._bucket, key_text(key), expected=replaces, note=note)
        except StoreConflictError:
            raise await self._conflict(key) from None

    async def _entry(self, key: IntentKey) -> BucketEntry | None:
        try:
            return await self._bucket.get(key_text(key))
        except StoreMissingError:
            return None

    async def _vacant(self, key: IntentKey) -> int:
        """The revision to expect where nothing should be stored: that of a marker, or none."""
        entry = await self._entry(key)
        if entry is None:
            return 0
        if not entry.deleted:
            raise _conflict(key, entry)
        return entry.revision

    async def _conflict(self, key: IntentKey) -> StoreConflictError:
        entry = await self._entry(key)
        if entry is None:
            return StoreConflictError("what should be replaced is not there any longer")
        return _conflict(key, entry)


async def delete(bucket: Bucket, key: str, *, expected: int, note: bytes = b"") -> int:
    """Leave a marker with a note if the key's latest revision is `expected`; returns the new
    revision. Raises StoreConflictError.
    """
    headers = {"Nats-Expected-Last-Subject-Sequence": str(expected), "KV-Operation": "DEL"}
    return await bucket._publish(key, note, headers)


def key_text(key: IntentKey) -> str:
    """The key in the bucket. Raises ValueError for names that would leave their place, and for a
    pin of no pool.
    """
    kind, scope = key
    if scope.pool is not None:
        tenant, _, name = scope.pool.partition("/")
        names = [tenant, name]
    elif kind is IntentKind.PIN:
        raise ValueError("only a pool can be pinned")
    else:
        names = [] if scope.tenant is None else [scope.tenant]
    return ".".join([PREFIX, kind, *map(dns_label, names)])


def encode_intent(intent: Intent) -> bytes:
    """The value to write."""
    return msgspec.json.encode(
        IntentBody(
            version=VERSION,
            who=intent.who,
            why=intent.why,
            until=intent.until,
            replicas=intent.replicas if isinstance(intent, Pin) else None,
            keep=intent.keep if isinstance(intent, Pause) else None,
        )
    )


def _conflict(key: IntentKey, entry: BucketEntry) -> IntentConflictError:
    intent: Intent | None = None
    if entry.deleted:
        by = _withdrawal(entry).who
    else:
        try:
            intent = decode_intent(key, entry.value)
        except ValueError:
            by = ""
        else:
            by = intent.who
    return IntentConflictError(intent=intent, revision=entry.revision, by=by, at=entry.at)


def _withdrawal(entry: BucketEntry) -> Withdrawal:
    """Who took it away, as far as it is known: other tools leave no note."""
    try:
        left = _WITHDRAWAL.decode(entry.value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Withdrawal()
    return Withdrawal(who=clean(left.who), why=clean(left.why))

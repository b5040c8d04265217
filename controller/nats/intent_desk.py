"""Writes operators' intents into the bucket, and reads the audit of all changes back from it.

The audit is the history of the bucket's own stream: each change of an intent is one message, put in
place by compare-and-set, and it says who, what, why, until when and which revision it replaces. So
a change and its entry in the audit are written together or not at all, and a writer needs no other
right than the one to write the intent. A stream of its own for the audit would be a second write,
which a crash or a lost server can leave out; a stream that the server fills from the bucket
(sources, republish) follows with a delay and may miss a value that is replaced meanwhile.

The size is bounded for each intent (see bucket.HISTORY), so a script that changes one intent every
second pushes out nothing of the others. Messages cannot be deleted one by one (`deny_delete`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec.structs import replace

from controller.model.intents import (
    Audit,
    Intent,
    IntentChange,
    IntentKey,
    Operator,
    StandingIntent,
    asked_words,
    has_ended,
    key_words,
    time_words,
    until_words,
)
from controller.model.text import clean
from controller.nats.bucket import Bucket, BucketEntry
from controller.nats.intents import (
    PREFIX,
    Withdrawal,
    decode_body,
    decode_withdrawal,
    encode_intent,
    intent_of,
    key_text,
    parse_key,
    stands_for_intent,
)
from controller.ports import (
    IntentConflictError,
    StoreConflictError,
    StoreError,
    StoreMissingError,
    UndoRefusedError,
)

log = logging.getLogger(__name__)

_ALL = f"{PREFIX}.>"
_NAMELESS = "a writer without a name"


class BucketDesk:
    """An IntentDesk on the bucket. Whether an intent has ended is asked of the server's clock: an
    operator's own may be wrong by hours. What has ended is cleared away by the next write.
    """

    def __init__(self, bucket: Bucket, operator: Operator) -> None:
        self._bucket = bucket
        self._operator = replace(operator, who=clean(operator.who), origin=clean(operator.origin))

    async def standing(self) -> Sequence[StandingIntent]:
        """The intents in force, in the order of their keys; those that cannot be read are left out:
        the controller's findings name them.
        """
        try:
            now, entries = await self._now(), await self._entries()
        except StoreMissingError:
            return ()
        found = (_read(entry) for entry in entries if not entry.deleted)
        return tuple(each for each in found if each is not None and not has_ended(each.intent, now))

    async def find(self, key: IntentKey) -> StandingIntent | None:
        """The intent in force at this key."""
        try:
            now, entry = await self._now(), await self._bucket.get(key_text(key))
        except StoreMissingError:
            return None
        if entry is None or entry.deleted:
            return None
        if (read := _read(entry)) is None:
            raise _conflict(key, entry, now)
        return None if has_ended(read.intent, now) else read

    async def put(self, intent: Intent, *, replaces: int | None) -> IntentChange:
        """Ask for it in the operator's name."""
        why = clean(intent.why)
        intent = replace(intent, who=self._operator.who, why=why)
        return await self._replace(intent.key, intent, replaces, why)

    async def withdraw(self, key: IntentKey, *, replaces: int, why: str) -> IntentChange:
        """Take back the one with this revision."""
        return await self._replace(key, None, replaces, clean(why))

    async def audit(self) -> Audit:
        """The changes of all operators that are kept."""
        try:
            look = await self._bucket.look()
            entries = await self._bucket.history(_ALL)
        except StoreMissingError:
            return Audit()
        changes = sorted(_changes(entries, look.at), key=lambda change: change.at)
        return Audit(changes=tuple(changes), kept_of_each=look.history)

    async def undo(self, change: IntentChange) -> IntentChange:
        """Make what was before the change."""
        key = change.key
        try:
            now, entries = await self._now(), await self._bucket.history(key_text(key))
        except StoreMissingError:
            raise UndoRefusedError("there is nothing to undo: the bucket is gone") from None
        changes = list(_changes(entries, now))
        standing = _in_effect(changes)
        if standing is None or standing.expired or standing.revision != change.revision:
            raise UndoRefusedError(_changed_since(key, standing, now))
        if not change.is_whole:
            raise UndoRefusedError(
                f"what was before this change of {key_words(key)} is not known any longer"
            )
        before = change.before
        if before is not None and has_ended(before, now):
            before = None
        why = f"undo of revision {change.revision}"
        return await self._change(key, before, entries[-1], now, why, undoes=change.revision)

    async def _entries(self) -> list[BucketEntry]:
        return await self._bucket.entries(PREFIX, stands_for_intent)

    async def _now(self) -> float | None:
        return (await self._bucket.look()).at

    async def _latest(self, text: str) -> tuple[float | None, BucketEntry | None]:
        try:
            return await self._now(), await self._bucket.get(text)
        except StoreMissingError:
            return None, None

    async def _replace(
        self, key: IntentKey, intent: Intent | None, replaces: int | None, why: str
    ) -> IntentChange:
        now, entry = await self._latest(key_text(key))
        until = None if intent is None else intent.until
        if until is not None and now is not None and until <= now:
            ends, shows = time_words(until, now), time_words(now, now)
            raise ValueError(f"it ends {ends}, and the NATS server's clock shows {shows} already")
        _check_known(key, entry, replaces, now)
        return await self._change(key, intent, entry, now, why)

    async def _change(
        self,
        key: IntentKey,
        intent: Intent | None,
        before: BucketEntry | None,
        now: float | None,
        why: str,
        *,
        undoes: int | None = None,
    ) -> IntentChange:
        """Put the intent, or a marker for None, in place of what was before."""
        revision = await self._write(key, intent, before, why, undoes)
        await self._sweep(now)
        had, is_whole = _before(before)
        return IntentChange(
            revision=revision,
            at=0.0 if now is None else now,
            key=key,
            who=self._operator.who,
            origin=self._operator.origin,
            why=why,
            before=had,
            after=intent,
            undoes=undoes,
            is_whole=is_whole,
        )

    async def _write(
        self,
        key: IntentKey,
        intent: Intent | None,
        before: BucketEntry | None,
        why: str,
        undoes: int | None,
    ) -> int:
        text, operator = key_text(key), self._operator
        expected = 0 if before is None else before.revision
        replaces = expected or None
        try:
            if intent is None:
                note = Withdrawal(
                    who=operator.who,
                    why=why,
                    origin=operator.origin,
                    replaces=replaces,
                    undoes=undoes,
                )
                return await self._bucket.delete(
                    text, expected=expected, note=msgspec.json.encode(note)
                )
            value = encode_intent(
                intent,
                by=operator.who,
                origin=operator.origin,
                replaces=replaces,
                undoes=undoes,
            )
            return await self._bucket.put(text, value, expected=expected)
        except StoreConflictError:
            now, entry = await self._latest(text)
            raise _conflict(key, entry, now) from None

    async def _sweep(self, now: float | None) -> None:
        """Clear away what has ended; another writer who is faster has done it, or asked anew."""
        if now is None:
            return
        note = Withdrawal(
            who=self._operator.who, why="it had ended", origin=self._operator.origin, expired=True
        )
        try:
            for entry in await self._entries():
                read = None if entry.deleted else _read(entry)
                if read is None or not has_ended(read.intent, now):
                    continue
                left = msgspec.json.encode(replace(note, replaces=entry.revision))
                try:
                    await self._bucket.delete(entry.key, expected=entry.revision, note=left)
                except StoreConflictError:
                    continue
        except StoreError as error:
            # what was asked for is done, and what has ended is ignored wherever it stands
            log.warning("ended intents could not be cleared away: %s", error)


def _read(entry: BucketEntry) -> StandingIntent | None:
    try:
        body = decode_body(entry.value)
        intent = intent_of(parse_key(entry.key), body)
    except ValueError:
        return None
    return StandingIntent(
        intent=intent, revision=entry.revision, set_at=entry.at, origin=body.origin
    )


def _before(entry: BucketEntry | None) -> tuple[Intent | None, bool]:
    """The intent that stood there, and whether that is known."""
    if entry is None or entry.deleted:
        return None, True
    read = _read(entry)
    return None if read is None else read.intent, read is not None


def _check_known(
    key: IntentKey, entry: BucketEntry | None, replaces: int | None, now: float | None
) -> None:
    """Raises IntentConflictError if what is there is not what the operator knows."""
    if replaces is not None or entry is None:
        is_known = replaces == (None if entry is None else entry.revision)
    else:
        read = None if entry.deleted else _read(entry)
        is_known = entry.deleted or (read is not None and has_ended(read.intent, now))
    if not is_known:
        raise _conflict(key, entry, now)


def _conflict(key: IntentKey, entry: BucketEntry | None, now: float | None) -> IntentConflictError:
    if entry is None:
        return IntentConflictError(
            f"{key_words(key)} is not there any longer", standing=None, revision=0
        )
    at = time_words(entry.at, entry.at if now is None else now)
    revision = entry.revision
    if entry.deleted:
        left = decode_withdrawal(entry.value)
        words = (
            f"{key_words(key)} was taken back by {left.who or _NAMELESS} at {at}{_why(left.why)}"
        )
        return IntentConflictError(words, standing=None, revision=revision)
    read = _read(entry)
    if read is None:
        words = f"{key_words(key)} was written at {at} and cannot be read"
        return IntentConflictError(words, standing=None, revision=revision)
    asked = read.intent
    until = until_words(asked.until, entry.at if now is None else now)
    words = (
        f"{asked.who or _NAMELESS} was first, at {at}: {key_words(key)} is"
        f" {asked_words(asked)}, {until}{_why(asked.why)}"
    )
    return IntentConflictError(words, standing=read, revision=revision)


def _why(why: str) -> str:
    return f" ({why})" if why else ""


def _changes(entries: Iterable[BucketEntry], now: float | None) -> Iterator[IntentChange]:
    """Each entry as the change that it made, and the end of each intent that has ended by itself;
    entries of keys that stand for nothing are left out.
    """
    last: dict[str, BucketEntry] = {}
    for entry in entries:
        try:
            key = parse_key(entry.key)
        except ValueError:
            continue
        before = last.get(entry.key)
        ended = _ended(key, before, entry.at)
        change = _change(key, entry, before)
        if ended is None:
            yield change
        elif change.expired:  # the next writer cleared it away
            yield replace(ended, revision=change.revision)
        else:
            yield ended
            yield replace(change, before=None)
        last[entry.key] = entry
    for text, entry in last.items():
        if (ended := _ended(parse_key(text), entry, now)) is not None:
            yield ended


def _ended(key: IntentKey, entry: BucketEntry | None, now: float | None) -> IntentChange | None:
    """The end of the intent of this entry, if it has ended by itself at `now`."""
    read = None if entry is None or entry.deleted else _read(entry)
    if read is None or not has_ended(read.intent, now):
        return None
    return IntentChange(
        revision=read.revision,
        at=read.intent.until or 0.0,
        key=key,
        who=read.intent.who,
        origin=read.origin,
        why="it had ended",
        before=read.intent,
        expired=True,
    )


def _change(key: IntentKey, entry: BucketEntry, before: BucketEntry | None) -> IntentChange:
    had, is_whole = _before(before)
    change = IntentChange(revision=entry.revision, at=entry.at, key=key, before=had)
    if entry.deleted:
        left = decode_withdrawal(entry.value)
        is_whole = is_whole and not (before is None and left.replaces)
        return replace(
            change,
            who=left.who,
            origin=left.origin,
            why=left.why,
            undoes=left.undoes,
            expired=left.expired,
            is_whole=is_whole,
        )
    try:
        body = decode_body(entry.value)
        after = intent_of(key, body)
    except ValueError as error:
        return replace(change, why=clean(error), is_whole=is_whole)
    return replace(
        change,
        who=body.by or body.who,
        origin=body.origin,
        why=body.why if body.undoes is None else f"undo of revision {body.undoes}",
        after=after,
        undoes=body.undoes,
        is_whole=is_whole and not (before is None and body.replaces),
    )


def _in_effect(changes: Sequence[IntentChange]) -> IntentChange | None:
    """The change of one intent that is in effect: the last, and where that took back another, the
    one before the other.
    """
    by_revision = {change.revision: number for number, change in enumerate(changes)}
    number = len(changes) - 1
    while number >= 0:
        undone = changes[number].undoes
        if undone is None:
            return changes[number]
        number = by_revision.get(undone, 0) - 1
    return None


def _changed_since(key: IntentKey, standing: IntentChange | None, now: float | None) -> str:
    if standing is None:
        return f"{key_words(key)} was taken back already"
    at = time_words(standing.at, standing.at if now is None else now)
    if standing.expired:
        return f"{key_words(key)} has ended by itself at {at}"
    return (
        f"{standing.who or _NAMELESS} has changed {key_words(key)} since,"
        f" at {at}{_why(standing.why)}"
    )

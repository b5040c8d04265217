"""The desk at which operators ask: what an intent would change now, writing it, the audit of all
changes, and undo.

What it would change, and what a pool would have without its rules and will have next, is asked of
the controller: one request on `BUCKET.effects`, one answer. The question is JSON (the key of the
intent as in the bucket, and its value; or the key of a pool), the answer compressed MessagePack. A
question changes nothing; it costs the controller a few plans, so it answers one after the other,
and leaves those beyond a few unanswered.

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

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final, Literal

import msgspec
from msgspec.structs import replace
from nats.aio.msg import Msg

from controller.model.clock import time_words
from controller.model.fleet import Fleet
from controller.model.ids import PoolKey
from controller.model.intents import (
    NAMELESS,
    Audit,
    Intent,
    IntentChange,
    IntentKey,
    Intents,
    Operator,
    StandingIntent,
    asked_words,
    has_ended,
    key_words,
    until_words,
)
from controller.model.memory import Memory, Tick
from controller.model.text import clean
from controller.model.value import Value, decoded
from controller.nats.bucket import Bucket, BucketEntry
from controller.nats.intents import (
    PREFIX,
    Note,
    ReadIntent,
    decode_intent,
    encode_intent,
    key_text,
    parse_key,
    read_entry,
)
from controller.nats.jetstream import NatsError, UnreadableAnswerError
from controller.nats.session import NatsSession
from controller.planning.whatif import Effect, Inputs, Outlook, effect_of, outlook_of
from controller.ports import (
    Foreseen,
    IntentConflictError,
    NoEffectError,
    StoreConflictError,
    StoreError,
    StoreMissingError,
    UndoRefusedError,
)
from controller.record.chain import packed, unpacked

log = logging.getLogger(__name__)


class BucketDesk:
    """An IntentDesk on the bucket. Whether an intent has ended is asked of the server's clock: an
    operator's own may be wrong by hours. What has ended is cleared away by the next write.
    """

    def __init__(self, bucket: Bucket, operator: Operator) -> None:
        self._bucket = bucket
        self._who, self._origin = clean(operator.who), clean(operator.origin)

    async def standing(self) -> Sequence[StandingIntent]:
        """Intents in force, in the order of keys; the findings name unreadable ones."""
        try:
            now, reads = (await self._bucket.look()).at, await self._all()
        except StoreMissingError:
            return ()
        found = (read.standing for read in reads if not read.had_ended(now))
        return tuple(each for each in found if each is not None)

    async def find(self, key: IntentKey) -> StandingIntent | None:
        """The intent in force at this key."""
        now, read = await self._latest(key)
        if read is not None and read.problem:
            raise _conflict(key, read, now)
        return None if read is None or read.had_ended(now) else read.standing

    async def put(self, intent: Intent, *, replaces: int | None) -> IntentChange:
        """Ask for it in the operator's name."""
        intent = replace(intent, who=self._who, why=clean(intent.why))
        now, read = await self._latest(intent.key)
        if now is not None and has_ended(intent, now):
            ends, shows = time_words(intent.until or 0.0, now), time_words(now, now)
            raise ValueError(f"it ends {ends}, and the NATS server's clock shows {shows} already")
        _check_known(intent.key, read, replaces, now)
        return await self._change(intent.key, intent, read, now, intent.why)

    async def withdraw(self, key: IntentKey, *, replaces: int, why: str) -> IntentChange:
        """Take back the one with this revision."""
        now, read = await self._latest(key)
        _check_known(key, read, replaces or None, now)
        return await self._change(key, None, read, now, clean(why))

    async def audit(self) -> Audit:
        """The changes of all operators that are kept."""
        try:
            look = await self._bucket.look()
            entries = await self._bucket.history(f"{PREFIX}.>")
        except StoreMissingError:
            return Audit()
        changes = sorted(_changes(entries, look.at), key=lambda change: change.at)
        return Audit(changes=tuple(changes), kept_of_each=look.history)

    async def undo(self, change: IntentChange) -> IntentChange:
        """Make what was before the change."""
        key = change.key
        try:
            now = (await self._bucket.look()).at
            entries = await self._bucket.history(key_text(key))
        except StoreMissingError:
            raise UndoRefusedError("there is nothing to undo: the bucket is gone") from None
        standing = _in_effect(list(_changes(entries, now)))
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
        return await self._change(
            key, before, read_entry(entries[-1]), now, why, undoes=change.revision
        )

    async def _all(self) -> list[ReadIntent]:
        def stands_for_intent(key: str) -> bool:
            try:
                parse_key(key)
            except ValueError:
                return False
            return True

        return list(_read_all(await self._bucket.entries(PREFIX, stands_for_intent)))

    async def _latest(self, key: IntentKey) -> tuple[float | None, ReadIntent | None]:
        """The server's time, and what stands at this key."""
        text = key_text(key)
        try:
            now, entry = (await self._bucket.look()).at, await self._bucket.get(text)
        except StoreMissingError:
            return None, None
        return now, None if entry is None else read_entry(entry)

    async def _change(
        self,
        key: IntentKey,
        intent: Intent | None,
        before: ReadIntent | None,
        now: float | None,
        why: str,
        *,
        undoes: int | None = None,
    ) -> IntentChange:
        """Put the intent, or a marker for None, in place of what was before."""
        text, expected = key_text(key), 0 if before is None else before.entry.revision
        note = Note(
            who=self._who, why=why, origin=self._origin, replaces=expected or None, undoes=undoes
        )
        value = msgspec.json.encode(note) if intent is None else encode_intent(intent, note)
        try:
            if intent is None:
                revision = await self._bucket.delete(text, expected=expected, note=value)
            else:
                revision = await self._bucket.put(text, value, expected=expected)
        except StoreConflictError:
            now, read = await self._latest(key)
            raise _conflict(key, read, now) from None
        if now is not None:
            await self._sweep(now)
        written = BucketEntry(
            key=text, value=value, revision=revision, at=now or 0.0, deleted=intent is None
        )
        return _change(read_entry(written), before)

    async def _sweep(self, now: float) -> None:
        """Clear away what has ended; another writer who is faster has done it, or asked anew."""
        note = Note(who=self._who, why="it had ended", origin=self._origin, expired=True)
        try:
            for read in await self._all():
                if not read.had_ended(now):
                    continue
                revision = read.entry.revision
                left = msgspec.json.encode(replace(note, replaces=revision))
                try:
                    await self._bucket.delete(read.entry.key, expected=revision, note=left)
                except StoreConflictError:
                    continue
        except StoreError as error:
            # what was asked for is done, and what has ended is ignored wherever it stands
            log.warning("ended intents could not be cleared away: %s", error)


def _read_all(entries: Iterable[BucketEntry]) -> Iterator[ReadIntent]:
    """Those that stand for intents."""
    for entry in entries:
        with suppress(ValueError):
            yield read_entry(entry)


def _check_known(
    key: IntentKey, read: ReadIntent | None, replaces: int | None, now: float | None
) -> None:
    """Raises IntentConflictError if what is there is not what the operator knows."""
    revision = None if read is None else read.entry.revision
    if replaces is not None or read is None:
        is_known = replaces == revision
    else:
        is_known = read.entry.deleted or read.had_ended(now)
    if not is_known:
        raise _conflict(key, read, now)


def _conflict(key: IntentKey, read: ReadIntent | None, now: float | None) -> IntentConflictError:
    if read is None:
        return IntentConflictError(
            f"{key_words(key)} is not there any longer", standing=None, revision=0
        )
    entry, standing = read.entry, read.standing
    shown = entry.at if now is None else now
    at = time_words(entry.at, shown)
    if entry.deleted:
        who, why = read.note.who or NAMELESS, _why(read.note.why)
        words = f"{key_words(key)} was taken back by {who} at {at}{why}"
    elif standing is None:
        words = f"{key_words(key)} was written at {at} and cannot be read"
    else:
        asked = standing.intent
        words = (
            f"{asked.who or NAMELESS} was first, at {at}: {key_words(key)} is"
            f" {asked_words(asked)}, {until_words(asked.until, shown)}{_why(asked.why)}"
        )
    return IntentConflictError(words, standing=standing, revision=entry.revision)


def _why(why: str) -> str:
    return f" ({why})" if why else ""


def _changes(entries: Iterable[BucketEntry], now: float | None) -> Iterator[IntentChange]:
    """Each entry as the change it made, and the end of each intent that has ended by itself."""
    last: dict[IntentKey, ReadIntent] = {}
    for read in _read_all(entries):
        before, change = last.get(read.key), _change(read, last.get(read.key))
        last[read.key] = read
        if before is None or not before.had_ended(read.entry.at):
            yield change
        elif change.expired:  # the next writer cleared it away
            yield replace(_end(before), revision=change.revision)
        else:
            yield _end(before)
            yield replace(change, before=None)
    yield from (_end(read) for read in last.values() if read.had_ended(now))


def _end(read: ReadIntent) -> IntentChange:
    """The end of this entry's intent, which has ended by itself."""
    intent = read.intent
    return IntentChange(
        revision=read.entry.revision,
        at=0.0 if intent is None else intent.until or 0.0,
        key=read.key,
        who=read.note.who,
        origin=read.note.origin,
        why="it had ended",
        before=intent,
        expired=True,
    )


def _change(read: ReadIntent, before: ReadIntent | None) -> IntentChange:
    note = read.note
    is_undo = read.intent is not None and note.undoes is not None
    return IntentChange(
        revision=read.entry.revision,
        at=read.entry.at,
        key=read.key,
        who=note.by or note.who,
        origin=note.origin,
        why=f"undo of revision {note.undoes}" if is_undo else note.why,
        before=None if before is None else before.intent,
        after=read.intent,
        undoes=note.undoes,
        expired=note.expired,
        is_whole=not note.replaces if before is None else not before.problem,
        problem=read.problem,
    )


def _in_effect(changes: Sequence[IntentChange]) -> IntentChange | None:
    """The change of one intent in effect: the last, or the one before what it took back."""
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
        f"{standing.who or NAMELESS} has changed {key_words(key)} since,"
        f" at {at}{_why(standing.why)}"
    )


# -- what an intent would change --------------------------------------------------------------

EFFECT_ANSWER_S: Final = 3.0
MOST_QUESTIONS: Final = 8
MOST_QUESTION_BYTES: Final = 16 * 1024
MOST_EFFECT_BYTES: Final = 4 * 2**20
"""10,000 pools that all change have 2 MB."""

_NOTHING: Final = msgspec.Raw(b"null")


class _Question(Value):
    """`key` and `intent`: what would this change? `pool`, if it is there: what of this pool?"""

    version: Literal[1]
    key: str = ""
    intent: msgspec.Raw = _NOTHING
    pool: str = ""


class _Answer(Value):
    """`problem` says why there is neither an effect nor an outlook."""

    now: float = 0.0
    effect: Effect | None = None
    standing: Intent | None = None
    outlook: Outlook | None = None
    problem: str = ""


_QUESTION: Final = msgspec.json.Decoder(_Question)
_ANSWER: Final = msgspec.msgpack.Decoder(_Answer)


def effects_subject(bucket: str) -> str:
    """Where the controller of the fleet with this bucket is asked."""
    return f"{bucket}.effects"


async def ask_effect(
    session: NatsSession, bucket: str, key: IntentKey, intent: Intent | None
) -> Foreseen:
    """Ask the controller elsewhere. Raises NatsError where none answers, NoEffectError."""
    value = _NOTHING if intent is None else msgspec.Raw(encode_intent(intent))
    answer = await _asked(session, bucket, _Question(version=1, key=key_text(key), intent=value))
    if answer.effect is None:
        raise NoEffectError(clean(answer.problem) or "the controller did not say what changes")
    return Foreseen(answer.effect, answer.now, answer.standing)


async def ask_outlook(session: NatsSession, bucket: str, pool: PoolKey) -> Outlook:
    """Ask the controller elsewhere. Raises NatsError where none answers, NoEffectError."""
    answer = await _asked(session, bucket, _Question(version=1, pool=pool))
    if answer.outlook is None:
        raise NoEffectError(clean(answer.problem) or "the controller did not say what follows")
    return answer.outlook


async def _asked(session: NatsSession, bucket: str, question: _Question) -> _Answer:
    data = await session.request(
        effects_subject(bucket), msgspec.json.encode(question), timeout_s=EFFECT_ANSWER_S
    )
    try:
        return decoded(_ANSWER, b"".join(unpacked(data, MOST_EFFECT_BYTES)))
    except ValueError as error:
        raise UnreadableAnswerError(f"an effect that cannot be read: {clean(error, 80)}") from None


class EffectAnswers:
    """What would change, from what is known already: some plans, made beside the engine's loop,
    which goes on ticking. `run` answers those who ask over NATS.

    `look` gives what a tick of `fleet` would plan from now, None before the first tick; `standing`
    what operators have asked for.
    """

    def __init__(
        self,
        session: NatsSession,
        bucket: str,
        fleet: Callable[[], Fleet],
        look: Callable[[], Tick | None],
        standing: Callable[[], Iterable[Intent]] = lambda: (),
    ) -> None:
        self._session = session
        self._subject = effects_subject(bucket)
        self._fleet = fleet
        self._look = look
        self._standing = standing
        self._asked: asyncio.Queue[Msg] = asyncio.Queue(MOST_QUESTIONS)

    async def foresee(self, key: IntentKey, intent: Intent | None) -> Foreseen:
        """What changes if it is asked for, or taken back (None). Raises NoEffectError at first."""
        given = self._given()
        effect = await asyncio.to_thread(effect_of, key, intent, **given)
        standing = next((each for each in self._standing() if each.key == key), None)
        return Foreseen(effect, given["now"], standing)

    async def look_ahead(self, pool: PoolKey) -> Outlook:
        """A pool without each of its rules, and its next change. Raises NoEffectError."""
        outlook = await asyncio.to_thread(outlook_of, pool, **self._given())
        if outlook is None:
            raise NoEffectError(f"the controller does not decide {clean(pool, 80)}")
        return outlook

    def _given(self) -> Inputs:
        tick = self._look()
        if tick is None:
            raise NoEffectError("the controller has not seen the fleet yet; try again in a moment")
        return {
            "observation": tick.observation,
            "fleet": self._fleet(),
            "intents": tick.intents or Intents(),
            "memory": tick.memory or Memory(),
            "now": tick.now,
        }

    async def run(self) -> None:
        """Answer until cancelled."""
        async with asyncio.TaskGroup() as group:
            listening = self._session.keep_listening(self._subject, self._take)
            group.create_task(listening, name="effects asked for")
            group.create_task(self._answer_all(), name="effects")

    def _take(self, message: Msg) -> None:
        if not message.reply or len(message.data) > MOST_QUESTION_BYTES:
            return
        try:
            self._asked.put_nowait(message)
        except asyncio.QueueFull:
            log.debug("a question is left unanswered: %d wait", MOST_QUESTIONS)

    async def _answer_all(self) -> None:
        while True:
            message = await self._asked.get()
            answer = packed(msgspec.msgpack.encode(await self._answer(message.data)), 0)
            try:
                await self._session.send(message.reply, answer)
            except NatsError as error:
                log.debug("an effect was not answered: %s", error)

    async def _answer(self, data: bytes) -> _Answer:
        try:
            question = decoded(_QUESTION, data, most_bytes=MOST_QUESTION_BYTES)
            if question.pool:
                outlook = await self.look_ahead(PoolKey(question.pool))
                return _Answer(now=outlook.now, outlook=outlook)
            key, intent = parse_key(question.key), None
            if question.intent != _NOTHING:
                intent, _ = decode_intent(key, bytes(question.intent))
            found = await self.foresee(key, intent)
        except (ValueError, NoEffectError) as error:
            return _Answer(problem=clean(error, 200))
        if not isinstance(found.effect, Effect):
            return _Answer(problem="only an estimate is known")
        return _Answer(now=found.now, effect=found.effect, standing=found.standing)

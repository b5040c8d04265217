"""Operators' intents in their bucket: how they are stored, and those in force now."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable, Collection, Mapping
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from controller.model.ids import dns_label, pool_key
from controller.model.intents import (
    Intent,
    IntentFault,
    IntentKey,
    IntentKind,
    Intents,
    Scope,
    StandingIntent,
    StoredIntents,
    has_ended,
)
from controller.model.text import clean
from controller.model.value import DayTokens, Moment, Replicas, Value, decoded
from controller.nats.bucket import Bucket, BucketEntry
from controller.nats.follow import BucketWatch
from controller.nats.jetstream import NatsError
from controller.nats.session import NatsSession
from controller.ports import Clock, StoreMissingError

PREFIX: Final = "intent"
UNREADABLE: Final = "its value cannot be read"
MOST_INTENT_BYTES: Final = 16 * 1024
"""Of one value: an intent has some hundred bytes, and a reason as long as a page fits."""
KEY_SHOWN: Final = 160
FAULTS_SHOWN: Final = 20
"""Each is a finding and a series of the metrics; of more, only the number is told."""
_OF_POOLS: Final = frozenset({IntentKind.PIN, IntentKind.CAP})


class Note(Value):
    """A value as it is stored: what is asked for, and who wrote it. Where an intent was taken away,
    it is what the marker says of that, without a version.

    `who` asks for it, or took it away. `by` wrote it, where that is somebody else: an undo puts an
    intent back that was another operator's. `origin` is where the writer came from, `replaces` the
    revision that was there before, `undoes` the revision of the change that this one takes back.
    `expired`: the intent had ended, and this writer only cleared it away.
    """

    version: Literal[0, 1] = 0
    who: str = ""
    why: str = ""
    until: Moment | None = None
    replicas: Replicas | None = None
    keep: Replicas | None = None
    tokens: DayTokens | None = None
    by: str = ""
    origin: str = ""
    expired: bool = False
    replaces: int | None = None
    undoes: int | None = None


_NOTE: Final = msgspec.json.Decoder(Note)


def parse_key(key: str) -> IntentKey:
    """What a key of the bucket stands for. Raises ValueError."""
    prefix, _, rest = key.partition(".")
    word, *names = rest.split(".")
    if prefix != PREFIX or word not in list(IntentKind) or len(names) > 2:
        raise ValueError("stands for no intent")
    kind = IntentKind(word)
    checked = [dns_label(name) for name in names]
    if kind in _OF_POOLS and len(checked) != 2:
        raise ValueError(f"only a pool can have a {kind}")
    if kind is IntentKind.BUDGET and len(checked) != 1:
        raise ValueError("only a tenant can have a budget")
    if len(checked) == 2:
        return IntentKey(kind, Scope(pool=pool_key(checked[0], checked[1])))
    return IntentKey(kind, Scope(tenant=checked[0] if checked else None))


def key_text(key: IntentKey) -> str:
    """The key in the bucket. Raises ValueError for odd names, and for a scope it cannot have."""
    kind, scope = key
    if scope.pool is not None:
        tenant, _, name = scope.pool.partition("/")
        names = [tenant, name]
    else:
        names = [] if scope.tenant is None else [scope.tenant]
    text = ".".join([PREFIX, kind, *map(dns_label, names)])
    parse_key(text)
    return text


def decode_intent(key: IntentKey, value: bytes) -> tuple[Intent, Note]:
    """The intent that this value states at this key, its texts cleaned. Raises ValueError."""
    try:
        note = _decode_note(value)
        if not note.version:
            raise ValueError("it has no version")
        amounts = {IntentKind.PAUSE: note.keep, IntentKind.BUDGET: note.tokens}
        intent = Intent(
            kind=key.kind,
            scope=key.scope,
            amount=amounts.get(key.kind, note.replicas),
            until=note.until,
            who=note.who,
            why=note.why,
        )
    except ValueError as error:
        raise ValueError(f"{UNREADABLE}: {error}") from None
    return intent, note


def encode_intent(intent: Intent, note: Note | None = None) -> bytes:
    """The value to write. `note` says who writes it, from where, and what it replaces."""
    note = note or Note()
    return msgspec.json.encode(
        replace(
            note,
            version=1,
            who=intent.who,
            why=intent.why,
            until=intent.until,
            replicas=intent.amount if intent.kind in _OF_POOLS else None,
            keep=intent.amount if intent.kind is IntentKind.PAUSE else None,
            tokens=intent.amount if intent.kind is IntentKind.BUDGET else None,
            by="" if note.who == intent.who else note.who,
        )
    )


def _decode_note(value: bytes) -> Note:
    """Raises ValueError."""
    note = decoded(_NOTE, value, most_bytes=MOST_INTENT_BYTES)
    texts = {name: clean(getattr(note, name)) for name in ("who", "why", "by", "origin")}
    return replace(note, **texts)


class ReadIntent(NamedTuple):
    """An entry of an intent; none where it was taken away or is unreadable (`problem`)."""

    key: IntentKey
    entry: BucketEntry
    intent: Intent | None
    note: Note = Note()
    problem: str = ""

    @property
    def standing(self) -> StandingIntent | None:
        """The intent as it is stored."""
        if self.intent is None:
            return None
        entry = self.entry
        return StandingIntent(
            intent=self.intent,
            revision=entry.revision,
            set_at=entry.at,
            origin=self.note.origin,
        )

    def had_ended(self, now: float | None) -> bool:
        """Whether its intent has ended by itself."""
        return self.intent is not None and has_ended(self.intent, now)


def read_entry(entry: BucketEntry) -> ReadIntent:
    """What an entry says. Raises ValueError for a key that stands for no intent."""
    key = parse_key(entry.key)
    try:
        if not entry.deleted:
            return ReadIntent(key, entry, *decode_intent(key, entry.value))
        return ReadIntent(key, entry, None, _decode_note(entry.value))
    except ValueError as error:
        # other tools leave no note where they delete
        return ReadIntent(key, entry, None, problem="" if entry.deleted else clean(error))


# -- what is in force -------------------------------------------------------------------------

_STAYS: Final = {
    IntentKind.PIN: "the pin of {} before it stays",
    IntentKind.CAP: "the cap of {} before it stays",
    IntentKind.BUDGET: "the budget of {} tokens before it stays",
}


def _interpret(entry: BucketEntry, last: Intent | None) -> tuple[Intent | None, str]:
    """The intent that an entry stands for, and what is wrong with it; empty if nothing is.

    An entry that cannot be read leaves things as they are: a freeze freezes, a pause freezes too
    (work is neither stopped nor started on a guess), and a pin, a cap and a budget keep their last
    value. Without one, what is capped or has a budget does not grow.
    """
    try:
        read = read_entry(entry)
    except ValueError as error:
        return None, f"is ignored: the key {error}"
    kind, why = read.key.kind, read.problem
    if not why:
        return read.intent, ""
    if last is not None and last.kind is kind and kind in _STAYS:
        return last, f"{why}; {_STAYS[kind].format(last.count)}"
    if kind is IntentKind.PIN:
        return None, f"{why}; nothing is pinned"
    freezes = kind in (IntentKind.PAUSE, IntentKind.FREEZE)
    held = IntentKind.FREEZE if freezes else IntentKind.NO_GROWTH
    effect = "it freezes" if freezes else "nothing grows"
    intent = Intent(kind=held, scope=read.key.scope, why=f"a {kind} that cannot be read")
    return intent, f"{why}; {effect} until it is corrected or deleted"


class _Known:
    """What the entries of a bucket ask for, and what is wrong with them, by their keys."""

    def __init__(self) -> None:
        self.intents: dict[str, Intent] = {}
        self.faults: dict[str, str] = {}

    def take(self, entry: BucketEntry) -> None:
        """This entry stands in place of what its key held before."""
        self.faults.pop(entry.key, None)
        last = self.intents.pop(entry.key, None)
        if entry.deleted:
            return
        intent, fault = _interpret(entry, last)
        if intent is not None:
            self.intents[entry.key] = intent
        if fault:
            self.faults[entry.key] = fault

    def stored(self, *, kept: int = 0) -> StoredIntents:
        """All by kind, then by key, and the first faults; `kept` are not in the present bucket."""
        kinds = list(IntentKind)
        in_order = [self.intents[key] for key in sorted(self.intents)]
        in_order.sort(key=lambda each: kinds.index(each.kind))
        first = heapq.nsmallest(FAULTS_SHOWN, self.faults.items())
        return StoredIntents(
            intents=Intents(asked=tuple(in_order)),
            faults=tuple(IntentFault(key=clean(key, KEY_SHOWN), text=text) for key, text in first),
            more_faults=len(self.faults) - len(first),
            kept=kept,
            read=True,
        )


class IntentBucket(BucketWatch):
    """The intents in the bucket, kept up to date while `run` runs.

    While the bucket cannot be read, the last known intents stay in force and none of them ends. Of
    a bucket that was restored or made anew, every key counts whose value was written later than
    what is known of it; intents that it has no newer word of stay in force, and a finding says so.
    """

    def __init__(self, session: NatsSession, bucket: Bucket, clock: Clock) -> None:
        what = "operators' intents"
        super().__init__(session, bucket, clock, what, keys=f"{PREFIX}.>", may_begin_anew=False)
        self._known = _Known()
        self._written_at: dict[str, float] = {}
        self._kept: set[str] = set()
        self._older: Collection[str] = ()  # keys of which a restored bucket has an older value
        self._before: dict[str, Intent] | None = None
        self._first = asyncio.Event()
        self._callback: Callable[[Collection[Scope]], None] = lambda *_: None
        self._stored = StoredIntents(lost_at=clock.now(), detail="not read yet")

    def stored(self) -> StoredIntents:
        """The intents as far as they are known now."""
        return self._stored

    async def first_read(self) -> None:
        """Return once they were read for the first time."""
        await self._first.wait()

    def on_change(self, callback: Callable[[Collection[Scope]], None]) -> None:
        """Call back, the last one given, with the scopes whose intents came, went or changed."""
        self._callback = callback

    def found(self, entries: Mapping[str, BucketEntry], *, is_another: bool) -> None:
        """These are all the keys there are."""
        super().found(entries, is_another=is_another)
        known, before = self._known, dict(self._known.intents)
        doubted = entries if is_another else self._older
        newer = {
            key: entry
            for key, entry in entries.items()
            if key not in doubted or entry.at > self._written_at.get(key, -math.inf)
        }
        self._older = entries.keys() - newer.keys()
        if is_another:
            self._kept |= before.keys() - newer.keys()
        stays = entries.keys() | self._kept
        known.intents = {key: each for key, each in known.intents.items() if key in stays}
        known.faults = {key: text for key, text in known.faults.items() if key in self._kept}
        for entry in newer.values():
            self._learn(entry)
        self._first.set()
        self._publish(before)

    def changed(self, entry: BucketEntry) -> None:
        """One intent came, went or changed. Of many at once, the last one publishes them."""
        if self._before is None:
            self._before = dict(self._known.intents)
            asyncio.get_running_loop().call_soon(self._publish_changes)
        self._learn(entry)

    def lost(self, error: NatsError) -> None:
        """Changes are not seen from now on."""
        super().lost(error)
        if self.loss is not None:
            lost_at, stored = self._stored.lost_at, self._stored
            lost_at = self.loss.at if lost_at is None else lost_at
            self._stored = replace(stored, lost_at=lost_at, detail=self.loss.detail)

    def _learn(self, entry: BucketEntry) -> None:
        self._written_at[entry.key] = entry.at
        self._kept.discard(entry.key)
        self._known.take(entry)

    def _publish_changes(self) -> None:
        before, self._before = self._before, None
        self._publish(before or {})

    def _publish(self, before: Mapping[str, Intent]) -> None:
        after, self._stored = self._known.intents, self._known.stored(kept=len(self._kept))
        concerned = {
            intent.key.scope: None
            for key in sorted(before.keys() | after.keys())
            if before.get(key) != after.get(key)
            for intent in (before.get(key), after.get(key))
            if intent is not None
        }
        if concerned:
            self._callback(list(concerned))


async def read_intents(bucket: Bucket) -> StoredIntents:
    """The intents in the bucket now, read once without following them. Raises StoreError."""
    known = _Known()
    try:
        for entry in await bucket.entries(PREFIX):
            known.take(entry)
    except StoreMissingError:
        pass
    return known.stored()

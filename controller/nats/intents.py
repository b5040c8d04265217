"""Operators' intents, read from the bucket and kept up to date."""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
from collections.abc import Callable, Collection, Mapping
from typing import Final, Literal

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
    StoredIntents,
)
from controller.model.readings import Why
from controller.model.text import clean
from controller.model.value import DayTokens, Moment, Replicas, UndecodableError, Value, decoded
from controller.nats.bucket import Bucket, BucketEntry, BucketWatch
from controller.nats.session import NatsSession
from controller.ports import Clock, StoreMissingError

log = logging.getLogger(__name__)

PREFIX: Final = "intent"
UNREADABLE: Final = "its value cannot be read"
MOST_INTENT_BYTES: Final = 16 * 1024
"""Of one value: an intent has some hundred bytes, and a reason as long as a page fits."""
_OF_POOLS: Final = frozenset({IntentKind.PIN, IntentKind.CAP})


class IntentBody(Value):
    """An intent's value as it is stored: what is asked for, and who wrote it.

    `who` asks for it. `by` wrote it, where that is somebody else: an undo puts an intent back that
    was another operator's. `origin` is where the writer came from, `replaces` the revision that was
    there before, `undoes` the revision of the change that this one takes back.
    """

    version: Literal[1]
    who: str = ""
    why: str = ""
    until: Moment | None = None
    replicas: Replicas | None = None
    keep: Replicas | None = None
    tokens: DayTokens | None = None
    by: str = ""
    origin: str = ""
    replaces: int | None = None
    undoes: int | None = None


class Withdrawal(Value):
    """What is left where an intent was: who took it away and why. `expired`: it had ended, and this
    writer only cleared it away.
    """

    who: str = ""
    why: str = ""
    origin: str = ""
    expired: bool = False
    replaces: int | None = None
    undoes: int | None = None


_BODY: Final = msgspec.json.Decoder(IntentBody)
_WITHDRAWAL: Final = msgspec.json.Decoder(Withdrawal)


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


def stands_for_intent(key: str) -> bool:
    """Whether `parse_key` knows it."""
    try:
        parse_key(key)
    except ValueError:
        return False
    return True


def key_text(key: IntentKey) -> str:
    """The key in the bucket. Raises ValueError for names that would leave their place, and for a
    scope that this kind of intent cannot have.
    """
    kind, scope = key
    if scope.pool is not None:
        tenant, _, name = scope.pool.partition("/")
        names = [tenant, name]
    else:
        names = [] if scope.tenant is None else [scope.tenant]
    text = ".".join([PREFIX, kind, *map(dns_label, names)])
    parse_key(text)
    return text


def decode_body(value: bytes) -> IntentBody:
    """A value as it is stored, its texts cleaned. Raises ValueError."""
    try:
        body = decoded(_BODY, value, most_bytes=MOST_INTENT_BYTES)
    except UndecodableError as error:
        raise ValueError(f"{UNREADABLE}: {error}") from None
    return msgspec.structs.replace(
        body, who=clean(body.who), why=clean(body.why), by=clean(body.by), origin=clean(body.origin)
    )


def intent_of(key: IntentKey, body: IntentBody) -> Intent:
    """The intent that this body states at this key. Raises ValueError."""
    numbers = {IntentKind.PAUSE: body.keep, IntentKind.BUDGET: body.tokens}
    number = numbers.get(key.kind, body.replicas)
    try:
        return Intent(
            kind=key.kind,
            scope=key.scope,
            amount=number,
            until=body.until,
            who=body.who,
            why=body.why,
        )
    except ValueError as error:
        raise ValueError(f"{UNREADABLE}: {error}") from None


def encode_intent(
    intent: Intent,
    *,
    by: str = "",
    origin: str = "",
    replaces: int | None = None,
    undoes: int | None = None,
) -> bytes:
    """The value to write."""
    return msgspec.json.encode(
        IntentBody(
            version=1,
            who=intent.who,
            why=intent.why,
            until=intent.until,
            replicas=intent.amount if intent.kind in _OF_POOLS else None,
            keep=intent.amount if intent.kind is IntentKind.PAUSE else None,
            tokens=intent.amount if intent.kind is IntentKind.BUDGET else None,
            by="" if by == intent.who else by,
            origin=origin,
            replaces=replaces,
            undoes=undoes,
        )
    )


def decode_withdrawal(value: bytes) -> Withdrawal:
    """Who took it away, as far as it is known: other tools leave no note."""
    try:
        left = decoded(_WITHDRAWAL, value, most_bytes=MOST_INTENT_BYTES)
    except UndecodableError:
        return Withdrawal()
    return msgspec.structs.replace(
        left, who=clean(left.who), why=clean(left.why), origin=clean(left.origin)
    )


KEY_SHOWN: Final = 160
FAULTS_SHOWN: Final = 20
"""Each is a finding and a series of the metrics; of more, only the number is told."""


class _Read:
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

    def keep(self, is_kept: Callable[[str], bool], is_right: Callable[[str], bool]) -> None:
        """Forget the intents of other keys than these, and the faults of others than those."""
        self.intents = {key: each for key, each in self.intents.items() if is_kept(key)}
        self.faults = {key: text for key, text in self.faults.items() if is_right(key)}

    def stored(self, *, kept: int = 0) -> StoredIntents:
        """All of them by kind, then in the order of the keys, and the first of the faults. `kept`:
        as many are not in the bucket that is there now.
        """
        kinds, read = list(IntentKind), self.intents
        values = sorted(
            (read[key] for key in sorted(read)), key=lambda each: kinds.index(each.kind)
        )
        first = heapq.nsmallest(FAULTS_SHOWN, self.faults.items())
        return StoredIntents(
            intents=Intents(asked=tuple(values)),
            faults=tuple(IntentFault(key=clean(key, KEY_SHOWN), text=text) for key, text in first),
            more_faults=len(self.faults) - len(first),
            kept=kept,
            read=True,
        )


def _interpret(entry: BucketEntry, last: Intent | None) -> tuple[Intent | None, str]:
    """The intent that an entry stands for, and what is wrong with it; empty if nothing is.

    An entry that cannot be read leaves things as they are: a freeze freezes, a pause freezes too
    (work is neither stopped nor started on a guess), and a pin, a cap and a budget keep their last
    value. Without one, what is capped or has a budget does not grow.
    """
    try:
        key = parse_key(entry.key)
    except ValueError as error:
        return None, f"is ignored: the key {error}"
    try:
        return intent_of(key, decode_body(entry.value)), ""
    except ValueError as error:
        return _replacement(key, last, str(error))


_STAYS: Final = {
    IntentKind.PIN: "the pin of {} before it stays",
    IntentKind.CAP: "the cap of {} before it stays",
    IntentKind.BUDGET: "the budget of {} tokens before it stays",
}
_UNTIL: Final = "until it is corrected or deleted"


def _replacement(key: IntentKey, last: Intent | None, why: str) -> tuple[Intent | None, str]:
    kind = key.kind
    if last is not None and last.kind is kind and kind in _STAYS:
        return last, f"{why}; {_STAYS[kind].format(last.count)}"
    if kind is IntentKind.PIN:
        return None, f"{why}; nothing is pinned"
    freezes = kind in (IntentKind.PAUSE, IntentKind.FREEZE)
    held = IntentKind.FREEZE if freezes else IntentKind.NO_GROWTH
    effect = "it freezes" if freezes else "nothing grows"
    intent = Intent(kind=held, scope=key.scope, why=f"a {kind} that cannot be read")
    return intent, f"{why}; {effect} {_UNTIL}"


class IntentBucket:
    """The intents in the bucket, kept up to date while `run` runs.

    While the bucket cannot be read, the last known intents stay in force and none of them ends. Of
    a bucket that was restored or made anew, every key counts whose value was written later than
    what is known of it; intents that it has no newer word of stay in force, and a finding says so.
    """

    def __init__(self, session: NatsSession, bucket: Bucket, clock: Clock) -> None:
        self._clock = clock
        self._watch = BucketWatch(session, bucket, f"{PREFIX}.>", self, clock)
        self._read = _Read()
        self._written_at: dict[str, float] = {}
        self._kept: set[str] = set()
        self._before: dict[str, Intent] | None = None
        self._first = asyncio.Event()
        self._is_loss_logged = False
        self._callback: Callable[[Collection[Scope]], None] = lambda *_: None
        self._stored = StoredIntents(lost_at=clock.now(), detail="not read yet")

    async def run(self) -> None:
        """Follow them until cancelled."""
        await self._watch.run()

    def stored(self) -> StoredIntents:
        """The intents as far as they are known now."""
        return self._stored

    async def first_read(self) -> None:
        """Return once they were read for the first time."""
        await self._first.wait()

    def on_change(self, callback: Callable[[Collection[Scope]], None]) -> None:
        """Call back with the scopes whose intents came, went or changed. There is one callback: the
        last one given.
        """
        self._callback = callback

    def found(self, entries: Mapping[str, BucketEntry], *, is_another: bool) -> None:
        """These are all the keys there are."""
        before = dict(self._read.intents)
        if is_another:
            self._kept.update(key for key in before if not self._is_newer(entries.get(key)))
        self._read.keep(
            lambda key: key in entries or key in self._kept, lambda key: key in self._kept
        )
        for entry in entries.values():
            if not is_another or self._is_newer(entry):
                self._take(entry)
        if self._is_loss_logged:
            log.info("operators' intents can be read again")
        self._is_loss_logged = False
        self._first.set()
        self._publish(before)

    def changed(self, entry: BucketEntry) -> None:
        """One intent came, went or changed. Of many at once, the last one publishes them."""
        if self._before is None:
            self._before = dict(self._read.intents)
            asyncio.get_running_loop().call_soon(self._publish_changes)
        self._take(entry)

    def lost(self, reason: str, _: Why) -> None:
        """Changes are not seen from now on."""
        if not self._is_loss_logged:
            log.warning("operators' intents cannot be read: %s", reason)
        self._is_loss_logged = True
        lost_at = self._stored.lost_at
        if lost_at is None:
            lost_at = self._clock.now()
        self._stored = replace(self._stored, lost_at=lost_at, detail=clean(reason))

    def _is_newer(self, entry: BucketEntry | None) -> bool:
        """Whether it was written later than what is known of its key."""
        return entry is not None and entry.at > self._written_at.get(entry.key, -math.inf)

    def _take(self, entry: BucketEntry) -> None:
        self._written_at[entry.key] = entry.at
        self._kept.discard(entry.key)
        self._read.take(entry)

    def _publish_changes(self) -> None:
        before, self._before = self._before, None
        self._publish(before or {})

    def _publish(self, before: Mapping[str, Intent]) -> None:
        after = self._read.intents
        self._stored = self._read.stored(kept=len(self._kept))
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
    try:
        entries = await bucket.entries(PREFIX)
    except StoreMissingError:
        return StoredIntents(read=True)
    read = _Read()
    for entry in entries:
        read.take(entry)
    return read.stored()

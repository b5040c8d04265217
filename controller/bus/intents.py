"""What operators ask for, followed in the bucket as it changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping

from msgspec.structs import replace

from controller.bus.intent_codec import PREFIX, Intent, place_of
from controller.bus.intent_reading import note, standing
from controller.bus.kv import Entry, KeyValue
from controller.bus.session import NatsSession
from controller.bus.watch import KeyWatch
from controller.model.intents import Scope
from controller.model.kept import Standing
from controller.model.text import clean
from controller.ports import Clock, StoreMissingError

log = logging.getLogger(__name__)


class IntentBoard:
    """The intents that stand in the bucket, kept up to date while `run` runs.

    While the bucket cannot be read the last known ones stand, and none of them ends.
    """

    def __init__(self, session: NatsSession, kv: KeyValue, clock: Clock) -> None:
        self._clock = clock
        self._watch = KeyWatch(session, kv, PREFIX, self)
        self._read: dict[str, Intent] = {}
        self._faults: dict[str, str] = {}
        self._first = asyncio.Event()
        self._told = False
        self._callbacks: list[Callable[[Collection[Scope]], None]] = []
        self._standing = Standing(lost_at=clock.now(), detail="not read yet")

    async def run(self) -> None:
        """Follow them until cancelled."""
        await self._watch.run()

    def standing(self) -> Standing:
        """The intents as far as they are known now."""
        return self._standing

    async def first_read(self) -> None:
        """Return once they were read for the first time."""
        await self._first.wait()

    def on_change(self, callback: Callable[[Collection[Scope]], None]) -> None:
        """Call back with what is concerned when intents came, went or changed."""
        self._callbacks.append(callback)

    def found(self, entries: Mapping[str, Entry]) -> None:
        """These are all there are."""
        before = self._read
        known = {key: intent for key, intent in before.items() if key in entries}
        self._read, self._faults = known, {}
        for entry in entries.values():
            self._take(entry)
        if self._told:
            log.info("operators' intents can be read again")
        self._told = False
        self._first.set()
        self._publish(before)

    def changed(self, entry: Entry) -> None:
        """One came, went or changed."""
        before = dict(self._read)
        self._take(entry)
        self._publish(before)

    def lost(self, words: str) -> None:
        """Nobody knows what changes from now on."""
        if not self._told:
            log.warning("operators' intents cannot be read: %s", words)
        self._told = True
        lost_at = self._standing.lost_at
        if lost_at is None:
            lost_at = self._clock.now()
        self._standing = replace(self._standing, lost_at=lost_at, detail=clean(words))

    def _take(self, entry: Entry) -> None:
        self._faults.pop(entry.key, None)
        last = self._read.pop(entry.key, None)
        if not entry.deleted:
            note(entry, last, self._read, self._faults)

    def _publish(self, before: Mapping[str, Intent]) -> None:
        after = self._read
        self._standing = standing(after, self._faults)
        concerned = {
            place_of(intent).scope: None
            for key in sorted(before.keys() | after.keys())
            if before.get(key) != after.get(key)
            for intent in (before.get(key), after.get(key))
            if intent is not None
        }
        if concerned:
            for callback in self._callbacks:
                callback(list(concerned))


async def read_intents(kv: KeyValue) -> Standing:
    """The intents that stand now, read once without following them. Raises StoreError."""
    try:
        entries = await kv.entries(PREFIX)
    except StoreMissingError:
        return Standing(read=True)
    read: dict[str, Intent] = {}
    faults: dict[str, str] = {}
    for entry in entries:
        if not entry.deleted:
            note(entry, None, read, faults)
    return standing(read, faults)

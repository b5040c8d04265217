"""Operators' intents, read from the bucket and kept up to date."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Mapping

from msgspec.structs import replace

from controller.model.intents import Intent, Scope, key_of
from controller.model.readings import Why
from controller.model.stored import StoredIntents
from controller.model.text import clean
from controller.nats.bucket import Bucket, BucketEntry
from controller.nats.bucket_watch import BucketWatch
from controller.nats.intent_codec import PREFIX
from controller.nats.intent_reading import collect, read_entry
from controller.nats.session import NatsSession
from controller.ports.clock import Clock
from controller.ports.stores import StoreMissingError

log = logging.getLogger(__name__)


class IntentBucket:
    """The intents in the bucket, kept up to date while `run` runs.

    While the bucket cannot be read, the last known intents stay in force and none of them ends. Of
    a bucket that was restored or made anew, every key counts whose value was written later than
    what is known of it; intents that it has no newer word of stay in force, and a finding says so.
    """

    def __init__(self, session: NatsSession, bucket: Bucket, clock: Clock) -> None:
        self._clock = clock
        self._watch = BucketWatch(session, bucket, f"{PREFIX}.>", self, clock)
        self._read: dict[str, Intent] = {}
        self._faults: dict[str, str] = {}
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
        before = dict(self._read)
        if is_another:
            self._kept.update(key for key in self._read if not self._is_newer(entries.get(key)))
        self._read = {key: self._read[key] for key in before if key in entries or key in self._kept}
        self._faults = {key: text for key, text in self._faults.items() if key in self._kept}
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
            self._before = dict(self._read)
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
        self._faults.pop(entry.key, None)
        last = self._read.pop(entry.key, None)
        if not entry.deleted:
            read_entry(entry, last, self._read, self._faults)

    def _publish_changes(self) -> None:
        before, self._before = self._before, None
        self._publish(before or {})

    def _publish(self, before: Mapping[str, Intent]) -> None:
        after = self._read
        self._stored = collect(after, self._faults, kept=len(self._kept))
        concerned = {
            key_of(intent).scope: None
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
    read: dict[str, Intent] = {}
    faults: dict[str, str] = {}
    for entry in entries:
        if not entry.deleted:
            read_entry(entry, None, read, faults)
    return collect(read, faults)

"""Where operators put down what they ask for: each write names what it replaces, so nobody undoes
unseen what another has just done.
"""

from __future__ import annotations

from controller.bus.intent_codec import (
    Intent,
    Kind,
    Place,
    StoredIntent,
    Withdrawal,
    decode_intent,
    decode_withdrawal,
    encode_intent,
    encode_withdrawal,
    key_of,
    place_of,
)
from controller.bus.kv import Entry, KeyValue
from controller.model.intents import Scope
from controller.ports import StoreConflictError, StoreMissingError


class IntentConflictError(StoreConflictError):
    """Somebody else was faster: `revision` is theirs, `by` and `at` (Unix seconds) say who and
    when, `intent` is what stands there now, None if it was taken away or cannot be read.
    """

    def __init__(self, *, intent: Intent | None, revision: int, by: str, at: float) -> None:
        super().__init__(f"changed meanwhile by {by or 'somebody who left no name'}")
        self.intent = intent
        self.revision = revision
        self.by = by
        self.at = at


class IntentDesk:
    """Reads and writes intents one by one. Raises StoreError; after a StoreAwayError read again
    before writing again, for the write may have happened.
    """

    def __init__(self, kv: KeyValue) -> None:
        self._kv = kv

    async def read(self, kind: Kind, scope: Scope) -> StoredIntent | None:
        """The intent of this kind for this scope, if there is one. Raises ValueError for one that
        cannot be read.
        """
        place = Place(kind, scope)
        entry = await self._entry(place)
        if entry is None or entry.deleted:
            return None
        intent = decode_intent(place, entry.value)
        return StoredIntent(intent=intent, revision=entry.revision, at=entry.at)

    async def put(self, intent: Intent, *, replaces: int | None) -> int:
        """Put it down in place of the one with this revision, or where there is none; returns its
        revision. Raises IntentConflictError, and ValueError for names that no intent can have.
        """
        place = place_of(intent)
        key = key_of(place)
        expected = replaces if replaces is not None else await self._vacant(place)
        try:
            return await self._kv.put(key, encode_intent(intent), expected=expected)
        except StoreConflictError:
            raise await self._conflict(place) from None

    async def withdraw(
        self, kind: Kind, scope: Scope, *, replaces: int, who: str = "", why: str = ""
    ) -> int:
        """Take the one with this revision away; returns the revision of what says so. Raises
        IntentConflictError.
        """
        place = Place(kind, scope)
        note = encode_withdrawal(Withdrawal(who=who, why=why))
        try:
            return await self._kv.delete(key_of(place), expected=replaces, note=note)
        except StoreConflictError:
            raise await self._conflict(place) from None

    async def _entry(self, place: Place) -> Entry | None:
        try:
            return await self._kv.get(key_of(place))
        except StoreMissingError:
            return None

    async def _vacant(self, place: Place) -> int:
        """The revision to expect where nothing should stand: that of a marker, or none."""
        entry = await self._entry(place)
        if entry is None:
            return 0
        if not entry.deleted:
            raise _conflict(place, entry)
        return entry.revision

    async def _conflict(self, place: Place) -> StoreConflictError:
        entry = await self._entry(place)
        if entry is None:
            return StoreConflictError("what should be replaced is not there any longer")
        return _conflict(place, entry)


def _conflict(place: Place, entry: Entry) -> IntentConflictError:
    intent: Intent | None = None
    if entry.deleted:
        by = decode_withdrawal(entry).who
    else:
        try:
            intent = decode_intent(place, entry.value)
        except ValueError:
            by = ""
        else:
            by = intent.who
    return IntentConflictError(intent=intent, revision=entry.revision, by=by, at=entry.at)

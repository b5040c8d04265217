"""The dead letters of a pool: tasks that cannot be read or whose tries are used up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
from nats.js import JetStreamContext
from nats.js.api import Header, RawStreamMsg
from nats.js.errors import NotFoundError

from agentdash.worker.errors import (
    StoreUnavailableError,
    UnreadableStoreError,
    UnreadableTaskError,
)
from agentdash.worker.results import TaskStatus
from agentdash.worker.stores import Results
from agentdash.worker.streams import DEAD_PREFIX, DEAD_STREAM
from agentdash.worker.task import (
    ID_RULE,
    TERMS_HEADER,
    header_json,
    is_task_id,
    read_terms_again,
)
from controller.model.decoding import UndecodableError, decoded
from controller.model.text import clean

_HEADER: Final = "Agentdash-Dead"
LIST_MOST: Final = 1_000


class DeathNote(msgspec.Struct, frozen=True, kw_only=True):
    """Why a message is dead and where it came from. `at` is in Unix seconds."""

    id: str
    reason: str
    at: float
    subject: str
    stream: str
    sequence: int
    attempts: int
    worker: str


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter: its number in the stream of dead letters, its note, its body and its terms."""

    number: int
    note: DeathNote
    body: bytes
    terms: str = ""


_NOTE: Final = msgspec.json.Decoder(DeathNote)


class DeadList(NamedTuple):
    """The oldest dead letters of a pool, the oldest first. `foreign` says of each message among
    them that is no dead letter which it is; `has_more` whether there are younger letters.
    """

    letters: tuple[DeadLetter, ...]
    foreign: tuple[str, ...] = ()
    has_more: bool = False


class DeadLetters:
    """The dead letters of one pool. All methods raise nats.errors.Error."""

    def __init__(self, stream: JetStreamContext, tenant: str, pool: str) -> None:
        self._stream = stream
        self._subject = f"{DEAD_PREFIX}.{tenant}.{pool}"
        self.subjects = f"{self._subject}.>"
        """The subjects of all of them."""

    async def bury(self, note: DeathNote, body: bytes, headers: Mapping[str, str] | None) -> None:
        """Keep a message. The same message twice is one letter."""
        kept = {_HEADER: header_json(note)}
        terms = (headers or {}).get(TERMS_HEADER)
        if terms is not None:
            kept[TERMS_HEADER] = terms
        kept[Header.MSG_ID.value] = f"dead.{note.stream}.{note.sequence}"
        await self._stream.publish(f"{self._subject}.{note.id}", body, headers=kept)

    async def list(self, most: int = LIST_MOST) -> DeadList:
        """The oldest of them, at most so many."""
        letters: list[DeadLetter] = []
        foreign: list[str] = []
        number = 1
        while True:
            try:
                message = await self._stream.get_msg(
                    DEAD_STREAM, seq=number, subject=self.subjects, next=True
                )
            except NotFoundError:
                return DeadList(tuple(letters), tuple(foreign))
            if len(letters) + len(foreign) == most:
                return DeadList(tuple(letters), tuple(foreign), has_more=True)
            try:
                letters.append(_letter(message))
            except UnreadableStoreError as error:
                foreign.append(str(error))
            number = (message.seq or 0) + 1

    async def get(self, task: str) -> DeadLetter | None:
        """The newest letter of this task; None if there is none. Raises UnreadableStoreError if
        another message is in its place.
        """
        try:
            message = await self._stream.get_last_msg(DEAD_STREAM, f"{self._subject}.{task}")
        except NotFoundError:
            return None
        return _letter(message)

    async def retry(self, letter: DeadLetter, results: Results) -> bool:
        """Give the task to its queue again, with all its tries, and remove the letter. It goes on
        from its checkpoint, if it has one. False, and nothing is done, if it has another result.
        Raises StoreUnavailableError, and nothing is done, if its terms cannot be read.
        """
        try:
            before = {TERMS_HEADER: letter.terms} if letter.terms else {}
            again = read_terms_again(before, letter.note.id)
        except UnreadableTaskError as error:
            raise StoreUnavailableError(
                f"{letter.note.id} cannot be given again: {error}; give its body to the pool as a "
                "new task (agentdash submit)"
            ) from None
        stored = await results.get(letter.note.id)
        if stored is not None and (
            stored.result.status is not TaskStatus.DEAD or not await results.forget(stored)
        ):
            return False
        headers = {
            TERMS_HEADER: header_json(again),
            Header.MSG_ID.value: f"retry.{letter.number}",
        }
        await self._stream.publish(letter.note.subject, letter.body, headers=headers)
        await self._stream.delete_msg(DEAD_STREAM, letter.number)
        return True


def _letter(message: RawStreamMsg) -> DeadLetter:
    """A message as a dead letter. Raises UnreadableStoreError."""
    headers = message.headers or {}
    try:
        note = decoded(_NOTE, headers.get(_HEADER, "").encode(errors="replace"))
        if not is_task_id(note.id):
            raise UndecodableError(ID_RULE)
    except UndecodableError as error:
        raise UnreadableStoreError(
            f"message {message.seq} of {DEAD_STREAM} ({clean(message.subject)}) is no dead letter "
            f"of a worker: {error}; to delete it: nats stream rmm {DEAD_STREAM} {message.seq}"
        ) from None
    return DeadLetter(
        number=message.seq or 0,
        note=note,
        body=message.data or b"",
        terms=headers.get(TERMS_HEADER, ""),
    )

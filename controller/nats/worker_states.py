"""What workers say they do, read from their bucket and kept up to date."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Final, NamedTuple

import msgspec

from controller.model.decoding import UndecodableError, decoded
from controller.model.ids import PoolKey, pool_key
from controller.model.readings import Why
from controller.model.text import clean, clean_name
from controller.model.worker_messages import GONE_AFTER_S, MARK_LENGTH, MOST_MARKS, WorkerState
from controller.nats.bucket import BucketEntry
from controller.ports import Clock

log = logging.getLogger(__name__)

_LATEST: Final = 1e11
"""No time of this millennium is later, in Unix seconds."""
_STATE: Final = msgspec.json.Decoder(WorkerState)
MOST_STATE_BYTES: Final = 64 * 1024
"""What one worker may say of itself; a state with all marks has some hundred bytes."""


class Loss(NamedTuple):
    """Why a bucket cannot be followed, and since when (Unix seconds)."""

    why: Why
    detail: str
    at: float


class WorkerStates:
    """Listens to the bucket of workers.

    The bucket is kept in memory, so it may be lost and filled again. A worker is forgotten only
    when it says so, or when it has said nothing for `GONE_AFTER_S`. Who cannot be understood counts
    as busy.
    """

    def __init__(
        self, clock: Clock, changed: Callable[[PoolKey, WorkerState | None], None]
    ) -> None:
        """`changed` is called with a pool and the new state of one of its workers, None if it has
        gone.
        """
        self._clock = clock
        self._steady: Callable[[], float] = clock.monotonic
        self._changed = changed
        self._states: dict[PoolKey, dict[str, WorkerState]] = {}
        self._heard: OrderedDict[str, float] = OrderedDict()
        self.answered = asyncio.Event()
        self.is_found = False
        self.loss: Loss | None = None

    def of(self, pool: PoolKey) -> Mapping[str, WorkerState]:
        """The states of this pool's workers."""
        return self._states.get(pool, {})

    def expire(self) -> None:
        """Forget the workers of which nothing was heard for too long. While the bucket cannot be
        followed, nobody is forgotten.
        """
        gone_before = self._steady() - GONE_AFTER_S
        while self._heard and self.loss is None:
            key, heard_at = next(iter(self._heard.items()))
            if heard_at > gone_before:
                return
            self._forget(key)

    def found(self, entries: Mapping[str, BucketEntry], *, is_another: bool) -> None:
        """These are all the keys there are. A worker that is missing has not said that it ends."""
        del is_another  # what a new bucket lacks is written again by those who wrote it
        if self.loss is not None:
            # nobody could be heard meanwhile
            now = self._steady()
            self._heard = OrderedDict.fromkeys(self._heard, now)
        self.is_found, self.loss = True, None
        self.answered.set()
        for entry in entries.values():
            self.changed(entry)

    def changed(self, entry: BucketEntry) -> None:
        """One worker's state has changed."""
        if entry.deleted:
            self._forget(entry.key)
            return
        if (place := _place(entry.key)) is None:
            return
        pool, worker = place
        state = _decoded(worker, entry)
        self._heard[entry.key] = self._steady()
        self._heard.move_to_end(entry.key)
        states = self._states.setdefault(pool, {})
        if states.get(worker) != state:
            states[worker] = state
            self._changed(pool, state)

    def lost(self, reason: str, why: Why) -> None:
        """Changes are not seen from now on."""
        if self.loss is None:
            log.warning("what workers do cannot be read: %s", reason)
            self.loss = Loss(why, clean(reason), self._clock.now())
            self.answered.set()

    def _forget(self, key: str) -> None:
        self._heard.pop(key, None)
        place = _place(key)
        if place is not None and self._states.get(place[0], {}).pop(place[1], None) is not None:
            self._changed(place[0], None)


def _place(key: str) -> tuple[PoolKey, str] | None:
    """The pool and the worker of a key; None for a key that is no worker's."""
    tenant, _, rest = key.partition(".")
    pool, _, worker = rest.partition(".")
    return (pool_key(tenant, pool), clean_name(worker)) if worker else None


def _decoded(worker: str, entry: BucketEntry) -> WorkerState:
    try:
        state = decoded(_STATE, entry.value, most_bytes=MOST_STATE_BYTES)
    except UndecodableError as error:
        log.warning("worker %s cannot be understood: %s", clean(entry.key), error)
        return WorkerState(worker=worker, slots=1, busy=1, pulling=True)
    if state.worker == worker and not state.marks:
        return state
    return msgspec.structs.replace(state, worker=worker, marks=_marks(state.marks))


def _marks(told: Mapping[str, float]) -> dict[str, float]:
    """The steps of a worker's start that can be shown."""
    times = {clean(name, MARK_LENGTH): at for name, at in told.items() if 0 < at < _LATEST}
    return dict(sorted(times.items(), key=itemgetter(1))[:MOST_MARKS])

"""Notices the first message for a pool at zero, by listening where it is published."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Final

from controller.model.fleet import Pool
from controller.model.ids import PoolKey
from controller.model.observation import WakeWatch
from controller.ports import NatsDisconnectedError, NatsRequests, NatsSubscription
from controller.sources.subjects import Listening, Subjects

MOST_SUBJECTS: Final = 10_000
"""As many subscriptions are kept at most; pools beyond it are polled."""

_NOT_CONNECTED: Final = "not connected to NATS"


@dataclass(eq=False)
class _Ear:
    """One subscription and the pools that wait for it."""

    subject: str
    pools: set[PoolKey]
    subscription: NatsSubscription | None = None


class Wake:
    """One core subscription for each subject that pools at zero wait on; the server ends it at the
    first message.

    A call means that a message was published on the subject. JetStream may still have refused it
    (a duplicate, a full stream), and core delivery is at most once: the queue's depth stays the
    truth, a wake only shortens the wait for it. Neither subject nor payload is looked at.
    """

    def __init__(
        self, nats: NatsRequests, subjects: Subjects, *, most_subjects: int = MOST_SUBJECTS
    ) -> None:
        self._nats = nats
        self._subjects = subjects
        self._most_subjects = most_subjects
        self._callbacks: list[Callable[[PoolKey], None]] = []
        self._ears: dict[str, _Ear] = {}
        self._armed: dict[PoolKey, tuple[str, ...]] = {}
        self._polled: dict[PoolKey, str] = {}
        self._refused: dict[str, str] = {}
        nats.on_reconnect(self._forget_connection)

    def on_wake(self, callback: Callable[[PoolKey], None]) -> None:
        """Call back on the event loop, once for each time a pool is watched."""
        self._callbacks.append(callback)

    def state(self, pool: PoolKey) -> tuple[WakeWatch, str]:
        """How this pool is watched, and why it is only polled."""
        if pool in self._polled:
            return WakeWatch.POLLED, self._polled[pool]
        if pool not in self._armed:
            return WakeWatch.OFF, ""
        if not self._nats.connected:
            return WakeWatch.POLLED, _NOT_CONNECTED
        return WakeWatch.ARMED, ""

    async def watch(self, pools: Collection[Pool]) -> bool:
        """Watch exactly these pools; one call at a time. True if a pool is newly watched: what was
        read before that does not say that nothing was published.
        """
        wanted = {pool.key: pool for pool in pools}
        for key in self._armed.keys() - wanted.keys():
            self._disarm(key)
        self._polled = {key: why for key, why in self._polled.items() if key in wanted}
        if not self._nats.connected:
            self._polled.update(dict.fromkeys(wanted, _NOT_CONNECTED))
            return False
        await self._subjects.learn({pool.stream for pool in pools})
        placed = False
        try:
            for pool in wanted.values():
                placed |= await self._arm(pool)
            await self._sweep()
        except NatsDisconnectedError:
            self._forget_connection()
            self._polled.update(dict.fromkeys(wanted, _NOT_CONNECTED))
        return placed

    async def _arm(self, pool: Pool) -> bool:
        listening = self._hears(pool)
        if listening.polled_because:
            self._disarm(pool.key)
            self._polled[pool.key] = listening.polled_because
            return False
        self._polled.pop(pool.key, None)
        if self._armed.get(pool.key) == listening.subjects:
            return False
        self._disarm(pool.key)
        self._armed[pool.key] = listening.subjects
        for subject in listening.subjects:
            await self._listen(subject, pool.key)
        return True

    def _hears(self, pool: Pool) -> Listening:
        listening = self._subjects.listening(pool.stream, pool.consumer)
        for subject in listening.subjects:
            if subject in self._refused:
                return Listening(polled_because=self._refused[subject])
        new = sum(subject not in self._ears for subject in listening.subjects)
        if new and len(self._ears) + new > self._most_subjects:
            return Listening(polled_because=f"{self._most_subjects} subjects are watched already")
        return listening

    async def _listen(self, subject: str, pool: PoolKey) -> None:
        ear = self._ears.get(subject)
        if ear is not None:
            ear.pools.add(pool)
            return
        ear = self._ears[subject] = _Ear(subject=subject, pools={pool})
        ear.subscription = await self._nats.subscribe_once(
            subject, partial(self._heard, ear), partial(self._is_refused, ear)
        )

    def _heard(self, ear: _Ear) -> None:
        if self._ears.get(ear.subject) is not ear:
            return
        del self._ears[ear.subject]
        for pool in tuple(ear.pools):
            self._disarm(pool)
            for callback in self._callbacks:
                callback(pool)

    def _is_refused(self, ear: _Ear, why: str) -> None:
        self._refused[ear.subject] = why
        if self._ears.get(ear.subject) is not ear:
            return
        del self._ears[ear.subject]
        for pool in tuple(ear.pools):
            self._disarm(pool)
            self._polled[pool] = why

    def _disarm(self, pool: PoolKey) -> None:
        for subject in self._armed.pop(pool, ()):
            ear = self._ears.get(subject)
            if ear is not None:
                ear.pools.discard(pool)

    async def _sweep(self) -> None:
        """End the subscriptions that no pool waits for any more."""
        for ear in [ear for ear in self._ears.values() if not ear.pools]:
            del self._ears[ear.subject]
            if ear.subscription is not None:
                await ear.subscription.end()

    def _forget_connection(self) -> None:
        """Subscriptions end with their connection, and another one may allow other subjects."""
        self._ears.clear()
        self._armed.clear()
        self._refused.clear()

"""How the dashboard operates on a running engine: each request goes into the engine's event loop,
and its answer comes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from agentdash.tui.operating import NotDoneError, Preview, TakenError
from controller.model.audit import Audit, IntentChange, Operator, StandingIntent
from controller.model.intents import Intent, IntentKey, Intents
from controller.model.memory import Memory
from controller.model.snapshot import LinkState
from controller.planning.effect import effect_of
from controller.ports import (
    Feed,
    IntentConflictError,
    StoreAwayError,
    StoreError,
    StoreRefusedError,
)

if TYPE_CHECKING:  # the first paint does not wait for what the wiring imports
    from controller.wiring import OpenDesk

T = TypeVar("T")

READ_ONLY: Final = "read-only (--read-only, or controller.read_only in the fleet file)"
ATTACHED: Final = (
    "the controller runs elsewhere; ask in a shell: agentdash -f FLEET pause, pin, freeze …"
)
REPLAYED: Final = "this is a journal: nothing in it can be changed"
_STARTING: Final = "the controller here has not begun yet"
_NO_RIGHT: Final = "your NATS user may not write intents; the README lists the rights"
_MAY_BE_WRITTEN: Final = "whether it was written is not known; :audit shows it"
_ANSWER_S: Final = 10.0
"""Each request has its own deadline at the desk; this one is for an engine that ended meanwhile."""


class _Place(NamedTuple):
    open_desk: OpenDesk
    loop: asyncio.AbstractEventLoop


class EngineOperator:
    """The person at this process's terminal. `off` says why they can never ask for anything."""

    def __init__(self, operator: Operator, feed: Feed, off: str | None = None) -> None:
        self.operator = operator
        self._feed = feed
        self._off = off
        self._place: _Place | None = None
        self._has_right = True

    @property
    def who(self) -> str:
        """The person as `user@host`."""
        return self.operator.who

    def at_desk(self, open_desk: OpenDesk | None) -> None:
        """The engine opens its desk, or closes it. Called in the engine's event loop."""
        self._has_right = True
        self._place = None
        if open_desk is not None:
            self._place = _Place(open_desk, asyncio.get_running_loop())

    def turn_off(self, why: str) -> None:
        """From now on nothing can be asked for."""
        self._off = why

    def refusal(self) -> str | None:
        """Why nothing can be asked for now; None if it can."""
        if self._off is not None:
            return self._off
        if self._place is None:
            return _STARTING
        if not self._has_right:
            return _NO_RIGHT
        snapshot = self._feed.latest()
        links = () if snapshot is None else snapshot.links
        lost = next((each for each in links if each.name == "nats"), None)
        if lost is not None and lost.state is not LinkState.CONNECTED:
            return f"nats is {lost.state}: {lost.detail}".rstrip(": ")
        return None

    async def find(self, key: IntentKey) -> StandingIntent | None:
        """The intent in force at this key; None too for one that cannot be read."""
        try:
            return await self._there(lambda place: place.desk.find(key))
        except TakenError:
            return None

    async def preview(self, key: IntentKey, intent: Intent | None) -> Preview:
        """What changes now, from what the engine knows: nothing is read for it."""
        return await self._there(partial(_preview, key, intent))

    async def put(self, intent: Intent, *, replaces: int | None) -> IntentChange:
        """Ask for it."""
        return await self._there(lambda place: place.desk.put(intent, replaces=replaces), _writes)

    async def withdraw(self, key: IntentKey, *, replaces: int, why: str) -> IntentChange:
        """Take it back."""
        return await self._there(
            lambda place: place.desk.withdraw(key, replaces=replaces, why=why), _writes
        )

    async def undo(self, change: IntentChange) -> IntentChange:
        """Make what was before this change."""
        return await self._there(lambda place: place.desk.undo(change), _writes)

    async def audit(self) -> Audit:
        """The changes that are kept."""
        return await self._there(lambda place: place.desk.audit())

    async def _there(
        self,
        ask: Callable[[OpenDesk], Awaitable[T]],
        unknown: Callable[[str], str] = str,
    ) -> T:
        """Ask in the engine's event loop; every failure becomes a NotDoneError in words. `unknown`
        says what no answer means.
        """
        place = self._place
        if place is None:
            raise NotDoneError(self._off or _STARTING)
        asked = asyncio.run_coroutine_threadsafe(_coroutine(ask, place.open_desk), place.loop)
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await asyncio.wrap_future(asked)
        except IntentConflictError as error:
            raise TakenError(str(error), error.revision or None) from error
        except StoreAwayError as error:
            raise NotDoneError(unknown(str(error))) from error
        except StoreRefusedError as error:
            self._has_right = False
            raise NotDoneError(f"{error}: {_NO_RIGHT}") from error
        except TimeoutError as error:
            raise NotDoneError(unknown("the controller does not answer")) from error
        except (StoreError, ValueError) as error:
            raise NotDoneError(str(error)) from error


async def _coroutine(ask: Callable[[OpenDesk], Awaitable[T]], place: OpenDesk) -> T:
    return await ask(place)


async def _preview(key: IntentKey, intent: Intent | None, place: OpenDesk) -> Preview:
    standing, replaces = None, None
    try:
        standing = await place.desk.find(key)
    except IntentConflictError as error:  # it cannot be read: it can only be replaced
        replaces = error.revision
    if standing is not None:
        replaces = standing.revision
    tick = place.look()
    if tick is None:
        raise NotDoneError("the controller has not seen the fleet yet; try again in a moment")
    # two plans of the whole fleet: beside the engine's loop, which goes on ticking
    effect = await asyncio.to_thread(
        effect_of,
        key,
        intent,
        observation=tick.observation,
        fleet=place.fleet,
        intents=tick.intents or Intents(),
        memory=tick.memory or Memory(),
        now=tick.now,
    )
    return Preview(effect, tick.now, standing, replaces)


def _writes(words: str) -> str:
    return f"{words}: {_MAY_BE_WRITTEN}"

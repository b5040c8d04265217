"""How the dashboard operates: each request goes into the event loop of what runs behind it, the
engine or the connection to one elsewhere, and its answer comes back.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from agentdash.foreseen import Ahead, ahead_of
from agentdash.operate import NotDoneError, Places, Preview, Request, TakenError, preview, write
from controller.engine.supervise import SystemClock
from controller.model.ids import PoolKey
from controller.model.intents import Audit, IntentChange, IntentKey, Operator, StandingIntent
from controller.model.settings import Settings
from controller.model.snapshot import LinkState, Progress, Report
from controller.ports import (
    Feed,
    IntentConflictError,
    NoEffectError,
    OpenDesk,
    PodDesk,
    PodUnknownError,
    StoreAwayError,
    StoreError,
    StoreRefusedError,
    TaskDesk,
    TasksUnknownError,
)

if TYPE_CHECKING:
    from controller.nats.session import NatsSession


async def examine_beside(settings: Settings, on_progress: Callable[[Progress], None]) -> Report:
    """Run all checks; `on_progress` is called in this loop. Raises NotDoneError."""
    loop = asyncio.get_running_loop()
    outcome: Future[Report] = Future()

    def tell(progress: Progress) -> None:
        with suppress(RuntimeError):  # the dashboard has ended meanwhile
            loop.call_soon_threadsafe(on_progress, progress)

    def run() -> None:
        # imported here: the Kubernetes client takes half a second
        from controller.doctor.examine import examine

        try:
            report = asyncio.run(examine(settings, SystemClock(), tell))
        except Exception as error:  # noqa: BLE001 - whatever it is, the view must not wait for ever
            outcome.set_exception(NotDoneError(f"the checks failed: {error!r}"))
        else:
            outcome.set_result(report)

    # a daemon: leaving the dashboard does not wait for a check's deadline
    threading.Thread(target=run, name="doctor", daemon=True).start()
    return await asyncio.wrap_future(outcome)


T = TypeVar("T")

READ_ONLY: Final = "read-only (--read-only, or controller.read_only in the fleet file)"
REPLAYED: Final = "this is a journal: nothing in it can be changed"
_STARTING: Final = "not connected yet; try again in a moment"
_NO_RIGHT: Final = "your NATS user may not write intents; the docs list the rights"
_UNSURE: Final = "{}: whether it was written is not known; :audit shows it"
_NO_KUBERNETES: Final = "this process does not speak to Kubernetes, so it knows no more of pods"
NO_FLEET_FILE: Final = (
    "this dashboard has no fleet file; run agentdash doctor -f FLEET where the controller runs"
)
_NO_TASKS: Final = "this process does not read tasks"
_UNKNOWN: Final = (StoreError, NoEffectError, PodUnknownError, TasksUnknownError, ValueError)
_ANSWER_S: Final = 10.0
"""Each request has its own deadline at the desk; this one is for an engine that ended meanwhile."""


class _Place(NamedTuple):
    open_desk: OpenDesk
    loop: asyncio.AbstractEventLoop


class EngineOperator:
    """The person at this process's terminal. `off` says why they can never ask for anything.
    `settings` are those of the fleet file, None where this process has none; `places` are the files
    it goes by.
    """

    def __init__(
        self,
        operator: Operator,
        feed: Feed,
        off: str | None = None,
        settings: Settings | None = None,
        places: Places = (),
    ) -> None:
        self.operator = operator
        self.settings = settings
        self.places = places
        self._feed = feed
        self._off = off
        self._place: _Place | None = None

    @property
    def who(self) -> str:
        """The person as `user@host`."""
        return self.operator.who

    def at_desk(self, open_desk: OpenDesk | None) -> None:
        """The engine opens its desk, or closes it. Called in the engine's event loop."""
        self._place = None
        if open_desk is not None:
            self._place = _Place(open_desk, asyncio.get_running_loop())

    def refusal(self) -> str | None:
        """Why nothing can be asked for now; None if it can."""
        if self._off is not None:
            return self._off
        if self._place is None:
            return _STARTING
        if self._place.open_desk.is_refused():
            return _NO_RIGHT
        snapshot = self._feed.latest()
        links = () if snapshot is None or snapshot.recalled else snapshot.links
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

    async def preview(self, request: Request) -> Preview:
        """What changes now, from what the engine knows: nothing is read for it."""
        who, now = self.who, SystemClock().now()
        return await self._there(
            lambda place: preview(request, place.desk, place.foresee, who=who, now=now)
        )

    async def write(self, request: Request, seen: Preview) -> IntentChange:
        """Ask for it, take it back, or undo it."""
        return await self._there(lambda place: write(request, seen, place.desk), _UNSURE.format)

    async def audit(self) -> Audit:
        """The changes that are kept."""
        return await self._there(lambda place: place.desk.audit())

    async def examine(self, on_progress: Callable[[Progress], None]) -> Report:
        """The checks of the doctor, by the fleet file of this process. It needs no engine."""
        if self.settings is None:
            raise NotDoneError(NO_FLEET_FILE if self._off != REPLAYED else REPLAYED)
        return await examine_beside(self.settings, on_progress)

    async def look_ahead(self, pool: str) -> Ahead:
        """What the pool would have without each of its rules, and what it will have next."""

        async def there(place: OpenDesk) -> Ahead:
            return ahead_of(await place.look_ahead(PoolKey(pool)))

        return await self._there(there)

    async def of_pods(self, ask: Callable[[PodDesk], Awaitable[T]], instead: str) -> T:
        """Read something of a pod. Where this process does not speak to Kubernetes, it says so."""
        place = self._place
        if (place is None and self._off is not None) or (place and place.open_desk.pods is None):
            raise NotDoneError(f"{_NO_KUBERNETES}; {instead} shows it")

        async def there(place: OpenDesk) -> T:
            if place.pods is None:
                raise PodUnknownError(_NO_KUBERNETES)
            return await ask(place.pods)

        return await self._there(there)

    async def of_tasks(self, ask: Callable[[TaskDesk], Awaitable[T]]) -> T:
        """Read tasks, or do something with one."""

        async def there(place: OpenDesk) -> T:
            if place.tasks is None:
                raise TasksUnknownError(_NO_TASKS)
            return await ask(place.tasks)

        return await self._there(there)

    async def _there(
        self,
        ask: Callable[[OpenDesk], Coroutine[Any, Any, T]],
        unknown: Callable[[str], str] = str,
    ) -> T:
        """Ask in the engine's loop; failures become NotDoneError, no answer is `unknown`."""
        place = self._place
        if place is None:
            raise NotDoneError(self._off or _STARTING)
        asked = asyncio.run_coroutine_threadsafe(ask(place.open_desk), place.loop)
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await asyncio.wrap_future(asked)
        except IntentConflictError as error:
            raise TakenError(str(error), error.revision or None) from error
        except StoreAwayError as error:
            raise NotDoneError(unknown(str(error))) from error
        except StoreRefusedError as error:
            raise NotDoneError(f"{error}: {_NO_RIGHT}") from error
        except TimeoutError as error:
            raise NotDoneError(unknown("the controller does not answer")) from error
        except _UNKNOWN as error:
            raise NotDoneError(str(error)) from error


def task_desk(session: NatsSession) -> TaskDesk:
    """What reads tasks over this connection."""
    from agentdash.task_lists import TaskLists  # it loads the workers' part

    return TaskLists(session)

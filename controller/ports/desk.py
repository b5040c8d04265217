"""Where a user interface asks for something, and for whom."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from controller.model.audit import Audit, IntentChange, Operator, StandingIntent
from controller.model.ids import PoolKey
from controller.model.intents import Intent, IntentKey
from controller.model.pod_log import PodLog

if TYPE_CHECKING:  # a dashboard that only shows what others decide need not load the planner
    from controller.planning.whatif import Effect, Estimate, Outlook


class IntentDesk(Protocol):
    """Where one operator writes intents, each as a replacement of one known revision: so no
    operator undoes unseen what another has just done. Every change is kept, with its author.

    All methods raise StoreError. After a StoreAwayError read again before writing again, because
    the write may have happened.
    """

    async def standing(self) -> Sequence[StandingIntent]:
        """The intents in force, in the order of their keys."""
        ...

    async def find(self, key: IntentKey) -> StandingIntent | None:
        """The intent in force at this key. Raises IntentConflictError for one that cannot be read:
        it can be replaced by its revision.
        """
        ...

    async def put(self, intent: Intent, *, replaces: int | None) -> IntentChange:
        """Ask for it in the operator's name, in place of the one with this revision, or where there
        is none. Raises IntentConflictError, and ValueError for what no intent can ask.
        """
        ...

    async def withdraw(self, key: IntentKey, *, replaces: int, why: str) -> IntentChange:
        """Take back the one with this revision. Raises IntentConflictError."""
        ...

    async def audit(self) -> Audit:
        """The changes of all operators that are kept."""
        ...

    async def undo(self, change: IntentChange) -> IntentChange:
        """Make what was before the change. Raises UndoRefusedError if the intent has been changed
        since, and for a change of which it is not known what was before.
        """
        ...


class NoEffectError(Exception):
    """What an intent would change, or what a pool would have, cannot be said; the text says why."""


class Foreseen(NamedTuple):
    """What an intent would change at `now` (Unix seconds)."""

    effect: Effect | Estimate
    now: float


class PodLogError(Exception):
    """There are no lines of a pod; the text says why and what to do, and may be shown."""


class PodLogs(Protocol):
    """What pods have written."""

    async def tail(self, namespace: str, pod: str) -> PodLog:
        """The last lines. Raises PodLogError."""
        ...


class OpenDesk(NamedTuple):
    """Where a user interface asks for something. All of it belongs to the event loop in which it
    was opened.

    `foresee` says what would change if an intent is put at the key, or taken back from there if it
    is None; `look_ahead` what a pool would have without each of its rules, and what it will have
    next. Both raise NoEffectError. `is_refused` is True once the server has said that our user may
    write no intents. `logs` are None where what runs behind it does not speak to Kubernetes.
    """

    desk: IntentDesk
    foresee: Callable[[IntentKey, Intent | None], Awaitable[Foreseen]]
    look_ahead: Callable[[PoolKey], Awaitable[Outlook]]
    is_refused: Callable[[], bool]
    logs: PodLogs | None = None


class Person(NamedTuple):
    """The person at a user interface. `at_desk` is called in the event loop of what runs behind it
    when the desk opens, and with None when it closes.
    """

    operator: Operator
    at_desk: Callable[[OpenDesk | None], None]

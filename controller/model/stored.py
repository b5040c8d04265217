"""What is stored beyond the end of the process: the planner's memory, operators' intents, and what
people have seen of the fleet.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from controller.model.fleet_views import TokenState
from controller.model.history import History
from controller.model.ids import PoolKey
from controller.model.intents import Intent, Intents, gathered
from controller.model.memory import Memory
from controller.model.value import Value


class SavedMemory(Value):
    """A memory and when it was saved (Unix seconds, by the clock of the process that saved it).

    `age_s` is how long ago that was by the store's clock, in seconds; None if it does not tell.
    """

    memory: Memory
    saved_at: float
    age_s: float | None = None


class FindingSince(Value):
    """Since when a finding is there (Unix seconds)."""

    subject: str
    kind: str
    since: float


class TenantSince(Value):
    """Since when a tenant's tokens are in this state, and since when it is paused by this author
    (Unix seconds); None for what is not so.
    """

    name: str
    tokens: TokenState | None = None
    tokens_since: float | None = None
    paused_by: str = ""
    pause_since: float | None = None


class ShownPast(Value):
    """What the snapshot of `at` (Unix seconds) says of the time before it, of all pools or some."""

    at: float
    findings: tuple[FindingSince, ...] = ()
    tenants: tuple[TenantSince, ...] = ()
    histories: Mapping[PoolKey, History] = {}
    tenant_histories: Mapping[str, History] = {}


class IntentFault(Value):
    """An intent that cannot be read: its key, and a text about what is done instead."""

    key: str
    text: str


class StoredIntents(Value):
    """Operators' intents, as far as they are known.

    `read` is False until the intents were read once. `lost_at` (Unix seconds) is when they became
    unreadable, and `detail` says why; it is None while they can be read. `faults` are the first of
    them, `more_faults` the number of the others. `kept`: so many are in force that the bucket does
    not have any longer, because it was restored or made anew.
    """

    intents: Intents = Intents()
    faults: tuple[IntentFault, ...] = ()
    more_faults: int = 0
    kept: int = 0
    read: bool = False
    lost_at: float | None = None
    detail: str = ""

    def in_force(self) -> Intents:
        """The intents to plan with. While they cannot be read, none expires, because an operator
        may have prolonged it meanwhile.
        """
        if self.lost_at is None:
            return self.intents
        lost_at = self.lost_at
        return gathered(_prolonged(each, lost_at) for each in self.intents)


def _prolonged(intent: Intent, lost_at: float) -> Intent:
    if intent.until is None or intent.until <= lost_at:
        return intent
    return replace(intent, until=None)

"""What is stored beyond the end of the process: the planner's memory, and operators' intents."""

from __future__ import annotations

from msgspec.structs import replace

from controller.model.intents import Intent, Intents, gathered
from controller.model.memory import Memory
from controller.model.value import Value


class SavedMemory(Value):
    """A memory and when it was saved (Unix seconds, by the clock of the process that saved it)."""

    memory: Memory
    saved_at: float


class IntentFault(Value):
    """An intent that cannot be read: its key, and a text about what is done instead."""

    key: str
    text: str


class StoredIntents(Value):
    """Operators' intents, as far as they are known.

    `read` is False until the intents were read once. `lost_at` (Unix seconds) is when they became
    unreadable, and `detail` says why; it is None while they can be read.
    """

    intents: Intents = Intents()
    faults: tuple[IntentFault, ...] = ()
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

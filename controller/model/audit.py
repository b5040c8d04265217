"""What operators did: who they are, the intents as they stand, and each change of these."""

from __future__ import annotations

from collections.abc import Sequence

from controller.model.intents import Intent, IntentKey
from controller.model.value import Value


class Operator(Value):
    """A person who asks for something: `who` is `user@host`, `origin` the address of the terminal
    from which they logged in, empty if that is this machine.
    """

    who: str
    origin: str = ""


class StandingIntent(Value):
    """An intent as it is stored. The next writer names its revision as replaced; `set_at` is the
    server's time of the write, so that ages do not depend on an operator's clock.
    """

    intent: Intent
    revision: int
    set_at: float
    origin: str = ""


class IntentChange(Value):
    """One entry of the audit: at `at` (Unix seconds, the server's clock) `who` made `after` of
    `before`; None where nothing was asked for.

    - `revision` names it. `undoes` is the revision of the change that it takes back.
    - `is_whole` is False where what was there before is not kept any longer, or cannot be read.
    - `expired`: the intent had ended, and the next writer cleared it away.
    """

    revision: int
    at: float
    key: IntentKey
    who: str = ""
    origin: str = ""
    why: str = ""
    before: Intent | None = None
    after: Intent | None = None
    undoes: int | None = None
    is_whole: bool = True
    expired: bool = False


class Audit(Value):
    """The changes that are kept, the oldest first. Of each intent the last `kept_of_each` are kept;
    None: all.
    """

    changes: tuple[IntentChange, ...] = ()
    kept_of_each: int | None = None


def can_be_undone(change: IntentChange, changes: Sequence[IntentChange]) -> bool:
    """Whether a person can ask to take back this one of the changes: not an undo, nor what an undo
    has taken back, nor what has ended by itself. The desk refuses what was changed since.
    """
    undone = any(each.undoes == change.revision for each in changes)
    return change.undoes is None and not change.expired and not undone


def last_of(changes: Sequence[IntentChange], who: str) -> IntentChange | None:
    """The last change by this person that can be undone; None without one."""
    mine = (each for each in reversed(changes) if each.who == who)
    return next((each for each in mine if can_be_undone(each, changes)), None)

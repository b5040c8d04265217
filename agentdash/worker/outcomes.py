"""What becomes of a try at a task: it has an end, it is tried again, or it is handed back."""

from __future__ import annotations

import random
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from agentdash.worker.errors import Fatal, HandBack, LimitReached, Retryable, TaskError
from agentdash.worker.results import TaskStatus
from controller.model.text import clean

RETRY_FIRST_S: Final = 1.0
RETRY_MOST_S: Final = 60.0


class Ended(NamedTuple):
    """The task has an end."""

    status: TaskStatus
    result: Any = None
    error: str = ""


class TryAgain(NamedTuple):
    """This try has failed."""

    why: str
    after_s: float | None = None

    def wait_s(self, attempt: int) -> float:
        """How long to wait before the next try; `attempt` is the number of this one, from 1."""
        if self.after_s is not None:
            return max(0.0, self.after_s)
        longest_s = min(RETRY_MOST_S, RETRY_FIRST_S * 2.0 ** min(attempt - 1, 16))
        return longest_s * random.uniform(0.5, 1.0)


class Returned(NamedTuple):
    """The task was not tried to its end; another worker goes on with it."""


Outcome = Ended | TryAgain | Returned


class Cut(Enum):
    """Why an agent is ended before its time."""

    STOP = auto()
    CANCEL = auto()


CUT_SHORT: Final[dict[Cut, Outcome]] = {
    Cut.STOP: Returned(),
    Cut.CANCEL: Ended(TaskStatus.CANCELLED),
}


def wanted_by(error: TaskError) -> Outcome:
    """What an agent asks for by this error."""
    match error:
        case HandBack():
            return Returned()
        case LimitReached():
            return Ended(TaskStatus.LIMIT, error=clean(error))
        case Fatal():
            return Ended(TaskStatus.FAILED, error=clean(error))
        case Retryable(after_s=after_s):
            return TryAgain(clean(error), after_s)
        case _:
            return TryAgain(clean(error))

"""How a task ended: one value under its id, which the first to finish it creates."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec

RESULTS_BUCKET: Final = "agentdash_results"


class TaskStatus(StrEnum):
    """How a task ended. Nothing follows: every status is the last one."""

    DONE = "done"
    FAILED = "failed"
    """The agent says that trying again cannot help."""
    LIMIT = "limit"
    """A limit of the session or the task was reached."""
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    """Its deadline passed before it ended."""
    DEAD = "dead"
    """It cannot be read, or its tries are used up: it is among the dead letters."""


class TaskResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The end of a task. `result` is what the agent returned; `error` says why there is none.

    Times are Unix seconds. `run` names the delivery that ended it, and `worker` who had it: by them
    a worker finds its own value again after an answer that was lost.
    """

    id: str
    status: TaskStatus
    at: float
    result: Any = None
    error: str = ""
    worker: str = ""
    run: str = ""
    attempts: int = 0
    seconds: float = 0.0
    tokens: int = 0
    usd: float = 0.0


def result_key(tenant: str, pool: str, task: str) -> str:
    """The key of a task's result."""
    return f"{tenant}.{pool}.{task}"

"""Tasks as a person sees them: one row for each, and what is asked for."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from controller.model.ids import PoolKey, QueueName
from controller.model.intents import Scope
from controller.model.value import Counter, Time, Value

CANCEL_PREFIX: Final = "agentdash.cancel"
"""Before tenant and pool: where workers are told the id of a cancelled task. An empty message asks
them what they work on.
"""
RUNNING_PREFIX: Final = "agentdash.running"
"""Before tenant and pool: where they answer with rows, so that the server divides tenants here
too.
"""
MOST_RUNNING: Final = 200
"""The most tasks that a worker names in one answer."""


class TaskState(StrEnum):
    """Where a task is."""

    RUNNING = "running"
    WAITING = "waiting"
    ENDED = "ended"
    DEAD = "dead"


class TaskRow(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One task.

    - `status`: of one that has ended, how: `done`, `failed`, `limit`, `cancelled`, `expired`.
    - `at`: since when it runs or waits, or when it ended (Unix seconds). `seconds`: how long its
      last try took.
    - `tries`: those that were begun. `tokens`, `usd`: what it used; None where that is not known.
    - `pod`: the worker that has it or had it. `checkpoint`: the number of its last one.
    - `why`: why it ended so, why it is dead, what it returned, or why it runs nowhere.
    - `number`: of its message in `stream`, of a dead one in the stream of dead letters.
    """

    pool: PoolKey
    id: str
    state: TaskState
    at: Time
    status: str = ""
    priority: str = ""
    tries: Counter = 0
    tokens: Counter | None = None
    usd: float | None = None
    seconds: float | None = None
    pod: str = ""
    checkpoint: Counter = 0
    why: str = ""
    stream: str = ""
    number: Counter = 0

    @property
    def key(self) -> str:
        """Its pool and its id."""
        return f"{self.pool} {self.id}"


class TaskQuestion(Value):
    """Which tasks are asked for: what runs and waits in these `pools`, each with its queues from
    the highest priority on; and what has ended of the `scope`. Of each state at most so many.
    """

    pools: dict[PoolKey, tuple[QueueName, ...]] = msgspec.field(default_factory=dict)
    scope: Scope = Scope()
    states: tuple[TaskState, ...] = tuple(TaskState)
    most: int = 100


class TaskPage(Value):
    """What was found. `waiting` and `in_flight` count all in the pools asked; `has_more`: not all
    was read; `problems`: what could not be.
    """

    rows: tuple[TaskRow, ...] = ()
    waiting: int = 0
    in_flight: int = 0
    has_more: bool = False
    problems: tuple[str, ...] = ()


class TaskInFull(Value):
    """All that is kept of a task, else empty; `tried`: a line for each last try."""

    row: TaskRow
    payload: str = ""
    terms: str = ""
    result: str = ""
    tried: tuple[str, ...] = ()
    checkpoint: str = ""

"""What an agent raises to say how its task shall go on, and what goes wrong around it.

TaskError               raised by an agent, or by its session on its behalf
├── Retryable           try again later: another delivery may succeed
├── Fatal               trying again cannot help: the task has failed
├── LimitReached        a limit of the session or the task is used up: the task ends as `limit`
└── HandBack            the worker stops: the task goes to another one, at once
UnreadableTaskError     a message cannot be read as a task: it becomes a dead letter
WorkerSettingsError     the environment does not say what to work on, or says it wrongly
StoreUnavailableError   what a verb or a worker needs cannot be read or written
└── UnreadableStoreError    a value that is kept of a task cannot be read
"""

from __future__ import annotations

from agentdash.worker.said import Pause, said


class TaskError(Exception):
    """How a task shall go on. The message is kept in its result and shown to people."""


class Retryable(TaskError):  # noqa: N818 - agents read `raise Retryable(…)` as a request
    """The task is delivered again: after `after_s` seconds if given, else after a backoff. When its
    tries are used up it becomes a dead letter. Raises ValueError for a pause of less than nothing
    or more than a week.
    """

    def __init__(self, why: str, *, after_s: float | None = None) -> None:
        super().__init__(why)
        self.after_s: float | None = said("after_s", after_s, Pause | None)


class Fatal(TaskError):  # noqa: N818
    """The task ends as `failed` and is not tried again."""


class LimitReached(TaskError):  # noqa: N818
    """The task ends as `limit` and is not tried again: it would reach the same limit."""


class HandBack(TaskError):  # noqa: N818
    """The task is handed back and does not count as tried. `Session.checkpoint` raises it once the
    worker stops.
    """


class UnreadableTaskError(Exception):
    """A message cannot be read as a task; the text says why."""


class WorkerSettingsError(Exception):
    """One line for each variable of the environment that is missing or wrong."""


class StoreUnavailableError(Exception):
    """NATS did not do what was asked; the text says what, why, and what to do."""


class UnreadableStoreError(StoreUnavailableError):
    """A value that is kept of a task is not what it should be, or does not come in time. `revision`
    is that of the value, 0 where it is not known.
    """

    def __init__(self, why: str, *, revision: int = 0) -> None:
        super().__init__(why)
        self.revision = revision

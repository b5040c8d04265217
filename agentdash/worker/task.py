"""A task: what a message asks for and on which terms, how it ended, and what its agent raises to
say how it shall go on. What an agent says is checked where it says it.

The body of a message is the payload alone: JSON, or text that is not JSON. The terms are in the
header `Agentdash-Task`, as JSON; without it the defaults apply, so that any publisher can give work
to a pool.

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

import hashlib
import json
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec

from controller.model.text import clean, quote
from controller.model.worker_messages import UsedTokens

LONGEST_PAUSE_S: Final = 7 * 86_400.0
Usd = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Pause = Annotated[float, msgspec.Meta(ge=0, le=LONGEST_PAUSE_S)]
ContextTokens = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
Name = Annotated[str, msgspec.Meta(max_length=256)]


def said(what: str, value: object, kind: Any) -> Any:
    """The value as this type of msgspec has it. Raises ValueError: `what` names it."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"{what} cannot be {quote(value)}: {clean(error)}") from None


def said_tokens(tokens: UsedTokens) -> UsedTokens:
    """The tokens, if a usage event may have them. Raises ValueError."""
    if not isinstance(tokens, UsedTokens):
        raise ValueError(f"tokens must be UsedTokens, not {type(tokens).__name__}")  # noqa: TRY004
    checked: UsedTokens = said("tokens", msgspec.structs.asdict(tokens), UsedTokens)
    return checked


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


TERMS_HEADER: Final = "Agentdash-Task"
MESSAGE_ID_HEADER: Final = "Nats-Msg-Id"
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_=-]{0,127}\Z")

Amount = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Tokens = Annotated[int, msgspec.Meta(ge=0, le=10**9)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=7 * 86_400)]
Steps = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Tries = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Moment = Annotated[float, msgspec.Meta(ge=0, le=1e11)]


class Priority(StrEnum):
    """Which of a pool's queues a task goes to: the first, or the last."""

    NORMAL = "normal"
    HIGH = "high"


class TaskTerms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The terms of a task, as the header has them. None is no limit of the task's own.

    `deadline` is in Unix seconds: a task that has not ended by then ends as `expired`. `timeout_s`
    limits each try. In a message that takes the place of an earlier one of the same task,
    `tried_before` says that a checkpoint may exist, `tries` how many tries are used, `failed` how
    many of them ended with an error, and `plain` that the first message had no terms: its body need
    not be JSON. Unknown fields of later versions are ignored.
    """

    id: str = ""
    priority: Priority = Priority.NORMAL
    deadline: Moment | None = None
    timeout_s: Seconds | None = None
    max_steps: Steps | None = None
    budget_usd: Amount | None = None
    budget_tokens: Tokens | None = None
    workflow: str = ""
    tried_before: bool = False
    tries: Tries = 0
    failed: Tries = 0
    plain: bool = False


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One task to work on. `payload` is the decoded JSON of the message, or its text.

    `attempt` is 1 at the first try; a task that a stopping worker handed back was not tried.
    `waited_s` is from its publication to this delivery. `stream` and `sequence` name its message.
    """

    id: str
    payload: Any
    terms: TaskTerms = TaskTerms()
    tenant: str = ""
    pool: str = ""
    attempt: int = 1
    waited_s: float = 0.0
    stream: str = ""
    sequence: int = 0

    @property
    def goal(self) -> str:
        """What the task asks for in words: its text, or the `goal` of its JSON; else empty."""
        if isinstance(self.payload, str):
            return self.payload
        goal = self.payload.get("goal", "") if isinstance(self.payload, dict) else ""
        return goal if isinstance(goal, str) else ""


def header_json(value: msgspec.Struct) -> str:
    """A value as JSON in ASCII, as a header can have it."""
    return json.dumps(msgspec.to_builtins(value))


def read_terms(headers: Mapping[str, str] | None) -> TaskTerms:
    """The terms in a message's headers. Raises UnreadableTaskError."""
    raw = (headers or {}).get(TERMS_HEADER)
    if raw is None:
        return TaskTerms()
    try:
        terms = msgspec.json.decode(raw.encode(), type=TaskTerms)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise UnreadableTaskError(f"header {TERMS_HEADER}: {clean(error)}") from None
    if terms.id and not is_task_id(terms.id):
        raise UnreadableTaskError(f"header {TERMS_HEADER}: {ID_RULE}")
    return terms


def read_terms_again(
    headers: Mapping[str, str] | None, task: str, *, tries: int = 0, failed: int = 0
) -> TaskTerms:
    """The terms under which the task of this message is published once more, after so many tries,
    of which so many have failed. Raises UnreadableTaskError.
    """
    terms = read_terms(headers)
    plain = terms.plain or TERMS_HEADER not in (headers or {})
    return msgspec.structs.replace(
        terms, id=task, tried_before=True, tries=tries, failed=failed, plain=plain
    )


def read_payload(body: bytes, *, is_json: bool) -> Any:
    """The payload in a message's body: JSON, or text where the publisher did not promise JSON.
    Raises UnreadableTaskError.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if is_json:
            raise UnreadableTaskError(f"the body is not JSON: {clean(error)}") from None
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise UnreadableTaskError("the body is neither JSON nor text in UTF-8") from None


ID_RULE: Final = "a task's id is 1 to 128 of A-Z, a-z, 0-9, _, = and -, and begins with none of _=-"


def is_task_id(text: str) -> bool:
    """Whether a task may have this id: results are kept under it, as a part of a subject."""
    return _ID.match(text) is not None


def task_id(terms: TaskTerms, headers: Mapping[str, str] | None, stream: str, number: int) -> str:
    """The id of the task in a message: that of its terms, else that of the message, else its place
    in the stream. A message id that no task may have is hashed: msg-<SHA-256>.
    """
    if terms.id:
        return terms.id
    given = (headers or {}).get(MESSAGE_ID_HEADER, "")
    if is_task_id(given):
        return given
    if given:
        return f"msg-{hashlib.sha256(given.encode(errors='replace')).hexdigest()}"
    return f"{stream}-{number}" if is_task_id(f"{stream}-{number}") else f"message-{number}"

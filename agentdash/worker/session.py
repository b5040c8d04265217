"""A session: one try at one task, as its agent sees it.

It counts what the agent uses, holds it to the limits, keeps its checkpoints, and tells it when the
worker stops.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import msgspec

from controller.model.text import clean, quote
from controller.model.worker_messages import (
    MOST_CALLS,
    MOST_TOKENS_OF_A_TASK,
    SessionLimits,
    UsedTokens,
)

if TYPE_CHECKING:
    from agentdash.worker.models import ModelCalls
    from agentdash.worker.state import WorkerMetrics

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


def plain(value: Any) -> Any:
    """What JSON has for a value: also of pydantic, msgspec or a dataclass. Raises TypeError."""

    def other(value: Any) -> Any:
        if (dump := getattr(value, "model_dump", None)) is None:
            raise TypeError(f"{type(value).__name__} is no JSON value")
        return dump(mode="json")

    return msgspec.to_builtins(value, enc_hook=other)


def converted(value: Any, kind: Any) -> Any:
    """A JSON value as this type of pydantic, msgspec or dataclasses has it. Raises ValueError."""
    if hasattr(kind, "model_validate"):
        return kind.model_validate(value)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


def digest_of(payload: Any) -> str:
    """The same for equal payloads, however they were written."""
    encoded = msgspec.json.encode(payload, order="deterministic")
    return hashlib.sha256(encoded).hexdigest()[:16]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent has emitted: any JSON value, at a time in Unix seconds. `number` counts from 1
    in each `run`: a try that was lost or handed back is followed by another one.
    """

    run: str
    number: int
    at: float
    data: Any = None


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
    """The end of a task. `result` is what the agent returned; `error` says why there is none;
    `asked` is the beginning of its payload, and `digest` that of all of it.

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
    asked: str = ""
    digest: str = ""


def result_key(tenant: str, pool: str, task: str) -> str:
    """The key of a task's result."""
    return f"{tenant}.{pool}.{task}"


TERMS_HEADER: Final = "Agentdash-Task"
MESSAGE_ID_HEADER: Final = "Nats-Msg-Id"
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_=-]{0,127}\Z")

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
    many of them ended with an error. Unknown fields of later versions are ignored.
    """

    id: str = ""
    priority: Priority = Priority.NORMAL
    deadline: Moment | None = None
    timeout_s: Seconds | None = None
    max_steps: Steps | None = None
    budget_usd: Usd | None = None
    budget_tokens: Tokens | None = None
    workflow: str = ""
    tried_before: bool = False
    tries: Tries = 0
    failed: Tries = 0


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


def read_payload(body: bytes) -> Any:
    """The payload in a message's body: JSON, or text. Raises UnreadableTaskError."""
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return msgspec.json.decode(body)
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise UnreadableTaskError("the body is neither JSON nor text in UTF-8") from None


ID_RULE: Final = "a task's id is 1 to 128 of A-Z, a-z, 0-9, _, = and -, and begins with none of _=-"


def is_task_id(text: str) -> bool:
    """Whether a task may have this id: results are kept under it, as a part of a subject."""
    return _ID.match(text) is not None


def message_task(
    headers: Mapping[str, str] | None, stream: str, number: int
) -> tuple[str, TaskTerms]:
    """The id of the task in a message, and its terms, if they can be read. The id is that of its
    terms, else that of the message, else its place in the stream. A message id that no task may
    have is hashed: msg-<SHA-256>.
    """
    terms = TaskTerms()
    with suppress(UnreadableTaskError):
        terms = read_terms(headers)
    given = terms.id or (headers or {}).get(MESSAGE_ID_HEADER, "")
    if is_task_id(given):
        return given, terms
    if given:
        return f"msg-{hashlib.sha256(given.encode(errors='replace')).hexdigest()}", terms
    place = f"{stream}-{number}"
    return place if is_task_id(place) else f"message-{number}", terms


CONTEXT_WARNING: Final = 0.8
"""The part of the context window from which an agent should compact it."""


class Session:
    """One try at a task. An agent gets it as its second argument.

    `resumed` is the state of the last checkpoint, by this or another worker; None at the beginning.
    `models` makes calls of models within the limits, the budgets and the provider's rates, and
    counts them by itself; calls that an agent makes elsewhere are counted by `used`.
    `stopping` is set when the worker must end: the agent then has the worker's grace to store a
    checkpoint; after that it is cut, and the task goes on from its last checkpoint elsewhere.
    """

    def __init__(
        self,
        task: Task,
        *,
        limits: SessionLimits,
        save: Callable[[Any], Awaitable[None]],
        emit: Callable[[bytes], Awaitable[None]],
        run: str,
        models: Callable[[Session], ModelCalls],
        metrics: WorkerMetrics,
        resumed: Any = None,
        revision: int = 0,
    ) -> None:
        """`save` stores a checkpoint; `revision` is the number of those stored before. `emit`
        publishes an event of `run`. `models` makes what makes calls for this session.
        """
        self.task = task
        self.limits = limits
        self.resumed = resumed
        self.revision = revision
        self.stopping = asyncio.Event()
        self.usage: dict[str, UsedTokens] = {}
        self.usd = 0.0
        self.tool_calls = 0
        self.steps = 0
        self.models = models(self)
        self._compact: Callable[[float], None] | None = None
        self._was_full = False
        self._save, self._metrics, self._emit = save, metrics, emit
        self._run, self._emitted = run, 0

    @property
    def tokens(self) -> int:
        """Input, cached input and output tokens of all models so far."""
        return sum(each.input + each.cached_input + each.output for each in self.usage.values())

    @property
    def most_tokens(self) -> int:
        """The most that the session and the task's own budget allow."""
        budget = self.task.terms.budget_tokens
        return self.limits.tokens if budget is None else min(self.limits.tokens, budget)

    def used(self, tokens: UsedTokens, *, model: str = "", usd: float | None = None) -> None:
        """Count what a call used that was not made by `models`: in the session, and in the budgets
        of the task and its workflow, at the model's price in the fleet file or at `usd`.

        Raises LimitReached once more is used than the session, the task or the workflow may use:
        what is counted then is still reported. What other workers use of the workflow's budget is
        known at the latest with the next checkpoint or call. Raises ValueError, and counts nothing,
        for what no usage event may have: less than nothing, no number, or more than 10^9 tokens.
        """
        tokens, usd = said_tokens(tokens), said("usd", usd, Usd | None)
        self.models.charge(tokens, model=said("model", model, Name), usd=usd)

    def count(self, tokens: UsedTokens, *, model: str, usd: float) -> None:
        """Count what is in the budgets already. Raises LimitReached as `used` does."""
        before = self.usage.get(model)
        self.usage[model] = tokens if before is None else _sum(before, tokens)
        self.usd += usd
        terms, most = self.task.terms, self.most_tokens
        if self.tokens > most:
            raise LimitReached(f"{self.tokens:,} tokens used, {most:,} allowed")
        if terms.budget_usd is not None and self.usd > terms.budget_usd:
            raise LimitReached(f"{self.usd:.4f} USD used, {terms.budget_usd:.4f} allowed")

    def tool_call(self, tool: str, *, ok: bool = True) -> None:
        """Count one call of a tool. Raises LimitReached once there are more than allowed, and
        ValueError for a name that is none.
        """
        said("tool", tool, Name)
        self.tool_calls += 1
        self._metrics.tool_called(tool, ok)
        if self.tool_calls > self.limits.tool_calls:
            raise LimitReached(f"more than {self.limits.tool_calls} tool calls")

    def step(self) -> None:
        """Count one step of the agent. Raises LimitReached once there are more than the task
        allows.
        """
        self.steps += 1
        most = self.task.terms.max_steps
        if most is not None and self.steps > most:
            raise LimitReached(f"more than {most} steps")

    def context(self, used: int, size: int) -> bool:
        """Report that `used` of `size` tokens of the model's context are taken. Returns whether the
        agent should compact it now. Raises ValueError for what are no numbers of tokens.
        """
        used, size = said("used", used, ContextTokens), said("size", size, ContextTokens)
        part = used / size if size > 0 else 0.0
        self._metrics.context.set(part)
        is_full = part >= CONTEXT_WARNING
        if is_full and not self._was_full and self._compact is not None:
            self._compact(part)
        self._was_full = is_full
        return is_full

    def when_context_fills(self, compact: Callable[[float], None]) -> None:
        """Call this with the part that is taken when the context comes to 80 % of its window: once,
        and again after it was below. Calls by `models` report their context by themselves, if the
        fleet file says how large the model's window is.
        """
        self._compact = compact

    async def emit(self, data: Any) -> None:
        """Tell those who follow the task of a progress or a part of the result: any JSON value, or
        one of pydantic, msgspec or a dataclass. The last 200 of a task are kept for an hour; while
        NATS is away they may get lost. Raises TypeError for what is no JSON value.
        """
        self._emitted += 1
        event = Event(run=self._run, number=self._emitted, at=time.time(), data=plain(data))
        await self._emit(msgspec.json.encode(event))

    async def checkpoint(self, state: Any) -> None:
        """Store a state, any JSON value, from which the task can go on: here after an error, or on
        another worker. Once the worker stops, it raises HandBack when the state is stored: let it
        pass, and the task is handed back. Raises LimitReached if a budget is passed by now.
        """
        await self._save(state)
        self.revision += 1
        self.resumed = state
        await self.models.paid()
        if self.stopping.is_set():
            raise HandBack("the worker stops; the task goes on from its checkpoint")


def _sum(one: UsedTokens, other: UsedTokens) -> UsedTokens:
    """Both together, at most what a usage event may have: one with more is refused as a whole."""
    most = MOST_TOKENS_OF_A_TASK
    return UsedTokens(
        input=min(most, one.input + other.input),
        cached_input=min(most, one.cached_input + other.cached_input),
        output=min(most, one.output + other.output),
        calls=min(MOST_CALLS, one.calls + other.calls),
    )


OnEnd = Callable[[Task, TaskResult], None]
"""Hears of each task that this worker has ended."""

Prepare = Callable[[Callable[[str], None]], Awaitable[None]]
"""Gets ready before the first task, and names each step that it has reached: `mark("tools")`."""


AnyAgent = TypeVar("AnyAgent", bound=Callable[..., Any])
_TOOLS: Final = "agentdash_tools"
TAKES: Final = "agentdash_takes"


def takes(kind: Any) -> Callable[[AnyAgent], AnyAgent]:
    """Declare the type of an agent's payloads, of pydantic, msgspec or dataclasses: `task.payload`
    is one. A task with another payload is a dead letter, and the agent does not begin it.
    """
    return _declaring(TAKES, kind)


def uses_tools(*names: str) -> Callable[[AnyAgent], AnyAgent]:
    """Declare the tools of an agent, for `agentdash profile MODULE:FUNCTION`. The agent itself is
    left as it is.

        @uses_tools("playwright", "git")
        async def agent(task: Task, session: Session) -> object: ...
    """
    return _declaring(_TOOLS, names)


def _declaring(name: str, value: Any) -> Callable[[AnyAgent], AnyAgent]:
    def declare(agent: AnyAgent) -> AnyAgent:
        setattr(agent, name, value)
        return agent

    return declare


def declared_tools(agent: Callable[..., Any]) -> tuple[str, ...] | None:
    """The tools that this agent declares; None if it says nothing of them."""
    names: tuple[str, ...] | None = getattr(agent, _TOOLS, None)
    return names

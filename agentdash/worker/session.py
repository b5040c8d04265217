"""A session: one try at one task, as its agent sees it.

It counts what the agent uses, holds it to the limits, keeps its checkpoints, and tells it when the
worker stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from agentdash.worker.task import (
    ContextTokens,
    HandBack,
    LimitReached,
    Name,
    Task,
    TaskResult,
    Usd,
    said,
    said_tokens,
)
from controller.model.worker_messages import (
    MOST_CALLS,
    MOST_TOKENS_OF_A_TASK,
    SessionLimits,
    UsedTokens,
)

if TYPE_CHECKING:
    from agentdash.worker.models import ModelCalls

CONTEXT_WARNING: Final = 0.8
"""The part of the context window from which an agent should compact it."""

MakeCalls = Callable[["Session"], "ModelCalls"]
SaveCheckpoint = Callable[[Any], Awaitable[None]]
OnToolCall = Callable[[str, bool], None]
OnContext = Callable[[float], None]


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
        save: SaveCheckpoint,
        models: MakeCalls,
        resumed: Any = None,
        revision: int = 0,
        on_tool_call: OnToolCall | None = None,
        on_context: OnContext | None = None,
    ) -> None:
        """`save` stores a checkpoint; `revision` is the number of those stored before.
        `models` makes what makes calls for this session.
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
        self._save = save
        self._on_tool_call = on_tool_call
        self._on_context = on_context

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
        if self._on_tool_call is not None:
            self._on_tool_call(tool, ok)
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
        if self._on_context is not None:
            self._on_context(part)
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


Agent = Callable[[Task, Session], Awaitable[Any]]
"""Gives a task's result: any JSON value."""

OnEnd = Callable[[Task, TaskResult], None]
"""Hears of each task that this worker has ended."""

Prepare = Callable[[Callable[[str], None]], Awaitable[None]]
"""Gets ready before the first task, and names each step that it has reached: `mark("tools")`."""


AnyAgent = TypeVar("AnyAgent", bound=Callable[..., Any])
_ATTRIBUTE: Final = "agentdash_tools"


def uses_tools(*names: str) -> Callable[[AnyAgent], AnyAgent]:
    """Declare the tools of an agent, for `agentdash profile MODULE:FUNCTION`. The agent itself is
    left as it is.

        @uses_tools("playwright", "git")
        async def agent(task: Task, session: Session) -> object: ...
    """

    def declare(agent: AnyAgent) -> AnyAgent:
        setattr(agent, _ATTRIBUTE, names)
        return agent

    return declare


def declared_tools(agent: Callable[..., Any]) -> tuple[str, ...] | None:
    """The tools that this agent declares; None if it says nothing of them."""
    names: tuple[str, ...] | None = getattr(agent, _ATTRIBUTE, None)
    return names

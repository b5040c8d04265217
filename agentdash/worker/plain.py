"""Agents that are plain functions: each task in a thread of its own, with a session for threads."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from inspect import isawaitable, iscoroutinefunction
from queue import SimpleQueue
from typing import Any, TypeVar

from agentdash.worker.session import Fatal, Session, Task
from controller.model.worker_messages import SessionLimits, UsedTokens

T = TypeVar("T")


class BlockingSession:
    """One try at a task, as an agent that is a plain function sees it: as `Session`, but nothing is
    awaited. It may be used by several threads of the agent.

    An agent that is cut gets asyncio.CancelledError from the next thing that it asks of the
    session; a thread cannot be ended from outside, and one that asks nothing keeps its slot.
    """

    def __init__(self, session: Session, loop: asyncio.AbstractEventLoop) -> None:
        self._session, self._loop = session, loop
        self._asked: set[asyncio.Task[Any]] = set()
        self._is_cut = False
        self.task: Task = session.task
        self.limits: SessionLimits = session.limits

    @property
    def is_stopping(self) -> bool:
        """Whether the worker must end: the agent has its grace to store a checkpoint."""
        return self._session.stopping.is_set()

    @property
    def resumed(self) -> Any:
        """The state of the last checkpoint; None at the beginning."""
        return self._session.resumed

    @property
    def tokens(self) -> int:
        """The tokens of all models so far."""
        return self._session.tokens

    @property
    def usd(self) -> float:
        """What they cost."""
        return self._session.usd

    def used(self, tokens: UsedTokens, *, model: str = "", usd: float | None = None) -> None:
        """As Session.used."""
        self._on_loop(lambda _: self._session.used(tokens, model=model, usd=usd))

    def tool_call(self, tool: str, *, ok: bool = True) -> None:
        """As Session.tool_call."""
        self._on_loop(lambda _: self._session.tool_call(tool, ok=ok))

    def step(self) -> None:
        """As Session.step."""
        self._on_loop(lambda _: self._session.step())

    def context(self, used: int, size: int) -> bool:
        """As Session.context."""
        is_full: bool = self._on_loop(lambda _: self._session.context(used, size))
        return is_full

    def emit(self, data: Any) -> None:
        """As Session.emit."""
        self._on_loop(lambda _: self._session.emit(data))

    def checkpoint(self, state: Any) -> None:
        """As Session.checkpoint."""
        self._on_loop(lambda _: self._session.checkpoint(state))

    def ask(self, model: str, make: Callable[[], T], *, input_tokens: int, output_tokens: int) -> T:
        """As Session.models.ask; `make` is called in this thread."""
        expected = {"input_tokens": input_tokens, "output_tokens": output_tokens}
        answer: T = self._on_loop(
            lambda said: self._session.models.ask(model, lambda: self._here(said, make), **expected)
        )
        return answer

    def solve(self, make: Callable[[str], T], **terms: Any) -> T:
        """As Session.models.solve; `make` is called in this thread."""
        answer: T = self._on_loop(
            lambda said: self._session.models.solve(
                lambda model: self._here(said, partial(make, model)), **terms
            )
        )
        return answer

    def cut(self) -> None:
        """The agent must end: what it has asked, and will ask, is cancelled."""
        self._is_cut = True
        for task in self._asked:
            task.cancel()

    def _on_loop(self, work: Callable[[SimpleQueue[Any]], Any]) -> Any:
        """What `work` gives on the event loop. Raises CancelledError once the agent is cut."""
        said: SimpleQueue[Any] = SimpleQueue()
        self._loop.call_soon_threadsafe(self._begin, work, said)
        while not isinstance(told := said.get(), asyncio.Task):
            told()  # a call that this thread is to make
        return told.result()

    def _begin(self, work: Callable[[SimpleQueue[Any]], Any], said: SimpleQueue[Any]) -> None:
        async def done() -> Any:
            given = work(said)
            return await given if isawaitable(given) else given

        task = self._loop.create_task(done())
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)
        task.add_done_callback(said.put)
        if self._is_cut:
            task.cancel()

    def _here(self, said: SimpleQueue[Any], make: Callable[[], T]) -> asyncio.Future[T]:
        """What `make` gives in the thread that reads `said`."""
        made: asyncio.Future[T] = self._loop.create_future()
        said.put(partial(answer_to, self._loop, make, made))
        return made


Agent = Callable[[Task, Session], Awaitable[Any]] | Callable[[Task, BlockingSession], Any]
"""Gives a task's result, any JSON value: an async function, or a plain one."""


async def done_by(agent: Any, task: Task, session: Session) -> Any:
    """What an `Agent` gives. A plain function works in a thread, and this ends with it."""
    if iscoroutinefunction(agent) or iscoroutinefunction(type(agent).__call__):
        return await agent(task, session)
    loop = asyncio.get_running_loop()
    blocking, ended = BlockingSession(session, loop), loop.create_future()
    work = partial(answer_to, loop, partial(agent, task, blocking), ended)
    run = contextvars.copy_context().run
    threading.Thread(target=run, args=(work,), name=f"task {task.id}", daemon=True).start()
    while True:
        try:
            given = await asyncio.shield(ended)
        except asyncio.CancelledError:
            if ended.done():
                raise
            blocking.cut()
            continue
        if isawaitable(given):
            raise Fatal("the agent is a plain function that gives an awaitable: make it async def")
        return given


def answer_to(
    loop: asyncio.AbstractEventLoop, make: Callable[[], T], to: asyncio.Future[T]
) -> None:
    """Make a call in this thread and tell the loop what it gave or raised."""
    give: Callable[[], object]
    try:
        give = partial(to.set_result, make())
    except (asyncio.CancelledError, StopIteration):
        give = to.cancel
    except BaseException as error:  # noqa: BLE001 - the loop's side decides
        give = partial(to.set_exception, error)
    loop.call_soon_threadsafe(lambda: to.done() or give())

"""The tools that an agent says it has: they tell which resources its pods need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

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

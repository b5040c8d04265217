"""Agents by the names that people type: `module:function`."""

from __future__ import annotations

import importlib
import sys
from inspect import iscoroutinefunction

from agentdash.worker import Agent
from controller.model.text import clean, quote


class AgentError(Exception):
    """There is no such agent; the text says why and what to do."""


def load_agent(name: str) -> Agent:
    """The agent `module:function`, from what is installed or the current folder. Raises
    AgentError.
    """
    module, colon, function = name.partition(":")
    if not (module and colon and function):
        raise AgentError(f"{quote(name)} is not MODULE:FUNCTION, such as agents:research")
    sys.path.insert(0, "")
    try:
        found = getattr(importlib.import_module(module), function, None)
    except ImportError as error:
        raise AgentError(
            f"module {clean(module)} cannot be imported: {clean(error)}; run it where it is "
            "installed, or in its folder"
        ) from None
    if found is None:
        raise AgentError(f"module {clean(module)} has no {clean(function)}")
    if not iscoroutinefunction(found):
        raise AgentError(f"{clean(name)} is no `async def` function of a task and a session")
    agent: Agent = found
    return agent

"""What a worker is given: the agent, what gets it ready, and who hears of ended tasks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from agentdash.worker.results import TaskResult
from agentdash.worker.session import Session
from agentdash.worker.task import Task

Agent = Callable[[Task, Session], Awaitable[Any]]
"""Gives a task's result: any JSON value."""

OnEnd = Callable[[Task, TaskResult], None]
"""Hears of each task that this worker has ended."""

Prepare = Callable[[Callable[[str], None]], Awaitable[None]]
"""Gets ready before the first task, and names each step that it has reached: `mark("tools")`."""

"""The runtime agents are built on: pull from JetStream, work, acknowledge, report the tokens."""

from agentdash.worker.runtime import Agent, Task, Worker
from agentdash.worker.usage import ensure_usage_stream
from controller.model.usage_event import UsedTokens

__all__ = [
    "Agent",
    "Task",
    "UsedTokens",
    "Worker",
    "ensure_usage_stream",
]

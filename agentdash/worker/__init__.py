"""The runtime agents are built on: pull from JetStream, work, acknowledge, report the tokens."""

from agentdash.worker.runtime import Agent, Task, Worker
from agentdash.worker.usage import ensure_usage_stream
from controller.model.usage_event import USAGE_STREAM, UsedTokens, usage_subject

__all__ = [
    "USAGE_STREAM",
    "Agent",
    "Task",
    "UsedTokens",
    "Worker",
    "ensure_usage_stream",
    "usage_subject",
]

"""The runtime agents are built on: pull from JetStream, work, acknowledge, report the tokens."""

from agentdash.worker.runtime import Agent, Task, Worker
from agentdash.worker.usage import USAGE_STREAM, Usage, ensure_usage_stream, usage_subject

__all__ = [
    "USAGE_STREAM",
    "Agent",
    "Task",
    "Usage",
    "Worker",
    "ensure_usage_stream",
    "usage_subject",
]

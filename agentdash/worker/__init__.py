"""The runtime agents are built on: pull from JetStream, work, acknowledge, report the tokens."""

from agentdash.worker.runtime import Agent, Task, Usage, Worker

__all__ = ["Agent", "Task", "Usage", "Worker"]

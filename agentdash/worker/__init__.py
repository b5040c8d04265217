"""The runtime that agents are built on: tasks from JetStream, each done at least once, with one
visible result.

    from agentdash.worker import Session, Task, Worker

    async def agent(task: Task, session: Session) -> object:
        return {"answer": task.goal.upper()}

    Worker.from_env(agent).run()
"""

from agentdash.worker.plain import Agent, BlockingSession
from agentdash.worker.session import (
    Event,
    Fatal,
    HandBack,
    LimitReached,
    Priority,
    Retryable,
    Session,
    Task,
    TaskError,
    TaskResult,
    TaskStatus,
    TaskTerms,
    WorkerSettingsError,
    takes,
    uses_tools,
)
from agentdash.worker.settings import NatsLogin, WorkerSettings
from agentdash.worker.worker import AgentPool, Worker
from controller.model.ids import QueueName
from controller.model.scarcity import ModelTier
from controller.model.worker_messages import ModelTerms, RateShare, SessionLimits, UsedTokens

__all__ = [
    "Agent",
    "AgentPool",
    "BlockingSession",
    "Event",
    "Fatal",
    "HandBack",
    "LimitReached",
    "ModelTerms",
    "ModelTier",
    "NatsLogin",
    "Priority",
    "QueueName",
    "RateShare",
    "Retryable",
    "Session",
    "SessionLimits",
    "Task",
    "TaskError",
    "TaskResult",
    "TaskStatus",
    "TaskTerms",
    "UsedTokens",
    "Worker",
    "WorkerSettings",
    "WorkerSettingsError",
    "takes",
    "uses_tools",
]

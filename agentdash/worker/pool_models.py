"""The models that a worker's tasks use: on which terms, at which rates, within which budgets."""

from __future__ import annotations

from nats.js import JetStreamContext

from agentdash.worker.calls import ModelCalls
from agentdash.worker.metrics import WorkerMetrics
from agentdash.worker.rates import ModelGates
from agentdash.worker.router import LearnedTries, TierHistory
from agentdash.worker.session import Session
from agentdash.worker.settings import WorkerSettings
from agentdash.worker.spending import Spending, task_account, workflow_account
from controller.model.worker_messages import PoolAllowance
from controller.model.worker_terms import ModelDemand, SessionLimits, WorkerTerms


class PoolModels:
    """One for each worker. Until a controller says more, the worker's own settings apply."""

    def __init__(
        self, settings: WorkerSettings, stream: JetStreamContext, metrics: WorkerMetrics
    ) -> None:
        self._settings = settings
        self._terms = WorkerTerms(model=settings.model, models=settings.models)
        self._gates = ModelGates(settings.rates)
        self._spending = Spending(stream)
        self._history = TierHistory(metrics.routed)
        self._learned = LearnedTries(stream, settings.tenant, settings.pool, self._history)

    @property
    def limits(self) -> SessionLimits:
        """The limits of a session that begins now."""
        return self._terms.session or self._settings.limits

    def heed(self, allowance: PoolAllowance) -> None:
        """Go by what the controller allows from now on."""
        self._terms = allowance.terms
        self._gates.hold_to(allowance.shares, self._settings.worker)

    async def told(self) -> None:
        """Returns with the first allowance, or once it was waited for in vain."""
        await self._gates.told()

    @property
    def must_be_told(self) -> bool:
        """Whether the worker's settings say that its tasks call models. Where they do not, calls
        wait for the first allowance, if there are any, and pulling does not.
        """
        return bool(self._settings.model or self._settings.models or self._settings.rates)

    def calls(self, session: Session) -> ModelCalls:
        """The calls of one session."""
        tenant, pool, task = self._settings.tenant, self._settings.pool, session.task
        terms = task.terms
        accounts = (
            task_account(tenant, pool, task.id, terms.budget_usd, terms.budget_tokens),
            workflow_account(tenant, terms.workflow, self._terms.usd_per_workflow),
        )
        return ModelCalls(
            session,
            gates=self._gates,
            models=self._terms.models,
            history=self._history,
            spending=self._spending,
            accounts=[account for account in accounts if account is not None],
            model=self._terms.model or self._settings.model,
        )

    async def recall(self) -> None:
        """Go on from what the pool's routers have learned."""
        await self._learned.recall()

    async def save(self) -> None:
        """Store what this worker's router has learned."""
        await self._learned.save()

    def demand(self) -> tuple[ModelDemand, ...]:
        """The recent use of each model."""
        return self._gates.demand()

    def close(self) -> None:
        """Stop what runs by itself."""
        self._gates.close()

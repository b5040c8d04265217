"""What the fleet file says to the workers of each pool."""

from __future__ import annotations

from controller.model.fleet import Fleet
from controller.model.ids import PoolKey
from controller.model.scarcity import LlmModel
from controller.model.worker_terms import ModelTerms, WorkerTerms


def pool_terms(fleet: Fleet) -> dict[PoolKey, WorkerTerms]:
    """The terms of every pool: the limits of a session, its models and their prices, and the most
    that a workflow of its tenant may cost.
    """
    models = {model.name: _model_terms(model) for model in fleet.models}
    tenants = {tenant.name: tenant for tenant in fleet.tenants}
    return {
        pool.key: WorkerTerms(
            session=pool.session,
            model=pool.model or "",
            models=tuple(models[name] for name in pool.usable_models() if name in models),
            usd_per_workflow=tenants[pool.tenant].budget.usd_per_workflow,
        )
        for pool in fleet.pools
    }


def _model_terms(model: LlmModel) -> ModelTerms:
    price = model.price
    return ModelTerms(
        name=model.name,
        tier=model.tier,
        context_tokens=model.context_tokens,
        input_price=None if price is None else price.input,
        cached_input_price=None if price is None else price.cached_input,
        output_price=None if price is None else price.output,
    )

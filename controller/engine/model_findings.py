"""Findings about models: ceilings that do not apply because a number is not known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from controller.engine.findings import Found, listed
from controller.engine.fleet_findings import FLEET_FILE
from controller.model.fleet import Fleet
from controller.model.ids import PoolKey
from controller.model.observation import PoolObservation
from controller.model.scarcity import Budget, Capacity, LlmModel, RateLimits
from controller.model.snapshot import Severity

_NO_LIMITS: Final = RateLimits()
_NO_BUDGET: Final = Budget()
_UNSEEN: Final = PoolObservation()


class _Ceiling(NamedTuple):
    """The subject and kind of the finding about a ceiling, and the ceiling's name."""

    subject: str
    kind: str
    name: str


def model_findings(fleet: Fleet, seen: Mapping[PoolKey, PoolObservation]) -> Iterator[Found]:
    """One finding for each model in use without limits, and one for each ceiling that does not
    apply to some pools because the token usage of their tasks is neither declared nor measured.

    A missing price is a finding of the fleet file instead.
    """
    models = {model.name: model for model in fleet.models}
    budgets = {tenant.name: tenant.budget for tenant in fleet.tenants}
    unlimited: defaultdict[str, list[str]] = defaultdict(list)
    unmeasured: defaultdict[_Ceiling, list[str]] = defaultdict(list)
    for pool in fleet.pools:
        model = models.get(pool.model or "")
        if model is None:
            continue
        if model.limits is None:
            unlimited[model.name].append(pool.key)
        if pool.usage is None and seen.get(pool.key, _UNSEEN).task_usage is None:
            budget = budgets.get(pool.tenant, _NO_BUDGET)
            for ceiling in _ceilings(fleet.capacity, pool.tenant, budget, model):
                unmeasured[ceiling].append(pool.key)
    for name, pools in unlimited.items():
        path = f"models.{name}.limits"
        text = (
            f"models.{name} has no limits, so no rate limit applies to {listed(pools)}; write "
            "`limits: {}` if the provider sets none"
        )
        yield Severity.INFO, FLEET_FILE, path, text
    for ceiling, pools in unmeasured.items():
        text = (
            f"{ceiling.name} does not apply to {listed(pools)}: the tokens per task are not "
            "measured yet; until then their key `usage` can state them"
        )
        yield Severity.INFO, ceiling.subject, ceiling.kind, text


def _ceilings(
    capacity: Capacity, tenant: str, budget: Budget, model: LlmModel
) -> Iterator[_Ceiling]:
    """The ceilings that would apply to a pool if the token usage of its tasks were known."""
    if model.limits is not None and model.limits != _NO_LIMITS:
        yield _Ceiling(FLEET_FILE, f"models.{model.name} unmeasured", f"the limit of {model.name}")
    if budget.tokens_per_day is not None:
        yield _Ceiling(tenant, "tokens unmeasured", "the budget of tokens per day")
    if model.price is None:
        return
    if budget.usd_per_hour is not None:
        yield _Ceiling(tenant, "usd unmeasured", "the limit in USD per hour")
    if capacity.usd_per_hour is not None:
        yield _Ceiling(FLEET_FILE, "usd unmeasured", "the fleet's limit in USD per hour")

"""Each tenant as a snapshot shows it: budgets, quota, pools, and the pause that is on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from controller.model.decision import Bound
from controller.model.fleet import Fleet, Pool, Tenant
from controller.model.fleet_views import TenantTokens, TenantView, TokenState
from controller.model.ids import PoolKey
from controller.model.intents import Intents, Pause
from controller.model.observation import PoolObservation, TenantObservation
from controller.model.readings import Stale, last_known
from controller.model.scarcity import Resources
from controller.model.snapshot import PoolView
from controller.planning.share.budget import BudgetState
from controller.planning.share.calendar import Day, local_day
from controller.planning.share.claims import requests_of
from controller.planning.share.drawn import KnownDraws
from controller.planning.share.scarcity import BudgetNow, TenantScarcity
from controller.planning.share.spending import planned_replicas

_UNSEEN: Final = TenantObservation()
_NO_DAY: Final = Day(0.0, 0.0)
_NOTHING: Final = Resources(replicas=0, cpu_milli=0, memory_bytes=0)


class _PoolPart(NamedTuple):
    """What one pool adds to its tenant: its cost (None: not known), what its replicas request, and
    whether a pause binds it.
    """

    usd_per_hour: float | None
    used: Resources
    is_paused: bool


class _Inputs(NamedTuple):
    """All that a tenant's view is made of, but for its pools."""

    seen: TenantObservation
    budget: BudgetNow | None
    pause: Pause | None
    day: Day


class TenantViews:
    """Remembers each tenant's view: it is the same object until something of it changes."""

    def __init__(self, fleet: Fleet, draws: KnownDraws) -> None:
        self._draws = draws
        self._tenants = {tenant.name: tenant for tenant in fleet.tenants}
        self._zones = {tenant.name: ZoneInfo(tenant.timezone) for tenant in fleet.tenants}
        self._pools = {pool.key: pool for pool in fleet.pools}
        self._parts: dict[str, dict[PoolKey, _PoolPart]] = {name: {} for name in self._tenants}
        self._counts = dict.fromkeys(self._tenants, 0)
        for pool in fleet.pools:
            if pool.tenant in self._counts:
                self._counts[pool.tenant] += 1
        self._changed: set[str] = set(self._tenants)
        self._inputs: dict[str, _Inputs] = {}
        self._views: dict[str, TenantView] = {}
        self._shown: tuple[TenantView, ...] = ()

    def take(self, view: PoolView) -> None:
        """Take a pool's view that is another than before."""
        pool = self._pools[view.key]
        parts = self._parts.get(pool.tenant)
        part = self._part(pool, view)
        if parts is not None and parts.get(pool.key) != part:
            parts[pool.key] = part
            self._changed.add(pool.tenant)

    def views(
        self,
        seen: Mapping[str, TenantObservation],
        scarce: Mapping[str, TenantScarcity],
        intents: Intents,
        now: float,
    ) -> tuple[TenantView, ...]:
        """Those of all tenants, in the order of the fleet."""
        changed = False
        for name, tenant in self._tenants.items():
            known = self._inputs.get(name)
            found = scarce.get(name)
            inputs = _Inputs(
                seen=seen.get(name, _UNSEEN),
                budget=None if found is None else found.budget,
                pause=pause_of(name, intents, now) if intents.pauses else None,
                day=self._day(tenant, known, now),
            )
            if name not in self._changed and known is not None and _same(known, inputs):
                continue
            self._inputs[name] = inputs
            view = self._view(tenant, inputs)
            if view != self._views.get(name):
                self._views[name] = view
                changed = True
        self._changed.clear()
        if changed:
            self._shown = tuple(self._views[name] for name in self._tenants)
        return self._shown

    def _day(self, tenant: Tenant, known: _Inputs | None, now: float) -> Day:
        if tenant.budget.tokens_per_day is None:
            return _NO_DAY
        if known is not None and known.day.start <= now < known.day.end:
            return known.day
        return local_day(now, self._zones[tenant.name])

    def _part(self, pool: Pool, view: PoolView) -> _PoolPart:
        seen, decision = view.observation, view.decision
        workload, draw = last_known(seen.workload), self._draws.of(pool, seen)
        usd = None
        if draw is not None and draw.usd_per_hour is not None:
            usd = planned_replicas(decision) * draw.usd_per_hour
        used = Resources() if workload is None else requested(pool, seen, workload.replicas)
        return _PoolPart(usd, used, decision is not None and decision.bound is Bound.PAUSE)

    def _view(self, tenant: Tenant, inputs: _Inputs) -> TenantView:
        parts = self._parts[tenant.name].values()
        costs = [part.usd_per_hour for part in parts if part.usd_per_hour is not None]
        quota = inputs.seen.quota
        return TenantView(
            name=tenant.name,
            tier=tenant.tier.name,
            namespace=tenant.namespace,
            pools=self._counts[tenant.name],
            tokens=_tokens(tenant, inputs),
            usd_per_hour=sum(costs) if costs else None,
            usd_limit=_float(tenant.budget.usd_per_hour),
            unpriced=self._counts[tenant.name] - len(costs),
            quota=lesser(tenant.quota, last_known(quota) or Resources()),
            is_quota_old=isinstance(quota, Stale),
            used=total_of(part.used for part in parts),
            pause=inputs.pause,
            paused_pools=sum(part.is_paused for part in parts),
        )


def pause_of(tenant: str, intents: Intents, now: float) -> Pause | None:
    """The first pause in force that holds the whole tenant: its own or the fleet's."""
    for pause in intents.pauses:
        of_tenant = pause.scope.pool is None and pause.scope.tenant in {None, tenant}
        if of_tenant and (pause.until is None or pause.until > now):
            return pause
    return None


def total_of(amounts: Iterable[Resources]) -> Resources:
    """The sum; a part of it that is not known makes it unknown."""
    total = _NOTHING
    for each in amounts:
        total = Resources(
            replicas=_plus(total.replicas, each.replicas),
            cpu_milli=_plus(total.cpu_milli, each.cpu_milli),
            memory_bytes=_plus(total.memory_bytes, each.memory_bytes),
        )
    return total


def requested(pool: Pool, seen: PoolObservation, replicas: int) -> Resources:
    """What so many replicas of a pool request."""
    if not replicas:
        return _NOTHING
    each = requests_of(pool, seen) or Resources()
    return Resources(
        replicas=replicas,
        cpu_milli=None if each.cpu_milli is None else each.cpu_milli * replicas,
        memory_bytes=None if each.memory_bytes is None else each.memory_bytes * replicas,
    )


def lesser(one: Resources, other: Resources) -> Resources:
    """The smaller amount of each."""
    return Resources(
        replicas=_least(one.replicas, other.replicas),
        cpu_milli=_least(one.cpu_milli, other.cpu_milli),
        memory_bytes=_least(one.memory_bytes, other.memory_bytes),
    )


def _tokens(tenant: Tenant, inputs: _Inputs) -> TenantTokens | None:
    cap = tenant.budget.tokens_per_day
    if cap is None:
        return None
    usage, budget = last_known(inputs.seen.usage), inputs.budget
    if usage is None or budget is None:
        # what was known last is shown, but the planner does not go by it any longer
        return TenantTokens(
            cap=cap,
            state=TokenState.UNKNOWN,
            used=None if usage is None else round(usage.used),
            is_old=usage is not None,
            resets_at=inputs.day.end,
        )
    status = budget.status
    runs_out = None
    if status.early is not None and status.exhausted_in is not None:
        runs_out = budget.at + 60 * float(status.exhausted_in)
    return TenantTokens(
        cap=cap,
        state=_state(budget),
        used=round(usage.used),
        reserved=round(usage.reserved),
        is_old=isinstance(inputs.seen.usage, Stale),
        burn_per_minute=float(usage.burn_per_minute),
        pace_per_minute=_float(status.limit),
        runs_out_at=budget.at if status.gone >= 1 else runs_out,
        resets_at=inputs.day.end,
    )


def _state(budget: BudgetNow) -> TokenState:
    status = budget.status
    if status.state is BudgetState.HARD:
        return TokenState.HARD
    if status.limit is not None:
        return TokenState.PACED
    return TokenState.WARNED if status.state is BudgetState.WARN else TokenState.OK


def _same(known: _Inputs, found: _Inputs) -> bool:
    return (
        known.seen is found.seen
        and known.budget is found.budget
        and known.pause is found.pause
        and known.day is found.day
    )


def _plus(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _least(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)


def _float(amount: object) -> float | None:
    return None if amount is None else float(amount)  # type: ignore[arg-type]

"""Each tenant as a snapshot shows it: budgets, quota, pools, and what operators asked for it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from controller.engine.show.lasting import Since
from controller.model.decision import Bound
from controller.model.fleet import Fleet, Pool, Tenant
from controller.model.ids import PoolKey
from controller.model.intents import Intent, IntentKind, Intents
from controller.model.observation import (
    Observation,
    PoolObservation,
    TenantObservation,
    TierUsage,
    TokensByModel,
)
from controller.model.readings import Stale, last_known
from controller.model.scarcity import Resources
from controller.model.snapshot import PoolView, TenantTokens, TenantView, TokenState
from controller.planning.share.claims import KnownDraws, requests_of
from controller.planning.share.reasons import planned_replicas
from controller.planning.share.rows import (
    BudgetState,
    BudgetStatus,
    Day,
    TenantScarcity,
    local_day,
    with_budget,
)

_UNSEEN: Final = TenantObservation()
_OF_TENANTS: Final = (
    IntentKind.PAUSE,
    IntentKind.FREEZE,
    IntentKind.NO_GROWTH,
    IntentKind.BUDGET,
)
_NO_DAY: Final = Day(0.0, 0.0)
_NOTHING: Final = Resources(replicas=0, cpu_milli=0, memory_bytes=0)


class _PoolPart(NamedTuple):
    """A pool's part of its tenant: its cost (None: unknown), requests, and if it is paused."""

    usd_per_hour: float | None
    used: Resources
    is_paused: bool


class _Inputs(NamedTuple):
    """All that a tenant's view is made of, but for its pools."""

    seen: TenantObservation
    budget: BudgetStatus | None
    set_by: Intent | None
    tiers: TierUsage | None
    by_model: TokensByModel | None
    asked: Mapping[IntentKind, Intent]
    day: Day


class TenantViews:
    """Remembers each tenant's view: it is the same object until something of it changes."""

    def __init__(self, fleet: Fleet, draws: KnownDraws, since: Since) -> None:
        self._draws = draws
        self.since = since
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

    def look_again(self) -> None:
        """Make all views anew: since when they are so may be another time."""
        self._changed.update(self._tenants)

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
        seen: Observation,
        scarce: Mapping[str, TenantScarcity],
        intents: Intents,
        now: float,
    ) -> tuple[TenantView, ...]:
        """Those of all tenants, in the order of the fleet."""
        changed, is_any_asked = False, any(True for _ in intents)
        for name, tenant in self._tenants.items():
            known = self._inputs.get(name)
            found = scarce.get(name)
            inputs = _Inputs(
                seen=seen.tenants.get(name, _UNSEEN),
                budget=None if found is None else found.budget,
                set_by=None if found is None else found.set_by,
                tiers=seen.tiers.get(name),
                by_model=seen.by_model.get(name),
                asked=_asked_of(name, intents, now) if is_any_asked else {},
                day=self._day(tenant, known, now),
            )
            if name not in self._changed and known == inputs:
                continue
            self._inputs[name] = inputs
            view = self._dated(self._view(tenant, inputs), now)
            if view != self._views.get(name):
                self._views[name] = view
                changed = True
        self._changed.clear()
        if changed:
            self._shown = tuple(self._views[name] for name in self._tenants)
        return self._shown

    def _dated(self, view: TenantView, now: float) -> TenantView:
        """The view, with since when its tokens and its pause are as they are."""
        tokens, pause = view.tokens, view.pause
        if tokens is not None:
            is_sure = tokens.state is not TokenState.UNKNOWN
            began = self.since.of((view.name, "tokens"), tokens.state, now, is_sure=is_sure)
            tokens = replace(tokens, since=began)
        who = None if pause is None else pause.who
        pause_since = self.since.of((view.name, "pause"), who, now, is_sure=pause is not None)
        return replace(view, tokens=tokens, pause_since=None if pause is None else pause_since)

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
            pause=inputs.asked.get(IntentKind.PAUSE),
            freeze=inputs.asked.get(IntentKind.FREEZE),
            no_growth=inputs.asked.get(IntentKind.NO_GROWTH),
            day_budget=inputs.asked.get(IntentKind.BUDGET),
            paused_pools=sum(part.is_paused for part in parts),
            tiers=inputs.tiers,
            by_model=inputs.by_model,
        )


def times_of(views: Iterable[TenantView]) -> Iterator[tuple[Hashable, object, float | None]]:
    """Since when tokens and pauses of tenants are as they are."""
    for view in views:
        if view.tokens is not None:
            yield (view.name, "tokens"), view.tokens.state, view.tokens.since
        if view.pause is not None:
            yield (view.name, "pause"), view.pause.who, view.pause_since


def _asked_of(tenant: str, intents: Intents, now: float) -> dict[IntentKind, Intent]:
    """The first in force of each kind, the tenant's or (but for budgets) the fleet's."""
    found = {}
    for kind in _OF_TENANTS:
        tenants = (tenant,) if kind is IntentKind.BUDGET else (tenant, None)
        for each in intents.of(kind):
            is_in_force = each.until is None or each.until > now
            if is_in_force and each.scope.pool is None and each.scope.tenant in tenants:
                found[kind] = each
                break
    return found


def _by_kind(how: Callable[[Sequence[int | None]], int | None], *amounts: Resources) -> Resources:
    """Each kind of resource by itself."""
    names = Resources.__struct_fields__
    return Resources(**{name: how([getattr(each, name) for each in amounts]) for name in names})


def total_of(amounts: Iterable[Resources]) -> Resources:
    """The sum; a part of it that is not known makes it unknown."""
    return _by_kind(
        lambda each: None if None in each else sum(one for one in each if one), *amounts
    )


def requested(pool: Pool, seen: PoolObservation, replicas: int) -> Resources:
    """What so many replicas of a pool request."""
    if not replicas:
        return _NOTHING
    each = requests_of(pool, seen) or Resources()
    all_of_them = _by_kind(lambda one: None if one[0] is None else one[0] * replicas, each)
    return replace(all_of_them, replicas=replicas)


def lesser(one: Resources, other: Resources) -> Resources:
    """The smaller amount of each."""
    return _by_kind(
        lambda each: min((known for known in each if known is not None), default=None), one, other
    )


def _tokens(tenant: Tenant, inputs: _Inputs) -> TenantTokens | None:
    cap = with_budget(tenant, inputs.set_by).budget.tokens_per_day
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
    runs_out = None
    if budget.early is not None and budget.exhausted_in is not None:
        runs_out = budget.at + 60 * float(budget.exhausted_in)
    return TenantTokens(
        cap=cap,
        state=_state(budget),
        used=round(usage.used),
        reserved=round(usage.reserved),
        is_old=isinstance(inputs.seen.usage, Stale),
        burn_per_minute=float(usage.burn_per_minute),
        pace_per_minute=_float(budget.limit),
        runs_out_at=budget.at if budget.gone >= 1 else runs_out,
        resets_at=inputs.day.end,
    )


def _state(budget: BudgetStatus) -> TokenState:
    if budget.state is BudgetState.HARD:
        return TokenState.HARD
    if budget.limit is not None:
        return TokenState.PACED
    return TokenState.WARNED if budget.state is BudgetState.WARN else TokenState.OK


def _float(amount: object) -> float | None:
    return None if amount is None else float(amount)  # type: ignore[arg-type]

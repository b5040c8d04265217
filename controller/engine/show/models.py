"""Each model as a snapshot shows it: what the targets draw on its limits, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from controller.model.decision import Bound, Code, Decision
from controller.model.fleet import Fleet
from controller.model.ids import PoolKey
from controller.model.readings import last_known
from controller.model.scarcity import LlmModel
from controller.model.snapshot import ModelDraw, ModelLimit, ModelView, PoolView
from controller.model.worker_messages import ModelDemand
from controller.planning.amounts import SharingError
from controller.planning.share.claims import KnownDraws
from controller.planning.share.reasons import planned_replicas
from controller.planning.share.rows import rate_key, rate_rows

# the names of the planner's rows, in the order in which they are shown
_ROWS: Final = {
    "rpm": "requests",
    "tpm": "tokens",
    "itpm": "input tokens",
    "otpm": "output tokens",
    "parallel": "parallel calls",
}


class _Calls(NamedTuple):
    """Calls of one model a minute, and how many of them were refused."""

    made: float = 0.0
    refused: float = 0.0

    def plus(self, demand: ModelDemand) -> _Calls:
        return _Calls(
            self.made + demand.requests_per_minute, self.refused + demand.refused_per_minute
        )


_NO_CALLS: Final = _Calls()


class ModelViews:
    """Remembers each model's view: it is the same object until something of it changes."""

    def __init__(self, fleet: Fleet, draws: KnownDraws) -> None:
        self._draws = draws
        self._pools = {pool.key: pool for pool in fleet.pools}
        self._models: dict[str, tuple[LlmModel, str]] = {}
        self._key_of: dict[PoolKey, str] = {}
        models = self._by_name = {model.name: model for model in fleet.models}
        for pool in fleet.pools:
            model = models.get(pool.model or "")
            if model is not None:
                key = self._key_of[pool.key] = rate_key(model, pool.tenant)
                self._models[key] = model, "" if model.shared else pool.tenant
        for model in fleet.models:
            if model.shared:
                self._models.setdefault(model.name, (model, ""))
        self._usable = {key: _usable(key, model) for key, (model, _) in self._models.items()}
        self._parts: dict[str, dict[PoolKey, ModelDraw]] = {key: {} for key in self._models}
        self._rows: dict[PoolKey, str] = {}
        self._calls: dict[PoolKey, dict[str, _Calls]] = {}
        self._changed = set(self._models)
        self._views: dict[str, ModelView] = {}
        self._shown: tuple[ModelView, ...] = ()

    def take(self, view: PoolView) -> None:
        """Take a pool's view that is another than before."""
        self._take_calls(view)
        key = self._key_of.get(view.key)
        if key is None:
            return
        row, refused = refused_by_rate(view.decision)
        draw = self._draws.of(self._pools[view.key], view.observation)
        replicas = planned_replicas(view.decision)
        part = ModelDraw(pool=view.key, replicas=replicas, is_known=False, refused=refused)
        if draw is not None:
            part = ModelDraw(
                pool=view.key,
                replicas=replicas,
                requests_per_minute=replicas * draw.calls,
                input_tokens_per_minute=replicas * draw.input_tokens,
                output_tokens_per_minute=replicas * draw.output_tokens,
                parallel=replicas * draw.slots,
                refused=refused,
            )
        if self._parts[key].get(view.key) != part or self._rows.get(view.key) != row:
            self._parts[key][view.key], self._rows[view.key] = part, row
            self._changed.add(key)

    def _take_calls(self, view: PoolView) -> None:
        """What the pool's workers report of every model that they call."""
        found: dict[str, _Calls] = {}
        reading = view.observation.workers
        workers = None if reading is None else last_known(reading)
        for demand in (
            (each for state in workers.states for each in state.demand) if workers else ()
        ):
            model = self._by_name.get(demand.model)
            key = "" if model is None else rate_key(model, view.tenant)
            if key in self._models:
                found[key] = found.get(key, _NO_CALLS).plus(demand)
        before = self._calls.get(view.key, {})
        if found != before:
            self._calls[view.key] = found
            self._changed |= before.keys() | found.keys()

    def views(self) -> tuple[ModelView, ...]:
        """Those of all models that pools use or may use, sorted by name."""
        if self._changed:
            for key in self._changed:
                self._views[key] = self._view(key)
            self._changed.clear()
            self._shown = tuple(self._views[key] for key in sorted(self._views))
        return self._shown

    def _view(self, key: str) -> ModelView:
        model, tenant = self._models[key]
        draws = tuple(self._parts[key].values())
        calls = [each[key] for each in self._calls.values() if key in each]
        return ModelView(
            key=key,
            model=model.name,
            tenant=tenant,
            limits=tuple(self._limits(key, model, draws)),
            draws=draws,
            calls_per_minute=sum(each.made for each in calls) if calls else None,
            refused_calls_per_minute=sum(each.refused for each in calls) if calls else None,
        )

    def _limits(
        self, key: str, model: LlmModel, draws: tuple[ModelDraw, ...]
    ) -> Iterator[ModelLimit]:
        limits, usable = model.limits, self._usable[key]
        if limits is None:
            return
        drawn = (
            sum(each.requests_per_minute for each in draws),
            sum(each.input_tokens_per_minute + each.output_tokens_per_minute for each in draws),
            sum(each.input_tokens_per_minute for each in draws),
            sum(each.output_tokens_per_minute for each in draws),
            sum(each.parallel for each in draws),
        )
        said = (
            limits.requests_per_minute,
            limits.tokens_per_minute,
            limits.input_tokens_per_minute,
            limits.output_tokens_per_minute,
            limits.parallel,
        )
        for row, name, amount, limit in zip(_ROWS, _ROWS.values(), drawn, said, strict=True):
            if limit is not None:
                yield ModelLimit(
                    name=name,
                    limit=limit,
                    usable=usable.get(row, float(limit)),
                    drawn=amount,
                    refused=sum(
                        each.refused
                        for each in draws
                        if self._rows.get(each.pool) == f"{row}:{key}"
                    ),
                )


def refused_by_rate(decision: Decision | None) -> tuple[str, int]:
    """The row of a rate limit that decided the target, and how many replicas it refused; else
    nothing.
    """
    if decision is None or decision.bound is not Bound.RATE:
        return "", 0
    wanted, target = decision.recommendation, decision.target
    if wanted is None or target is None:
        return "", 0
    rows = [each.numbers.get("row") for each in decision.reasons if each.code is Code.RATE]
    return str(rows[-1] if rows else ""), max(wanted - target, 0)


def _usable(key: str, model: LlmModel) -> dict[str, float]:
    """What of each limit is used at most, by the row's name without its key."""
    if model.limits is None:
        return {}
    try:
        rows = rate_rows(key, model.limits)
    except SharingError:
        return {}  # the planner says why these limits cannot be shared by
    return {row.name.removesuffix(f":{key}"): float(row.capacity) for row in rows}

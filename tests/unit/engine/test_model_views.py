"""Models as a snapshot shows them: what the targets draw on their limits, and what is refused."""

from __future__ import annotations

from decimal import Decimal

from msgspec.structs import replace

from controller.engine.show.supply import ModelViews
from controller.model.decision import Bound, Code, Decision, Reason
from controller.model.fleet import Fleet, Pool
from controller.model.observation import PoolObservation, Workers
from controller.model.readings import Fresh
from controller.model.scarcity import LlmModel, RateLimits, TaskUsage
from controller.model.snapshot import ModelView, PoolView
from controller.model.worker_messages import ModelDemand, WorkerState
from controller.planning.share.claims import KnownDraws
from support.table import tabled
from support.world import a_view, make_fleet, make_pool

# two calls and 1,000 tokens a minute for each slot
USAGE = TaskUsage(input_tokens=1000, output_tokens=100, calls=2, seconds=Decimal(60))
LIMITS = RateLimits(
    requests_per_minute=100, input_tokens_per_minute=50_000, headroom=Decimal("0.1")
)


def using(name: str, model: str | None = "gpt", tenant: str = "acme", slots: int = 1) -> Pool:
    return replace(make_pool(name, tenant=tenant), model=model, usage=USAGE, slots=slots)


def view_of(pool: Pool, target: int, wanted: int | None = None, row: str = "") -> PoolView:
    reasons = (Reason(code=Code.RATE, value=target, numbers={"row": row}),) if row else ()
    return a_view(
        pool,
        observation=PoolObservation(),
        decision=Decision(
            pool=pool.key,
            current=0,
            demand=wanted,
            recommendation=wanted if wanted is not None else target,
            target=target,
            next=target,
            bound=Bound.RATE if row else Bound.DEMAND,
            reasons=reasons,
        ),
    )


def fleet_of(*pools: Pool, **model: object) -> Fleet:
    found = replace(LlmModel(name="gpt", limits=LIMITS), **model)
    return replace(make_fleet(*pools), models=(found,))


def views_of(fleet: Fleet) -> ModelViews:
    return ModelViews(fleet, KnownDraws(fleet))


def only(views: ModelViews) -> ModelView:
    (found,) = views.views()
    return found


def calling(pool: Pool, *demands: ModelDemand) -> PoolView:
    states = (
        WorkerState(worker=f"w{number}", slots=1, busy=1, pulling=True, demand=(demand,))
        for number, demand in enumerate(demands)
    )
    workers = Fresh(value=Workers(states=tuple(states)), at=1.0)
    return replace(view_of(pool, 1), observation=PoolObservation(workers=workers))


def test_calls_and_refusals_are_those_that_the_workers_of_all_pools_report() -> None:
    pools = using("research"), using("other", None)
    views = views_of(fleet_of(*pools))
    views.take(view_of(pools[0], 1))
    assert only(views).calls_per_minute is None, "no worker reports any"
    first = ModelDemand(model="gpt", requests_per_minute=30, refused_per_minute=3)
    elsewhere = ModelDemand(model="unknown", requests_per_minute=7)
    views.take(calling(pools[0], first, first, elsewhere))
    views.take(calling(pools[1], ModelDemand(model="gpt", requests_per_minute=5)))
    found = only(views)
    assert (found.calls_per_minute, found.refused_calls_per_minute) == (65, 6)
    views.take(calling(pools[0]))
    assert only(views).calls_per_minute == 5, "what is no longer reported is gone"
    views.take(calling(pools[1]))
    assert only(views).calls_per_minute is None


def test_what_workers_use_of_each_limit_stands_beside_it() -> None:
    pools = using("research"), using("coder", tenant="globex")
    views = views_of(fleet_of(*pools))
    busy = ModelDemand(
        model="gpt", input_tokens_per_minute=900, output_tokens_per_minute=60, parallel=2
    )
    views.take(calling(pools[0], busy, busy))
    views.take(calling(pools[1], busy))
    found = only(views)
    assert {name: found.made[name] for name in ("input tokens", "tokens", "parallel calls")} == {
        "input tokens": 2_700,
        "tokens": 2_880,
        "parallel calls": 6,
    }


def test_what_a_limit_refuses_is_counted_at_the_row_that_refused() -> None:
    pools = using("research"), using("coder")
    views = views_of(fleet_of(*pools))
    views.take(view_of(pools[0], 40, wanted=70, row="rpm:gpt"))
    views.take(view_of(pools[1], 2, wanted=7, row="itpm:gpt"))
    found = only(views)
    assert [(limit.name, limit.refused) for limit in found.limits] == [
        ("requests", 30),
        ("input tokens", 5),
    ]
    assert [draw.refused for draw in found.draws] == [30, 5]


def test_limits_that_are_not_shared_are_each_tenants_own() -> None:
    pools = using("research"), using("voice", tenant="zeta")
    views = views_of(fleet_of(*pools, shared=False))
    views.take(view_of(pools[0], 3))
    acme, zeta = views.views()
    assert (acme.key, acme.tenant, acme.limits[0].drawn) == ("gpt/acme", "acme", 6)
    assert (zeta.key, zeta.tenant, zeta.limits[0].drawn) == ("gpt/zeta", "zeta", 0)


@tabled("seconds", ["0", "-1", "NaN", "Infinity"])
def test_a_task_of_impossible_length_draws_nothing_known(seconds: str) -> None:
    pool = replace(using("research"), usage=replace(USAGE, seconds=Decimal(seconds)))
    views = views_of(fleet_of(pool))
    views.take(view_of(pool, 10))
    assert not only(views).draws[0].is_known


def test_while_nothing_changes_it_is_the_same_object() -> None:
    pool = using("research")
    views = views_of(fleet_of(pool))
    views.take(view_of(pool, 10))
    before = views.views()
    views.take(view_of(pool, 10))
    assert views.views() is before
    views.take(view_of(pool, 11))
    assert views.views() != before

"""What calls for a person: each kind of finding with its words, and one cause is one finding."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from controller.engine.actuate import Recorder
from controller.engine.intents import SHOWN, IntentFindings
from controller.engine.show.findings import (
    Found,
    by_cause,
    cost_findings,
    decision_findings,
    file_findings,
    model_findings,
    pool_findings,
    refusal_findings,
    usage_findings,
    wait_findings,
)
from controller.engine.show.lasting import WorkFindings
from controller.engine.show.snapshot import SnapshotBuilder
from controller.model.decision import Bound, Code, Condition, Decision, Gate, Number, Reason
from controller.model.fleet import Fleet, Tenant, Tier
from controller.model.intents import StoredIntents
from controller.model.observation import (
    Observation,
    Pods,
    PoolObservation,
    QueueDepth,
    RefusedEvents,
    TenantObservation,
    TokenUsage,
    Workers,
    Workload,
)
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import Budget, Capacity, LlmModel, Price, RateLimits, TaskUsage
from controller.model.settings import Notice
from controller.model.snapshot import (
    Link,
    LinkState,
    ModelView,
    PoolView,
    QueueRates,
    Role,
    Severity,
    condition_of,
)
from controller.model.worker_messages import ModelDemand, WorkerState
from controller.planning.share.claims import cost_terms_of
from support.asked import a_pin, intents_of
from support.table import tabled
from support.world import START, a_view, make_pool
from unit.engine.conftest import Harness

POOL, OTHER = make_pool("research", minimum=1), make_pool("browser")
TIER = Tier(name="growth", priority=500)
INFO, WARNING, CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL


def fleet(budget: Budget = Budget(), **parts: Any) -> Fleet:  # noqa: B008 - a frozen value
    tenant = Tenant(name=POOL.tenant, tier=TIER, namespace="n", budget=budget)
    return Fleet(**{"tenants": (tenant,), "pools": (POOL, OTHER), **parts})


def decision(size: int = 2, **parts: Any) -> Decision:
    sizes = dict.fromkeys(("current", "demand", "recommendation", "target", "next"), size)
    return Decision(**{"pool": POOL.key, **sizes, **parts})


def builder_of(found: Fleet, notices: tuple[Notice, ...] = ()) -> SnapshotBuilder:
    return SnapshotBuilder(
        fleet=found,
        recorder=Recorder(writes=False),
        name="fleet.yaml",
        context="test",
        interval_s=1.0,
        epoch=START,
        notices=notices,
    )


def kinds_in(builder: SnapshotBuilder, *notices: Found, links: tuple[Link, ...] = ()) -> set[Any]:
    """The subjects and kinds among the findings of the builder's next snapshot."""
    snapshot = builder.snapshot(now=START, role=Role.ACTIVE, links=links, notices=notices)
    return {(each.subject, each.kind) for each in snapshot.findings}


# -- of decisions ---------------------------------------------------------------------------------

POISONED: dict[str, Number] = {"redelivered": 4, "deliveries": 12, "since": START - 90}
REPLACED: dict[str, Number] = {"window_s": 600.0, "until": START + 60}


@tabled(
    ("code", "numbers", "what", "advice"),
    [
        (
            Code.CONTESTED,
            {"times": 3, "ours": 5, "theirs": 2, **REPLACED},
            "another writer keeps setting it back, 3 times, last from 5 to 2: left at 2 replicas",
            "remove its other autoscaler",
        ),
        (
            Code.SET_BACK,
            {"times": 1, "ours": 5, "theirs": 2, "by": "argocd-controller", **REPLACED},
            "set back from 5 to 2 by argocd-controller (Argo CD): left at 2 replicas",
            "list /spec/replicas under ignoreDifferences",
        ),
        (
            Code.POISON,
            POISONED,
            "4 messages in flight come back again and again and no others wait",
            "bury them after AGENTDASH_ATTEMPTS tries (agentdash dead list)",
        ),
        (
            Code.BLIND_FOR_LONG,
            {"since": START - 900, "after_s": 600.0},
            "its work has not been known for 15 min, longer than 10 min",
            "until its queue and metrics can be read again",
        ),
        (
            Code.ANNOTATION_UNREADABLE,
            {"annotation": "autoscaling.keda.sh/paused-replicas", "text": "two"},
            "the workload's annotation autoscaling.keda.sh/paused-replicas is not a number",
            "set it to a whole number, or remove it",
        ),
    ],
)
def test_what_goes_on_until_somebody_acts_is_a_warning_with_what_to_do(
    code: Code, numbers: dict[str, Number], what: str, advice: str
) -> None:
    reason = Reason(code=code, value=2, numbers=numbers)
    [(severity, subject, kind, text)] = decision_findings([decision(reasons=(reason,))], START)
    assert (severity, subject, kind) == (WARNING, POOL.key, code)
    assert text.startswith(what)
    assert advice in text
    # no advice leads to a limit of deliveries
    assert "max_deliver" not in text or text.endswith("with max_deliver they would be lost")


def test_each_queue_of_a_pool_has_its_own_finding_and_usual_reasons_have_none() -> None:
    usual = [Reason(code=code) for code in (Code.QUEUE, Code.AT_MAX, Code.REDELIVERED)]
    both = [
        Reason(code=Code.POISON, value=2, numbers={**POISONED, "queue": f"TASKS/{name}"})
        for name in ("high", "low")
    ]
    found = list(decision_findings([decision(reasons=(*usual, *both))], START))
    assert [each.kind for each in found] == ["poison TASKS/high", "poison TASKS/low"]
    assert "4 messages in flight of TASKS/low come back" in found[1].text


def test_a_warning_that_becomes_critical_is_critical_since_then_also_in_the_next_process() -> None:
    warned = Found(WARNING, "gpt", "refuses", "it refuses 3 %")
    worse = Found(CRITICAL, "gpt", "refuses", "it refuses 60 %")
    first, second = builder_of(fleet()), builder_of(fleet())
    ages, told = [], None
    for at, builder, notice in ((0, first, warned), (60, first, worse), (90, second, worse)):
        if told is not None and builder is second:
            second.begin_with(told, START + 80)
        told = builder.snapshot(now=START + at, role=Role.ACTIVE, notices=(notice,))
        ages += [each.since - START for each in told.findings if each.subject == "gpt"]
    assert ages == [0, 60, 60]


async def test_a_contested_pool_is_found_until_the_contest_ends_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = Harness(POOL, replicas=1)
    world.queue(POOL, pending=5)
    async with world.running():
        for _ in range(3):
            await world.clock.advance(2.0)
            world.cluster.set(POOL, 1)
        await world.clock.advance(2.0)
        [finding] = (await world.snapshot()).findings
        assert (finding.subject, finding.kind) == (POOL.key, "contested")
        await world.clock.advance(10.0)
        [later] = (await world.snapshot()).findings
        assert later.since == finding.since
        await world.clock.advance(600.0)
        assert (await world.snapshot()).findings == ()
    [line] = [each for each in caplog.records if each.message == "needs attention"]
    assert (line.__dict__["pool"], line.__dict__["kind"]) == (POOL.key, "contested")


# -- of pools -------------------------------------------------------------------------------------

SETTLED = Workload(replicas=4, current=4, updated=4, ready=4, available=4)


def view(workload: Workload) -> PoolView:
    """A pool that needs exactly what it has."""
    seen = PoolObservation(
        queue=Fresh(value=QueueDepth(pending=4, in_flight=0), at=START),
        workload=Fresh(value=workload, at=START),
        pods=Fresh(value=Pods(ready=workload.ready), at=START),
    )
    return a_view(POOL, observation=seen, decision=decision(4))


def test_a_paused_deployment_is_named_with_how_to_go_on() -> None:
    [(severity, _, kind, text)] = pool_findings(view(replace(SETTLED, paused=True)))
    assert (severity, kind) == (INFO, "rollout")
    resume = f"kubectl -n {POOL.namespace} rollout resume deployment/{POOL.deployment}"
    assert text == (
        "its Deployment is paused (spec.paused): it is still scaled, but a new pod template would"
        f" wait; {resume} ends that"
    )
    half = replace(SETTLED, current=5, updated=2)
    [(severity, _, kind, text)] = pool_findings(view(replace(half, paused=True)))
    assert (severity, kind) == (WARNING, "rollout")
    assert "2 of 5 pods are of its newest template" in text
    assert list(pool_findings(view(replace(half, ready=5)))) == []


@tabled(
    ("updated", "ready", "condition"),
    [
        *((2, ready, Condition.OK) for ready in (3, 4, 5)),
        (4, 3, Condition.UP),
        (4, 5, Condition.DOWN),
    ],
)
def test_a_rollout_does_not_read_as_a_change_of_the_size(
    updated: int, ready: int, condition: Condition
) -> None:
    current = 4 if updated == 4 else 5
    rolling = replace(SETTLED, current=current, updated=updated, ready=ready)
    assert condition_of(view(rolling)) is condition


def rates(oldest_s: float | None = None, p95_s: float | None = None, number: int = 0) -> QueueRates:
    oldest_at = None if oldest_s is None else START - oldest_s
    return QueueRates(pool=POOL.key, oldest_at=oldest_at, waited_p95_s=p95_s, number=number)


@tabled(
    ("seen", "told"),
    [
        ([rates(oldest_s=20)], None),
        ([rates(oldest_s=21)], "20 s"),  # in steps, and never less than the aim
        ([rates(oldest_s=24.9)], "20 s"),
        ([rates(oldest_s=48)], "45 s"),
        ([rates(oldest_s=1, p95_s=19.9)], None),
        ([rates(oldest_s=1, p95_s=33)], "30 s"),
        ([rates(oldest_s=2), rates(oldest_s=700, number=1)], "11 min"),
        ([replace(rates(oldest_s=9000), pool=OTHER.key)], None),  # it has no aim
    ],
)
@tabled("bound", [Bound.MAX, Bound.PAUSE, None])
def test_a_message_that_waits_longer_than_the_aim_is_told_with_both_times(
    seen: list[QueueRates], told: str | None, bound: Bound | None
) -> None:
    decisions = {} if bound is None else {POOL.key: decision(bound=bound)}
    found = list(wait_findings({POOL.key: 20.0}, seen, decisions, START))
    if told is None or bound is Bound.PAUSE:  # a pause is meant to let work wait
        assert found == []
        return
    text = f"messages wait for more than {told}, its aim is 20 s; `agentdash why acme/research`"
    assert found == [(WARNING, POOL.key, "waits", f"{text} says what holds it")]


# -- of what lasts --------------------------------------------------------------------------------


def capped(bound: Bound, *, target: int = 0) -> Decision:
    reason = Reason(code=Code.LEARNED_NEED, value=17, numbers={"service_s": 19.0})
    return replace(decision(17), target=target, next=target, bound=bound, reasons=(reason,))


def used(tokens: int, reserved: int = 0) -> dict[str, TenantObservation]:
    usage = TokenUsage(used=Decimal(tokens), reserved=Decimal(reserved))
    return {POOL.tenant: TenantObservation(usage=Fresh(value=usage, at=START))}


def test_replicas_that_finish_their_work_are_a_finding_only_after_the_longest_session() -> None:
    def draining(following: int) -> Decision:
        return replace(decision(1), current=4, next=following, gate=Gate.BUSY)

    work, longest_s = WorkFindings(fleet()), POOL.session.duration_s
    work.decided([draining(4)], START)
    work.decided([draining(3)], START + 60)  # one has gone: it counts from here again
    work.decided([draining(3)], START + longest_s)
    assert list(work.found({}, {}, START + 60 + longest_s)) == []
    [(severity, subject, kind, text)] = work.found({}, {}, START + 61 + longest_s)
    assert (severity, subject, kind) == (WARNING, POOL.key, "unfinished")
    assert "busy for longer than a session may take (4 h)" in text
    work.decided([replace(draining(1), gate=None)], START + 62 + longest_s)
    assert list(work.found({}, {}, START + 63 + longest_s)) == []


def test_a_pool_is_named_once_its_ceiling_holds_it_for_longer_than_a_task_takes() -> None:
    work = WorkFindings(fleet())
    for at in (START, START + 19):
        work.decided([capped(Bound.MAX, target=5)], at)
        assert list(work.found({}, {}, at)) == []
    text = (
        "held by max at 5 of 17 wanted replicas for longer than a task takes (19 s); "
        "raise replicas.max, or let the work wait"
    )
    assert list(work.found({}, {}, START + 20)) == [(WARNING, POOL.key, "held by max", text)]
    work.decided([capped(Bound.DEMAND, target=17)], START + 30)
    work.decided([capped(Bound.MAX)], START + 31)
    assert list(work.found({}, {}, START + 40)) == []


@tabled(
    ("bound", "code"),
    [
        *((Bound.MAX, code) for code in (Code.FROZEN, Code.OTHER_AUTOSCALER, Code.CONTESTED)),
        *((bound, Code.QUEUE) for bound in (Bound.PAUSE, Bound.DEMAND, Bound.MIN)),
    ],
)
def test_a_pool_that_no_ceiling_holds_is_not_named(bound: Bound, code: Code) -> None:
    work, at_max = WorkFindings(fleet()), capped(bound, target=5)
    held = Reason(code=code, value=5)
    work.decided([replace(at_max, reasons=(*at_max.reasons, held))], START)
    assert list(work.found({}, {}, START + 1000)) == []


def test_pools_that_one_ceiling_holds_are_one_finding() -> None:
    work = WorkFindings(fleet())
    both = [capped(Bound.QUOTA, target=1), replace(capped(Bound.QUOTA), pool=OTHER.key)]
    work.decided(both, START)
    [(_, subject, _, text)] = work.found({}, {}, START + 20)
    assert subject == POOL.tenant
    assert "at 1 of 34 wanted" in text
    assert "acme/research, acme/browser" in text


def test_a_budget_is_told_from_its_warning_on_and_with_the_pools_that_it_stops() -> None:
    work = WorkFindings(fleet(Budget(tokens_per_day=1000)))
    work.decided([capped(Bound.BUDGET)], START)
    assert list(work.found(used(790), {}, START + 1)) == []
    [(severity, subject, kind, text)] = work.found(used(790, reserved=10), {}, START + 1)
    assert (severity, subject, kind) == (WARNING, POOL.tenant, "budget")
    assert "80 % of the day's 1,000 tokens are used or reserved; at 100 % its pools stop" in text
    [(severity, _, kind, text)] = work.found(used(1000), {}, START + 20)
    assert (severity, kind) == (CRITICAL, "budget")
    assert "the day's 1,000 tokens are spent: its pools stop until" in text
    assert text.endswith("it holds acme/research")
    soft = WorkFindings(fleet(Budget(tokens_per_day=1000, hard=False)))
    [(severity, _, _, text)] = soft.found(used(1200), {}, START)
    assert severity is WARNING
    assert "its pools go on" in text


# -- of tokens, models and money ------------------------------------------------------------------

KNOWN = TokenUsage(used=Decimal(7))
MISSING = Absent(why=Why.STREAM_MISSING, detail="there is no stream")


@tabled(
    ("readings", "texts"),
    [
        ([Fresh(value=KNOWN, at=1.0)], []),
        ([Absent(why=Why.NEVER_READ), Stale(value=KNOWN, at=1.0, why=Why.DISCONNECTED)], []),
        (
            [MISSING] * 5,
            ["token usage of t0, t1, t2 and 2 more unknown (stream missing): there is no stream"],
        ),
        (
            [
                Stale(value=KNOWN, at=1.0, why=Why.INCOMPLETE, detail="removed"),
                Absent(why=Why.REFUSED, detail="may not"),
            ],
            [
                "token usage of t0 stale (incomplete): removed",
                "token usage of t1 unknown (refused): may not",
            ],
        ),
    ],
)
def test_tenants_whose_usage_cannot_be_read_are_named_by_what_they_lack(
    readings: list[Reading[TokenUsage]], texts: list[str]
) -> None:
    tenants = {f"t{n}": TenantObservation(usage=each) for n, each in enumerate(readings)}
    refused = RefusedEvents(count=3, last="the fleet has no tenant nobody")
    *found, last = usage_findings(tenants, refused)
    assert [each.text for each in found] == texts
    assert {each[:2] for each in (*found, last)} == {(WARNING, "nats")}
    counted = "3 usage events were not counted; the last: the fleet has no tenant nobody"
    assert last.text == counted


PRICE = Price(input=Decimal(1), output=Decimal(2))
USAGE = TaskUsage(input_tokens=1000, seconds=Decimal(30))


def of_model(
    model: LlmModel, *names: str, usage: TaskUsage | None = None, **parts: Any
) -> list[tuple[str, str, str]]:
    """What is said of a fleet whose pools all use the model: subject, kind and text."""
    pools = tuple(replace(make_pool(name), model=model.name, usage=usage) for name in names)
    measured = PoolObservation(task_usage=parts.pop("measured", None))
    seen = dict.fromkeys([pool.key for pool in pools], measured)
    found = list(model_findings(fleet(pools=pools, models=(model,), **parts), seen))
    assert {each.severity for each in found} <= {INFO}
    return [each[1:] for each in found]


def test_a_model_in_use_without_limits_is_named_with_its_pools_and_how_to_say_there_are_none() -> (
    None
):
    text = (
        "models.gpt has no limits, so no rate limit applies to acme/a, acme/b, acme/c and "
        "2 more; write `limits: {}` if the provider sets none"
    )
    found = of_model(LlmModel(name="gpt", price=PRICE), *"abcde", usage=USAGE)
    assert found == [("fleet file", "models.gpt.limits", text)]
    none = LlmModel(name="gpt", price=PRICE, limits=RateLimits())
    assert of_model(none, "a", usage=USAGE) == of_model(none, "a") == []
    unused = fleet(models=(LlmModel(name="gpt"),))
    assert list(model_findings(unused, {})) == []


def test_a_limit_does_not_hold_pools_whose_tasks_are_neither_declared_nor_measured() -> None:
    model = LlmModel(name="gpt", limits=RateLimits(requests_per_minute=60))
    text = (
        "the limit of gpt does not apply to acme/a: the tokens per task are not "
        "measured yet; until then their key `usage` can state them"
    )
    assert of_model(model, "a") == [("fleet file", "models.gpt unmeasured", text)]
    assert of_model(model, "a", usage=USAGE) == of_model(model, "a", measured=USAGE) == []


def test_neither_does_a_budget_nor_money_and_each_is_said_once_for_all_pools() -> None:
    model = LlmModel(name="gpt", limits=RateLimits(), price=PRICE)
    budget = Budget(tokens_per_day=1000, usd_per_hour=Decimal(5))
    money = Capacity(usd_per_hour=Decimal(50))
    found = of_model(model, "a", "b", budget=budget, capacity=money)
    assert [each[:2] for each in found] == [
        ("acme", "tokens unmeasured"),
        ("acme", "usd unmeasured"),
        ("fleet file", "usd unmeasured"),
    ]
    assert all("acme/a, acme/b" in text for *_, text in found)
    # without a price the fleet file's own notice is enough
    unpriced = replace(model, price=None)
    assert of_model(unpriced, "a", budget=Budget(usd_per_hour=Decimal(5))) == []


def test_a_tenant_at_its_alert_and_a_key_without_effect_are_among_a_snapshots_findings() -> None:
    usage = TaskUsage(output_tokens=1000, seconds=Decimal(36))  # 100 tasks an hour, 1 USD
    pool = replace(POOL, slots=1, model="gpt", usage=usage)
    model = LlmModel(name="gpt", price=Price(input=Decimal(0), output=Decimal(10)))
    spending = fleet(Budget(usd_alert=Decimal(1500)), pools=(pool,), models=(model,))
    below, at_its_alert = {POOL.key: decision(1499)}, {POOL.key: decision(1500)}
    terms = cost_terms_of(spending)
    assert list(cost_findings(terms, below)) == []
    text = "planned at 1,500.00 USD per hour, at or above its alert of 1,500"
    assert list(cost_findings(terms, at_its_alert)) == [(WARNING, "acme", "cost", text)]
    notice = Notice(place="fleet.yaml:12:5", path="models.gpt.tier", text="is read by workers")
    text = "fleet.yaml:12:5: models.gpt.tier is read by workers"
    assert list(file_findings([notice])) == [(INFO, "fleet file", "models.gpt.tier", text)]
    builder = builder_of(spending, (notice,))
    builder.decided(at_its_alert)
    of_the_file = {("fleet file", "models.gpt.tier"), ("fleet file", "models.gpt.limits")}
    assert kinds_in(builder) >= {("acme", "cost"), *of_the_file}


# -- of intents -----------------------------------------------------------------------------------


def about_intents(**stored: Any) -> list[str]:
    found = IntentFindings(fleet()).found(StoredIntents(read=True, **stored), START)
    return [each.text for each in found]


def test_thousands_of_intents_for_unknown_pools_are_few_findings_and_their_number() -> None:
    pins = tuple(a_pin(pool=f"acme/nobody-{number}", replicas=1) for number in range(5_000))
    found = about_intents(intents=intents_of(pins=pins))
    assert len(found) == SHOWN + 1
    assert any("4,980 more intents have no effect" in text for text in found)
    assert about_intents(more_faults=19_980) == [
        "19,980 more keys in the bucket are no intents that can be read"
    ]


def test_intents_that_a_restored_bucket_does_not_have_are_named_as_kept() -> None:
    [text] = about_intents(kept=2)
    assert "intents in force that it does not have: 2" in text


# -- one cause ------------------------------------------------------------------------------------


def link(name: str, state: LinkState) -> Link:
    return Link(name=name, state=state, since=START)


def test_what_follows_from_a_lost_connection_is_left_to_its_own_finding() -> None:
    lost = [
        Found(WARNING, f"acme/p{number}", kind, f"{kind} unknown (disconnected)")
        for number in range(120)
        for kind in ("queue", "deployment", "orders")
    ]
    links = [link(name, LinkState.DISCONNECTED) for name in ("nats", "kubernetes")]
    assert list(by_cause(lost, links)) == []
    assert len(list(by_cause(lost, links[:1]))) == 1
    untold = [each for each in lost if each.kind == "orders"]
    kinds = {kind for _, kind in kinds_in(builder_of(fleet()), *untold, links=(links[0],))}
    assert kinds == {"link", "deployment acme/browser"}


@tabled(
    ("calls", "refused", "told"),
    [
        (60.0, 34.2, (CRITICAL, "up to 60 %")),
        (400.0, 34.2, (WARNING, "up to 10 %")),
        (None, 3.0, (CRITICAL, "up to 100 %")),
        (60.0, 0.0, None),
        (60.0, None, None),
    ],
)
def test_a_model_that_refuses_calls_is_found_and_its_words_rest(
    calls: float | None, refused: float | None, told: tuple[Severity, str] | None
) -> None:
    model = ModelView(
        key="gpt", model="gpt", calls_per_minute=calls, refused_calls_per_minute=refused
    )
    found = list(refusal_findings((model,)))
    assert [(each.subject, each.severity) for each in found] == ([("gpt", told[0])] if told else [])
    assert all(told is not None and told[1] in each.text for each in found)


def test_refusals_that_workers_report_are_in_the_snapshot() -> None:
    model = LlmModel(name="gpt")
    builder = builder_of(fleet(pools=(replace(POOL, model="gpt"),), models=(model,)))
    demand = ModelDemand(model="gpt", requests_per_minute=20, refused_per_minute=4)
    state = WorkerState(worker="w", slots=1, busy=1, pulling=True, demand=(demand,))
    workers = Fresh(value=Workers(states=(state,)), at=START)
    builder.saw(Observation(pools={POOL.key: PoolObservation(workers=workers)}))
    assert ("gpt", "refuses") in kinds_in(builder)

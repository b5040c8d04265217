"""The series that an operator's alerts stand on, in both text formats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import aiohttp
import msgspec
from msgspec.structs import replace
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from controller.expose.metrics import MetricsPage
from controller.expose.server import Health, serving
from controller.model.decision import Bound, Decision, Gate
from controller.model.fleet import Pool
from controller.model.ids import PoolKey, QueueName
from controller.model.observation import (
    MonthUsd,
    PoolObservation,
    QueueDepth,
    TokensByModel,
    Workload,
)
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.snapshot import (
    Finding,
    Link,
    LinkState,
    LoopStats,
    ModelView,
    PoolView,
    QueueRates,
    Role,
    Severity,
    Snapshot,
    TenantTokens,
    TenantView,
    TokenState,
)
from support.table import tabled
from support.world import START, a_view, make_pool

POOL = make_pool("research")
SCALED = {(POOL.key, "up", "queue"): 3}


def view_of(
    pool: Pool = POOL, gate: Gate | None = None, queue: Reading[QueueDepth] | None = None
) -> PoolView:
    observation = PoolObservation(
        queue=queue or Absent(why=Why.NEVER_READ),
        workload=Fresh(value=Workload(replicas=2, ready=1), at=START),
    )
    return a_view(
        pool,
        observation=observation,
        decision=Decision(
            pool=pool.key, current=2, demand=5, recommendation=5, target=5, next=2, gate=gate
        ),
    )


def snapshot_of(
    *pools: PoolView, findings: Sequence[Finding] = (), role: Role = Role.LEADER
) -> Snapshot:
    return Snapshot(
        epoch=START,
        sequence=1,
        at=START,
        interval_s=1.0,
        fleet="fleet.yaml",
        context="test",
        role=role,
        links=(Link(name="nats", state=LinkState.CONNECTED, since=START, last_good_at=START - 2),),
        pools=pools,
        findings=tuple(findings),
        loop=LoopStats(ticks=7, failures=(("nats", 4), ("kubernetes", 0))),
    )


class Shown:
    """A page whose snapshot a test sets."""

    def __init__(
        self, *pools: PoolView, findings: Sequence[Finding] = (), role: Role = Role.LEADER
    ) -> None:
        self.snapshot: Snapshot | None = snapshot_of(*pools, findings=findings, role=role)
        self.page = MetricsPage(lambda: self.snapshot, lambda: SCALED)

    def lines(self) -> list[str]:
        return self.page.text(openmetrics=False).splitlines()

    def samples(self, *, openmetrics: bool) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """What a scraper reads, by name and labels; no series may come twice."""
        text = self.page.text(openmetrics=openmetrics)
        families: Iterable[Any]
        families = parse_openmetrics(text + "# EOF\n") if openmetrics else parse_plain(text)
        read = [sample for family in families for sample in family.samples]
        found = {(each.name, tuple(sorted(each.labels.items()))): each.value for each in read}
        assert len(found) == len(read)
        return found


def scraped(
    gate: Gate | None = None, findings: Sequence[Finding] = (), role: Role = Role.LEADER
) -> list[str]:
    """The lines that a scrape of a fleet of one pool answers."""
    return Shown(view_of(gate=gate), findings=findings, role=role).lines()


def test_what_a_tenant_spent_on_a_model_is_a_counter() -> None:
    month = MonthUsd(month="2026-11", by_model={"gpt": 3.5})
    of_acme = TokensByModel(models=(), month=month)
    acme = TenantView(name="acme", tier="growth", namespace="acme", pools=1, by_model=of_acme)
    page = MetricsPage(lambda: replace(snapshot_of(), tenants=(acme,)), dict)
    text = page.text(openmetrics=False, names=["agentdash_spent_usd"])
    assert 'agentdash_spent_usd_total{model="gpt",tenant="acme"} 3.5\n' in text


def test_budgets_waits_and_refusals_are_series_with_their_tenant() -> None:
    tokens = TenantTokens(cap=1000, used=1200, state=TokenState.HARD, resets_at=START + 60.0)
    fresh = TenantTokens(cap=500, used=100, state=TokenState.OK, resets_at=START + 60.0)
    unknown = TenantTokens(cap=7, state=TokenState.UNKNOWN, resets_at=START + 60.0)
    common = {"tier": "growth", "namespace": "x", "pools": 1}
    tenants = (
        TenantView(name="acme", tokens=tokens, usd_per_hour=2.5, usd_limit=4.0, **common),
        TenantView(name="globex", tokens=fresh, **common),
        TenantView(name="initech", tokens=unknown, **common),
    )
    models = (
        ModelView(key="gpt", model="gpt", calls_per_minute=60.0, refused_calls_per_minute=3.0),
        ModelView(key="own", model="own", tenant="acme"),
    )
    queues = (
        QueueRates(pool=POOL.key, oldest_at=START - 40.0),
        QueueRates(pool=POOL.key, oldest_at=START - 90.0, number=1),
    )
    shown = replace(snapshot_of(), at=START, tenants=tenants, models=models, queues=queues)
    page = MetricsPage(lambda: shown, dict)
    names = [each for each in page.text(openmetrics=False).split() if "{" in each]
    lines = page.text(openmetrics=False).splitlines()
    for line in (
        'agentdash_day_tokens_total{tenant="acme"} 1200.0',
        'agentdash_day_tokens_left{tenant="acme"} 0.0',
        'agentdash_day_tokens_left{tenant="globex"} 400.0',
        'agentdash_day_tokens_budget{tenant="initech"} 7.0',
        'agentdash_usd_per_hour{tenant="acme"} 2.5',
        'agentdash_usd_per_hour_limit{tenant="acme"} 4.0',
        'agentdash_model_calls_per_minute{model="gpt",tenant=""} 60.0',
        'agentdash_model_refused_per_minute{model="gpt",tenant=""} 3.0',
        'agentdash_queue_oldest_seconds{pool="research",tenant="acme"} 90.0',
    ):
        assert line in lines
    assert not [each for each in names if 'tenant="initech"' in each and "budget" not in each]
    assert not [each for each in names if 'model="own"' in each], "nothing reports of it"


@tabled("gate", Gate)
def test_the_gate_that_holds_a_pool_is_a_series_of_its_own(gate: Gate) -> None:
    series = f'agentdash_pool_gate{{gate="{gate}",pool="research",tenant="acme"}} 1.0'
    assert series in scraped(gate)


def test_every_finding_is_a_series_as_long_as_it_is_there() -> None:
    finding = Finding(
        severity=Severity.WARNING,
        subject=POOL.key,
        kind="contested",
        text="somebody else keeps setting it back",
        since=START,
    )
    series = 'agentdash_finding{kind="contested",severity="warning",subject="acme/research"} 1.0'
    assert scraped(findings=[finding, finding]).count(series) == 1
    assert not [line for line in scraped() if line.startswith("agentdash_finding{")]


@tabled("role", [Role.ACTIVE, Role.READ_ONLY])
def test_without_a_lease_there_is_no_metric_of_a_leader(role: Role) -> None:
    assert not [line for line in scraped(role=role) if "agentdash_leader" in line]


@tabled(("role", "value"), [(Role.LEADER, "1.0"), (Role.FOLLOWER, "0.0")])
def test_with_a_lease_the_metric_says_which_process_holds_it(role: Role, value: str) -> None:
    assert f"agentdash_leader {value}" in scraped(role=role)


@tabled("openmetrics", [False, True])
def test_a_scraper_reads_every_number_of_a_pool(openmetrics: bool) -> None:
    depth = Stale(value=QueueDepth(pending=12, in_flight=3), at=START - 30)
    found = Shown(view_of(queue=depth)).samples(openmetrics=openmetrics)
    labels = (("pool", "research"), ("tenant", "acme"))
    queue = (("consumer", POOL.consumer), ("stream", POOL.stream))
    assert {
        name: found["agentdash_pool_" + name + "_replicas", labels]
        for name in ("demand", "recommendation", "target", "next", "ready")
    } == {
        "demand": 5,
        "recommendation": 5,
        "target": 5,
        "next": 2,
        "ready": 1,
    }
    assert found["nats_consumer_pending", queue] == 12
    assert found["nats_consumer_ack_pending", queue] == 3
    assert found["agentdash_queue_reading_blind", labels] == 1
    assert found["agentdash_queue_reading_age_seconds", labels] == 30
    assert found["agentdash_pool_bound", (("bound", Bound.DEMAND), *labels)] == 1
    assert (
        found[
            "agent_scale_events_total",
            (("direction", "up"), ("pool", "research"), ("tenant", "acme"), ("trigger", "queue")),
        ]
        == 3
    )
    assert found["agentdash_ticks_total", ()] == 7
    assert found["agentdash_source_failures_total", (("source", "nats"),)] == 4
    assert found["agentdash_source_failures_total", (("source", "kubernetes"),)] == 0
    assert found["agentdash_source_up", (("source", "nats"),)] == 1
    assert found["agentdash_source_age_seconds", (("source", "nats"),)] == 2


@tabled("openmetrics", [False, True])
def test_hostile_names_stay_inside_their_quotes(openmetrics: bool) -> None:
    evil = 'a"b\\c\nd'
    view = msgspec.structs.replace(
        view_of(queue=Fresh(value=QueueDepth(pending=1, in_flight=0), at=START)), consumer=evil
    )
    found = Shown(view).samples(openmetrics=openmetrics)
    assert found["nats_consumer_pending", (("consumer", evil), ("stream", POOL.stream))] == 1


def test_numbers_that_are_no_numbers_are_spelled_as_the_formats_do() -> None:
    odd = view_of(queue=Stale(value=QueueDepth(pending=1, in_flight=0), at=float("-inf")))
    line = 'agentdash_queue_reading_age_seconds{pool="research",tenant="acme"} +Inf'
    assert line in Shown(odd).lines()


def test_a_pool_that_did_not_change_keeps_its_lines() -> None:
    view = view_of()
    shown = Shown(view)
    shown.lines()
    lines = shown.page._kept[POOL.key].lines
    shown.snapshot = snapshot_of(msgspec.structs.replace(view))
    shown.lines()
    assert shown.page._kept[POOL.key].lines is lines


def test_before_the_first_tick_there_are_only_counts_of_writes() -> None:
    shown = Shown()
    shown.snapshot = None
    names = {name for name, _ in shown.samples(openmetrics=False)}
    assert names == {"agent_scale_events_total"}


async def test_a_scrape_answers_in_the_format_that_is_asked_for() -> None:
    counts: dict[tuple[PoolKey, str, str], int] = {}
    empty = Fresh(value=QueueDepth(pending=0, in_flight=0), at=START)
    snapshot = snapshot_of(view_of(queue=empty))
    async with (
        serving(
            "127.0.0.1",
            0,
            latest=lambda: snapshot,
            scaled=lambda: counts,
            liveness=lambda: Health(ok=True),
        ) as url,
        aiohttp.ClientSession() as http,
    ):
        async with http.get(f"{url}/metrics") as answer:
            assert answer.content_type == "text/plain"
            assert answer.headers["Content-Encoding"] == "deflate"
            plain = {family.name for family in parse_plain(await answer.text())}
        wish = {"Accept": "application/openmetrics-text;version=1.0.0", "Accept-Encoding": ""}
        async with http.get(f"{url}/metrics", headers=wish) as answer:
            assert answer.content_type == "application/openmetrics-text"
            text = await answer.text()
            assert text.endswith("# EOF\n")
            assert {family.name for family in parse_openmetrics(text)} >= {"agentdash_leader"}
        chosen = [("name[]", "agentdash_leader"), ("name[]", "process_open_fds")]
        async with http.get(f"{url}/metrics", params=chosen) as answer:
            named = {family.name for family in parse_plain(await answer.text())}
        async with http.get(f"{url}/readyz") as answer:
            assert (answer.status, await answer.text()) == (200, "ok\nleader\n")
    assert plain >= {"agentdash_pool_target_replicas", "python_info", "python_gc_objects_collected"}
    assert named == {"agentdash_leader", "process_open_fds"}


@tabled("openmetrics", [True, False])
def test_each_of_a_pools_queues_is_a_series_of_its_own(openmetrics: bool) -> None:
    depths = QueueDepth(pending=3, in_flight=1), QueueDepth(pending=40, in_flight=2)
    readings = tuple(Fresh(value=depth, at=START) for depth in depths)
    total = Fresh(value=QueueDepth(pending=43, in_flight=3), at=START)
    view = view_of(queue=total)
    view = replace(
        view,
        lower_queues=(QueueName("TASKS", "low"),),
        observation=replace(view.observation, queues=readings),
    )
    shown = Shown(view)
    found = shown.samples(openmetrics=openmetrics)
    high = (("consumer", "acme-research"), ("stream", "TASKS"))
    low = (("consumer", "low"), ("stream", "TASKS"))
    assert found["nats_consumer_pending", high] == 3
    assert found["nats_consumer_pending", low] == 40
    assert found["nats_consumer_ack_pending", low] == 2
    blind = replace(view.observation, queues=(readings[0], Absent(why=Why.NEVER_READ)))
    shown.snapshot = snapshot_of(replace(view, observation=blind))
    found = shown.samples(openmetrics=openmetrics)
    assert found["nats_consumer_pending", high] == 3
    assert ("nats_consumer_pending", low) not in found

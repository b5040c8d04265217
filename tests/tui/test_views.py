"""The views of the whole fleet: what they say as plain lines, and what keys do in them."""

from __future__ import annotations

import re

from msgspec.structs import replace
from textual.events import Key

from agentdash.tui.commands import parse
from agentdash.tui.screens.views import TableScreen
from agentdash.tui.table import place_columns
from agentdash.tui.tables import views
from agentdash.tui.tables.health import facts
from agentdash.tui.tables.pods import cold_start_s, cold_start_steps, p90_ready_s
from agentdash.tui.tables.queues import QUEUES
from agentdash.tui.view import Frame, pool_rows
from controller.model.decision import Code, Gate
from controller.model.ids import PoolKey, QueueName
from controller.model.observation import Pod, PodPhase, Pods, QueueDepth, Workers
from controller.model.readings import Absent, Fresh, Why
from controller.model.snapshot import Finding, PoolView, QueueRates, Severity, Snapshot
from controller.model.worker_messages import WorkerState
from support.table import tabled
from tui import fleet_scenarios, scenarios
from tui.all_views import VIEWS
from tui.dashboards import dashboard
from tui.operators import FakeOperator
from tui.plain import shown, typed
from tui.sessions import Session, session

NOW = scenarios.NOW
TABLES = ["queues", "tenants", "pods", "nodes", "models", "events", "attention", "log"]


async def lines(
    snapshot: Snapshot | None, command: str, *keys: str, size: tuple[int, int] = (80, 24)
) -> list[str]:
    app = dashboard(scenarios.FakeFeed(snapshot))
    return await shown(app, [*typed(f":{command}"), "enter", *keys], size)


# -- what every view does ---------------------------------------------------------------------


async def test_a_view_opens_by_its_name_and_its_aliases_and_escape_leaves_it() -> None:
    async with session(fleet_scenarios.burst()) as running:
        for view in VIEWS[1:]:
            for command in (view.name, *view.aliases):
                assert parse(command, ()).name == view.name
            await running.command(view.aliases[0])
            assert running.stack == ["overview", view.name]
            await running.keys("escape")
            assert running.stack == ["overview"]


async def test_a_view_opens_from_the_palette_and_stands_right_above_the_overview() -> None:
    async with session(fleet_scenarios.burst()) as running:
        await running.command("why voice")
        entries = {
            entry.title: entry for entry in running.app.get_system_commands(running.app.screen)
        }
        for view in reversed(VIEWS):
            entries[f":{view.name}"].callback()
            await running.pilot.pause()
            assert running.stack == list(dict.fromkeys(["overview", view.name]))


async def test_without_a_snapshot_a_view_says_what_it_waits_for() -> None:
    async with session(None) as running:
        for name in TABLES:
            await running.command(name)
            assert "loading  0s" in running.screen
            assert "waiting for the first snapshot" in running.screen


async def test_without_rows_a_view_says_so() -> None:
    async with session(fleet_scenarios.nothing_at_all()) as running:
        for name in TABLES:
            await running.command(name)
            assert "[0]" in running.screen
            assert re.search(
                r"no (pools|tenants|pods|nodes|models)|nothing|every pod", running.screen
            )


async def test_a_lost_connection_is_named_above_a_view() -> None:
    lost = replace(fleet_scenarios.burst(), links=scenarios.nats_lost().links)
    async with session(lost) as running:
        for name in TABLES:
            await running.command(name)
            assert "nats LOST since 12:04Z (47s), its values are the last known" in running.screen


async def test_help_of_a_view_names_its_own_columns_and_only_keys_that_sort_it() -> None:
    async with session(fleet_scenarios.burst(), (160, 45)) as running:
        for name in TABLES:
            await running.command(name)
            view = running.app.view
            assert isinstance(view, TableScreen)
            spec = view.table.spec
            titles = {each.letter: each.title for each in spec.columns if each.letter}
            titles = titles if spec.sort else {}
            helped = {each.argument: each.help for each in view.actions if each.id == "sort_by"}
            assert helped == {letter: f"sort by {title}" for letter, title in titles.items()}
            for letter, title in titles.items():
                await running.keys(letter)
                assert view.table.sort is not None
                assert view.table.sort.title == title


async def test_the_details_follow_the_cursor() -> None:
    async with session(fleet_scenarios.over_budget()) as running:
        for name in TABLES:
            await running.command(name)
            for key in running.table[:3]:
                view = running.app.view
                assert isinstance(view, TableScreen)
                assert view.table.cursor_key == key
                row = view.table.cursor_row
                called = (view.table.spec.called or view.table.spec.key)(row)
                assert f"┌─ {called} " in running.screen
                await running.keys("j")


async def test_what_is_typed_before_the_prompt_has_the_focus_belongs_to_the_prompt() -> None:
    """A pasted `:qu` must never act as the key q."""
    async with session(fleet_scenarios.burst()) as running:
        for key, character in (("colon", ":"), ("q", "q"), ("u", "u"), ("enter", "\r")):
            running.app.post_message(Key(key, character))
        await running.pilot.pause()
        assert running.stack == ["overview", "queues"]
        assert running.app.return_code is None


async def typed_at_once(running: Session, *keys: tuple[str, str]) -> None:
    for key, character in keys:
        running.app.post_message(Key(key, character))
    for _ in keys:
        await running.pilot.pause()


async def test_a_key_is_about_the_row_that_the_keys_before_it_have_reached() -> None:
    """On a slow line, keys come in bursts: `jjs` must never pause the first pool."""
    async with session(fleet_scenarios.burst(), operator=FakeOperator()) as running:
        await running.command("pools")
        third = running.table[2]
        await typed_at_once(running, ("j", "j"), ("j", "j"), ("s", "s"))
        assert f"pause {third}" in running.screen


async def test_a_key_that_opens_a_prompt_waits_for_the_escape_before_it() -> None:
    async with session(fleet_scenarios.burst()) as running:
        await running.keys("question_mark")
        await typed_at_once(running, ("escape", "\x1b"), ("slash", "/"), ("e", "e"), ("t", "t"))
        assert running.stack == ["overview"]
        assert running.app.view.prompt.input.value == "et"


# -- queues -----------------------------------------------------------------------------------


async def test_the_details_of_a_queue_say_what_holds_it() -> None:
    async with session(fleet_scenarios.burst(), (120, 36)) as running:
        for pool, said in (
            ("tools-shared", "5 messages stay in the queue"),
            ("eval-batch", "the consumer is paused in NATS"),
            ("etl", "come back again and again"),
            ("canary", "consumer missing for 38s: no consumer globex-canary on AGENTS"),
            ("globex/research", "timed out for 23s: 2 s"),
            ("coder-large", "at this pace empty in"),
            ("voice", "not known for the last 5 minutes"),
        ):
            await running.command(f"qu /{pool}")
            assert said in running.screen


async def test_a_queue_without_rates_shows_no_number_that_nobody_knows() -> None:
    snapshot = replace(fleet_scenarios.burst(), queues=())
    found = await lines(snapshot, "qu", size=(160, 45))
    row = next(line for line in found if "acme/coder-large" in line)
    assert row.split()[2:11] == ["ok", "-", "61", "65", "0", "-", "-", "-", "-"]


async def test_an_empty_queue_shows_no_age_even_where_the_last_rates_have_one() -> None:
    snapshot = fleet_scenarios.burst()
    support = fleet_scenarios.rates("globex/support-chat", 1.0, 1.0, oldest_s=5)
    queues = tuple(support if each.pool == support.pool else each for each in snapshot.queues)
    found = await lines(replace(snapshot, queues=queues), "qu")
    row = next(line for line in found if "globex/s…rt-chat" in line)
    assert row.split()[2:7] == ["ok", "11:47Z", "0", "140", "0"]
    assert row.split()[7] == "-"


async def test_enter_on_a_queue_says_why_its_pool_has_its_number() -> None:
    async with session(fleet_scenarios.burst()) as running:
        await running.command("queues")
        await running.keys("j", "enter")
        assert running.stack == ["overview", "queues", "pool"]
        assert running.app.view.pool == "globex/research"
        await running.keys("escape", "d")
        assert running.app.view.pool == "globex/research"


async def test_queues_are_filtered_and_sorted() -> None:
    async with session(fleet_scenarios.burst()) as running:
        await running.command("queues /held|paused")
        assert running.table == ("initech/tools-shared", "globex/eval-batch")
        await running.keys("escape", "N")
        assert list(running.table) == sorted(running.table)
        await running.keys("W")
        assert running.table[0] == "globex/eval-batch"


async def test_a_queue_that_becomes_blind_keeps_the_cursor() -> None:
    async with session(fleet_scenarios.burst()) as running:
        await running.command("queues")
        first = fleet_scenarios.burst().pools
        lost = Absent(why=Why.DISCONNECTED, at=scenarios.NOW)
        blind = tuple(
            replace(view, observation=replace(view.observation, queue=lost))
            if view.key == "acme/browser-gpu"
            else view
            for view in first
        )
        await running.publish(replace(fleet_scenarios.burst(5000), pools=blind))
        assert running.table[-1] in {"acme/browser-gpu", "globex/canary"}
        assert running.app.view.subject == "acme/browser-gpu"


# -- tenants ----------------------------------------------------------------------------------


async def test_tenants_as_plain_lines() -> None:
    found = await lines(fleet_scenarios.over_budget(), "tn", "j")
    assert found[2:10] == [
        " PAUSED  tenant initech, by mara, until 13:00Z; E ends it: OPS-881 loop",
        " FROZEN  tenant kite, by jon, until 14:04Z: OPS-890 upgrade",
        "┌─ tenants [4] ───────────────────────────────────────────────── sort SHARE ↓ ─┐",
        "│ TENANT       STATE      SINCE    TOKENS/DAY SHARE       RUNS OUT USD TODAY   │",
        "│ globex       !! hard    12:01Z    2.0M/2.0M  101%          spent         -   │",
        "│>acme         !  paced   11:43Z    4.7M/5.0M   94%      12:12:01Z      1.85   │",
        "│ kite         !! unknown 11:54Z   305k/500k~  61%~              ?         -   │",
        "│ initech      !  paused  12:01Z        93.1k     -              -         -   │",
    ]
    assert found[11:21] == [
        "┌─ acme ───────────────────────────────────────────────────────────────────────┐",
        "│ tokens      4.7M/5.0M   120,000 reserved   held to a pace since 11:43Z       │",
        "│ pace        2,100 in the last minute   41.0k/m expected   held to 412/m      │",
        "│             runs out 12:12:01Z   reset 00:00Z                                │",
        "│ last 15 min ·▂▂▂▂▂▂▂▂▂▂▂▂▂▃▃▃▃▄▄▄▄▅▅▆▆▇▇██   most 38.0k/m                    │",
        "│ used today  haiku        in   604k   cached  98.0k   out  44.3k   0.11 USD   │",
        "│             steady-2     in   301k   cached  41.2k   out  19.0k   1.10 USD   │",
        "│             opus         in  88.3k   cached      0   out  8,000   0.64 USD   │",
        "│             all models   in   994k   cached   139k   out  71.3k   1.85 USD   │",
        "│ 4 more lines below                                                           │",
    ]


async def test_the_wide_table_of_tenants_has_tiers_quotas_and_pauses() -> None:
    found = await lines(fleet_scenarios.over_budget(), "tn", "G", size=(190, 45))
    assert any("62/30/8   4.10  80/120 " in row for row in found)
    assert any("2.8 paused mara unt" in row for row in found)
    assert any("since 12:01Z by mara until 13:00Z: OPS-881 loop" in row for row in found)
    assert any("!! hard    12:01" in row for row in found)


async def test_enter_on_a_tenant_opens_its_pools_and_escape_goes_back() -> None:
    async with session(fleet_scenarios.over_budget()) as running:
        await running.command("tenants")
        await running.keys("j", "enter")
        assert running.stack == ["overview", "tenants", "pools"]
        assert running.table == ("acme/browser-gpu", "acme/coder-large")
        assert "pools of acme [2]" in running.screen
        await running.keys("enter", "escape", "escape")
        assert running.stack == ["overview", "tenants"]
        await running.command("pools")
        assert len(running.table) == 9
        assert "pools [9]" in running.screen


async def test_the_pools_of_a_tenant_stay_its_own_when_a_snapshot_comes() -> None:
    async with session(fleet_scenarios.over_budget()) as running:
        await running.command("tenants")
        await running.keys("j", "enter")
        await running.publish(scenarios.mixed_fleet(9000))
        assert set(running.table) == {"acme/browser-gpu", "acme/coder-large"}
        await running.keys("escape", "escape", "f")
        assert len(running.table) == 9


async def test_tenants_are_filtered_by_state_tier_and_person() -> None:
    async with session(fleet_scenarios.over_budget()) as running:
        for text, found in (("hard", ["globex"]), ("starter", ["kite", "initech"])):
            await running.command(f"tn /{text}")
            assert list(running.table) == found
        await running.command("tn /mara")
        assert list(running.table) == ["initech"]


# -- pods -------------------------------------------------------------------------------------


async def test_pods_are_filtered_by_phase_node_and_reason_and_sorted_by_cold_start() -> None:
    async with session(fleet_scenarios.burst()) as running:
        for text, count in (("unscheduled", 1), ("gpu-a10-04", 12), ("CrashLoopBackOff", 1)):
            await running.command(f"pods /{text}")
            assert len(running.table) == count
        await running.keys("escape", "W")
        ages = [name.rpartition("-")[2] for name in running.table[:3]]
        assert ages == ["p0d3c", "m1q2z", "b4j7m"]


async def test_a_pod_that_becomes_ready_stops_its_cold_start() -> None:
    pod = Pod(name="a", phase=PodPhase.STARTING, created_at=NOW - 12, scheduled_at=NOW - 11)
    assert cold_start_s(pod, NOW) == 12
    ready = replace(pod, phase=PodPhase.READY, ready_at=NOW - 3)
    assert cold_start_s(ready, NOW + 60) == 9
    assert cold_start_s(replace(ready, ready_at=None), NOW) is None
    assert cold_start_s(replace(pod, created_at=0.0), NOW) is None


def test_a_cold_start_is_told_step_by_step_until_a_restart() -> None:
    pod = Pod(
        name="a",
        phase=PodPhase.READY,
        created_at=NOW - 19,
        scheduled_at=NOW - 17,
        started_at=NOW - 8,
        ready_at=NOW,
    )
    assert cold_start_steps(pod) == (2, 9, 8)
    assert cold_start_steps(replace(pod, ready_at=None)) == (2, 9, None)
    assert cold_start_steps(replace(pod, started_at=None)) == (2, None, None)
    assert cold_start_steps(replace(pod, scheduled_at=NOW - 30)) == (None, None, None)
    assert cold_start_steps(replace(pod, restarts=1)) == (None, None, None)


@tabled(("pods", "expected"), [(0, None), (1, 1), (9, 9), (10, 9), (20, 18)])
def test_nine_of_ten_pods_were_ready_within_their_p90(pods: int, expected: float | None) -> None:
    items = tuple(
        Pod(name=str(n), phase=PodPhase.READY, created_at=NOW, ready_at=NOW + 1 + n)
        for n in range(pods)
    )
    assert p90_ready_s(Pods(items=items)) == expected


# -- events -----------------------------------------------------------------------------------


async def test_events_as_plain_lines() -> None:
    found = await lines(fleet_scenarios.burst(), "ev", "j", "j", "j", "j")
    assert found[2:] == [
        "┌─ scale events [8] ───────────────────────────────────────────── sort TIME ↓ ─┐",
        "│ TIME      OF                 BY     CHANGE     BOUND    BECAUSE              │",
        "│ 12:04:31Z acme/browser-gpu   auto   12→20 +8   max      at most 20 replicas… │",
        "│ 12:04:02Z acme/coder-large   auto   65→70 +5   demand   policy 5 pods per 6… │",
        "│ 12:03:58Z globex/eval-batch  auto   60→52 -8   demand   52 replicas, the hi… │",
        "│ 12:01:17Z initech/etl        auto   2→11 +9    demand   not written, forbid… │",
        "│>12:01:17Z initech/t…s-shared mara   9→0 -9     pause    paused by mara (OPS… │",
        "│ 11:55:09Z globex/su…ort-chat auto   132→140 +8 demand   0 pending + 140 in…  │",
        "│ 11:48:49Z initech/voice      auto   1→0 -1     demand   idle for longer tha… │",
        "│ 11:02:49Z acme/browser-gpu   auto   4→9 +5     pin      5 spares pinned by…  │",
        "│                                                                              │",
        "│                                                                              │",
        "└──────────────────────────────────────────────────────────────────────────────┘",
        "┌─ initech/tools-shared ───────────────────────────────────────────────────────┐",
        "│ when        2026-03-02 12:01:17Z   3m32s ago   asked for by mara             │",
        "│ change      9→0 -9   bound by pause                                          │",
        "│ because     paused by mara (OPS-881): nothing new starts                     │",
        "│ outcome     applied (200)                                                    │",
        "│ now         9 of 9 replicas ready                                            │",
        "└──────────────────────────────────────────────────────────────────────────────┘",
        " <:>cmd </>filter <?>help <enter>open <d>why <t>history <.>still <q>back",
        " overview > events   initech/tools-shared: paused by mara (OPS-881 loop): noth…",
    ]


async def test_an_event_names_the_person_who_asked_for_its_number_not_who_pinned_before() -> None:
    async with session(fleet_scenarios.burst(), (120, 36)) as running:
        await running.command("ev /mara")
        assert "asked for by mara" in running.screen
        await running.command("ev /jon")
        assert "the controller by itself" in running.screen


async def test_a_key_in_attention_is_about_the_pool_of_the_finding_under_the_cursor() -> None:
    async with session(fleet_scenarios.burst()) as running:
        overview = running.app.views.overview
        of_pools = overview.subject
        await running.keys("tab")
        keys = {row.key for row in running.app.frame.rows}
        seen = []
        for _ in running.app.frame.snapshot.findings:
            finding = overview.findings.cursor_row.finding
            seen.append(finding.subject in keys)
            assert overview.subject == (finding.subject if seen[-1] else None)
            await running.keys("j")
        assert any(seen)
        await running.keys("shift+tab")
        assert overview.subject == of_pools


async def test_events_are_sorted_by_size_of_the_change() -> None:
    async with session(fleet_scenarios.burst()) as running:
        await running.command("events")
        await running.keys("X")
        assert "132 140" in running.table[2] or "2 11" in running.table[0]


# -- nodes ------------------------------------------------------------------------------------


async def test_unknown_nodes_set_no_limit_and_the_reason_is_said() -> None:
    found = "\n".join(await lines(fleet_scenarios.no_nodes(), "no", size=(120, 36)))
    assert "no nodes are known, so they set no limit" in found
    assert 'refused: nodes is forbidden: User "system:serviceaccount' in found


async def test_enter_on_a_class_opens_its_nodes_and_enter_on_a_node_its_pods() -> None:
    async with session(fleet_scenarios.placed()) as running:
        await running.command("nodes")
        await running.keys("j", "enter")
        assert running.stack == ["overview", "nodes", "class"]
        assert "nodes of gpu [3]" in running.screen
        await running.keys("j", "enter")
        assert running.stack == ["overview", "nodes", "class", "pods"]
        assert "pods of gpu-a10-04 [12]" in running.screen
        await running.keys("enter")
        assert running.stack[-1] == "detail"
        assert running.app.view.subject == "acme/browser-gpu"
        await running.keys("escape", "escape")
        assert running.stack == ["overview", "nodes", "class"]
        await running.keys("escape", "j", "enter")
        assert "nodes of spot [1]" in running.screen


async def test_enter_on_pods_that_fit_nowhere_opens_the_pods_of_their_pool() -> None:
    async with session(fleet_scenarios.burst()) as running:
        await running.command("nodes")
        await running.keys("tab", "enter")
        assert "pods [15]" in running.screen
        await running.keys("escape", "d")
        assert running.app.view.pool == "acme/browser-gpu"


async def test_a_gate_for_pods_that_do_not_become_ready_stops_growth() -> None:
    snapshot = fleet_scenarios.burst()
    first = snapshot.pools[1]
    assert first.decision is not None
    gated = replace(first, decision=replace(first.decision, gate=Gate.NOT_BECOMING_READY))
    pools = (snapshot.pools[0], gated, *snapshot.pools[2:])
    found = await lines(replace(snapshot, pools=pools), "no")
    assert any("acme/browser-gpu" in row and "stopped" in row for row in found)


# -- models -----------------------------------------------------------------------------------


async def test_a_pool_that_nobody_measured_is_named_and_makes_the_sum_a_least_one() -> None:
    async with session(fleet_scenarios.burst(), (120, 36)) as running:
        await running.command("mo /haiku")
        assert "could draw >420, 10%" in running.screen
        assert "initech/etl 11 replicas, what its tasks take is not known" in running.screen


async def test_enter_on_a_model_opens_the_pools_that_draw_on_it() -> None:
    async with session(fleet_scenarios.burst()) as running:
        await running.command("models")
        await running.keys("enter")
        assert running.stack == ["overview", "models", "pools"]
        assert set(running.table) == {"acme/browser-gpu", "acme/coder-large"}
        assert "pools of opus [2]" in running.screen
        await running.keys("escape", "G", "enter")
        assert "nothing to open here" in running.screen


async def test_models_are_filtered_by_pool_and_sorted_by_what_is_refused() -> None:
    async with session(fleet_scenarios.burst()) as running:
        await running.command("mo /globex")
        assert running.table == ("haiku", "sonnet/globex")
        await running.keys("escape", "F")
        assert running.table[0] == "opus"


# -- info -------------------------------------------------------------------------------------


async def test_info_as_plain_lines() -> None:
    found = await lines(fleet_scenarios.attached(), "info", "tab", "j", "j", size=(80, 30))
    assert found[7:18] == [
        "│ FACT        SINCE  IS                                                        │",
        "│ version     -      agentdash 0.1.0 here, 0.0.9 in the controller             │",
        "│ fleet       -      agents, context prod-eu1: 9 pools, 3 tenants              │",
        "│>controller  10:44Z bastion/4711, elsewhere, this dashboard is attached       │",
        "│ role        -      ACTIVE: writes without a lease (store: none): run one co… │",
        "│ epoch       -      1772448268.000, sequence 4821                             │",
        "│ tick        -      every 1 s, the last in 4.2 ms, 2 late                     │",
        "│ nats        11:04Z connected: nats://nats-0:4222                             │",
        "│ kubernetes  11:04Z connected: v1.35.0                                        │",
        "│ journal     -      /var/lib/agentdash/journal.jsonl                          │",
        "│ history     -      15 minutes and 24 hours of 9 pools; saved every minute b… │",
    ]


def test_info_names_what_may_not_be_read_or_written() -> None:
    snapshot = fleet_scenarios.burst()
    [view, *others] = snapshot.pools
    refused = Absent(why=Why.REFUSED, at=NOW, detail="cannot list")
    seen = replace(view.observation, pods=refused)
    nodes = Finding(
        severity=Severity.INFO,
        subject="kubernetes",
        kind="nodes",
        text="nodes cannot be read (refused) and set no limit",
        since=NOW,
    )
    snapshot = replace(
        snapshot, pools=(replace(view, observation=seen), *others), findings=(nodes,)
    )
    frame = Frame(now=NOW, started_at=NOW, snapshot=snapshot)
    assert [fact.text for fact in facts(frame) if fact.name == "no right to"] == [
        "deployments/scale: initech/etl",
        f"their queue, workload or pods: {view.key}",
        "nodes cannot be read (refused) and set no limit",
    ]
    fine = replace(snapshot, pools=(), findings=())
    assert (
        facts(Frame(now=NOW, started_at=NOW, snapshot=fine))[-1].text
        == "none is seen to be missing"
    )


def test_each_table_with_a_state_says_since_when_at_every_width() -> None:
    columns = [
        table.columns
        for view in views().values()
        for table in view.tables
        if {"STATE", "SINCE"} <= {each.title for each in table.columns}
    ]
    assert len(columns) >= 4
    for each in columns:
        for width in range(58, 200):
            titles = {placed.column.title for placed in place_columns(each, width)}
            assert ("STATE" in titles) <= ("SINCE" in titles)


def states_since(snapshot: Snapshot) -> dict[str, float | None]:
    frame = Frame(now=NOW, started_at=NOW, snapshot=snapshot, rows=pool_rows(snapshot))
    return {row.state.word: row.since for row in QUEUES.rows(frame)}


def test_the_state_of_a_queue_began_when_its_cause_did() -> None:
    snapshot = fleet_scenarios.burst()
    poisoned = Finding(
        severity=Severity.WARNING,
        subject="initech/etl",
        kind=Code.POISON,
        text="again and again",
        since=NOW - 7,
    )
    since = states_since(replace(snapshot, findings=(poisoned,)))
    pools = {view.key: view for view in snapshot.pools}
    held = pools[PoolKey("initech/tools-shared")].standing
    assert held is not None
    assert since["held"] == held.bound_since
    assert since["poison"] == NOW - 7
    assert since["stale"] == pools[PoolKey("globex/research")].observation.queue.at
    assert since["empty"] == since["paused"] == NOW - 1020


def two_queues(snapshot: Snapshot, key: str) -> Snapshot:
    """The snapshot with a second queue of this pool, in which 7 messages wait."""
    low = Fresh(value=QueueDepth(pending=7, in_flight=0), at=snapshot.at)
    pools = tuple(
        replace(
            view,
            lower_queues=(QueueName("BATCH", "research-low"),),
            observation=replace(view.observation, queues=(view.observation.queue, low)),
        )
        if view.key == key
        else view
        for view in snapshot.pools
    )
    rates = QueueRates(pool=PoolKey(key), number=1, arrivals_per_minute=4.0)
    return replace(snapshot, pools=pools, queues=(*snapshot.queues, rates))


def test_poison_is_shown_at_the_queue_that_has_it() -> None:
    key = "initech/etl"
    snapshot = two_queues(fleet_scenarios.burst(), key)

    def named(view: PoolView) -> PoolView:
        """The pool's reason names its lower queue."""
        assert view.decision is not None
        reasons = tuple(
            replace(each, numbers={**each.numbers, "queue": "BATCH/research-low"})
            if each.code is Code.POISON
            else each
            for each in view.decision.reasons
        )
        return replace(view, decision=replace(view.decision, reasons=reasons))

    pools = tuple(named(view) if view.key == key else view for view in snapshot.pools)
    poisoned = Finding(
        severity=Severity.WARNING,
        subject=key,
        kind="poison BATCH/research-low",
        text="again and again",
        since=NOW - 7,
    )
    snapshot = replace(snapshot, pools=pools, findings=(poisoned,))
    frame = Frame(now=NOW, started_at=NOW, snapshot=snapshot, rows=pool_rows(snapshot))
    rows = [row for row in QUEUES.rows(frame) if row.pool.view.key == key]
    assert [(row.number, row.state.word == "poison") for row in rows] == [(0, False), (1, True)]
    assert rows[1].since == NOW - 7


async def test_each_of_a_pools_queues_has_a_row() -> None:
    snapshot = two_queues(fleet_scenarios.burst(), "globex/research")
    found = await lines(snapshot, "qu /globex/research", size=(160, 45))
    rows = [line.strip("│>").split() for line in found if re.match(r"│.globex/research ", line)]
    assert [row[-2:] for row in rows] == [["AGENTS", "globex-research"], ["BATCH", "research-low"]]
    assert rows[0][1:5] == ["~", "stale", "12:04Z", "402~"]
    assert rows[1][1:9] == ["2", "ok", "-", "7", "0", "0", "-", "4.0"]


async def test_the_lower_queue_of_a_pool_says_its_rank_and_acts_on_its_pool() -> None:
    async with session(two_queues(fleet_scenarios.burst(), "globex/research")) as running:
        await running.command("queues /BATCH")
        assert "queue 2 of 2, pulled last" in running.screen
        assert running.app.view.subject == "globex/research"
        await running.keys("enter")
        assert running.app.view.pool == "globex/research"
        assert "BATCH > research-low" in running.screen


async def test_a_pod_says_when_its_worker_reached_the_steps_of_its_start() -> None:
    snapshot = fleet_scenarios.burst()
    [view] = [each for each in snapshot.pools if each.key == "acme/browser-gpu"]
    items = view.observation.pods.value.items
    pod = next(each for each in items if each.phase is PodPhase.READY)
    last = pod.ready_at or 0.0
    marks = {
        "shared": pod.created_at - 9.0,
        "process": last,
        "tools": last + 1.2,
        "first task": last + 65.0,
    }
    state = WorkerState(worker=pod.name, slots=1, busy=1, pulling=True, marks=marks)
    workers = Fresh(value=Workers(states=(state,)), at=snapshot.at)
    seen = replace(view.observation, workers=workers)
    pools = [replace(view, observation=seen) if each is view else each for each in snapshot.pools]
    found = await lines(replace(snapshot, pools=tuple(pools)), f"po /{pod.name}")
    [line] = [each for each in found if "its worker" in each]
    assert "tools after 1s   first task after 1m03s" in line
    assert "shared" not in line

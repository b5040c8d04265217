"""The views of the whole fleet: what they say as plain lines, and what keys do in them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace
from textual.events import Key
from textual.pilot import Pilot

from agentdash.tui.app import Dashboard
from agentdash.tui.commands import VIEWS, parse
from agentdash.tui.pods import cold_start_s
from agentdash.tui.screens.table_view import TableView
from controller.model.decision import Gate
from controller.model.observation import Pod, PodPhase
from controller.model.readings import Absent, Why
from controller.model.snapshot import Snapshot
from tui import fleet_scenarios, scenarios
from tui.dashboards import dashboard
from tui.plain import screen_lines, shown, typed

NOW = scenarios.NOW
SIZES = [(80, 24), (120, 36), (160, 45)]
TABLES = ["queues", "tenants", "pods", "nodes", "models", "events"]


class Session:
    """A running dashboard."""

    def __init__(self, app: Dashboard, pilot: Pilot[None], feed: scenarios.FakeFeed) -> None:
        self.app = app
        self.pilot = pilot
        self.feed = feed

    async def keys(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
        await self.pilot.pause()

    async def command(self, text: str) -> None:
        await self.keys(*typed(f":{text}"), "enter")

    async def publish(self, snapshot: Snapshot) -> None:
        self.feed.publish(snapshot)
        await self.pilot.pause()

    @property
    def stack(self) -> list[str]:
        return [view.VIEW for view in self.app._views()]

    @property
    def table(self) -> tuple[str, ...]:
        """The keys of the rows that the view shows."""
        table = self.app.view.filtered
        assert table is not None
        return table.visible_keys

    @property
    def text(self) -> str:
        return "\n".join(screen_lines(self.app))


@asynccontextmanager
async def session(
    snapshot: Snapshot | None, size: tuple[int, int] = (80, 24), *, ascii_only: bool = False
) -> AsyncIterator[Session]:
    feed = scenarios.FakeFeed(snapshot)
    app = dashboard(feed, ascii_only=ascii_only)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield Session(app, pilot, feed)


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
                await running.command(command)
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


@pytest.mark.parametrize("size", SIZES)
async def test_without_a_snapshot_a_view_says_what_it_waits_for(size: tuple[int, int]) -> None:
    async with session(None, size) as running:
        for name in TABLES:
            await running.command(name)
            assert "loading  0s" in running.text
            assert "waiting for the first snapshot" in running.text


@pytest.mark.parametrize("size", SIZES)
async def test_without_rows_a_view_says_so(size: tuple[int, int]) -> None:
    async with session(fleet_scenarios.nothing_at_all(), size) as running:
        for name in TABLES:
            await running.command(name)
            assert "[0]" in running.text
            assert re.search(
                r"no (pools|tenants|pods|nodes|models)|nothing|every pod", running.text
            )


async def test_a_lost_connection_is_named_above_a_view() -> None:
    lost = replace(fleet_scenarios.burst(), links=scenarios.nats_lost().links)
    async with session(lost) as running:
        for name in TABLES:
            await running.command(name)
            assert "nats LOST 47s, its values are the last known" in running.text


@pytest.mark.parametrize("size", SIZES)
async def test_a_view_in_ascii_has_no_other_characters(size: tuple[int, int]) -> None:
    async with session(fleet_scenarios.over_budget(), size, ascii_only=True) as running:
        for name in TABLES:
            await running.command(name)
            assert running.text.isascii()


async def test_help_of_a_view_names_its_own_columns_and_only_keys_that_sort_it() -> None:
    async with session(fleet_scenarios.burst(), (160, 45)) as running:
        for name in TABLES:
            await running.command(name)
            view = running.app.view
            assert isinstance(view, TableView)
            titles = {column.letter: column.title for column in view.SPEC.columns if column.letter}
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
                assert isinstance(view, TableView)
                assert view.table.cursor_key == key
                row = view.table.cursor_row
                assert f"┌─ {(view.SPEC.name or view.SPEC.key)(row)} " in running.text
                await running.keys("j")


async def test_rows_that_did_not_change_are_not_arranged_again() -> None:
    snapshot = fleet_scenarios.burst()
    async with session(snapshot) as running:
        for sequence, name in enumerate(TABLES, 9000):
            await running.command(name)
            view = running.app.view
            assert isinstance(view, TableView)
            before = view.table._rows
            await running.publish(replace(snapshot, sequence=sequence))
            assert view.table._rows is before


async def test_what_is_typed_before_the_prompt_has_the_focus_belongs_to_the_prompt() -> None:
    """A pasted `:qu` must never act as the key q."""
    async with session(fleet_scenarios.burst()) as running:
        for key, character in (("colon", ":"), ("q", "q"), ("u", "u"), ("enter", "\r")):
            running.app.post_message(Key(key, character))
        await running.pilot.pause()
        assert running.stack == ["overview", "queues"]
        assert running.app.return_code is None


# -- queues -----------------------------------------------------------------------------------


async def test_queues_as_plain_lines() -> None:
    found = await lines(fleet_scenarios.burst(), "qu")
    assert found[2:] == [
        "┌─ queues [9] ──────────────────────────────────────────────── sort PENDING ↓ ─┐",
        "│ POOL                 STATE     PENDING FLIGHT REDEL   OLDEST   IN/m DONE/m   │",
        "│>acme/browser-gpu        ok       1,240     12     0    1m52s  1,204     38   │",
        "│ globex/research      ~  stale     402~    80~    0~        -      -      -   │",
        "│ acme/coder-large        ok          61     65     0       4s     88     91   │",
        "│ initech/etl          !! poison       9      2     2  >12m04s    4.2    3.9   │",
        "│ initech/tools-shared !  held         5      9     0      31s      0    2.0   │",
        "│ globex/eval-batch    !  paused       0     31     0        -      0    9.4   │",
        "│ globex/support-chat     ok           0    140     0        -    230    229   │",
        "│ initech/voice           empty        0      0     0        -      0      0   │",
        "│ globex/canary        !! blind        ?      ?     ?        -      -      -   │",
        "└──────────────────────────────────────────────────────────────────────────────┘",
        "┌─ acme/browser-gpu ───────────────────────────────────────────────────────────┐",
        "│ queue       AGENTS > acme-browser-gpu   0 pulls wait for work                │",
        "│ moving      1,204 a minute arrive   38 a minute are done                     │",
        "│ waits       half within 41s   95% within 1m52s   in 5 minutes   oldest 1m52s │",
        "│                                                                              │",
        "│                                                                              │",
        "│                                                                              │",
        "└──────────────────────────────────────────────────────────────────────────────┘",
        " <:>cmd </>filter <?>help <enter>open <d>why <.>freeze <tab>panel",
        " overview > queues   acme/browser-gpu: at most 20 replicas (max)",
    ]


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
            assert said in running.text


async def test_a_queue_without_rates_shows_no_number_that_nobody_knows() -> None:
    snapshot = replace(fleet_scenarios.burst(), queues=())
    found = await lines(snapshot, "qu", size=(160, 45))
    row = next(line for line in found if "acme/coder-large" in line)
    assert row.split()[2:11] == ["ok", "61", "65", "0", "-", "-", "-", "-", "-"]


async def test_an_empty_queue_shows_no_age_even_where_the_last_rates_have_one() -> None:
    snapshot = fleet_scenarios.burst()
    support = fleet_scenarios.rates("globex/support-chat", 1.0, 1.0, oldest_s=5)
    queues = tuple(support if each.pool == support.pool else each for each in snapshot.queues)
    found = await lines(replace(snapshot, queues=queues), "qu")
    row = next(line for line in found if "globex/support-chat" in line)
    assert row.split()[2:6] == ["ok", "0", "140", "0"]
    assert row.split()[6] == "-"


async def test_enter_on_a_queue_says_why_its_pool_has_its_number() -> None:
    async with session(fleet_scenarios.burst()) as running:
        await running.command("queues")
        await running.keys("j", "enter")
        assert running.stack == ["overview", "queues", "why"]
        assert running.app._why.pool == "globex/research"
        await running.keys("escape", "d")
        assert running.app._why.pool == "globex/research"


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
    assert found[2:8] == [
        "┌─ tenants [4] ───────────────────────────────────────────────── sort SHARE ↓ ─┐",
        "│ TENANT       STATE         TOKENS/DAY SHARE  TOK/m       RUNS OUT POOLS      │",
        "│ globex       !! hard        2.0M/2.0M  101%  8,200          spent     4      │",
        "│>acme         !  paced       4.7M/5.0M   94%  41.0k      12:12:01Z     2      │",
        "│ kite         !! unknown    305k/500k~  61%~      -              ?     0      │",
        "│ initech      !  paused              -     -      -              -     3      │",
    ]
    assert found[14:20] == [
        "┌─ acme ───────────────────────────────────────────────────────────────────────┐",
        "│ tokens      4.7M/5.0M   120,000 reserved   held to a pace                    │",
        "│ pace        41.0k/m   held to 412/m   runs out 12:12:01Z   reset 00:00Z      │",
        "│ cost        54.10/50.00 USD an hour planned                                  │",
        "│ quota       pods 80/120   cpu 20/64   memory 40Gi/256Gi                      │",
        "│ serves      2 pools in agents-acme, tier enterprise                          │",
    ]


async def test_the_wide_table_of_tenants_has_quotas_and_pauses() -> None:
    found = await lines(fleet_scenarios.over_budget(), "tn", "G", size=(160, 45))
    assert any("80/120     20/64   40Gi/256Gi -" in row for row in found)
    assert any("5.5Gi mara until 13:00Z" in row for row in found)
    assert any("by mara until 13:00Z: OPS-881 loop" in row for row in found)


async def test_calm_tenants_last_the_day() -> None:
    found = await lines(fleet_scenarios.calm(), "tn", size=(120, 36))
    assert sum("lasts the day" in row for row in found) == 3
    assert not any("!" in row for row in found[3:8])


async def test_enter_on_a_tenant_opens_its_pools_and_escape_goes_back() -> None:
    async with session(fleet_scenarios.over_budget()) as running:
        await running.command("tenants")
        await running.keys("j", "enter")
        assert running.stack == ["overview", "tenants", "pools"]
        assert running.table == ("acme/browser-gpu", "acme/coder-large")
        assert "pools of acme [2]" in running.text
        await running.keys("enter", "escape", "escape")
        assert running.stack == ["overview", "tenants"]
        await running.command("pools")
        assert len(running.table) == 9
        assert "pools [9]" in running.text


async def test_the_pools_of_a_tenant_stay_its_own_when_a_snapshot_comes() -> None:
    async with session(fleet_scenarios.over_budget()) as running:
        await running.command("tenants")
        await running.keys("j", "enter")
        await running.publish(scenarios.mixed_fleet(9000))
        assert set(running.table) == {"acme/browser-gpu", "acme/coder-large"}
        await running.keys("escape", "escape", "enter")
        assert len(running.table) == 9


async def test_tenants_are_filtered_by_state_tier_and_person() -> None:
    async with session(fleet_scenarios.over_budget()) as running:
        for text, found in (("hard", ["globex"]), ("starter", ["kite", "initech"])):
            await running.command(f"tn /{text}")
            assert list(running.table) == found
        await running.command("tn /mara")
        assert list(running.table) == ["initech"]


async def test_why_needs_a_pool_and_says_so_among_tenants() -> None:
    async with session(fleet_scenarios.over_budget()) as running:
        await running.command("tenants")
        await running.keys("d")
        assert "no pool under the cursor" in running.text


# -- pods -------------------------------------------------------------------------------------


async def test_pods_as_plain_lines() -> None:
    found = await lines(fleet_scenarios.burst(), "po", "j", "j")
    assert found[2:] == [
        "┌─ pods [16] ─────────────────────────────────────────────────── sort PHASE ↑ ─┐",
        "│ POD                   POOL              PHASE          COLD WHY IT WAITS     │",
        "│ pods not known        globex/canary     unknown           - view incomplete… │",
        "│ browser-gp…7c9f-p0d3c acme/browser-gpu  crashing     2m20s… CrashLoopBackOf… │",
        "│>browser-gp…7c9f-m1q2z acme/browser-gpu  unscheduled    31s… Unschedulable:…  │",
        "│ browser-gp…7c9f-b4j7m acme/browser-gpu  starting       12s… ContainerCreati… │",
        "│ browser-gp…7c9f-00000 acme/browser-gpu  ready           20s                  │",
        "│ browser-gp…7c9f-00001 acme/browser-gpu  ready           20s                  │",
        "│ browser-gp…7c9f-00002 acme/browser-gpu  ready           20s                  │",
        "│ browser-gp…7c9f-00003 acme/browser-gpu  ready           20s                  │",
        "│ browser-gp…7c9f-00004 acme/browser-gpu  ready           20s                  │",
        "└────────────────────────────────────────────────────────────────── 1-9 of 16 ─┘",
        "┌─ acme/browser-gpu browser-gpu-7c9f-m1q2z ────────────────────────────────────┐",
        "│ now         unscheduled   on no node yet                                     │",
        "│ cold start  created 12:04:18Z, 31s ago   not ready yet                       │",
        "│ waits       Unschedulable: 0/42 nodes are available: 42 Insufficient         │",
        "│             nvidia.com/gpu                                                   │",
        "│ its pool    15 pods, 12 ready   half of 12 were ready within 20s             │",
        "│ 2 more lines below                                                           │",
        "└──────────────────────────────────────────────────────────────────────────────┘",
        " <:>cmd </>filter <?>help <enter>open <d>why <.>freeze <tab>panel",
        " overview > pods   acme/browser-gpu: at most 20 replicas (max)",
    ]


async def test_enter_on_a_pool_opens_its_pods_and_on_a_pod_why() -> None:
    async with session(fleet_scenarios.burst()) as running:
        await running.command("pools /browser")
        await running.keys("enter")
        assert running.stack == ["overview", "pools", "pods"]
        assert len(running.table) == 15
        assert "pods of acme/browser-gpu [15]" in running.text
        await running.keys("enter")
        assert running.app._why.pool == "acme/browser-gpu"
        await running.keys("escape", "escape")
        assert running.stack == ["overview", "pools"]
        await running.command("pods")
        assert len(running.table) == 16
        assert "pods [16]" in running.text


async def test_enter_on_a_pool_without_pods_says_why() -> None:
    async with session(fleet_scenarios.burst()) as running:
        await running.command("pools /voice")
        await running.keys("enter")
        assert running.stack == ["overview", "pools", "why"]


async def test_pods_are_filtered_by_phase_node_and_reason_and_sorted_by_cold_start() -> None:
    async with session(fleet_scenarios.burst()) as running:
        for text, count in (("unscheduled", 1), ("gpu-a10-04", 12), ("handshake", 1)):
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


# -- events -----------------------------------------------------------------------------------


async def test_events_as_plain_lines() -> None:
    found = await lines(fleet_scenarios.burst(), "ev", "j", "j", "j", "j")
    assert found[2:] == [
        "┌─ scale events [8] ───────────────────────────────────────────── sort TIME ↓ ─┐",
        "│ TIME     POOL                BY     CHANGE     BOUND    BECAUSE              │",
        "│ 12:04:31 acme/browser-gpu    auto   12→20 +8   max      at most 20 replicas… │",
        "│ 12:04:02 acme/coder-large    auto   65→70 +5   demand   policy 5 pods per 6… │",
        "│ 12:03:58 globex/eval-batch   auto   60→52 -8   demand   52 replicas, the hi… │",
        "│ 12:01:17 initech/etl         auto   2→11 +9    demand   not written, forbid… │",
        "│>12:01:17 initech/t…ls-shared mara   9→0 -9     pause    paused by mara (OPS… │",
        "│ 11:55:09 globex/support-chat auto   132→140 +8 demand   0 pending + 140 in…  │",
        "│ 11:48:49 initech/voice       auto   1→0 -1     demand   idle for longer tha… │",
        "│ 11:02:49 acme/browser-gpu    jon    4→9 +5     pin      5 spares pinned by…  │",
        "│                                                                              │",
        "└──────────────────────────────────────────────────────────────────────────────┘",
        "┌─ initech/tools-shared ───────────────────────────────────────────────────────┐",
        "│ when        2026-03-02 12:01:17Z   3m32s ago   asked for by mara             │",
        "│ change      9→0 -9   bound by pause                                          │",
        "│ because     paused by mara (OPS-881): nothing new starts                     │",
        "│ outcome     applied (200)                                                    │",
        "│ now         9 of 9 replicas ready                                            │",
        "│                                                                              │",
        "└──────────────────────────────────────────────────────────────────────────────┘",
        " <:>cmd </>filter <?>help <enter>open <d>why <.>freeze <tab>panel",
        " overview > events   initech/tools-shared: paused by mara (OPS-881 loop): noth…",
    ]


async def test_an_event_that_a_person_asked_for_names_that_person() -> None:
    async with session(fleet_scenarios.burst(), (120, 36)) as running:
        await running.command("ev /mara|jon")
        assert len(running.table) == 2
        assert "asked for by mara" in running.text
        await running.command("ev /auto")
        assert "the controller by itself" in running.text


async def test_enter_on_an_event_says_why_and_for_a_pool_that_is_gone_says_so() -> None:
    async with session(fleet_scenarios.burst()) as running:
        await running.command("events")
        await running.keys("j", "enter")
        assert running.stack == ["overview", "events", "why"]
        assert running.app._why.pool == "acme/coder-large"
        await running.keys("escape")
        await running.publish(replace(fleet_scenarios.burst(9000), pools=()))
        await running.keys("enter")
        assert "acme/coder-large is no pool of this snapshot" in running.text


async def test_events_are_sorted_by_size_of_the_change() -> None:
    async with session(fleet_scenarios.burst()) as running:
        await running.command("events")
        await running.keys("X")
        assert "132 140" in running.table[2] or "2 11" in running.table[0]


# -- nodes ------------------------------------------------------------------------------------


async def test_nodes_as_plain_lines() -> None:
    found = await lines(fleet_scenarios.burst(), "no", "j")
    assert found[2:] == [
        "┌─ room [3] ─────────────────────────────────────── held; g goes to the first ─┐",
        "│ CLASS       NODES        PODS       CPU        MEMORY   FREE REPLICAS OF     │",
        "│ all nodes       6   370/1,100  96.5/176   412Gi/704Gi    159 globex/…rt-chat │",
        "│>gpu           3/3      14/330     46/48    84Gi/192Gi      0 acme/br…ser-gpu │",
        "│ spot         1/25      61/770     ?/128       ?/512Gi      ? acme/co…r-large │",
        "│                                                                              │",
        "└──────────────────────────────────────────────────────────────────────────────┘",
        "┌─ gpu ────────────────────────────────────────────────────────────────────────┐",
        "│ nodes       3 nodes, at most 3   gpu-a10-02, gpu-a10-04, gpu-a10-07          │",
        "│ taken       pods 4%   cpu 96%   memory 44%   by this fleet's pods alone      │",
        "│ fits        0 more replicas of acme/browser-gpu                              │",
        "│                                                                              │",
        "└──────────────────────────────────────────────────────────────────────────────┘",
        "┌─ pods that fit nowhere [1] ──────────────────────────────────────────────────┐",
        "│ POOL               PODS    FOR GROWTH  THE SCHEDULER SAYS                    │",
        "│ acme/browser-gpu      1    31s goes on 0/42 nodes are available: 42 Insuffi… │",
        "│                                                                              │",
        "│                                                                              │",
        "│                                                                              │",
        "└──────────────────────────────────────────────────────────────────────────────┘",
        " <:>cmd </>filter <?>help <enter>open <d>why <.>freeze <tab>panel <q>back",
        " overview > nodes",
    ]


async def test_unknown_nodes_set_no_limit_and_the_reason_is_said() -> None:
    found = "\n".join(await lines(fleet_scenarios.no_nodes(), "no", size=(120, 36)))
    assert "no nodes are known, so they set no limit" in found
    assert 'refused: nodes is forbidden: User "system:serviceaccount' in found
    assert "every pod has a node" in found


async def test_pods_that_are_not_known_are_not_said_to_have_a_node() -> None:
    snapshot = fleet_scenarios.burst()
    canary = tuple(view for view in snapshot.pools if view.key == "globex/canary")
    found = "\n".join(await lines(replace(snapshot, pools=canary), "no"))
    assert "the pods of 1 pool are not known" in found


async def test_enter_on_a_class_opens_the_pods_on_its_nodes() -> None:
    async with session(fleet_scenarios.burst()) as running:
        await running.command("nodes")
        await running.keys("j", "enter")
        assert running.stack == ["overview", "nodes", "pods"]
        assert "pods of gpu [14]" in running.text
        await running.keys("escape", "j", "enter")
        assert "pods of spot [0]" in running.text


async def test_enter_on_pods_that_fit_nowhere_opens_the_pods_of_their_pool() -> None:
    async with session(fleet_scenarios.burst()) as running:
        await running.command("nodes")
        await running.keys("tab", "tab", "enter")
        assert "pods of acme/browser-gpu [15]" in running.text
        await running.keys("escape", "d")
        assert running.app._why.pool == "acme/browser-gpu"


async def test_a_gate_for_pods_that_do_not_become_ready_stops_growth() -> None:
    snapshot = fleet_scenarios.burst()
    first = snapshot.pools[1]
    assert first.decision is not None
    gated = replace(first, decision=replace(first.decision, gate=Gate.NOT_BECOMING_READY))
    pools = (snapshot.pools[0], gated, *snapshot.pools[2:])
    found = await lines(replace(snapshot, pools=pools), "no")
    assert any("acme/browser-gpu" in row and "stopped" in row for row in found)


# -- models -----------------------------------------------------------------------------------


async def test_models_as_plain_lines() -> None:
    found = await lines(fleet_scenarios.burst(), "mo")
    assert found[2:] == [
        "┌─ models [4] ────────────────────────────────────────────────── sort SHARE ↓ ─┐",
        "│ MODEL                 REQ/m      IN TOK/m     OUT TOK/m SHARE REFUSED POOLS  │",
        "│>opus                890/900     1.8M/3.6M     222k/720k   99%      31     2  │",
        "│ sonnet/globex       109/270          218k         27.2k   40%       0     2  │",
        "│ haiku            >420/4,000         >840k         >105k   35%       0     2  │",
        "│ local                     0             0             0     -       0     0  │",
        "│                                                                              │",
        "│                                                                              │",
        "│                                                                              │",
        "│                                                                              │",
        "│                                                                              │",
        "└──────────────────────────────────────────────────────────────────────────────┘",
        "┌─ opus ───────────────────────────────────────────────────────────────────────┐",
        "│ requests    890 of 900   99%   1,000 less the headroom   refuses 31 replicas │",
        "│ input       1.8M of 3.6M   49%   4.0M less the headroom                      │",
        "│ output      222k of 720k   31%   800,000 less the headroom                   │",
        "│ pools       acme/coder-large 70 replicas 840 req/m                           │",
        "│             acme/browser-gpu 20 replicas 50 req/m, 31 refused                │",
        "│                                                                              │",
        "└──────────────────────────────────────────────────────────────────────────────┘",
        " <:>cmd </>filter <?>help <enter>open <d>why <.>freeze <tab>panel",
        " overview > models",
    ]


async def test_a_pool_that_nobody_measured_is_named_and_makes_the_sum_a_least_one() -> None:
    async with session(fleet_scenarios.burst(), (120, 36)) as running:
        await running.command("mo /haiku")
        assert ">420/4,000" in running.text
        assert "initech/etl 11 replicas, what its tasks take is not known" in running.text


async def test_enter_on_a_model_opens_the_pools_that_draw_on_it() -> None:
    async with session(fleet_scenarios.burst()) as running:
        await running.command("models")
        await running.keys("enter")
        assert running.stack == ["overview", "models", "pools"]
        assert set(running.table) == {"acme/browser-gpu", "acme/coder-large"}
        assert "pools of opus [2]" in running.text
        await running.keys("escape", "G", "enter")
        assert "nothing to open here" in running.text


async def test_models_are_filtered_by_pool_and_sorted_by_what_is_refused() -> None:
    async with session(fleet_scenarios.burst()) as running:
        await running.command("mo /globex")
        assert running.table == ("sonnet/globex", "haiku")
        await running.keys("escape", "F")
        assert running.table[0] == "opus"

"""Operating in the dashboard: the form, the numbers, the confirmation, who was first, and undo."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace
from textual.events import Key

from agentdash.operate import VERBS, AnswerError, Request, parse_request
from controller.model.intents import Intent, IntentKey, IntentKind, Scope
from support.asked import a_freeze, a_pause, a_pin, no_growth_of
from tui import fleet_scenarios, operators, scenarios
from tui.plain import NAMES, screen_lines
from tui.scenarios import NOW
from tui.sessions import Session, session

CODER = "acme/coder-large"
HOUR = 3600.0


@asynccontextmanager
async def operating(
    operator: operators.FakeOperator, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[Session]:
    """A dashboard in the view of the pools, with the cursor on one of acme's."""
    async with session(scenarios.mixed_fleet(), size, operator) as running:
        await running.type(":pools")
        await running.keys("enter")
        running.app.view.table.select(CODER)
        await running.pilot.pause()
        yield running


async def fill(running: Session, *answers: str) -> None:
    """Each answer and enter, but for the one key that a confirmation takes."""
    for answer in answers:
        takes_one_key = "y/N" in running.text("#prompt-symbol")
        await running.type(answer)
        if not (takes_one_key and answer):
            await running.keys("enter")


def bar(running: Session) -> str:
    """What is asked, without line breaks."""
    return " ".join((running.text("#asking") + running.text("#prompt-symbol")).split())


async def test_a_pin_is_asked_for_with_its_number_reason_and_end_and_then_confirmed() -> None:
    operator = operators.FakeOperator()
    async with operating(operator) as running:
        await running.keys("p")
        assert f"pin {CODER}" in bar(running)
        await fill(running, "3", "load test", "1h")
        assert "3 replicas start now" in bar(running)
        assert "3 spares kept ready; until 13:04Z; undo: u; why: load test" in bar(running)
        assert f"do it for {CODER}? y/N" in bar(running)
        assert operator.written == []
        await fill(running, "y")
        pin = a_pin(pool=CODER, replicas=3, until=NOW + HOUR, why="load test")
        assert operator.written == [(pin.key, pin)]
        assert "done; undo: u; acme/coder-large: 3 spares kept ready" in running.text("#crumbs")


async def test_a_clock_that_is_a_day_ahead_is_told_with_how_long_it_lasts_by_the_servers() -> None:
    operator = operators.FakeOperator()
    async with operating(operator) as running:
        running.clock.now += 24 * HOUR
        await running.keys("p")
        await fill(running, "3", "load test", "2h", "y")
        assert "it lasts 26.0 h: the clock here is 1,440 min ahead" in running.text("#crumbs")


@pytest.mark.parametrize(
    ("above", "word", "key", "named"),
    [
        (fleet_scenarios.PAUSE, "PAUSED  tenant initech", "s", "all pools of tenant initech"),
        (
            a_freeze(scope=Scope(), until=NOW + HOUR, who="eve", why="upgrade"),
            "FROZEN  the fleet",
            "z",
            "the whole fleet: type",
        ),
    ],
)
async def test_what_stops_a_tenant_or_the_fleet_is_a_banner_and_ended_by_a_key(
    above: Intent, word: str, key: str, named: str
) -> None:
    operator = operators.FakeOperator()
    operator.stands(above)
    frozen = {"freeze": above} if above.kind is IntentKind.FREEZE else {}
    fleet = fleet_scenarios.over_budget()
    fleet = replace(fleet, tenants=tuple(replace(each, **frozen) for each in fleet.tenants))
    async with session(fleet, (100, 30), operator) as running:
        banner = running.text("#banner")
        assert f"{word}, by {above.who}, until 13:0" in banner
        assert "; E ends it: " in banner
        await running.type(":pools")
        await running.keys("enter")
        assert word in running.text("#banner")
        running.app.view.table.select("initech/tools-shared")
        await running.pilot.pause()
        # on a pool that is stopped from above, the key of the pause or freeze ends that one
        await running.keys(key)
        await fill(running, "")
        assert named in bar(running)
        await running.keys("escape", "E")
        assert named in bar(running)
        fleet_name = running.app.frame.snapshot.fleet if running.app.frame.snapshot else ""
        await fill(running, "y" if key == "s" else fleet_name)
        assert operator.written == [(above.key, None)]


async def test_where_nothing_stops_a_tenant_there_is_no_banner_to_end() -> None:
    async with session(scenarios.mixed_fleet(), (100, 30), operators.FakeOperator()) as running:
        assert not running.app.view.query_one("#banner").display
        await running.keys("E")
        assert "no freeze, pause or hold" in running.text("#crumbs")


async def test_before_the_first_snapshot_nothing_can_be_asked_for() -> None:
    operator = operators.FakeOperator()
    async with session(None, (120, 36), operator) as running:
        assert "(s)pause" in running.text("#hints")
        await running.keys("s")
        assert "pause is off: no snapshot has come yet" in running.text("#crumbs")
        await running.type(":freeze --all why x")
        await running.keys("enter")
        assert "off: no snapshot has come yet" in running.text("#prompt-note")
        assert operator.previewed == []


@pytest.mark.parametrize(("size", "lines"), [((120, 36), 2), ((80, 24), 3)])
async def test_what_is_wrong_is_said_whole_beside_what_was_typed(
    size: tuple[int, int], lines: int
) -> None:
    async with operating(operators.FakeOperator(), size) as running:
        prompt = running.app.view.prompt
        await fill(running, f":pause {CODER} until 25:99")
        note = running.text("#prompt-note")
        assert " ".join(note.split()) == (
            '"25:99" must be a duration such as 2h, a time of day such as 14:00,'
            " or a date such as 2026-11-23T08:00Z"
        )
        assert (len(note.splitlines()), prompt.size.height) == (lines, lines)
        assert prompt.input.value == f"pause {CODER} until 25:99"
        assert prompt.input.size.width > len(prompt.input.value)
        await running.keys("backspace")
        assert prompt.size.height == 1


async def test_the_end_is_in_two_hours_unless_another_is_typed() -> None:
    operator = operators.FakeOperator()
    async with operating(operator) as running:
        await running.keys("z")
        await fill(running, "deploy", "", "y")
        freeze = a_freeze(scope=Scope(pool=CODER), until=NOW + 2 * HOUR, why="deploy")
        assert operator.written == [(freeze.key, freeze)]


async def test_anything_but_yes_changes_nothing() -> None:
    operator = operators.FakeOperator()
    async with operating(operator) as running:
        for answer in ("", "n", "x", "N"):
            await running.keys("s")
            await fill(running, "why not", "", answer)
            assert operator.written == []
            assert "not confirmed: nothing was changed" in running.text("#crumbs")
            assert not running.app.view.prompt.mode
            running.app.flash("")


async def test_escape_leaves_at_every_question() -> None:
    operator = operators.FakeOperator()
    async with operating(operator) as running:
        for answers in ((), ("2",), ("2", "why"), ("2", "why", "")):
            await running.keys("p")
            await fill(running, *answers)
            await running.keys("escape")
            assert not running.app.view.prompt.mode
            assert "nothing was changed" in running.text("#crumbs")
            running.app.flash("")
    assert operator.written == []


async def test_backspace_on_an_empty_line_goes_back_one_question() -> None:
    async with operating(operators.FakeOperator()) as running:
        await running.keys("p")
        await fill(running, "3", "reason")
        await running.keys("backspace")
        assert "why" in running.text("#prompt-symbol")
        await running.keys("backspace")
        assert "spares" in running.text("#prompt-symbol")


async def test_an_answer_that_cannot_be_is_said_and_asked_again() -> None:
    async with operating(operators.FakeOperator()) as running:
        await running.keys("p")
        await fill(running, "many")
        assert "'many' is no number" in running.text("#prompt-note")
        await running.keys(*["backspace"] * 4)
        await fill(running, "2")
        await running.keys("enter")
        assert "say why" in running.text("#prompt-note")


async def test_letters_typed_at_once_are_answers_and_no_other_keys() -> None:
    operator = operators.FakeOperator()
    async with operating(operator) as running:
        for character in "sqdu:/p":
            running.app.post_message(Key(NAMES.get(character, character), character))
        await running.keys("enter")
        assert running.stack == ["overview", "pools"]
        assert "why qdu:/p" in bar(running)


async def test_answers_that_are_typed_ahead_go_to_their_questions_but_confirm_nothing() -> None:
    operator = operators.FakeOperator()
    async with operating(operator) as running:
        for character in "s|why|30m|y|":
            key = Key("enter", "\r") if character == "|" else Key(character, character)
            running.app.post_message(key)
        await running.pilot.pause()
        assert "paused; until 12:34Z; undo: u; why: why" in bar(running)
        assert operator.written == []
        await fill(running, "y")
        assert len(operator.written) == 1


@pytest.mark.parametrize("behind", ["", "y"], ids=["once", "twice"])
async def test_of_a_yes_that_is_typed_before_its_question_the_question_says_so(behind: str) -> None:
    operator = operators.FakeOperator()
    async with operating(operator) as running:
        for character in "s|why|30m|y" + behind:
            key = Key("enter", "\r") if character == "|" else Key(character, character)
            running.app.post_message(key)
        await running.pilot.pause()
        assert "too early: press y again" in running.text("#prompt-note")
        assert operator.written == []
        await fill(running, "y")
        assert len(operator.written) == 1


async def test_the_request_stays_with_its_pool_while_rows_move() -> None:
    operator = operators.FakeOperator()
    async with operating(operator) as running:
        await running.keys("p")
        await fill(running, "3", "load")
        snapshot = scenarios.many_pools(40, 5000, at=NOW)
        await running.publish(snapshot)
        assert running.app.view.table.cursor_key != CODER
        await fill(running, "", "y")
        assert [key.scope.pool for key, _ in operator.written] == [CODER]


async def test_a_tenant_is_paused_from_the_tenants_with_the_numbers_of_all_its_pools() -> None:
    operator = operators.FakeOperator()
    operator.effect = operators.TENANT
    async with session(fleet_scenarios.over_budget(), operator=operator) as running:
        await running.type(":tn")
        await running.keys("enter")
        tenant = running.app.view.table.cursor_key
        await running.keys("s")
        await fill(running, "OPS-902", "")
        assert "3 pools, 11 replicas idle now go, 4 replicas busy now finish first" in bar(running)
        assert f"do it for all pools of tenant {tenant}? y/N" in bar(running)
        await fill(running, "y")
        pause = a_pause(scope=Scope(tenant=tenant), until=NOW + 2 * HOUR, why="OPS-902")
        assert operator.written == [(pause.key, pause)]


async def test_everything_is_confirmed_by_the_name_of_the_fleet() -> None:
    operator = operators.FakeOperator()
    operator.effect = operators.FLEET
    async with operating(operator) as running:
        await running.type(":freeze --all why incident")
        await running.keys("enter", "enter")
        assert "the whole fleet: type agents" in bar(running)
        await fill(running, "y")
        assert "that is not agents" in running.text("#prompt-note")
        assert operator.written == []
        await running.keys("backspace")
        await fill(running, "agents")
        assert [key.scope for key, _ in operator.written] == [Scope()]


async def test_a_whole_command_goes_straight_to_the_confirmation() -> None:
    operator = operators.FakeOperator()
    async with operating(operator) as running:
        await running.type(":pin globex/canary 3 until 30m why load test OPS-881")
        await running.keys("enter")
        assert "do it for globex/canary? y/N" in bar(running)
        await fill(running, "y")
        pin = a_pin(pool="globex/canary", replicas=3, until=NOW + 1800, why="load test OPS-881")
        assert operator.written == [(pin.key, pin)]


async def test_a_command_without_a_name_is_about_the_pool_under_the_cursor() -> None:
    operator = operators.FakeOperator()
    async with operating(operator) as running:
        await running.type(":hold until 1h why busy")
        await running.keys("enter")
        await fill(running, "y")
        hold = no_growth_of(scope=Scope(pool=CODER), until=NOW + HOUR, why="busy")
        assert operator.written == [(hold.key, hold)]


async def test_a_command_that_cannot_be_stays_in_the_prompt_and_says_why() -> None:
    async with session(fleet_scenarios.burst(), (160, 45), operators.FakeOperator()) as running:
        for text, words in (
            (":pin acme 3 why x", "pin is for a pool"),
            (":pin acme/nobody 3 why x", "no pool 'acme/nobody'"),
            (":pause nobody why x", "no pool or tenant 'nobody'"),
            (":pin acme/coder-large 3 until yesterday why x", "must be a duration such as 2h"),
            (":freeze acme/coder-large 3 why x", "'3' is not understood"),
        ):
            await running.type(text)
            await running.keys("enter")
            assert words in running.text("#prompt-note")
            assert running.app.view.prompt.input.value
            await running.keys("escape")


async def test_a_key_on_what_is_paused_resumes_it_and_names_who_paused() -> None:
    operator = operators.FakeOperator()
    pause = a_pause(scope=Scope(pool=CODER), until=NOW + HOUR, who=operators.MARA, why="OPS-902")
    operator.stands(pause)
    async with operating(operator, (160, 45)) as running:
        await running.keys("s")
        assert f"resume {CODER}" in bar(running)
        assert "paused, until 13:04Z, by mara@bastion since 11:58Z (OPS-902)" in bar(running)
        await fill(running, "fixed", "y")
        assert operator.written == [(pause.key, None)]


async def test_a_minus_for_the_number_takes_a_pin_back() -> None:
    operator = operators.FakeOperator()
    pin = a_pin(pool=CODER, replicas=2, who=operators.MARA)
    operator.stands(pin)
    async with operating(operator) as running:
        await running.keys("p")
        assert "spares, or - to unpin" in running.text("#prompt-symbol")
        await fill(running, "-", "done", "y")
        assert operator.written == [(pin.key, None)]


async def test_what_stands_there_is_shown_before_it_is_replaced() -> None:
    operator = operators.FakeOperator()
    operator.stands(a_pin(pool=CODER, replicas=2, who=operators.MARA, why="demo"))
    async with operating(operator, (160, 45)) as running:
        await running.keys("p")
        await fill(running, "5", "load", "1h")
        assert "in place of: the pin of acme/coder-large: 2 spares kept ready" in bar(running)
        assert "by mara@bastion since 11:58Z (demo)" in bar(running)
        assert f"replace it for {CODER}? y/N" in bar(running)


async def test_who_was_faster_is_named_and_is_replaced_only_after_another_yes() -> None:
    operator = operators.FakeOperator()
    async with operating(operator) as running:
        await running.keys("p")
        await fill(running, "5", "load", "1h")
        operator.stands(a_pin(pool=CODER, replicas=2, who=operators.MARA, why="demo"), revision=9)
        await fill(running, "y")
        assert operator.written == []
        assert "mara@bastion was first, at 11:58Z (demo)" in bar(running)
        assert f"replace it for {CODER}? y/N" in bar(running)
        await fill(running, "y")
        assert len(operator.written) == 1


async def test_a_refusal_is_said_in_words_and_closes_the_form() -> None:
    operator = operators.FakeOperator()
    async with operating(operator, (160, 45)) as running:
        await running.keys("h")
        await fill(running, "busy", "")
        operator.failure = operators.refused("not permitted to write: nothing was changed")
        await fill(running, "y")
        assert "not permitted to write" in running.text("#crumbs")
        assert not running.app.view.prompt.mode


async def test_slow_answers_are_waited_for_in_words_and_can_be_left() -> None:
    operator = operators.FakeOperator()
    async with operating(operator) as running:
        await running.keys("h")
        await fill(running, "busy")
        operator.gate.clear()
        await fill(running, "")
        async with asyncio.timeout(5):
            while "asking …" not in running.text("#prompt-note"):
                await running.pilot.pause(0.05)
        await running.keys("escape")
        operator.gate.set()
        await running.pilot.pause()
        assert not running.app.view.prompt.mode
        assert operator.previewed == []


async def test_every_key_that_changes_something_says_why_it_is_off() -> None:
    operator = operators.FakeOperator()
    operator.off = "read-only (--read-only)"
    async with operating(operator) as running:
        for key in "pszxhu":
            await running.keys(key)
            assert "off: read-only (--read-only)" in running.text("#crumbs")
            assert not running.app.view.prompt.mode
            running.app.flash("")


async def test_hints_help_and_commands_show_that_operating_is_off() -> None:
    operator = operators.FakeOperator()
    operator.off = "read-only (--read-only)"
    async with operating(operator, (100, 60)) as running:
        assert "(p)pin" in running.text("#hints")
        await running.type(":pin 3 why x")
        await running.keys("enter")
        assert "off: read-only" in running.text("#prompt-note")
        await running.keys("escape", "question_mark")
        assert any("read-only (--read-only)" in each for each in screen_lines(running.app))


async def test_a_pool_has_no_budget_key_and_a_tenant_without_tokens_says_why() -> None:
    operator = operators.FakeOperator()
    async with session(fleet_scenarios.over_budget(), (160, 45), operator) as running:
        await running.keys("b")
        assert "budget is off: it is for a tenant" in running.text("#crumbs")
        await running.type(":tn")
        await running.keys("enter", "b")
        await fill(running, "9,000,000", "launch", "", "y")
        (key, intent), *_ = operator.written
        assert key.kind is IntentKind.BUDGET
        assert intent.amount == 9_000_000


async def test_undo_takes_back_the_persons_own_last_change_after_a_yes() -> None:
    operator = operators.FakeOperator()
    operator.changes = operators.some_changes()
    async with operating(operator) as running:
        await running.keys("u")
        assert "takes back revision 15, the pin of acme/research" in bar(running)
        assert "then acme/research: 5 spares kept ready again, until 13:04Z" in bar(running)
        await fill(running, "y")
        assert [change.revision for change in operator.undone] == [15]


async def test_undo_in_the_audit_is_about_the_change_under_the_cursor_if_it_is_ones_own() -> None:
    operator = operators.FakeOperator()
    operator.changes = operators.some_changes()
    async with operating(operator) as running:
        await running.type(":audit")
        await running.keys("enter", "u")
        assert "only your own changes" in running.text("#crumbs")
        await running.keys("j", "u")
        assert "revision 15" in bar(running)


async def test_a_change_of_the_audit_opens_in_full() -> None:
    operator = operators.FakeOperator()
    operator.changes = operators.some_changes()
    async with operating(operator) as running:
        await running.type(":au")
        await running.keys("enter", "enter")
        assert running.stack[-1] == "detail"
        shown = "\n".join(screen_lines(running.app))
        assert "OPS-902: runaway" in shown


async def test_an_audit_that_cannot_be_read_says_why() -> None:
    operator = operators.FakeOperator()
    operator.failure = operators.refused("nats is disconnected")
    async with operating(operator) as running:
        await running.type(":au")
        await running.keys("enter")
        shown = "\n".join(screen_lines(running.app))
        assert "the audit is not known: nats is disconnected" in shown


def test_a_request_reads_each_part_once_and_why_takes_the_rest_of_the_line() -> None:
    words = ["3", "until", "2h", "why", "load", "until", "dawn"]
    blank = Request(VERBS["pin"], Scope(pool=CODER))
    assert parse_request(blank, words, NOW).intent() == a_pin(
        pool=CODER, replicas=3, until=NOW + 2 * HOUR, why="load until dawn"
    )
    with pytest.raises(AnswerError, match="'4' is not understood"):
        parse_request(blank, ["3", "4"], NOW)


def test_a_request_is_about_one_key_whatever_is_answered() -> None:
    asked = Request(VERBS["pause"], Scope(tenant="acme"))
    assert asked.answered("why", NOW).key == IntentKey(IntentKind.PAUSE, Scope(tenant="acme"))


async def test_a_reason_is_optional_where_something_ends() -> None:
    operator = operators.FakeOperator()
    pause = a_pause(scope=Scope(pool=CODER), until=NOW + HOUR, who=operators.MARA, why="OPS-902")
    operator.stands(pause)
    async with operating(operator) as running:
        await running.keys("s")
        assert "enter: no reason" in running.text("#prompt-note")
        await fill(running, "", "y")
        assert operator.written == [(pause.key, None)]
        operator.stands(pause)
        await running.type(f":resume {CODER}")
        await running.keys("enter")
        assert f"do it for {CODER}? y/N" in bar(running)

"""Tokens of a tenant by model and kind, with and without a budget, and how their pace went."""

from __future__ import annotations

from msgspec.structs import replace

from agentdash.tui.figures import UNICODE
from agentdash.tui.tables.models import MODELS
from agentdash.tui.tables.tenants import tenant_lines
from agentdash.tui.view import Frame
from controller.model.observation import ModelTokens
from controller.model.snapshot import History, Snapshot, TenantView, Timeline
from tui import fleet_scenarios

ACME, _, INITECH = fleet_scenarios.calm_tenants()


def details_of(view: TenantView, width: int, snapshot: Snapshot | None = None) -> list[str]:
    lines = tenant_lines(view, frame_of(snapshot or fleet_scenarios.calm()), width)
    return ["".join(span.text for span in each.spans).rstrip() for each in lines]


def frame_of(snapshot: Snapshot) -> Frame:
    return Frame(snapshot.at, snapshot.at, snapshot=snapshot)


def test_the_tokens_of_each_model_are_told_by_kind_and_summed() -> None:
    found = details_of(ACME, 118)
    start = next(index for index, each in enumerate(found) if each.startswith(" used today"))
    assert [each[13:] for each in found[start : start + 4]] == [
        "haiku        in   604k   cached  98.0k   out  44.3k   calls  1,904   0.11 USD",
        "steady-2     in   301k   cached  41.2k   out  19.0k   calls    402   1.10 USD",
        "opus         in  88.3k   cached      0   out  8,000   calls     21   0.64 USD",
        "all models   in   994k   cached   139k   out  71.3k   calls  2,327   1.85 USD",
    ]
    spent = next(each for each in found if each.startswith(" USD today"))
    assert spent.split("   ")[1:] == [
        "coder-large 1.54",
        "browser-gpu 0.31",
    ]


def test_what_the_day_will_cost_stands_with_the_cost() -> None:
    assert any(
        each.endswith("USD an hour planned   about 4.20 by the day's end")
        for each in details_of(ACME, 78)
    )


def test_the_month_says_what_is_not_known_and_a_model_without_a_price_names_its_key() -> None:
    assert ACME.by_model is not None
    first, *others = ACME.by_model.models
    by_model = replace(ACME.by_model, models=(replace(first, usd=None), *others))
    found = "\n".join(details_of(replace(ACME, by_model=by_model), 160))
    assert "no price: models.haiku.price" in found
    assert "this month  >33.90 USD   since 2026-10-" in found
    assert "opus 31.40   haiku 2.50" in found


def test_a_tenant_without_a_budget_has_its_tokens_too() -> None:
    assert INITECH.tokens is None
    found = details_of(INITECH, 78)
    assert found[0] == " tokens      93.1k   no daily budget   620/m"
    assert any(
        "used today  other models   in  84.0k   cached      0   out  9,100   no price" in each
        for each in found
    )
    assert not any("all models" in each for each in found), "the sum of one is that one"


def test_tokens_of_which_some_may_be_missing_carry_a_mark() -> None:
    assert INITECH.by_model is not None
    old = replace(INITECH, by_model=replace(INITECH.by_model, is_old=True))
    found = details_of(old, 78)
    assert found[0].startswith(" tokens      93.1k~")
    assert any("in 84.0k~" in each for each in found)


def test_a_tenant_that_used_nothing_says_nothing_of_models() -> None:
    found = "\n".join(details_of(replace(INITECH, by_model=None), 78))
    assert "no daily budget" in found
    assert "used today" not in found


def test_the_pace_of_15_minutes_and_24_hours_is_drawn() -> None:
    paces = tuple(range(60))
    history = History(recent=Timeline(tokens=paces), day=Timeline(tokens=paces + paces[:36]))
    snapshot = replace(fleet_scenarios.calm(), tenant_histories={"initech": history})
    found = details_of(INITECH, 118, snapshot)
    recent = next(each for each in found if each.startswith(" last 15 min"))
    day = next(each for each in found if each.startswith(" last 24 h"))
    assert recent.endswith("most 59/m")
    assert sum(each in UNICODE.bars for each in recent) == 60
    assert sum(each in UNICODE.bars for each in day) >= 40
    assert all(len(each) <= 58 for each in details_of(INITECH, 58, snapshot))


def cells_of_models(snapshot: Snapshot) -> dict[str, list[str]]:
    """What `USD TODAY` and `USD MONTH` show of each model."""
    seen = frame_of(snapshot)
    money = [each for each in MODELS.columns if each.title.startswith("USD")]
    rows = MODELS.sorted_rows(seen)
    return {MODELS.key(row): [each.span(row, seen).text for each in money] for row in rows}


def test_usd_of_models_carry_a_mark_where_a_part_is_not_known_or_old() -> None:
    snapshot = fleet_scenarios.burst()
    assert cells_of_models(snapshot)["haiku"] == ["0.11", ">2.50"], "days are missing"
    assert cells_of_models(snapshot)["local"] == ["-", "-"]
    acme, globex, *others = snapshot.tenants
    assert acme.by_model is not None
    unpriced = ModelTokens(model="haiku", input=9)
    used = (
        replace(acme, by_model=replace(acme.by_model, is_old=True)),
        replace(globex, by_model=replace(acme.by_model, models=(unpriced,), month=None)),
    )
    found = cells_of_models(replace(snapshot, tenants=(*used, *others)))
    assert found["haiku"] == [">0.11~", ">2.50~"], "and a part had no price"
    assert found["opus"] == ["0.64~", ">31.40~"]

"""`agentdash simulate`: replay traces under the fleet's rules and under others, and compare."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from agentdash.output import Told, note, refusal, tell
from agentdash.verbs.tables import aligned
from agentdash.verbs.ticks import choose
from controller.exit_codes import ExitCode
from controller.model.fleet import QUEUE, ExternalMetric, Fleet, Pool
from controller.model.text import clean_name, listed
from controller.planning.demand.hpa_metrics import reading_name
from controller.report.page import PageSection, PageTable, Plot, PlotSeries, Shape, markdown, page
from controller.simulate.compare import Comparison, PolicyRuns, Progress, compare
from controller.simulate.score import Score, percentile, queue_over, replicas_over
from controller.simulate.search import frontier, search, settings_to_copy
from controller.simulate.trace import Trace, TraceError, joined, read_trace
from controller.simulate.world import World

if TYPE_CHECKING:
    from controller.model.settings import Settings

ALL: Final = "all pools"
_HEAD: Final = (
    *("POLICY", "P50", "P95", "P99", "IN 1 S", "REPLICA-H", "× CLAIRV.", "USD"),
    *("ACTIONS", "REVERSALS", "UNSERVED"),
)
_NUMBERS: Final = frozenset(range(1, len(_HEAD)))
_MEASURES: Final = ("replica_hours", "wait_mean_s", "wait_p95_s", "wait_p99_s")
_BINS: Final = 480


class ScoreRow(NamedTuple):
    """One policy on one pool, or on all. Waits in seconds; `usd` is None without a price."""

    pool: str
    policy: str
    tasks: int
    wait_p50_s: float
    wait_p95_s: float
    wait_p99_s: float
    wait_mean_s: float
    within_1s: float
    replica_hours: float
    times_clairvoyant: float | None
    usd: float | None
    actions: int
    reversals: int
    unserved: int


def simulate(settings: Settings, options: Namespace) -> ExitCode:
    """Replay the traces, and print the comparison, or write it as a page."""
    if options.html is not None and not options.html.parent.is_dir():
        words = f"--html {options.html}: there is no folder {options.html.parent}"
        raise refusal(words, ExitCode.USAGE)
    try:
        trace = joined([read_trace(each, options.by, seed=options.seed) for each in options.traces])
    except TraceError as error:
        raise refusal(error, ExitCode.USAGE) from None
    pools = pools_of(trace, settings.fleet, options.like)
    median_s, p90_s = options.ready
    world = World(
        time_to_ready_s=median_s,
        time_to_ready_p90_s=p90_s,
        is_warm=options.warm,
        seed=options.seed,
    )
    with Told("tasks simulated") as told:
        if options.search is not None:
            return _search(trace, pools, world, options, told.tell)
        used = {pool.key for pool in pools.values()}
        standbys = [each for each in settings.fleet.pools if used.intersection(each.serves)]
        comparison = compare(
            trace, pools, world, standbys=standbys, cores=cores_of(), progress=told.tell
        )
    _print(comparison, options)
    return ExitCode.OK


def pools_of(trace: Trace, fleet: Fleet, like: str | None) -> dict[str, Pool]:
    """The pool of the fleet file whose settings each pool of the trace takes: `like`, or the one of
    its name. Raises ToldError if there is none, or if it is not sized by its queue alone.
    """
    names = {name: like or name for name in trace.pools}
    if like is None and len(fleet.pools) == 1:
        names = dict.fromkeys(trace.pools, fleet.pools[0].key)
    found: dict[str, Pool] = {}
    for name, wanted in names.items():
        chosen, problems = choose(fleet, [wanted])
        if problems:
            known = listed([pool.key for pool in fleet.pools])
            raise refusal(
                f"{problems[0]}. The trace has {listed(map(clean_name, trace.pools))}; name the "
                f"pool whose settings they take: --like POOL, of {known}",
                ExitCode.USAGE,
            )
        found[name] = chosen[0]
        if (other := _not_in_traces(chosen[0])) is not None:
            words = f"{chosen[0].key} is sized by {other} too, which a trace does not have"
            raise refusal(words, ExitCode.USAGE)
    return found


def _not_in_traces(pool: Pool) -> str | None:
    """What sizes the pool beside its queue, if anything does."""
    if pool.modifiers is not None:
        return "a formula"
    for each in pool.metrics:
        if not isinstance(each, ExternalMetric) or each.name != QUEUE:
            return f"the metric {reading_name(each)}"
    return None


def rows_of(comparison: Comparison, usd_per_hour: float | None) -> list[ScoreRow]:
    """The bound and each policy on all pools, then the same for each pool."""
    outcomes, bounds_h = comparison.outcomes, comparison.bounds_h
    rows = _rows(
        ALL,
        comparison.trace.tasks,
        comparison.bound_h,
        ((each.name, each.total) for each in outcomes),
        usd_per_hour,
    )
    for pool, tasks in comparison.trace.pools.items():
        scores = ((each.name, each.pools[pool]) for each in outcomes)
        rows += _rows(pool, len(tasks), bounds_h[pool], scores, usd_per_hour)
    return rows


def _rows(
    pool: str,
    tasks: int,
    bound_h: float,
    scores: Iterable[tuple[str, Score]],
    usd_per_hour: float | None,
) -> list[ScoreRow]:
    bound = Score(tasks, 0.0, 0.0, 0.0, 0.0, 1.0, bound_h, 0, 0)
    return [
        ScoreRow(
            pool=clean_name(pool),
            policy=name,
            tasks=each.tasks,
            wait_p50_s=each.wait_p50_s,
            wait_p95_s=each.wait_p95_s,
            wait_p99_s=each.wait_p99_s,
            wait_mean_s=each.wait_mean_s,
            within_1s=each.at_once,
            replica_hours=each.replica_hours,
            times_clairvoyant=each.replica_hours / bound_h if bound_h else None,
            usd=None if usd_per_hour is None else each.replica_hours * usd_per_hour,
            actions=each.actions,
            reversals=each.reversals,
            unserved=each.unserved,
        )
        for name, each in (("clairvoyant", bound), *scores)
    ]


def _print(comparison: Comparison, options: Namespace) -> None:
    rows = rows_of(comparison, options.usd_per_hour)
    if options.html is not None:
        options.html.write_text(page_of(comparison, rows), "utf-8")
        note(f"{options.html} is written")
    if options.as_json:
        found = {"version": 1, "rows": [row._asdict() for row in rows]}
        tell(msgspec.json.encode(found).decode())
        return
    shown = rows if options.per_pool else [row for row in rows if row.pool == ALL]
    for title, table in _tables(shown):
        if options.markdown:
            tell(f"## {title}\n\n{markdown(table)}\n")
        else:
            tell("\n".join((title, *aligned([table.head, *table.rows], _NUMBERS), "")))


def _tables(rows: Sequence[ScoreRow]) -> Iterator[tuple[str, PageTable]]:
    """A table for each pool, with its title. There is no column of USD without a price."""
    for pool, group in groupby(rows, key=lambda row: row.pool):
        of_pool = list(group)
        cells = [_cells(row) for row in of_pool]
        shown = [
            at for at, _ in enumerate(_HEAD) if _HEAD[at] != "USD" or of_pool[0].usd is not None
        ]
        yield (
            f"{pool}: {of_pool[0].tasks:,} tasks; waits in seconds",
            PageTable([_HEAD[at] for at in shown], [[line[at] for at in shown] for line in cells]),
        )


def _cells(row: ScoreRow) -> tuple[str, ...]:
    ratio = row.times_clairvoyant
    return (
        row.policy,
        *(f"{wait_s:,.1f}" for wait_s in (row.wait_p50_s, row.wait_p95_s, row.wait_p99_s)),
        f"{row.within_1s:.1%}",
        f"{row.replica_hours:,.1f}",
        "-" if ratio is None else f"{ratio:.2f}",
        "" if row.usd is None else f"{row.usd:,.2f}",
        *(f"{number:,}" for number in (row.actions, row.reversals, row.unserved)),
    )


def page_of(comparison: Comparison, rows: Sequence[ScoreRow]) -> str:
    """The comparison as one HTML page: tables, and three pictures."""
    trace, totals = comparison.trace, [row for row in rows if row.pool == ALL]
    against = Plot(
        "Cost against wait",
        "mean wait, seconds",
        "replica-hours",
        # the bound last, so that each policy has the same colour everywhere
        [
            PlotSeries(row.policy, [(row.wait_mean_s, row.replica_hours)])
            for row in (*totals[1:], totals[0])
        ],
        Shape.DOTS,
    )
    overview = [table for _, table in _tables(totals)]
    sections = [
        PageSection("All pools", [_about(comparison), *overview, against, _waits(comparison)]),
        PageSection("Over time", list(_over_time(comparison))),
        *(
            PageSection(title, [table])
            for title, table in _tables([row for row in rows if row.pool != ALL])
        ),
    ]
    return page(f"agentdash simulate: {trace.tasks:,} tasks", sections)


def _about(comparison: Comparison) -> str:
    trace, world = comparison.trace, comparison.world
    p90_s = world.time_to_ready_p90_s
    ready = f"{world.time_to_ready_s:g} s" + ("" if p90_s is None else f" (p90 {p90_s:g} s)")
    return (
        f"{trace.tasks:,} tasks of {len(trace.pools)} pools in {trace.end_s / 3600:.1f} hours. A "
        f"replica is ready {ready} after it is asked for. Each pool is alone: what pools share "
        "(quotas, budgets, limits of models, room) is not simulated, but for standbys. All "
        "policies keep to the same bounds. Replicas are paid for from the decision to start them "
        "until they have ended; a busy one that is removed finishes its tasks."
    )


def _waits(comparison: Comparison) -> Plot:
    parts = [number / 200 for number in range(201)]
    series = []
    for each in comparison.outcomes:
        ranked = sorted(wait_s for run in each.runs.values() for wait_s in run.waits_s)
        points = [(percentile(ranked, part), 100 * part) for part in parts]
        series.append(PlotSeries(each.name, points))
    return Plot("Waits", "wait, seconds", "% of tasks", series, is_log=True)


def _over_time(comparison: Comparison) -> Iterator[Plot]:
    trace, hours = comparison.trace, comparison.trace.end_s / 3600

    def plot(title: str, levels: Callable[[PolicyRuns], list[int]]) -> Plot:
        series = [
            PlotSeries(each.name, [(hours * at / _BINS, n) for at, n in enumerate(levels(each))])
            for each in comparison.outcomes
        ]
        return Plot(f"{title} of all pools", "hours", title.lower(), series, Shape.STEPS)

    yield plot("Replicas", lambda each: replicas_over(each.runs.values(), trace.end_s, _BINS))
    yield plot("Waiting messages", lambda each: queue_over(trace, each.runs, _BINS))


def _search(
    trace: Trace, pools: Mapping[str, Pool], world: World, options: Namespace, progress: Progress
) -> ExitCode:
    """Try settings of one pool, and print those that no other beats on both cost and wait."""
    name = options.search
    if name not in pools:
        words = f"the trace has no pool {clean_name(name)}; it has {listed(map(clean_name, pools))}"
        raise refusal(words, ExitCode.USAGE)
    of_pool = Trace({name: trace.pools[name]}, trace.end_s)
    tried = search(of_pool, pools[name], world, cores=cores_of(), progress=progress)
    best = frontier(tried)
    if options.as_json:
        found = [{"settings": settings_to_copy(each.pool), **each.score._asdict()} for each in best]
        tell(msgspec.json.encode({"version": 1, "tried": len(tried), "frontier": found}).decode())
        return ExitCode.OK
    rows = [
        (
            *(f"{getattr(each.score, name):,.1f}" for name in _MEASURES),
            f"{each.score.at_once:.1%}",
            settings_to_copy(each.pool),
        )
        for each in best
    ]
    head = ("REPLICA-H", "MEAN WAIT", "P95", "P99", "IN 1 S", "SETTINGS")
    tell(f"{clean_name(name)}: {len(best)} of {len(tried)} settings that no other beats on both")
    tell("\n".join(aligned([head, *rows], frozenset(range(5)))))
    return ExitCode.OK


def cores_of() -> int:
    """How many processes may simulate at once."""
    return min(os.cpu_count() or 1, 8)

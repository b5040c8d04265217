"""`agentdash plan` and `agentdash why`: look once, or read recorded ticks; decide; print the
answer.
"""

from __future__ import annotations

import signal
from argparse import Namespace
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from agentdash.foreseen import Ahead, ahead_of
from agentdash.output import by_default, complain, note, tell
from agentdash.verbs.tables import plan_table, why_table
from agentdash.verbs.ticks import (
    Decided,
    TicksError,
    UnknownNamesTold,
    choose,
    decide,
    read_ticks,
    unseen,
)
from controller.exit_codes import ExitCode
from controller.model.fleet import Fleet, Pool
from controller.model.memory import Tick
from controller.planning.whatif import Outlook, outlook_of
from controller.report.plan import encode_report, plan_report, pool_report

if TYPE_CHECKING:
    from controller.model.settings import Settings
    from controller.model.snapshot import Snapshot


def show_plan(settings: Settings, options: Namespace) -> ExitCode:
    """Print what would be done for every pool that was seen. Nothing is written anywhere."""
    pools = settings.fleet.pools

    def answer(decided: Decided) -> str:
        decisions = decided.plan.decisions
        found = [(pool, decisions[pool.key]) for pool in pools if pool.key in decisions]
        if options.as_json:
            at = decided.tick.now
            reports = tuple(pool_report(pool, decision, at) for pool, decision in found)
            return encode_report(plan_report(at, reports))
        return plan_table(decided.tick.now, [decision for _, decision in found])

    return _show(settings, pools, options, answer)


def show_why(settings: Settings, options: Namespace) -> ExitCode:
    """Print for each named pool (`tenant/name`) the rules in their order, when its number changes
    next, and what it would have without each rule. Where the cluster cannot be looked at, the rules
    are those that the last controller has kept.
    """
    pools, problems = choose(settings.fleet, options.pools)
    if problems:
        for problem in problems:
            note(problem)
        return ExitCode.USAGE

    def answer(decided: Decided) -> str:
        now, decisions = decided.tick.now, decided.plan.decisions
        found = [
            (pool, decisions[pool.key], outlook)
            for pool in pools
            if (outlook := _outlook(decided, settings.fleet, pool)) is not None
        ]
        if options.as_json:
            reports = tuple(
                pool_report(pool, decision, now, outlook) for pool, decision, outlook in found
            )
            return encode_report(plan_report(now, reports))
        return "\n\n".join(
            why_table(now, decision, ahead_of(outlook)) for _, decision, outlook in found
        )

    def of_last(last: Snapshot) -> str:
        kept = {view.key: view.decision for view in last.pools}
        found = [(pool, each) for pool in pools if (each := kept.get(pool.key)) is not None]
        if options.as_json:
            reports = tuple(pool_report(pool, each, last.at) for pool, each in found)
            return encode_report(plan_report(last.at, reports))
        return "\n\n".join(why_table(last.at, each, Ahead()) for _, each in found)

    return _show(settings, pools, options, answer, of_last)


def _outlook(decided: Decided, fleet: Fleet, pool: Pool) -> Outlook | None:
    """What follows for a pool; None if the tick has not seen it."""
    if pool.key not in decided.plan.decisions:
        return None
    return outlook_of(
        pool.key,
        observation=decided.tick.observation,
        fleet=fleet,
        intents=decided.intents,
        memory=decided.memory,
        now=decided.tick.now,
    )


def _show(
    settings: Settings,
    pools: Sequence[Pool],
    options: Namespace,
    answer: Callable[[Decided], str],
    of_last: Callable[[Snapshot], str] | None = None,
) -> ExitCode:
    """Decide the ticks, and print the answer about the last one, or about each. Where the fleet
    cannot be looked at, print `of_last` of what the last controller has kept.
    """
    for notice in settings.notices:
        note(str(notice))
    # an interrupt ends the process without a word, as it ends other filters
    with by_default(signal.SIGINT):
        ticks, code = _ticks(settings, options)
        decided = decide(settings.fleet, ticks, fresh=options.fresh)
        try:
            wanted = decided if options.every_tick else deque(decided, maxlen=1)
            last = _print(wanted, answer, gap=not options.as_json)
        except TicksError as error:
            complain(str(error))
            return ExitCode.USAGE
        if last is None and of_last is not None and options.observations is None:
            _print_last(settings, of_last)
    if last is not None and (missing := unseen(pools, last.plan.decisions)):
        note(missing)
    return code


def _print_last(settings: Settings, of_last: Callable[[Snapshot], str]) -> None:
    from agentdash.verbs.live import snapshot_of_last

    kept = snapshot_of_last(settings)
    for text in kept.notes:
        note(text)
    if kept.snapshot is not None and (text := of_last(kept.snapshot)):
        tell(text)


def _ticks(settings: Settings, options: Namespace) -> tuple[Iterable[Tick], ExitCode]:
    """The ticks of a file, or the tick of one live look; the exit code says whether all was
    there.
    """
    if options.observations is not None:
        return read_ticks(options.observations, settings.fleet), ExitCode.OK
    from agentdash.verbs.live import look

    seen = look(settings, fresh=options.fresh)
    for text in seen.notes:
        note(text)
    if seen.tick is None:
        return (), seen.code
    for fault in UnknownNamesTold(settings.fleet).faults(seen.tick):
        note(str(fault))
    return (seen.tick,), seen.code


def _print(
    wanted: Iterable[Decided], answer: Callable[[Decided], str], *, gap: bool
) -> Decided | None:
    """Print the answers as they come, with a blank line between two if `gap`; returns the last."""
    last, before = None, ""
    for last in wanted:
        if not (text := answer(last)):
            continue  # the tick has seen none of these pools
        tell(f"{before}{text}")
        before = "\n" if gap else ""
    return last

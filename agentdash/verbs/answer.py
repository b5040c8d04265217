"""`agentdash plan` and `agentdash why`: look once, or read what was seen; decide; say it."""

from __future__ import annotations

import io
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, TextIO

from agentdash.verbs.names import Strangers, choose, unseen
from agentdash.verbs.tables import plan_table, why_table
from agentdash.verbs.ticks import Decided, TicksError, decide, read_ticks
from controller.exit_codes import ExitCode
from controller.model.fleet import Fleet, Pool
from controller.model.tick import Tick
from controller.planning.counterfactual import Counterfactual, counterfactuals
from controller.report.plan import encode_report, plan_report, pool_report

if TYPE_CHECKING:
    from controller.model.settings import Settings


class Options(NamedTuple):
    """What both verbs are asked for. Without `observations` (a path, or `-`) they look live."""

    observations: str | None = None
    fresh: bool = False
    every_tick: bool = False
    as_json: bool = False


def show_plan(settings: Settings, options: Options) -> ExitCode:
    """Print what would be done for every pool that was seen; nothing is written anywhere."""
    pools = settings.fleet.pools

    def tell(decided: Decided) -> str:
        decisions = decided.plan.decisions
        found = [(pool, decisions[pool.key]) for pool in pools if pool.key in decisions]
        if options.as_json:
            at = decided.tick.now
            reports = tuple(pool_report(pool, decision, at) for pool, decision in found)
            return encode_report(plan_report(at, reports))
        return plan_table(decided.tick.now, [decision for _, decision in found])

    return _show(settings, pools, options, tell)


def show_why(settings: Settings, names: Sequence[str], options: Options) -> ExitCode:
    """Print for each pool named (`tenant/name`) the rules in order, and what each costs it."""
    pools, problems = choose(settings.fleet, names)
    if problems:
        for problem in problems:
            _note(problem)
        return ExitCode.USAGE

    def tell(decided: Decided) -> str:
        now, decisions = decided.tick.now, decided.plan.decisions
        found = [
            (pool, decisions[pool.key], _without(decided, settings.fleet, pool))
            for pool in pools
            if pool.key in decisions
        ]
        if options.as_json:
            reports = tuple(
                pool_report(pool, decision, now, without) for pool, decision, without in found
            )
            return encode_report(plan_report(now, reports))
        return "\n\n".join(why_table(now, decision, without) for _, decision, without in found)

    return _show(settings, pools, options, tell)


def _without(decided: Decided, fleet: Fleet, pool: Pool) -> tuple[Counterfactual, ...]:
    return counterfactuals(
        decided.plan.decisions[pool.key],
        observation=decided.tick.observation,
        fleet=fleet,
        intents=decided.intents,
        memory=decided.memory,
        now=decided.tick.now,
    )


def _show(
    settings: Settings, pools: Sequence[Pool], options: Options, tell: Callable[[Decided], str]
) -> ExitCode:
    """Decide the ticks and print what `tell` makes of the last one, or of each."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an ASCII terminal reads ? for an arrow
    for notice in settings.notices:
        _note(str(notice))
    strangers = Strangers(settings.fleet)
    # as other filters do: an interrupt ends it without a word, so does a reader who has enough
    with _by_default(signal.SIGINT):
        ticks, code = _ticks(settings, options)
        decided = decide(settings.fleet, strangers.watch(ticks), fresh=options.fresh)
        try:
            told = decided if options.every_tick else deque(decided, maxlen=1)
            with _by_default(signal.SIGPIPE):
                last = _print(told, tell, gap=not options.as_json)
        except TicksError as error:
            _say(str(error), sys.stderr)
            return ExitCode.USAGE
    for note in strangers.notes():
        _note(note)
    if last is not None and (note := unseen(pools, last.plan.decisions)):
        _note(note)
    return code


def _ticks(settings: Settings, options: Options) -> tuple[Iterable[Tick], ExitCode]:
    """The ticks of a file, or the one tick of a live look; its code says whether all was there."""
    if options.observations is not None:
        return read_ticks(options.observations), ExitCode.OK
    from agentdash.verbs.live import look

    seen = look(settings, fresh=options.fresh)
    for note in seen.notes:
        _note(note)
    return () if seen.tick is None else (seen.tick,), seen.code


def _print(told: Iterable[Decided], tell: Callable[[Decided], str], *, gap: bool) -> Decided | None:
    """Print each as it comes, with a blank line in between for people; returns the last."""
    last, before = None, ""
    for last in told:
        if not (text := tell(last)):
            continue  # none of the pools asked for was seen
        _say(f"{before}{text}", sys.stdout)
        sys.stdout.flush()
        before = "\n" if gap else ""
    return last


@contextmanager
def _by_default(number: signal.Signals) -> Iterator[None]:
    """While it lasts this signal does what it does to a process that knows nothing of it."""
    before = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, before)


def _note(text: str) -> None:
    _say(f"agentdash: {text}", sys.stderr)


def _say(text: str, stream: TextIO) -> None:
    stream.write(f"{text}\n")

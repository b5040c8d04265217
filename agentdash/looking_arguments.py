"""The command line's verbs that look once, `plan`, `why` and `journal`. It imports nothing heavy
before it knows the verb.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agentdash.argument_types import duration
from controller.exit_codes import ExitCode

if TYPE_CHECKING:
    from agentdash.verbs.answer import Options
    from controller.model.settings import Settings

Load = Callable[[argparse.Namespace], "Settings | None"]
Show = Callable[[argparse.Namespace, Path], ExitCode]

PLAN: Final = """\
Prints what would be done now for every pool, and why. It writes nothing to the cluster or to NATS.

Live, it looks once, with the memory and the operators' intents that are kept in NATS. Without a
memory, windows and cooldowns begin with this look, so no pool shrinks. If NATS or Kubernetes is not
connected, the exit code is 3, and the plan is the one for what could be seen.

With --observations it reads ticks from a file, one JSON object on each line, as `agentdash schema
observation` describes them. It plans them in order, in virtual time, and carries the memory from
one to the next. It refuses numbers that no cluster has and names that the fleet file does not have.
"""

PLAN_EXAMPLES: Final = """\
examples:
  agentdash plan -f fleet.yaml
  agentdash plan -f fleet.yaml --observations ticks.jsonl --all
  echo '{"version": 1, "now": 1700000000, "observation": {"pools": {"acme/research": {
    "queue": {"type": "fresh", "at": 1700000000, "value": {"pending": 7, "in_flight": 1}},
    "workload": {"type": "fresh", "at": 1700000000, "value": {"replicas": 2}},
    "pods": {"type": "fresh", "at": 1700000000, "value": {"ready": 2}}}}}}' | tr -d '\\n' |
    agentdash plan -f fleet.yaml --observations - --json
"""

WHY: Final = """\
Prints for each pool the rules in the order they were applied, with their numbers, and what the
number would be without each rule that matters: "without the budget: 7". It looks at the same things
as `agentdash plan`.
"""

WHY_EXAMPLES: Final = """\
examples:
  agentdash why -f fleet.yaml acme/research
  agentdash why -f fleet.yaml acme/research acme/browser --observations ticks.jsonl --json
"""


JOURNAL: Final = """\
Prints the journal that the controllers keep in NATS (controller.journal.stream of the fleet file),
whichever of them led: the lines of a journal's file, for agentdash --replay. It begins with a whole
snapshot. With --show it opens the dashboard on it.
"""

JOURNAL_EXAMPLES: Final = """\
examples:
  agentdash journal -f fleet.yaml --since 2h --show
  agentdash journal -f fleet.yaml > day.jsonl && agentdash --replay day.jsonl
"""


def add_looking(
    verbs: argparse._SubParsersAction[Any],
    load: Load,
    add_place: Callable[[argparse.ArgumentParser], None],
    show: Show,
) -> None:
    """Add them all. `load` reads the fleet file, `add_place` adds the options that say where,
    `show` runs the dashboard on a journal.
    """
    plan = verbs.add_parser("plan", help="what would be done, from live state or a file")
    _describe(plan, PLAN, PLAN_EXAMPLES)
    plan.set_defaults(run=partial(_run_plan, load))
    why = verbs.add_parser("why", help="why a pool has its number of replicas")
    _describe(why, WHY, WHY_EXAMPLES)
    why.add_argument("pools", nargs="+", metavar="TENANT/POOL", help="a pool of the fleet file")
    why.set_defaults(run=partial(_run_why, load))
    journal = verbs.add_parser("journal", help="the journal that NATS keeps, for --replay")
    _describe(journal, JOURNAL, JOURNAL_EXAMPLES)
    journal.add_argument(
        "--since",
        type=duration,
        metavar="AGO",
        help="what is younger, such as 2h, and up to 15 minutes before it (default: all)",
    )
    journal.add_argument(
        "--show", action="store_true", help="open the dashboard on it, as --replay does on a file"
    )
    add_place(journal)
    journal.set_defaults(run=partial(_run_journal, load, show))
    for parser in (plan, why):
        add_place(parser)
        _add_look(parser)


def _describe(parser: argparse.ArgumentParser, description: str, examples: str) -> None:
    parser.description, parser.epilog = description, examples
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def _add_look(parser: argparse.ArgumentParser) -> None:
    """What to look at, and how to print it."""
    parser.add_argument(
        "--observations",
        metavar="FILE",
        help="plan the ticks of this file instead of the live fleet; - is standard input",
    )
    parser.add_argument(
        "--fresh", action="store_true", help="begin without memory, even if there is one"
    )
    parser.add_argument(
        "--all", dest="every_tick", action="store_true", help="print every tick, not only the last"
    )
    parser.add_argument(
        "--json",
        dest="as_json",
        action="store_true",
        help="print JSON, as `agentdash schema plan` describes it",
    )


def _run_plan(load: Load, options: argparse.Namespace) -> ExitCode:
    settings = load(options)
    if settings is None:
        return ExitCode.USAGE
    from agentdash.verbs.answer import show_plan

    return show_plan(settings, _look_options(options))


def _run_why(load: Load, options: argparse.Namespace) -> ExitCode:
    settings = load(options)
    if settings is None:
        return ExitCode.USAGE
    from agentdash.verbs.answer import show_why

    return show_why(settings, options.pools, _look_options(options))


def _run_journal(load: Load, show: Show, options: argparse.Namespace) -> ExitCode:
    settings = load(options)
    if settings is None:
        return ExitCode.USAGE
    from agentdash.verbs.journal import print_journal_stream, save_journal_stream

    if not options.show:
        return print_journal_stream(settings, since_s=options.since)
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="agentdash-") as folder:
        path = Path(folder) / "journal.jsonl"
        code = save_journal_stream(settings, path, since_s=options.since)
        return show(options, path) if code is ExitCode.OK else code


def _look_options(options: argparse.Namespace) -> Options:
    from agentdash.verbs.answer import Options

    return Options(
        observations=options.observations,
        fresh=options.fresh,
        every_tick=options.every_tick,
        as_json=options.as_json,
    )

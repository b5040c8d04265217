"""The command line's verbs by which operators ask for something. It imports nothing heavy before it
knows the verb.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from agentdash.intent_ends import DEFAULT_UNTIL, NO_END
from controller.exit_codes import ExitCode

if TYPE_CHECKING:
    from agentdash.verbs.operate import Doing
    from controller.model.settings import Settings

Load = Callable[[argparse.Namespace], "Settings | None"]

EXAMPLES: Final = """\
examples:
  agentdash pause acme --until 2h --why "OPS-902: runaway agent"
  agentdash pin acme/research 3 --until 18:00 --why "demo for the customer"
  agentdash cap acme/research 4 --why "the bill" --dry-run
  agentdash freeze --all --why "cluster upgrade" --yes
  agentdash budget acme 8M --why "agreed with the customer"

It says what would change now, in numbers, and asks. Without a terminal, --yes agrees beforehand.
"""
SCOPE_HELP: Final = "a pool (acme/research) or a tenant (acme)"
_UNITS: Final = {"k": 1_000, "M": 1_000_000, "G": 1_000_000_000}


class _Verb(NamedTuple):
    name: str
    kind: str
    withdraws: bool
    scope: str
    number: str
    help: str


_VERBS: Final = (
    _Verb("pin", "pin", False, "TENANT/POOL", "N", "keep N spare replicas of a pool ready"),
    _Verb("unpin", "pin", True, "TENANT/POOL", "", "take a pin back"),
    _Verb("pause", "pause", False, "SCOPE", "", "stop the work: idle replicas go, others finish"),
    _Verb("resume", "pause", True, "SCOPE", "", "take a pause back"),
    _Verb("freeze", "freeze", False, "SCOPE", "", "hands off: nothing is written"),
    _Verb("thaw", "freeze", True, "SCOPE", "", "take a freeze back"),
    _Verb("cap", "cap", False, "TENANT/POOL", "N", "at most N replicas of a pool"),
    _Verb("uncap", "cap", True, "TENANT/POOL", "", "take a cap back"),
    _Verb("hold", "no-growth", False, "SCOPE", "", "no growth: replicas may go, none is added"),
    _Verb("release", "no-growth", True, "SCOPE", "", "take a hold back"),
    _Verb("budget", "budget", False, "TENANT", "TOKENS", "set a tenant's tokens for today"),
)


def add_operating(
    verbs: argparse._SubParsersAction[Any],
    load: Load,
    add_place: Callable[[argparse.ArgumentParser], None],
) -> None:
    """Add them all. `load` reads the fleet file, `add_place` adds the options that say where."""
    for verb in _VERBS:
        parser = verbs.add_parser(verb.name, help=verb.help)
        parser.description = f"{verb.help[0].upper()}{verb.help[1:]}."
        parser.epilog, parser.formatter_class = EXAMPLES, argparse.RawDescriptionHelpFormatter
        _add_scope(parser, verb)
        if verb.number == "N":
            parser.add_argument("number", type=_replicas, metavar="N", help="replicas")
        elif verb.number:
            parser.add_argument(
                "number",
                type=_tokens,
                nargs="?",
                metavar="TOKENS",
                help="tokens a day, such as 5000000 or 8M; not with --withdraw",
            )
            parser.add_argument(
                "--withdraw", action="store_true", help="back to the budget of the fleet file"
            )
        if verb.name == "pause":
            parser.add_argument(
                "--keep", dest="number", type=_replicas, metavar="N", help="keep N replicas"
            )
        if not verb.withdraws:
            ends = "the tenant's next reset" if verb.name == "budget" else DEFAULT_UNTIL
            parser.add_argument(
                "--until",
                metavar="WHEN",
                help=(
                    "2h, 14:00 (this machine's clock) or 2026-11-23T08:00Z, "
                    f"{NO_END} for no end (default: {ends})"
                ),
            )
            parser.add_argument(
                "--replace", action="store_true", help="put it in the place of one that stands"
            )
        parser.add_argument("--why", metavar="TEXT", help='the reason; "-" for none')
        _add_doing(parser, add_place)
        parser.set_defaults(run=_runner(verb, load))
    _add_undo(verbs.add_parser("undo", help="take back your own last change"), load, add_place)
    _add_intents(verbs.add_parser("intents", help="what operators ask for"), load, add_place)


def _add_scope(parser: argparse.ArgumentParser, verb: _Verb) -> None:
    if verb.scope != "SCOPE":
        parser.add_argument("scope", metavar=verb.scope, help=f"a {verb.scope.lower()}")
        return
    scope = parser.add_mutually_exclusive_group(required=True)
    scope.add_argument("scope", nargs="?", metavar=verb.scope, help=SCOPE_HELP)
    scope.add_argument("--all", dest="everything", action="store_true", help="the whole fleet")


def _add_doing(
    parser: argparse.ArgumentParser, add_place: Callable[[argparse.ArgumentParser], None]
) -> None:
    parser.add_argument("--dry-run", action="store_true", help="say what it would change, no more")
    parser.add_argument("--yes", action="store_true", help="do it without a question")
    parser.add_argument("--json", dest="as_json", action="store_true", help="print JSON")
    add_place(parser)


def _add_undo(
    parser: argparse.ArgumentParser,
    load: Load,
    add_place: Callable[[argparse.ArgumentParser], None],
) -> None:
    parser.description = (
        "Takes back your own last change that stands. It is refused if somebody has changed the "
        "same thing since."
    )
    _add_doing(parser, add_place)

    def run(options: argparse.Namespace) -> ExitCode:
        settings = load(options)
        if settings is None:
            return ExitCode.USAGE
        from agentdash.verbs.operate import undo

        return undo(settings, options.fleet.name, _doing("undo", options))

    parser.set_defaults(run=run)


def _add_intents(
    parser: argparse.ArgumentParser,
    load: Load,
    add_place: Callable[[argparse.ArgumentParser], None],
) -> None:
    parser.description = (
        "Prints what operators ask for now: who, why, until when and since when. --audit prints "
        "every change that is kept, with what was there before it."
    )
    parser.add_argument("--audit", action="store_true", help="every change, the oldest first")
    parser.add_argument("--json", dest="as_json", action="store_true", help="print JSON")
    add_place(parser)

    def run(options: argparse.Namespace) -> ExitCode:
        settings = load(options)
        if settings is None:
            return ExitCode.USAGE
        from agentdash.verbs.intent_lists import show_intents

        return show_intents(settings, audit=options.audit, as_json=options.as_json)

    parser.set_defaults(run=run)


def _runner(verb: _Verb, load: Load) -> Callable[[argparse.Namespace], ExitCode]:
    def run(options: argparse.Namespace) -> ExitCode:
        settings = load(options)
        if settings is None:
            return ExitCode.USAGE
        from agentdash.output import note
        from agentdash.verbs.operate import Asking, operate
        from controller.model.intents import IntentKind

        number = getattr(options, "number", None)
        withdraws = verb.withdraws or getattr(options, "withdraw", False)
        if verb.name == "budget" and withdraws is (number is not None):
            note("budget takes either TOKENS, such as 8M, or --withdraw")
            return ExitCode.USAGE
        asking = Asking(
            kind=IntentKind(verb.kind),
            scope=options.scope,
            withdraws=withdraws,
            number=number,
            until=getattr(options, "until", None),
            why=options.why,
            replace=getattr(options, "replace", False),
        )
        return operate(settings, options.fleet.name, asking, _doing(verb.name, options))

    return run


def _doing(verb: str, options: argparse.Namespace) -> Doing:
    from agentdash.verbs.operate import Doing

    return Doing(
        verb=verb,
        dry_run=options.dry_run,
        yes=options.yes,
        as_json=options.as_json,
        read_only=options.read_only,
    )


def _replicas(text: str) -> int:
    from controller.model.ranges import REPLICA_COUNT
    from controller.notation.quantity import read_whole

    try:
        number = read_whole(text)
    except ValueError:
        number = -1
    if not REPLICA_COUNT.admits(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of replicas, such as 3")
    return number


def _tokens(text: str) -> int:
    from controller.model.ranges import DAY_TOKENS
    from controller.notation.quantity import read_decimal

    unit = _UNITS.get(text[-1:], 1)
    try:
        number = read_decimal(text[:-1] if unit > 1 else text) * unit
    except ValueError:
        number = read_decimal("-1")
    if number != int(number) or not DAY_TOKENS.admits(int(number)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of tokens, such as 8M")
    return int(number)

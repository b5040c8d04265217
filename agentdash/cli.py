"""The command line: arguments → one of the verbs. It imports nothing heavy before it knows the
verb.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from agentdash import __version__
from agentdash.operating_arguments import add_operating
from agentdash.output import OutputError, complain, note, tell, why_no_dashboard
from controller.exit_codes import ExitCode

if TYPE_CHECKING:
    from agentdash.verbs.answer import Options
    from controller.model.settings import Settings

DESCRIPTION: Final = """\
Scales fleets of AI agents on Kubernetes from JetStream lag, and explains every number.

Without a verb it shows the dashboard of a fleet and runs a controller beside it.
"""

EXAMPLES: Final = """\
examples:
  agentdash demo                                 everything on this machine, without a cluster
  agentdash -f fleet.yaml --read-only            look at a fleet; nothing is written
  agentdash -f fleet.yaml --controller-only      the daemon: JSON logs, /metrics, /healthz
  agentdash -f fleet.yaml --journal day.jsonl    keep what each tick saw and decided
  agentdash --replay day.jsonl                   the dashboard on it, at any of its moments
  agentdash plan -f fleet.yaml                   what would be done now; nothing is written
  agentdash why -f fleet.yaml acme/research      the rules behind one number
  agentdash pause acme --until 2h --why OPS-902  stop a tenant's work; `undo` takes it back
  agentdash intents                              what operators ask for, and the audit
  agentdash example > fleet.yaml                 a commented fleet file to begin with
  agentdash schema fleet                         the JSON schema of the fleet file

exit codes:
  0  it did what was asked, or was asked to stop
  1  it failed because of a fault in agentdash
  2  the command line, the fleet file or the observations are wrong
  3  something it needs is missing: a server, a kubeconfig, its input or its output
  4  the NATS server is too old or has no JetStream
  5  refused, nothing was changed: another operator was first, no right to write, not confirmed
A reader that closes the pipe early, such as `head`, ends it by SIGPIPE without a message.
"""


FLEET_HELP: Final = "the fleet file (default fleet.yaml)"
KUBECONFIG_HELP: Final = "default: $KUBECONFIG, then the cluster that agentdash runs in"
CONTEXT_HELP: Final = "a kubeconfig context; default: the fleet file's, then the current one"
JOURNAL_HELP: Final = "keep what each tick saw and decided, for --replay"
ASCII_HELP: Final = "draw the screen with ASCII characters only"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    try:
        options = _parser().parse_args(arguments)
        verb = getattr(options, "run", _run_fleet)
        code: ExitCode = verb(options)
    except OutputError as error:
        note(str(error))
        return int(ExitCode.UNREACHABLE)
    return int(code)


class _ArgumentParser(argparse.ArgumentParser):
    """A parser that says when its help cannot be written: argparse itself says nothing."""

    def print_help(self, file: Any = None) -> None:
        """Print the help, to standard output unless a file is given. Raises OutputError."""
        if file is not None:
            super().print_help(file)
        else:
            tell(self.format_help().rstrip("\n"))

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the arguments, and end with exit code 2."""
        complain(f"{self.format_usage()}{self.prog}: error: {message}{_nearest(message)}")
        raise SystemExit(int(ExitCode.USAGE))


def _nearest(message: str) -> str:
    """A word for somebody who mistyped a choice."""
    import difflib
    import re

    wrong = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
    if wrong is None:
        return ""
    choices = re.findall(r"[\w-]+", wrong[2])
    close = difflib.get_close_matches(wrong[1], choices, n=1)
    return f"; did you mean {close[0]}?" if close else ""


class _VersionAction(argparse.Action):
    """Prints the version and ends."""

    def __call__(self, *_: Any) -> NoReturn:
        """Print it. Raises OutputError."""
        tell(f"agentdash {__version__}")
        raise SystemExit(int(ExitCode.OK))


def _parser() -> argparse.ArgumentParser:
    parser = _ArgumentParser(
        prog="agentdash",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_VersionAction, nargs=0, help="print the version")
    parser.add_argument(
        "-f", "--fleet", type=Path, default=Path("fleet.yaml"), metavar="FILE", help=FLEET_HELP
    )
    parser.add_argument("--kubeconfig", metavar="FILE", help=KUBECONFIG_HELP)
    parser.add_argument("--context", metavar="NAME", help=CONTEXT_HELP)
    parser.add_argument("--read-only", action="store_true", help="observe and plan, write nothing")
    parser.add_argument("--controller-only", action="store_true", help="run the daemon, no screen")
    parser.add_argument(
        "--listen",
        type=_address,
        default=("127.0.0.1", 9464),
        metavar="HOST:PORT",
        help="where the daemon serves /healthz, /readyz, /metrics (default 127.0.0.1:9464)",
    )
    parser.add_argument("--journal", metavar="FILE", help=JOURNAL_HELP)
    parser.add_argument(
        "--replay",
        type=Path,
        metavar="FILE",
        help="the dashboard on a journal; no fleet file, no NATS, no Kubernetes",
    )
    parser.add_argument("--ascii", action="store_true", help=ASCII_HELP)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB")
    _add_demo(verbs.add_parser("demo", help="a fleet, a cluster and a load on this machine"))
    _add_plan(verbs.add_parser("plan", help="what would be done, from live state or a file"))
    _add_why(verbs.add_parser("why", help="why a pool has its number of replicas"))
    _add_attach(verbs.add_parser("attach", help="the dashboard of a controller elsewhere"))
    add_operating(verbs, _load, _add_place)
    schema = verbs.add_parser("schema", help="print a JSON schema")
    schema.add_argument("of", choices=["fleet", "observation", "plan"])
    schema.set_defaults(run=_run_schema)
    example = verbs.add_parser("example", help="print a commented fleet file")
    example.set_defaults(run=_run_example)
    return parser


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Runs a real nats-server, a simulated Kubernetes API over HTTP, real workers, and a load "
        "with calm times, bursts and idle times; and the dashboard with its controller."
    )
    parser.add_argument("--headless", action="store_true", help="no screen, a summary at the end")
    parser.add_argument(
        "--for",
        dest="for_s",
        type=_duration,
        metavar="DURATION",
        help="end after this time (60s, 2m)",
    )
    parser.add_argument(
        "--speed",
        type=_speed,
        default=2.0,
        metavar="N",
        help="how many times faster than real the cluster and the workers are (default 2)",
    )
    parser.add_argument(
        "--seed",
        type=_seed,
        default=1,
        metavar="N",
        help="seed of the random load and start-up times (default 1)",
    )
    parser.add_argument(
        "--load-for", type=_duration, metavar="DURATION", help="stop publishing after this time"
    )
    parser.add_argument("--journal", default=argparse.SUPPRESS, metavar="FILE", help=JOURNAL_HELP)
    parser.add_argument("--ascii", action="store_true", help=ASCII_HELP)
    parser.set_defaults(run=_run_demo)


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

ATTACH_EXAMPLES: Final = """\
examples:
  agentdash attach -f fleet.yaml
  agentdash attach --nats nats://nats.example:4222
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


ATTACH: Final = """\
Shows what a running controller publishes in NATS, on any machine that reaches the NATS servers. It
needs no Kubernetes, decides nothing and writes nothing.

The servers are those of the fleet file, or of --nats.
"""


def _add_attach(parser: argparse.ArgumentParser) -> None:
    _describe(parser, ATTACH, ATTACH_EXAMPLES)
    unset = argparse.SUPPRESS
    parser.add_argument("-f", "--fleet", type=Path, default=unset, metavar="FILE", help=FLEET_HELP)
    parser.add_argument("--nats", metavar="URL", help="a NATS server, instead of a fleet file")
    parser.add_argument(
        "--bucket", default="agentdash", metavar="NAME", help="the fleet's bucket, beside --nats"
    )
    parser.add_argument("--ascii", action="store_true", default=unset, help=ASCII_HELP)
    parser.set_defaults(run=_run_attach)


def _run_attach(options: argparse.Namespace) -> ExitCode:
    from controller.model.settings import NatsSettings

    nats = NatsSettings(servers=(options.nats or "",), bucket=options.bucket)
    if options.nats is None:
        settings = _load(options)
        if settings is None:
            return ExitCode.USAGE
        nats = settings.nats
    from agentdash.launch import show_attached

    return show_attached(nats, ascii_only=options.ascii)


def _add_plan(parser: argparse.ArgumentParser) -> None:
    _describe(parser, PLAN, PLAN_EXAMPLES)
    _add_look(parser)
    parser.set_defaults(run=_run_plan)


def _add_why(parser: argparse.ArgumentParser) -> None:
    _describe(parser, WHY, WHY_EXAMPLES)
    parser.add_argument("pools", nargs="+", metavar="TENANT/POOL", help="a pool of the fleet file")
    _add_look(parser)
    parser.set_defaults(run=_run_why)


def _describe(parser: argparse.ArgumentParser, description: str, examples: str) -> None:
    parser.description, parser.epilog = description, examples
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def _add_place(parser: argparse.ArgumentParser) -> None:
    """Which fleet it is about. A fleet file named before the verb stays in force."""
    unset = argparse.SUPPRESS
    parser.add_argument("-f", "--fleet", type=Path, default=unset, metavar="FILE", help=FLEET_HELP)
    parser.add_argument("--kubeconfig", default=unset, metavar="FILE", help=KUBECONFIG_HELP)
    parser.add_argument("--context", default=unset, metavar="NAME", help=CONTEXT_HELP)


def _add_look(parser: argparse.ArgumentParser) -> None:
    """What to look at, and how to print it."""
    _add_place(parser)
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


def _run_plan(options: argparse.Namespace) -> ExitCode:
    settings = _load(options)
    if settings is None:
        return ExitCode.USAGE
    from agentdash.verbs.answer import show_plan

    return show_plan(settings, _look_options(options))


def _run_why(options: argparse.Namespace) -> ExitCode:
    settings = _load(options)
    if settings is None:
        return ExitCode.USAGE
    from agentdash.verbs.answer import show_why

    return show_why(settings, options.pools, _look_options(options))


def _look_options(options: argparse.Namespace) -> Options:
    from agentdash.verbs.answer import Options

    return Options(
        observations=options.observations,
        fresh=options.fresh,
        every_tick=options.every_tick,
        as_json=options.as_json,
    )


def _run_fleet(options: argparse.Namespace) -> ExitCode:
    if options.replay is not None:
        return _replay(options)
    settings = _load(options)
    if settings is None:
        return ExitCode.USAGE
    settings = settings.with_journal(options.journal)
    read_only = options.read_only or settings.controller.read_only
    name = options.fleet.name
    if options.controller_only:
        from controller.daemon import run_daemon
        from controller.logs import log_json

        log_json()
        host, port = options.listen
        return run_daemon(settings, name=name, read_only=read_only, host=host, port=port)
    if not _can_show("--controller-only runs the same controller without a screen"):
        return ExitCode.UNREACHABLE
    from agentdash.launch import show_fleet

    return show_fleet(settings, name=name, read_only=read_only, ascii_only=options.ascii)


def _replay(options: argparse.Namespace) -> ExitCode:
    if not _can_show("the journal is lines of JSON"):
        return ExitCode.UNREACHABLE
    from agentdash.launch import show_journal

    return show_journal(options.replay, ascii_only=options.ascii)


def _can_show(instead: str) -> bool:
    """Whether a dashboard can be drawn; if not, it is said why, and what to do `instead`."""
    problem = why_no_dashboard(os.environ)
    if problem is not None:
        note(f"no dashboard: {problem}; {instead}")
    return problem is None


def _run_demo(options: argparse.Namespace) -> ExitCode:
    if not options.headless and not _can_show(
        "`agentdash demo --headless` shows the demo without a screen, and `agentdash "
        "--controller-only` runs the controller of a fleet without one"
    ):
        return ExitCode.UNREACHABLE
    from agentdash.launch import run_demo_headless, show_demo

    demo = {
        "speed": options.speed,
        "seed": options.seed,
        "load_for_s": options.load_for,
        "journal": options.journal,
    }
    if options.headless:
        return run_demo_headless(for_s=options.for_s, **demo)
    return show_demo(for_s=options.for_s, ascii_only=options.ascii, **demo)


def _run_schema(options: argparse.Namespace) -> ExitCode:
    import json

    if options.of == "fleet":
        from controller.config import json_schema as schema
    elif options.of == "plan":
        from controller.report.plan import plan_schema as schema
    else:
        from controller.report.plan import observation_schema as schema
    tell(json.dumps(schema(), indent=2))
    return ExitCode.OK


def _run_example(_: argparse.Namespace) -> ExitCode:
    from importlib.resources import files

    text = files("agentdash").joinpath("fleet.example.yaml").read_text("utf-8")
    tell(text.removesuffix("\n"))
    return ExitCode.OK


def _load(options: argparse.Namespace) -> Settings | None:
    """The fleet file's settings with what the command line adds; None if the file is wrong, once
    its errors are on standard error.
    """
    import msgspec

    from controller.config import FleetFileError, load

    try:
        settings = load(options.fleet)
    except FleetFileError as error:
        complain(str(error))
        if not options.fleet.exists():
            note(
                "`agentdash demo` shows everything without a fleet file; "
                "`agentdash example > fleet.yaml` prints one to begin with"
            )
        return None
    kubernetes = msgspec.structs.replace(
        settings.kubernetes,
        kubeconfig=options.kubeconfig,
        context=options.context or settings.kubernetes.context,
    )
    return msgspec.structs.replace(settings, kubernetes=kubernetes)


def _address(text: str) -> tuple[str, int]:
    from controller.notation.decimals import read_whole

    host, colon, port = text.rpartition(":")
    try:
        number = read_whole(port)
    except ValueError:
        number = -1
    if not colon or not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:9464")
    return host.strip("[]") or "127.0.0.1", number


def _duration(text: str) -> float:
    from controller.notation.decimals import read_decimal
    from controller.notation.durations import read_duration

    for read in (read_decimal, read_duration):
        try:
            seconds = float(read(text))
        except ValueError:
            continue
        if 0 < seconds < 1e9:
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is not a duration, such as 60s or 2m")


def _speed(text: str) -> float:
    from controller.notation.decimals import read_decimal

    try:
        speed = float(read_decimal(text))
    except ValueError:
        speed = 0.0
    if not 0.1 <= speed <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0.1 to 100")
    return speed


def _seed(text: str) -> int:
    from controller.notation.decimals import read_whole

    try:
        return read_whole(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None

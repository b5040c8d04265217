"""The command line: arguments → one of the verbs. Nothing heavy is imported before it is known."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agentdash import __version__
from controller.exit_codes import ExitCode

if TYPE_CHECKING:
    from agentdash.verbs.answer import Options
    from controller.model.settings import Settings

DESCRIPTION: Final = """\
Scales fleets of AI agents on Kubernetes from JetStream lag, and explains every number.

Without a verb: the dashboard on a fleet, with a controller beside it.
"""

EXAMPLES: Final = """\
examples:
  agentdash demo                                 everything on this machine, no cluster needed
  agentdash -f fleet.yaml --read-only            look at a fleet; nothing is written
  agentdash -f fleet.yaml --controller-only      the daemon: JSON logs, /metrics, /healthz
  agentdash plan -f fleet.yaml                   what would be done now; nothing is written
  agentdash why -f fleet.yaml acme/research      the rules behind one number, and what each costs
  agentdash example > fleet.yaml                 a commented fleet file to begin with
  agentdash schema fleet                         its JSON schema

exit codes:
  0 done, or asked to stop    1 failed            2 wrong usage, fleet file or observations
  3 cannot begin              4 NATS server too old or without JetStream
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    options = _parser().parse_args(arguments)
    verb = getattr(options, "run", _run_fleet)
    code: ExitCode = verb(options)
    return int(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="agentdash",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"agentdash {__version__}")
    parser.add_argument(
        "-f", "--fleet", type=Path, default=Path("fleet.yaml"), metavar="FILE", help="fleet file"
    )
    parser.add_argument(
        "--kubeconfig", metavar="FILE", help="default: $KUBECONFIG, then in-cluster"
    )
    parser.add_argument("--context", metavar="NAME", help="default: the fleet file's, then current")
    parser.add_argument("--read-only", action="store_true", help="observe and plan, write nothing")
    parser.add_argument("--controller-only", action="store_true", help="no screen: the daemon")
    parser.add_argument(
        "--listen",
        type=_address,
        default=("127.0.0.1", 9464),
        metavar="HOST:PORT",
        help="where the daemon serves /healthz, /readyz, /metrics (default 127.0.0.1:9464)",
    )
    parser.add_argument("--ascii", action="store_true", help="no glyphs beyond ASCII on the screen")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB")
    _add_demo(verbs.add_parser("demo", help="a fleet, a cluster and a load on this machine"))
    _add_plan(verbs.add_parser("plan", help="what would be done, from live state or a file"))
    _add_why(
        verbs.add_parser("why", help="why a pool has its number, and what it would be without")
    )
    schema = verbs.add_parser("schema", help="print a JSON schema")
    schema.add_argument("of", choices=["fleet", "observation", "plan"])
    schema.set_defaults(run=_run_schema)
    example = verbs.add_parser("example", help="print a commented fleet file")
    example.set_defaults(run=_run_example)
    return parser


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "A real nats-server, a simulated Kubernetes API over HTTP, real workers and a load of "
        "calm, bursts and idle spells; the dashboard with its controller on top."
    )
    parser.add_argument("--headless", action="store_true", help="no screen, one summary at the end")
    parser.add_argument(
        "--for",
        dest="for_s",
        type=_duration,
        metavar="DURATION",
        help="end after so long (60s, 2m)",
    )
    parser.add_argument(
        "--speed",
        type=_speed,
        default=2.0,
        metavar="N",
        help="compress the cluster's and the workers' times (default 2)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the load and of the start-up times")
    parser.add_argument(
        "--load-for", type=_duration, metavar="DURATION", help="publish no tasks after so long"
    )
    parser.add_argument("--ascii", action="store_true", help="no glyphs beyond ASCII on the screen")
    parser.set_defaults(run=_run_demo)


PLAN: Final = """\
What would be done now for every pool, and why. Nothing is written, nowhere.

Live, it looks once, with the memory that the controller keeps in NATS and with the pins, pauses and
freezes in force there; without a memory, windows and cooldowns begin with the look, so nothing is
taken away. Its exit code is 3 if NATS or Kubernetes is not connected; the plan is then what would
be done blind.

With --observations it runs the ticks of a file in order, in virtual time, and carries the memory
over from one to the next: one JSON object a line, as `agentdash schema observation` describes it.
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
For each pool the rules in the order they were applied, with their numbers, and what the number
would be without each rule that matters: "without the budget: 7". It sees what `plan` sees.
"""

WHY_EXAMPLES: Final = """\
examples:
  agentdash why -f fleet.yaml acme/research
  agentdash why -f fleet.yaml acme/research acme/browser --observations ticks.jsonl --json
"""


def _add_plan(parser: argparse.ArgumentParser) -> None:
    _describe(parser, PLAN, PLAN_EXAMPLES)
    _add_sight(parser)
    parser.set_defaults(run=_run_plan)


def _add_why(parser: argparse.ArgumentParser) -> None:
    _describe(parser, WHY, WHY_EXAMPLES)
    parser.add_argument("pools", nargs="+", metavar="TENANT/POOL", help="a pool of the fleet file")
    _add_sight(parser)
    parser.set_defaults(run=_run_why)


def _describe(parser: argparse.ArgumentParser, description: str, examples: str) -> None:
    parser.description, parser.epilog = description, examples
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def _add_sight(parser: argparse.ArgumentParser) -> None:
    """What is looked at, and how it is told; a fleet named before the verb stays in force."""
    unset = argparse.SUPPRESS
    parser.add_argument(
        "-f", "--fleet", type=Path, default=unset, metavar="FILE", help="fleet file"
    )
    parser.add_argument("--kubeconfig", default=unset, metavar="FILE", help="as for the dashboard")
    parser.add_argument("--context", default=unset, metavar="NAME", help="as for the dashboard")
    parser.add_argument(
        "--observations", metavar="FILE", help="ticks to run instead of looking live; - is stdin"
    )
    parser.add_argument(
        "--fresh", action="store_true", help="start without memory, even if there is one"
    )
    parser.add_argument(
        "--all", dest="every_tick", action="store_true", help="tell every tick, not only the last"
    )
    parser.add_argument(
        "--json", dest="as_json", action="store_true", help="as `agentdash schema plan` describes"
    )


def _run_plan(options: argparse.Namespace) -> ExitCode:
    settings = _load(options)
    if settings is None:
        return ExitCode.USAGE
    from agentdash.verbs.answer import show_plan

    return show_plan(settings, _sight(options))


def _run_why(options: argparse.Namespace) -> ExitCode:
    settings = _load(options)
    if settings is None:
        return ExitCode.USAGE
    from agentdash.verbs.answer import show_why

    return show_why(settings, options.pools, _sight(options))


def _sight(options: argparse.Namespace) -> Options:
    from agentdash.verbs.answer import Options

    return Options(
        observations=options.observations,
        fresh=options.fresh,
        every_tick=options.every_tick,
        as_json=options.as_json,
    )


def _run_fleet(options: argparse.Namespace) -> ExitCode:
    settings = _load(options)
    if settings is None:
        return ExitCode.USAGE
    read_only = options.read_only or settings.controller.read_only
    name = options.fleet.name
    if options.controller_only:
        from controller.daemon import run_daemon
        from controller.logs import log_json

        log_json()
        host, port = options.listen
        return run_daemon(settings, name=name, read_only=read_only, host=host, port=port)
    from agentdash.launch import show_fleet

    return show_fleet(settings, name=name, read_only=read_only, ascii_only=options.ascii)


def _run_demo(options: argparse.Namespace) -> ExitCode:
    from agentdash.launch import run_demo_headless, show_demo

    demo = {"speed": options.speed, "seed": options.seed, "load_for_s": options.load_for}
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
    print(json.dumps(schema(), indent=2))
    return ExitCode.OK


def _run_example(_: argparse.Namespace) -> ExitCode:
    from importlib.resources import files

    print(files("agentdash").joinpath("fleet.example.yaml").read_text("utf-8"), end="")
    return ExitCode.OK


def _load(options: argparse.Namespace) -> Settings | None:
    """The fleet file with what the command line adds; None once its errors are on stderr."""
    import msgspec

    from controller.config import FleetFileError, load

    try:
        settings = load(options.fleet)
    except FleetFileError as error:
        print(error, file=sys.stderr)
        return None
    kubernetes = msgspec.structs.replace(
        settings.kubernetes,
        kubeconfig=options.kubeconfig,
        context=options.context or settings.kubernetes.context,
    )
    return msgspec.structs.replace(settings, kubernetes=kubernetes)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:9464")
    return host.strip("[]") or "127.0.0.1", int(port)


def _duration(text: str) -> float:
    import durationpy

    try:
        seconds = float(text) if text.replace(".", "", 1).isdigit() else None
        if seconds is None:
            seconds = durationpy.from_str(text).total_seconds()
    except (durationpy.DurationError, ValueError):
        seconds = None
    if seconds is None or not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration, such as 60s or 2m")
    return float(seconds)


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.1 <= speed <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0.1 to 100")
    return speed

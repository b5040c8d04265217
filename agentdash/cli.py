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
  agentdash example > fleet.yaml                 a commented fleet file to begin with
  agentdash schema fleet                         its JSON schema

exit codes:
  0 done, or asked to stop    1 failed            2 wrong usage or fleet file
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
    schema = verbs.add_parser("schema", help="print a JSON schema")
    schema.add_argument("of", choices=["fleet"])
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
    from agentdash.face import show_fleet

    return show_fleet(settings, name=name, read_only=read_only, ascii_only=options.ascii)


def _run_demo(options: argparse.Namespace) -> ExitCode:
    from agentdash.face import run_demo_headless, show_demo

    demo = {"speed": options.speed, "seed": options.seed, "load_for_s": options.load_for}
    if options.headless:
        return run_demo_headless(for_s=options.for_s, **demo)
    return show_demo(for_s=options.for_s, ascii_only=options.ascii, **demo)


def _run_schema(_: argparse.Namespace) -> ExitCode:
    import json

    from controller.config import json_schema

    print(json.dumps(json_schema(), indent=2))
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

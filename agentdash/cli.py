"""The command line: arguments → one of the verbs. It imports nothing heavy before it knows the
verb.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from agentdash import __version__, argument_types
from agentdash.completion import ASK, SCRIPTS, FleetNames, answer
from agentdash.demo_arguments import add_demo
from agentdash.looking_arguments import add_looking
from agentdash.operating_arguments import add_operating
from agentdash.output import OutputError, complain, note, tell, why_no_dashboard
from agentdash.shipping_arguments import add_shipping
from agentdash.task_arguments import add_tasks
from controller.exit_codes import ExitCode

if TYPE_CHECKING:
    from agentdash.preferences import Preferences
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
  agentdash journal -f fleet.yaml --show         the same from NATS, whichever controller led
  agentdash plan -f fleet.yaml                   what would be done now; nothing is written
  agentdash -f fleet.yaml --once pools --csv     a view as text, once: also --plain, --json
  agentdash why -f fleet.yaml acme/research      the rules behind one number
  agentdash pause acme --until 2h --why OPS-902  stop a tenant's work; `undo` takes it back
  agentdash intents                              what operators ask for, and the audit
  agentdash submit acme/research "sum up Q3"     give a pool a task; then `result`, `cancel`, `dead`
  agentdash worker agents:research               a worker with the agent in agents.py
  agentdash doctor -f fleet.yaml                 whether all that the fleet needs works
  agentdash manifests -f fleet.yaml              what runs it in a cluster, for kubectl apply
  agentdash example > fleet.yaml                 a commented fleet file to begin with
  agentdash schema fleet                         the JSON schema of the fleet file

exit codes:
  0  it did what was asked, or was asked to stop
  1  it failed because of a fault in agentdash; `doctor`: something does not work
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
THEME_HELP: Final = "agentdash, midnight, paper or colour-blind; `:theme NAME` remembers one"
ASCII_HELP: Final = "draw the screen with ASCII characters only"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        parser = _parser()
        if words[:1] == [ASK]:
            return int(_complete(parser, words[1:]))
        options = parser.parse_args(words)
        _check_once(parser, options)
        verb = getattr(options, "run", _run_fleet if options.once is None else _run_once)
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
        type=argument_types.address,
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
    parser.add_argument("--theme", type=argument_types.theme, metavar="THEME", help=THEME_HELP)
    _add_once(parser)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB")
    _add_demo(verbs.add_parser("demo", help="a fleet, a cluster and a load on this machine"))
    add_looking(verbs, _load, _add_place, _show_journal)
    _add_attach(verbs.add_parser("attach", help="the dashboard of a controller elsewhere"))
    add_operating(verbs, _load, _add_place)
    add_tasks(verbs, _load, _add_place)
    add_shipping(verbs, _load, _add_place)
    schema = verbs.add_parser("schema", help="print a JSON schema")
    schema.add_argument("of", choices=["fleet", "observation", "plan"])
    schema.set_defaults(run=_run_schema)
    completion = verbs.add_parser("completion", help="print a script that completes the line")
    completion.description = COMPLETION
    completion.formatter_class = argparse.RawDescriptionHelpFormatter
    completion.add_argument("shell", choices=list(SCRIPTS))
    completion.set_defaults(run=_run_completion)
    profile = verbs.add_parser("profile", help="which profile an agent with these tools needs")
    profile.add_argument(
        "tools",
        nargs="+",
        metavar="TOOL",
        help="the name of a tool, or an agent MODULE:FUNCTION that declares its tools",
    )
    profile.set_defaults(run=_run_profile)
    example = verbs.add_parser("example", help="print a commented fleet file")
    example.set_defaults(run=_run_example)
    return parser


def _add_theme(parser: argparse.ArgumentParser) -> None:
    unset = argparse.SUPPRESS
    parser.add_argument(
        "--theme", type=argument_types.theme, default=unset, metavar="THEME", help=THEME_HELP
    )


def _add_once(parser: argparse.ArgumentParser) -> None:
    once = parser.add_argument_group("once", "print a view as text and end; nothing is written")
    once.add_argument(
        "--once", type=argument_types.view, metavar="VIEW", help=f"one of {argument_types.views()}"
    )
    for form, text in (
        ("plain", "a line for each row, cells between tabs, for awk and screen readers"),
        ("json", "one object with the values, not the formatted text"),
        ("csv", "the values for a spreadsheet"),
    ):
        once.add_argument(
            f"--{form}", dest="once_form", action="append_const", const=form, help=text
        )
    once.add_argument(
        "--width",
        type=argument_types.width,
        metavar="N",
        help="of the text (default: the terminal's; without a terminal as wide as needed)",
    )


def _add_demo(parser: argparse.ArgumentParser) -> None:
    add_demo(parser)
    parser.add_argument("--journal", default=argparse.SUPPRESS, metavar="FILE", help=JOURNAL_HELP)
    parser.add_argument("--ascii", action="store_true", help=ASCII_HELP)
    _add_theme(parser)
    parser.set_defaults(run=_run_demo)


ATTACH_EXAMPLES: Final = """\
examples:
  agentdash attach -f fleet.yaml
  agentdash attach --nats nats://nats.example:4222
"""

COMPLETION: Final = """\
Prints a script that completes verbs, options, and the pools and tenants of the fleet file:

  bash  agentdash completion bash >> ~/.bashrc
  zsh   agentdash completion zsh > a file named _agentdash in a folder of $fpath
  fish  agentdash completion fish > ~/.config/fish/completions/agentdash.fish
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
    parser.add_argument(
        "--read-only", action="store_true", default=unset, help="look only; nothing is asked for"
    )
    parser.add_argument("--ascii", action="store_true", default=unset, help=ASCII_HELP)
    _add_theme(parser)
    parser.set_defaults(run=_run_attach)


def _run_attach(options: argparse.Namespace) -> ExitCode:
    from controller.model.settings import NatsSettings

    nats = NatsSettings(servers=(options.nats or "",), bucket=options.bucket)
    read_only = options.read_only
    if options.nats is None:
        settings = _load(options)
        if settings is None:
            return ExitCode.USAGE
        nats = settings.nats
        read_only = read_only or settings.controller.read_only
    if not _can_show("--once prints a view of a running controller as text"):
        return ExitCode.UNREACHABLE
    prefer = _preferences(options)
    if prefer is None:
        return ExitCode.USAGE
    from agentdash.launch import show_attached

    return show_attached(nats, read_only=read_only, ascii_only=options.ascii, prefer=prefer)


def _describe(parser: argparse.ArgumentParser, description: str, examples: str) -> None:
    parser.description, parser.epilog = description, examples
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def _add_place(parser: argparse.ArgumentParser) -> None:
    """Which fleet it is about. A fleet file named before the verb stays in force."""
    unset = argparse.SUPPRESS
    parser.add_argument("-f", "--fleet", type=Path, default=unset, metavar="FILE", help=FLEET_HELP)
    parser.add_argument("--kubeconfig", default=unset, metavar="FILE", help=KUBECONFIG_HELP)
    parser.add_argument("--context", default=unset, metavar="NAME", help=CONTEXT_HELP)


def _complete(parser: argparse.ArgumentParser, words: Sequence[str]) -> ExitCode:
    """Answer a shell that completes a line: it shows nothing but these answers."""
    found = answer(parser, words, _fleet_names)
    if found:
        tell(found)
    return ExitCode.OK


def _fleet_names(path: Path) -> FleetNames:
    """The names in a fleet file; none where it cannot be read or is wrong."""
    from controller.config import FleetFileError, load

    try:
        fleet = load(path.expanduser()).fleet
    except (FleetFileError, RuntimeError):  # RuntimeError: ~ without a home directory
        return FleetNames()
    return FleetNames(
        tuple(pool.key for pool in fleet.pools), tuple(tenant.name for tenant in fleet.tenants)
    )


def _run_completion(options: argparse.Namespace) -> ExitCode:
    tell(SCRIPTS[options.shell].rstrip("\n"))
    return ExitCode.OK


def _check_once(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with exit code 2 where options are given that do not go together."""
    forms = [f"--{form}" for form in dict.fromkeys(options.once_form or ())]
    beside = [*forms, *(["--width"] if options.width is not None else [])]
    if options.once is None and beside:
        parser.error(f"{beside[0]} needs --once VIEW, which says what to print")
    if options.once is not None and hasattr(options, "run"):
        parser.error("--once prints a view of the fleet; it takes no verb")
    if options.once is not None and options.controller_only:
        parser.error("--once ends after one look; --controller-only runs on: use one of them")
    if len(beside) > 1:
        parser.error(f"{beside[0]} and {beside[1]} do not go together: use one of them")


def _run_once(options: argparse.Namespace) -> ExitCode:
    from agentdash.tui.names import HELP_VIEW

    if options.once.name == HELP_VIEW:
        return _show_help_once(options)
    settings = _load(options)
    if settings is None:
        return ExitCode.USAGE
    from agentdash.verbs.once import show_once

    return show_once(
        settings,
        options.once,
        name=options.fleet.name,
        form=(options.once_form or ["text"])[0],
        width=options.width,
        ascii_only=options.ascii,
    )


def _show_help_once(options: argparse.Namespace) -> ExitCode:
    """Print the dashboard's help, with the keys that the person chose."""
    prefer = _preferences(options)
    if prefer is None:
        return ExitCode.USAGE
    from agentdash.verbs.once import show_help_once

    return show_help_once(
        prefer.keys,
        form=(options.once_form or ["text"])[0],
        width=options.width,
        ascii_only=options.ascii,
    )


def _run_fleet(options: argparse.Namespace) -> ExitCode:
    if options.replay is not None:
        return _show_journal(options, options.replay)
    from controller.config.document import FleetSource, file_state

    source = FleetSource(options.fleet, lambda: _read_settings(options), file_state(options.fleet))
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
        return run_daemon(settings, source, name=name, read_only=read_only, host=host, port=port)
    if not _can_show("--controller-only runs the same controller without a screen"):
        return ExitCode.UNREACHABLE
    prefer = _preferences(options)
    if prefer is None:
        return ExitCode.USAGE
    from agentdash.launch import show_fleet

    return show_fleet(
        settings,
        source,
        name=name,
        read_only=read_only,
        ascii_only=options.ascii,
        prefer=prefer,
    )


def _preferences(options: argparse.Namespace) -> Preferences | None:
    """What the person prefers; None if a file of it is wrong, once its errors are told."""
    from agentdash.preferences import PreferencesError, read_preferences

    try:
        found = read_preferences(os.environ)
    except PreferencesError as error:
        complain(str(error))
        return None
    return found if options.theme is None else found._replace(theme=options.theme)


def _show_journal(options: argparse.Namespace, path: Path) -> ExitCode:
    """Run the dashboard on a journal in a file."""
    if not _can_show("the journal is lines of JSON"):
        return ExitCode.UNREACHABLE
    prefer = _preferences(options)
    if prefer is None:
        return ExitCode.USAGE
    from agentdash.launch import show_journal

    return show_journal(path, ascii_only=options.ascii, prefer=prefer)


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
    prefer = _preferences(options)
    if prefer is None:
        return ExitCode.USAGE
    return show_demo(for_s=options.for_s, ascii_only=options.ascii, prefer=prefer, **demo)


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


def _run_profile(options: argparse.Namespace) -> int:
    from agentdash.verbs.profile import show_profile

    return show_profile(options.tools)


def _run_example(_: argparse.Namespace) -> ExitCode:
    from importlib.resources import files

    text = files("agentdash").joinpath("fleet.example.yaml").read_text("utf-8")
    tell(text.removesuffix("\n"))
    return ExitCode.OK


def _load(options: argparse.Namespace) -> Settings | None:
    """The fleet file's settings with what the command line adds; None if the file is wrong, once
    its errors are on standard error.
    """
    from controller.config import FleetFileError

    try:
        return _read_settings(options)
    except FleetFileError as error:
        complain(str(error))
        if not options.fleet.exists():
            note(
                "`agentdash demo` shows everything without a fleet file; "
                "`agentdash example > fleet.yaml` prints one to begin with"
            )
        return None


def _read_settings(options: argparse.Namespace) -> Settings:
    """The settings of the fleet file, with what the command line adds. Raises FleetFileError."""
    import msgspec

    from controller.config import load

    settings = load(options.fleet)
    kubernetes = msgspec.structs.replace(
        settings.kubernetes,
        kubeconfig=options.kubeconfig,
        context=options.context or settings.kubernetes.context,
    )
    settings = msgspec.structs.replace(settings, kubernetes=kubernetes)
    return settings.with_journal(getattr(options, "journal", None))

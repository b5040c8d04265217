"""The command line: arguments → a verb. Nothing heavy is imported before it is known."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from agentdash import __version__, arguments, verb_table
from agentdash.completion import FleetNames, complete, script
from agentdash.output import (
    OutputError,
    ToldError,
    complain,
    draws_ascii,
    note,
    refusal,
    tell,
    why_no_dashboard,
)
from agentdash.tui.names import ONCE_VIEWS
from agentdash.verb_table import VERBS, Argument, OneOf, VerbEntry
from controller.exit_codes import ExitCode
from controller.model.clock import use_clock

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
  agentdash simulate day.csv -f fleet.yaml       a recorded day under these rules, HPA and KEDA
  agentdash manifests -f fleet.yaml              what runs it in a cluster, for kubectl apply
  agentdash example > fleet.yaml                 a commented fleet file to begin with
  agentdash schema fleet                         the JSON schema of the fleet file

Times that are typed and shown are UTC; with AGENTDASH_CLOCK=local in the environment they are
those of this machine. JSON, CSV, metrics and logs have UTC.

exit codes:
  0  it did what was asked, or was asked to stop
  1  it failed because of a fault in agentdash; `doctor`: something does not work; `result`,
     `cancel`, `submit --wait`: the task did not end as done, or there is none
  2  the command line is wrong, or a file that it names: the fleet, observations, a trace
  3  something it needs is missing: a server, a kubeconfig, standard input or output
  4  the NATS server is too old or has no JetStream
  5  refused, nothing was changed: another operator was first, no right to write, not confirmed
A reader that closes the pipe early, such as `head`, ends it by SIGPIPE without a message.

for developers of agentdash:
  promises            what it promises under faults, and the tests that hold it
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        parser = parser_of_verbs()
        try:
            use_clock(os.environ)
        except ValueError as error:
            parser.error(str(error))
        if "_ARGCOMPLETE" in os.environ:
            complete(parser, _fleet_names)
        words = [*words[1:], "--help"] if words[:1] == ["help"] else _with_scope(words)
        options, unknown = parser.parse_known_args(words)
        if unknown:  # parse_args would not name the verb that does not know them
            getattr(options, "verb_parser", parser).error(f"unknown: {' '.join(unknown)}")
        _check_once(parser, options)
        return int(_run(options))
    except ToldError as told:
        return int(told.code)
    except OutputError as error:
        note(str(error))
        return int(ExitCode.UNREACHABLE)


def _with_scope(words: list[str]) -> list[str]:
    """`--once pods acme` as `--once "pods acme"`: the view's argument, and no verb."""
    at = words.index("--once") + 1 if "--once" in words else len(words)
    if at + 1 >= len(words) or words[at + 1].startswith("-") or words[at + 1] in _VERB_NAMES:
        return words
    return [*words[:at], " ".join(words[at : at + 2]), *words[at + 2 :]]


def _run(options: argparse.Namespace) -> ExitCode:
    verb: VerbEntry | None = getattr(options, "verb_entry", None)
    if verb is None:
        return _run_fleet(options) if options.once is None else _run_once(options)
    settings = (load_settings(options),) if verb.reads_fleet else ()
    module, _, function = verb.run.partition(":")
    run = getattr(importlib.import_module(module), function)
    code: ExitCode = run(*settings, options)
    return code


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
        complain(f"{self.prog}: {_in_words(message)}; see {self.prog} --help")
        raise SystemExit(int(ExitCode.USAGE))


def _in_words(message: str) -> str:
    """What argparse says, in the words of a person; of a wrong choice, the one that is meant."""
    import re

    if (without := re.fullmatch(r"argument (\S+): expected one argument", message)) is not None:
        return f"{without[1]} needs a value behind it; one that begins with - stands behind ="
    if (missing := re.fullmatch(r"one of the arguments (.*) is required", message)) is not None:
        return f"one of these is missing: {', '.join(missing[1].split())}"
    wrong = re.fullmatch(r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)", message)
    if wrong is None:
        return message
    name, given, listed = wrong.groups()
    choices = [each for each in re.findall(r"[\w-]+", listed) if each not in _UNLISTED]
    meant = _meant(given, choices)
    if name == "VERB":
        if given in ONCE_VIEWS:
            return f"there is no verb {given!r}; agentdash --once {given} prints that view"
        few = f"; write one of {', '.join(choices)}" if len(choices) <= 8 else ""
        return f"there is no verb {given!r}{meant or few}"
    return f"{name} is one of {', '.join(choices)}, not {given!r}{meant}"


def _meant(given: str, choices: Sequence[str]) -> str:
    """A word for somebody who mistyped."""
    import difflib

    close = difflib.get_close_matches(given, choices, n=1)
    return f", did you mean {close[0]}?" if close else ""


class _VersionAction(argparse.Action):
    """Prints the version and ends."""

    def __call__(self, *_: Any) -> NoReturn:
        """Print it. Raises OutputError."""
        tell(f"agentdash {__version__}")
        raise SystemExit(int(ExitCode.OK))


def parser_of_verbs() -> argparse.ArgumentParser:
    """The parser of the whole command line, made from the table of verbs."""
    parser = _ArgumentParser(
        prog="agentdash",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_VersionAction, nargs=0, help="print the version")
    _add(parser, _GLOBAL)
    once = parser.add_argument_group("once", "print a view as text and end; nothing is written")
    _add(once, _ONCE)
    _add_verbs(parser, VERBS)
    return parser


_VERB_NAMES: Final = {verb.name for verb in VERBS}
_UNLISTED: Final = {verb.name for verb in VERBS if not verb.help}
_GLOBAL: Final = (
    verb_table.FLEET,
    verb_table.KUBECONFIG,
    verb_table.CONTEXT,
    verb_table.READ_ONLY,
    verb_table.switch("--controller-only", "run the daemon, no screen"),
    verb_table.argument(
        "--listen",
        type=arguments.address,
        default=("127.0.0.1", 9464),
        metavar="HOST:PORT",
        help="where the daemon serves /healthz, /readyz, /metrics (default 127.0.0.1:9464)",
    ),
    verb_table.JOURNAL,
    verb_table.argument(
        "--replay",
        type=Path,
        metavar="FILE",
        help="the dashboard on a journal; no fleet file, no NATS, no Kubernetes",
    ),
    verb_table.ASCII,
    verb_table.THEME,
)


def _form(name: str, text: str) -> Argument:
    return verb_table.argument(
        f"--{name}", dest="once_form", action="append_const", const=name, help=text
    )


_ONCE: Final = (
    verb_table.argument(
        "--once", type=arguments.view, metavar="VIEW", help=f"one of {', '.join(ONCE_VIEWS)}"
    ),
    _form("plain", "a line for each row, cells between tabs, for awk and screen readers"),
    _form("json", "one object with the values, not the formatted text"),
    _form("csv", "the values for a spreadsheet"),
    verb_table.argument(
        "--width",
        type=arguments.width,
        metavar="N",
        help="of the text (default: the terminal's; without a terminal as wide as needed)",
    ),
)


def _add_verbs(parser: argparse.ArgumentParser, verbs: Sequence[VerbEntry]) -> None:
    listed = parser.add_subparsers(
        title="verbs", metavar="VERB", required=parser.prog != "agentdash"
    )
    for verb in verbs:
        one = (
            listed.add_parser(verb.name, help=verb.help)
            if verb.help
            else listed.add_parser(verb.name)
        )
        if verb.description:
            one.description, one.epilog = verb.description, verb.examples
            one.formatter_class = argparse.RawDescriptionHelpFormatter
        if not verb.verbs:
            one.set_defaults(verb_entry=verb, verb_parser=one, **verb.constants)
        _add(one, verb.arguments)
        if verb.verbs:
            _add_verbs(one, verb.verbs)


def _add(parser: argparse._ActionsContainer, given: Sequence[Argument | OneOf]) -> None:
    for each in given:
        if isinstance(each, OneOf):
            _add(parser.add_mutually_exclusive_group(required=each.required), each.arguments)
        else:
            parser.add_argument(*each.flags, **each.options)


def run_attach(options: argparse.Namespace) -> ExitCode:
    """Run the dashboard of a controller elsewhere."""
    from controller.model.settings import NatsSettings

    nats, settings = NatsSettings(servers=(options.nats or "",), bucket=options.bucket), None
    read_only = options.read_only
    if options.nats is None:
        settings = load_settings(options)
        nats = settings.nats
        read_only = read_only or settings.controller.read_only
    if why_no_dashboard(os.environ) is not None:  # the server's fault is said before this one
        from agentdash.launch import problem_of

        if problem := problem_of(nats):
            raise refusal(problem, ExitCode.UNREACHABLE)
    _can_show("--once prints a view of a running controller as text")
    prefer = _preferences(options)
    from agentdash.launch import places_of, show_attached

    places = () if settings is None else places_of(options.fleet, settings)
    return show_attached(nats, settings, places, read_only=read_only, prefer=prefer)


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


def _check_once(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with exit code 2 where options are given that do not go together."""
    forms = [f"--{form}" for form in dict.fromkeys(options.once_form or ())]
    beside = [*forms, *(["--width"] if options.width is not None else [])]
    if options.once is None and beside:
        parser.error(f"{beside[0]} needs --once VIEW, which says what to print")
    if options.once is not None and hasattr(options, "verb_entry"):
        parser.error("--once prints a view of the fleet; it takes no verb")
    if options.once is not None and options.controller_only:
        parser.error("--once ends after one look; --controller-only runs on: use one of them")
    if len(beside) > 1:
        parser.error(f"{beside[0]} and {beside[1]} do not go together: use one of them")


def _run_once(options: argparse.Namespace) -> ExitCode:
    from agentdash.tui.names import HELP_VIEW

    is_help = options.once.name == HELP_VIEW
    keys = _preferences(options).keys if is_help else None
    settings = None if is_help or options.replay is not None else load_settings(options)
    from agentdash.verbs import once

    is_ascii = options.ascii or draws_ascii(os.environ)
    paper = once.paper_of((options.once_form or ["text"])[0], options.width, is_ascii=is_ascii)
    if keys is not None:
        return once.show_help_once(keys, paper)
    if settings is None:
        return once.show_replayed(options.replay, options.once, paper)
    return once.show_once(settings, options.once, paper, name=options.fleet.name)


def _run_fleet(options: argparse.Namespace) -> ExitCode:
    if options.replay is not None:
        return replay(options, options.replay)
    from controller.config.document import FleetSource, file_state

    source = FleetSource(options.fleet, lambda: _read_settings(options), file_state(options.fleet))
    settings = load_settings(options)
    read_only = options.read_only or settings.controller.read_only
    name = options.fleet.name
    if options.controller_only:
        from controller.daemon import run_daemon
        from controller.logs import log_json

        log_json()
        host, port = options.listen
        return run_daemon(settings, source, name=name, read_only=read_only, host=host, port=port)
    _can_show("--controller-only runs the same controller without a screen")
    prefer = _preferences(options)
    from agentdash.launch import show_fleet

    return show_fleet(settings, source, name=name, read_only=read_only, prefer=prefer)


def _preferences(options: argparse.Namespace) -> Preferences:
    """What the person prefers. Raises ToldError if a file of it is wrong."""
    from agentdash.preferences import PreferencesError, read_preferences

    try:
        found = read_preferences(os.environ)
        found = found._replace(ascii_only=options.ascii or draws_ascii(os.environ))
    except PreferencesError as error:
        complain(str(error))
        raise ToldError(ExitCode.USAGE) from None
    return found if options.theme is None else found._replace(theme=options.theme)


def replay(options: argparse.Namespace, path: Path) -> ExitCode:
    """Run the dashboard on a journal's file; faults of the file come before the terminal's."""
    from agentdash.launch import show_journal
    from controller.record.journal import JournalError, JournalPast

    try:
        past = JournalPast(path, end_first=True)
    except JournalError as error:
        raise refusal(error, ExitCode.USAGE) from None
    _can_show("--once VIEW prints a view of the end of the journal")
    return show_journal(past, prefer=_preferences(options))


def _can_show(instead: str) -> None:
    """Raises ToldError where none can be drawn, with what to do `instead`."""
    problem = why_no_dashboard(os.environ)
    if problem is not None:
        raise refusal(f"no dashboard: {problem}; {instead}", ExitCode.UNREACHABLE)


def run_demo(options: argparse.Namespace) -> ExitCode:
    """Run the demo, with the dashboard or headless."""
    if options.headless:
        from agentdash.launch import run_demo_headless

        return run_demo_headless(options)
    _can_show(
        "`agentdash demo --headless` shows the demo without a screen, and `agentdash "
        "--controller-only` runs the controller of a fleet without one"
    )
    prefer = _preferences(options)
    from agentdash.launch import show_demo

    return show_demo(options, prefer=prefer)


def print_schema(options: argparse.Namespace) -> ExitCode:
    """Print a JSON schema."""
    import json

    if options.of == "fleet":
        from controller.config import json_schema as schema
    elif options.of == "plan":
        from controller.report.plan import plan_schema as schema
    else:
        from controller.report.plan import observation_schema as schema
    tell(json.dumps(schema(), indent=2))
    return ExitCode.OK


def print_journal(settings: Settings, options: argparse.Namespace) -> ExitCode:
    """Print the journal that NATS keeps, or run the dashboard on it."""
    from agentdash.verbs.journal import print_journal_stream, save_journal_stream

    if not options.show:
        return print_journal_stream(settings, since_s=options.since)
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="agentdash-") as folder:
        path = Path(folder) / "journal.jsonl"
        save_journal_stream(settings, path, since_s=options.since)
        return replay(options, path)


def print_manifests(options: argparse.Namespace) -> ExitCode:
    """Print what runs agentdash in a cluster, or one of the files that need no fleet."""
    from agentdash.verbs.ship import print_instead, show_manifests

    if print_instead(options):
        return ExitCode.OK
    return show_manifests(load_settings(options), options)


def print_completion(options: argparse.Namespace) -> ExitCode:
    """Print the script of a shell."""
    tell(script(options.shell).rstrip("\n"))
    return ExitCode.OK


def print_example(_: argparse.Namespace) -> ExitCode:
    """Print the example of a fleet file."""
    from importlib.resources import files

    text = files("agentdash").joinpath("fleet.example.yaml").read_text("utf-8")
    tell(text.removesuffix("\n"))
    return ExitCode.OK


def load_settings(options: argparse.Namespace) -> Settings:
    """The fleet file's settings with what the command line adds. Raises ToldError if the file is
    wrong, once its errors are on standard error.
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
        raise ToldError(ExitCode.USAGE) from None


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

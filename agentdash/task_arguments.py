"""The command line's verbs about tasks and workers. It imports nothing heavy before it knows the
verb.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from controller.exit_codes import ExitCode

if TYPE_CHECKING:
    from agentdash.verbs.tasks import Asked
    from controller.model.settings import Settings

Load = Callable[[argparse.Namespace], "Settings | None"]
AddPlace = Callable[[argparse.ArgumentParser], None]

SUBMIT: Final = """\
Gives a pool a task. Its goal is a text, or --payload any JSON. The id makes it unique: while the
stream remembers it, the same id again is the same task.
"""
SUBMIT_EXAMPLES: Final = """\
examples:
  agentdash submit acme/research "sum up the quarter" --wait
  agentdash submit acme/research --payload '{"goal": "sum up", "files": ["q3.pdf"]}' --id q3
  agentdash submit acme/research "urgent" --priority high --deadline 20m --budget-usd 0.50
"""
WORKER: Final = """\
Runs a worker: MODULE:FUNCTION is an async function of a task and a session that returns a result.
It works until SIGTERM or ctrl-c, then hands back what is under way.

What it works on is in the environment:
  NATS_URL                servers between commas; NATS_CREDS, NATS_NKEY, NATS_CA name files,
                          NATS_USER with NATS_PASSWORD, or NATS_TOKEN log in
  AGENTDASH_TENANT, AGENTDASH_POOL
  AGENTDASH_QUEUES        STREAM/CONSUMER, several between commas, the highest priority first
  AGENTDASH_SLOTS         tasks at once (default 1)
  AGENTDASH_ATTEMPTS      tries of a task before it is a dead letter (default 5); one whose worker
                          died is a try
  AGENTDASH_GRACE         time for checkpoints when it must end (default 25s); at least 5 s less
                          than the pod's terminationGracePeriodSeconds
  AGENTDASH_LISTEN        where /metrics, /healthz, /readyz, /startup are (default 127.0.0.1:9465;
                          off for nowhere)
  AGENTDASH_WORKER        its name (default: the host's, which is the pod's)
  AGENTDASH_SPOT_NOTICE   a file whose appearance announces the end of the node
  AGENTDASH_RESULT_TTL    how long results are kept, if it creates their bucket (default 1d)
What its tasks may use, until a controller says more:
  AGENTDASH_MODEL         the model of calls that name none
  AGENTDASH_MODELS        [{"name": "gpt-small", "tier": "nano", "input_price": 0.15}], prices in
                          USD per million tokens
  AGENTDASH_RATES         {"gpt-small": {"requests_per_minute": 60, "parallel": 4}}, its own share
  AGENTDASH_SESSION_TOKENS, AGENTDASH_SESSION_DURATION, AGENTDASH_SESSION_TOOL_CALLS
                          of one task (default 500000, 4h, 200)
"""


def add_tasks(verbs: argparse._SubParsersAction[Any], load: Load, add_place: AddPlace) -> None:
    """Add them all. `load` reads the fleet file, `add_place` adds the options that say where."""
    submit = verbs.add_parser("submit", help="give a pool a task")
    submit.description, submit.epilog = SUBMIT, SUBMIT_EXAMPLES
    submit.formatter_class = argparse.RawDescriptionHelpFormatter
    _add_submit(submit, add_place)
    submit.set_defaults(run=_runner("submit", load))
    for name, text in (("result", "how a task ended"), ("cancel", "end a task as cancelled")):
        verb = verbs.add_parser(name, help=text)
        _add_pool(verb)
        verb.add_argument("id", metavar="ID", help="the task's id")
        if name == "result":
            verb.add_argument("--wait", action="store_true", help="wait until it has ended")
        else:
            verb.add_argument("--why", default="", metavar="TEXT", help="kept in its result")
        _add_form(verb, add_place)
        verb.set_defaults(run=_runner(name, load))
    dead = verbs.add_parser("dead", help="tasks that cannot be read or whose tries are used up")
    kinds = dead.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name, text in (
        ("list", "all dead letters of a pool"),
        ("show", "one of them, with its body"),
        ("retry", "give it to its queue again, with all its tries"),
    ):
        verb = kinds.add_parser(name, help=text)
        _add_pool(verb)
        if name != "list":
            verb.add_argument("id", metavar="ID", help="the task's id")
        _add_form(verb, add_place)
        verb.set_defaults(run=_runner(f"dead {name}", load))
    worker = verbs.add_parser("worker", help="run an agent as a worker")
    worker.description = WORKER
    worker.formatter_class = argparse.RawDescriptionHelpFormatter
    worker.add_argument("agent", metavar="MODULE:FUNCTION", help="the agent, an async function")
    worker.set_defaults(run=_run_worker)


def _add_pool(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pool", metavar="TENANT/POOL", help="a pool of the fleet file")


def _add_form(parser: argparse.ArgumentParser, add_place: AddPlace) -> None:
    parser.add_argument("--json", dest="as_json", action="store_true", help="print JSON")
    add_place(parser)


def _add_submit(parser: argparse.ArgumentParser, add_place: AddPlace) -> None:
    _add_pool(parser)
    work = parser.add_mutually_exclusive_group(required=True)
    work.add_argument("goal", nargs="?", metavar="GOAL", help="what to do, in words")
    work.add_argument("--payload", metavar="JSON", help="any JSON; - reads standard input")
    parser.add_argument("--id", metavar="ID", help="default: a new one")
    parser.add_argument(
        "--priority", choices=["normal", "high"], default="normal", help="which of its queues"
    )
    parser.add_argument(
        "--deadline", metavar="WHEN", help="it is of no use later: 20m, 14:00, 2026-11-23T08:00Z"
    )
    parser.add_argument("--timeout", metavar="DURATION", help="of each try: 90s, 10m")
    parser.add_argument("--max-steps", type=int, metavar="N", help="the agent's steps at most")
    parser.add_argument("--budget-usd", type=float, metavar="USD", help="what it may cost")
    parser.add_argument("--budget-tokens", type=int, metavar="N", help="tokens at most")
    parser.add_argument("--workflow", default="", metavar="ID", help="what it is a part of")
    parser.add_argument("--wait", action="store_true", help="wait for its result, and print that")
    _add_form(parser, add_place)


def _runner(verb: str, load: Load) -> Callable[[argparse.Namespace], ExitCode]:
    def run(options: argparse.Namespace) -> ExitCode:
        settings = load(options)
        if settings is None:
            return ExitCode.USAGE
        from agentdash.verbs.tasks import ask

        return ask(settings, verb, _asked(options))

    return run


def _asked(options: argparse.Namespace) -> Asked:
    from agentdash.verbs.tasks import Asked

    names = {name for name in Asked._fields if hasattr(options, name)}
    return Asked(**{name: getattr(options, name) for name in names})


def _run_worker(options: argparse.Namespace) -> ExitCode:
    from agentdash.verbs.worker import run_worker

    return run_worker(options.agent)

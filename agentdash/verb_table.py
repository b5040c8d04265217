"""The verbs of the command line, one entry each. Nothing heavy is imported: `--help` reads this."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from agentdash import __version__, arguments
from agentdash.completion import SHELLS
from agentdash.tui.names import DEFAULT_UNTIL, NO_END


class Argument(NamedTuple):
    """One argument, as argparse's `add_argument` takes it."""

    flags: tuple[str, ...]
    options: Mapping[str, Any]


class OneOf(NamedTuple):
    """Arguments that exclude each other."""

    arguments: tuple[Argument, ...]
    required: bool = False


Arguments: TypeAlias = tuple[Argument | OneOf, ...]
_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


class VerbEntry(NamedTuple):
    """One verb. `run` is MODULE:FUNCTION, imported when the verb is asked for; it takes the parsed
    options and returns an exit code. If the verb `reads_fleet`, the settings of the fleet file come
    first. `constants` are further options with fixed values. A verb without `help` is not listed.
    """

    name: str
    help: str
    run: str
    arguments: Arguments = ()
    description: str = ""
    examples: str = ""
    reads_fleet: bool = True
    constants: Mapping[str, Any] = _NONE
    verbs: tuple[VerbEntry, ...] = ()


def argument(*flags: str, **options: Any) -> Argument:
    """One argument."""
    return Argument(flags, options)


def switch(flag: str, text: str, **options: Any) -> Argument:
    """An option without a value."""
    return Argument((flag,), {"action": "store_true", "help": text, **options})


def again(given: Argument) -> Argument:
    """A global option that may also stand behind a verb, where it leaves the first one in force."""
    import argparse

    return Argument(given.flags, {**given.options, "default": argparse.SUPPRESS})


FLEET: Final = argument(
    *("-f", "--fleet"),
    type=Path,
    default=Path("fleet.yaml"),
    metavar="FILE",
    help="the fleet file (default fleet.yaml)",
)
KUBECONFIG: Final = argument(
    "--kubeconfig",
    metavar="FILE",
    help="default: $KUBECONFIG, then the cluster that agentdash runs in",
)
CONTEXT: Final = argument(
    "--context",
    metavar="NAME",
    help="a kubeconfig context; default: the fleet file's, then the current one",
)
READ_ONLY: Final = switch("--read-only", "observe and plan, write nothing")
JOURNAL: Final = argument(
    "--journal", metavar="FILE", help="keep what each tick saw and decided, for --replay"
)
ASCII: Final = switch("--ascii", "draw with ASCII characters only, as on TERM=linux or vt100")
THEME: Final = argument(
    "--theme",
    type=arguments.theme,
    metavar="THEME",
    help="agentdash, midnight, paper or colour-blind; `:theme NAME` remembers one",
)
PLACE: Final = (again(FLEET), again(KUBECONFIG), again(CONTEXT))
"""Which fleet a verb is about."""
JSON: Final = switch("--json", "print JSON", dest="as_json")
POOL: Final = argument("pool", metavar="TENANT/POOL", help="a pool of the fleet file")
TASK: Final = argument("id", metavar="ID", help="the task's id")

_LOOK: Final = (
    *PLACE,
    argument(
        "--observations",
        metavar="FILE",
        help="plan the ticks of this file instead of the live fleet; - is standard input",
    ),
    switch("--fresh", "begin without memory, even if there is one"),
    switch("--all", "print every tick, not only the last", dest="every_tick"),
    switch("--json", "print JSON, as `agentdash schema plan` describes it", dest="as_json"),
)
_LOOKING: Final = (
    VerbEntry(
        "plan",
        "what would be done, from live state or a file",
        "agentdash.verbs.answer:show_plan",
        _LOOK,
        """\
Prints what would be done now for every pool, and why. It writes nothing to the cluster or to NATS.

Live, it looks once, with the memory and the operators' intents that are kept in NATS. Without a
memory, windows and cooldowns begin with this look, so no pool shrinks. If NATS or Kubernetes is not
connected, the exit code is 3, and the plan is the one for what could be seen.

With --observations it reads ticks from a file, one JSON object on each line, as `agentdash schema
observation` describes them. It plans them in order, in virtual time, and carries the memory from
one to the next. It refuses numbers that no cluster has and names that the fleet file does not have.
""",
        """\
examples:
  agentdash plan -f fleet.yaml
  agentdash plan -f fleet.yaml --observations ticks.jsonl --all
  echo '{"version": 1, "now": 1700000000, "observation": {"pools": {"acme/research": {
    "queue": {"type": "fresh", "at": 1700000000, "value": {"pending": 7, "in_flight": 1}},
    "workload": {"type": "fresh", "at": 1700000000, "value": {"replicas": 2}},
    "pods": {"type": "fresh", "at": 1700000000, "value": {"ready": 2}}}}}}' | tr -d '\\n' |
    agentdash plan -f fleet.yaml --observations - --json
""",
    ),
    VerbEntry(
        "why",
        "why a pool has its number of replicas",
        "agentdash.verbs.answer:show_why",
        (
            argument("pools", nargs="+", metavar="TENANT/POOL", help="a pool of the fleet file"),
            *_LOOK,
        ),
        """\
Prints for each pool the rules in the order they were applied, with their numbers, and what the
number would be without each rule that matters: "without the budget: 7". It looks at the same things
as `agentdash plan`.
""",
        """\
examples:
  agentdash why -f fleet.yaml acme/research
  agentdash why -f fleet.yaml acme/research acme/browser --observations ticks.jsonl --json
""",
    ),
    VerbEntry(
        "journal",
        "the journal that NATS keeps, for --replay",
        "agentdash.cli:print_journal",
        (
            argument(
                "--since",
                type=arguments.duration,
                metavar="AGO",
                help="what is younger, such as 2h, and up to 15 minutes before it (default: all)",
            ),
            switch("--show", "open the dashboard on it, as --replay does on a file"),
            *PLACE,
        ),
        """\
Prints the journal that the controllers keep in NATS (controller.journal.stream of the fleet file),
whichever of them led: the lines of a journal's file, for agentdash --replay. It begins with a whole
snapshot. With --show it opens the dashboard on it.
""",
        """\
examples:
  agentdash journal -f fleet.yaml --since 2h --show
  agentdash journal -f fleet.yaml > day.jsonl && agentdash --replay day.jsonl
""",
    ),
    VerbEntry(
        "attach",
        "the dashboard of a controller elsewhere",
        "agentdash.cli:run_attach",
        (
            *PLACE,
            argument("--nats", metavar="URL", help="a NATS server, instead of a fleet file"),
            argument(
                "--bucket",
                default="agentdash",
                metavar="NAME",
                help="the fleet's bucket, beside --nats",
            ),
            again(switch("--read-only", "look only; nothing is asked for")),
            again(ASCII),
            again(THEME),
        ),
        """\
Shows what a running controller publishes in NATS, on any machine that reaches the NATS servers, and
asks it for what operators want: pin, pause, freeze and the rest. It needs no Kubernetes, and
decides nothing itself.

The servers are those of the fleet file, or of --nats.
""",
        """\
examples:
  agentdash attach -f fleet.yaml
  agentdash attach --nats nats://nats.example:4222
""",
        reads_fleet=False,
    ),
)

_DOING: Final = (
    switch("--dry-run", "say what it would change, no more"),
    switch("--yes", "do it without a question"),
    JSON,
    *PLACE,
    again(READ_ONLY),
)
_WHY: Final = argument(
    "--why", metavar="TEXT", help='the reason, which is required to ask for something; "-" for none'
)
_REPLACE: Final = switch("--replace", "put it in the place of one that stands")
_SCOPE: Final = OneOf(
    (
        argument(
            "scope", nargs="?", metavar="SCOPE", help="a pool (acme/research) or a tenant (acme)"
        ),
        switch("--all", "the whole fleet", dest="everything"),
    ),
    required=True,
)
_POOL_SCOPE: Final = argument("scope", metavar="TENANT/POOL", help="a tenant/pool")
_REPLICAS: Final = argument("number", type=arguments.replicas, metavar="N", help="replicas")
_OPERATING_EXAMPLES: Final = """\
examples:
  agentdash pause acme --until 2h --why "OPS-902: runaway agent"
  agentdash pin acme/research 3 --until 18:00 --why "demo for the customer"
  agentdash cap acme/research 4 --why "the bill" --dry-run
  agentdash freeze --all --why "cluster upgrade" --yes
  agentdash budget acme 8M --why "agreed with the customer"

It says what would change now, in numbers, and asks. Without a terminal, --yes agrees beforehand.
"""


def _operates(
    name: str, kind: str, text: str, *own: Argument | OneOf, ends: str = DEFAULT_UNTIL
) -> VerbEntry:
    """A verb that asks for an intent of this kind, or takes it back where `ends` is empty."""
    until = f"2h, 14:00 or 2026-11-23T08:00Z, {NO_END} for no end"
    if ends:
        help_text = f"{until} (default: {ends})"
        own += (argument("--until", metavar="WHEN", help=help_text), _REPLACE)
    return VerbEntry(
        name,
        text,
        "agentdash.verbs.operate:operate",
        (*own, _WHY, *_DOING),
        f"{text[0].upper()}{text[1:]}.",
        _OPERATING_EXAMPLES,
        # what an argument itself gives replaces a constant
        constants={"verb": name, "kind": kind, "number": None, "withdraw": not ends},
    )


def _back(name: str, kind: str, text: str, scope: Argument | OneOf) -> VerbEntry:
    return _operates(name, kind, f"take a {text} back", scope, ends="")


_OPERATING: Final = (
    _operates("pin", "pin", "keep N spare replicas of a pool ready", _POOL_SCOPE, _REPLICAS),
    _back("unpin", "pin", "pin", _POOL_SCOPE),
    _operates(
        "pause",
        "pause",
        "stop the work: idle replicas go, others finish",
        _SCOPE,
        argument(
            "--keep", dest="number", type=arguments.replicas, metavar="N", help="keep N replicas"
        ),
    ),
    _back("resume", "pause", "pause", _SCOPE),
    _operates("freeze", "freeze", "hands off: nothing is written", _SCOPE),
    _back("thaw", "freeze", "freeze", _SCOPE),
    _operates("cap", "cap", "at most N replicas of a pool", _POOL_SCOPE, _REPLICAS),
    _back("uncap", "cap", "cap", _POOL_SCOPE),
    _operates("hold", "no-growth", "no growth: replicas may go, none is added", _SCOPE),
    _back("release", "no-growth", "hold", _SCOPE),
    _operates(
        "budget",
        "budget",
        "set a tenant's tokens for today",
        argument("scope", metavar="TENANT", help="a tenant"),
        argument(
            "number",
            type=arguments.tokens,
            nargs="?",
            metavar="TOKENS",
            help="tokens a day, such as 5000000 or 8M; not with --withdraw",
        ),
        switch("--withdraw", "back to the budget of the fleet file"),
        ends="the tenant's next reset",
    ),
    VerbEntry(
        "undo",
        "take back your own last change",
        "agentdash.verbs.operate:undo",
        _DOING,
        "Takes back your own last change that stands. It is refused if somebody has changed the "
        "same thing since.",
        constants={"verb": "undo"},
    ),
    VerbEntry(
        "intents",
        "what operators ask for",
        "agentdash.verbs.once:show_intents",
        (switch("--audit", "every change"), JSON, *PLACE),
        "Prints what operators ask for now: who, why, until when and since when. --audit prints "
        "every change that is kept, with what was there before it.",
    ),
)

_SUBMIT: Final = (
    POOL,
    OneOf(
        (
            argument("goal", nargs="?", metavar="GOAL", help="what to do, in words"),
            argument("--payload", metavar="JSON", help="any JSON; - reads standard input"),
        ),
        required=True,
    ),
    argument("--id", metavar="ID", help="default: a new one"),
    argument("--priority", choices=["normal", "high"], default="normal", help="its queue"),
    argument("--deadline", metavar="WHEN", help="of no use after: 20m, 14:00"),
    argument("--timeout", metavar="DURATION", help="of each try: 90s, 10m"),
    argument("--max-steps", type=arguments.count, metavar="N", help="the agent's steps at most"),
    argument("--budget-usd", type=arguments.usd, metavar="USD", help="what it may cost"),
    argument("--budget-tokens", type=arguments.count, metavar="N", help="tokens at most"),
    argument("--workflow", default="", metavar="ID", help="what it is a part of"),
    switch("--wait", "wait for its result, and print that"),
    JSON,
    *PLACE,
)


def _of_tasks(name: str, text: str, verb: str, *own: Argument) -> VerbEntry:
    found = (POOL, *own, JSON, *PLACE)
    return VerbEntry(name, text, "agentdash.verbs.tasks:ask", found, constants={"verb": verb})


_TASKS: Final = (
    VerbEntry(
        "submit",
        "give a pool a task",
        "agentdash.verbs.tasks:ask",
        _SUBMIT,
        """\
Gives a pool a task. Its goal is a text, or --payload any JSON. The id makes it unique: while the
stream remembers it, the same id again is the same task.
""",
        """\
examples:
  agentdash submit acme/research "sum up the quarter" --wait
  agentdash submit acme/research --payload '{"goal": "sum up", "files": ["q3.pdf"]}' --id q3
  agentdash submit acme/research "urgent" --priority high --deadline 20m --budget-usd 0.50
""",
        constants={"verb": "submit"},
    ),
    _of_tasks(
        "result", "how a task ended", "result", TASK, switch("--wait", "wait until it has ended")
    ),
    _of_tasks(
        "cancel",
        "end a task as cancelled",
        "cancel",
        TASK,
        argument("--why", default="", metavar="TEXT", help="kept in its result"),
    ),
    VerbEntry(
        "tasks",
        "what runs, waits, has ended and is dead",
        "agentdash.verbs.once:show_tasks",
        (
            argument("scope", nargs="?", default="", metavar="SCOPE", help="a tenant or a pool"),
            argument(
                "--state",
                action="append",
                choices=["running", "waiting", "ended", "dead"],
                help="only these; may stand several times",
            ),
            argument(
                "--most",
                type=arguments.count,
                default=100,
                metavar="N",
                help="of each pool that wait, and of those that have ended (default 100)",
            ),
            JSON,
            *PLACE,
        ),
        "Prints the tasks of all pools, of a tenant or of a pool: running, waiting (the oldest "
        "first, by priority), dead, and ended (the newest first). No stream is read from end to "
        "end.",
    ),
    VerbEntry(
        "dead",
        "tasks that cannot be read or whose tries are used up",
        "",
        (again(JSON), *PLACE),
        verbs=(
            _of_tasks("list", "all dead letters of a pool", "dead list"),
            _of_tasks("show", "one of them, with its body", "dead show", TASK),
            _of_tasks(
                "retry", "give it to its queue again, with all its tries", "dead retry", TASK
            ),
        ),
    ),
    VerbEntry(
        "worker",
        "run an agent as a worker",
        "agentdash.verbs.worker:run_worker",
        (argument("agent", metavar="MODULE:FUNCTION", help="the agent, a function"),),
        """\
Runs a worker: MODULE:FUNCTION is a function of a task and a session that returns a result, async or
plain (in a thread for each task). It works until SIGTERM or ctrl-c, then hands back what it has.

What it works on is in the environment:
  NATS_URL                servers between commas; NATS_CREDS, NATS_NKEY, NATS_CA name files,
                          NATS_USER with NATS_PASSWORD, or NATS_TOKEN log in
  AGENTDASH_TENANT, AGENTDASH_POOL
  AGENTDASH_QUEUES        STREAM/CONSUMER, several between commas, the highest priority first
  AGENTDASH_STANDBY_FOR   in place of queues: POOL=STREAM/CONSUMER for each pool that it stands by
                          for, between spaces; another tenant's pool as TENANT/POOL
  AGENTDASH_RENEW         process: it runs itself anew after each task (default where it stands by
                          for pools of several tenants), or none
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
""",
        reads_fleet=False,
    ),
)

_SHIPPING: Final = (
    VerbEntry(
        "manifests",
        "print what runs it in a cluster",
        "agentdash.cli:print_manifests",
        (
            again(FLEET),
            argument(
                "--namespace",
                type=arguments.namespace,
                default="agentdash",
                metavar="NAME",
                help="where agentdash itself runs (default agentdash)",
            ),
            argument(
                "--image",
                default=f"agentdash:{__version__}",
                metavar="IMAGE",
                help=f"its image, best with a digest (default agentdash:{__version__})",
            ),
            argument(
                "--only",
                type=arguments.kinds,
                metavar="KIND,...",
                help="print these kinds of objects, such as Role,RoleBinding",
            ),
            switch(
                "--service-monitor",
                "also a ServiceMonitor and a PrometheusRule, for the Prometheus operator",
            ),
            OneOf(
                tuple(
                    switch(f"--{name}", f"print {text} instead; it needs no fleet file")
                    for name, text in (
                        ("dockerfile", "the image's Dockerfile"),
                        ("alerts", "alert rules for Prometheus"),
                        ("dashboard", "a dashboard for Grafana as JSON"),
                    )
                )
            ),
        ),
        """\
Prints the Kubernetes objects that run agentdash for one fleet file: two controllers without root,
the least rights with a reason for each, and what keeps tenants within their quotas. Secrets are
named, never printed. The same fleet file gives the same text.
""",
        """\
examples:
  agentdash manifests -f fleet.yaml --image registry.example/agentdash:1 | kubectl apply -f -
  agentdash manifests -f fleet.yaml --only Role,RoleBinding
  pip wheel --no-deps --wheel-dir dist .     # in a checkout of the source
  agentdash manifests --dockerfile | docker build -f - -t registry.example/agentdash:1 .
  agentdash manifests --alerts > /etc/prometheus/rules/agentdash.yaml
  agentdash manifests --dashboard > agentdash.json     # Grafana: Dashboards, New, Import
""",
        reads_fleet=False,
    ),
    VerbEntry(
        "doctor",
        "whether a fleet can be run as its file says",
        "agentdash.verbs.live:show_doctor",
        (*PLACE, JSON, switch("--strict", "end with 1 for a warning too, as in CI")),
        """\
Looks at everything that a fleet needs, all at once, and writes nothing: connections and versions,
our rights, streams and consumers, Deployments with their requests, probes and what workers are
told, classes of nodes, other autoscalers, quotas, the lease, clocks. A line for each says ok, warn
(works worse than it could), fail (does not work) or skip (could not be looked at), and after the
arrow what to do.
""",
        """\
examples:
  agentdash doctor -f fleet.yaml
  agentdash doctor -f fleet.yaml --json | jq -r '.lines[] | select(.level == "fail").todo'

exit codes: 0 where nothing is fail or skip (nor warn, with --strict), else 1
""",
    ),
    VerbEntry(
        "simulate",
        "replay a trace under the fleet's rules, HPA, KEDA and others",
        "agentdash.verbs.simulate:simulate",
        (
            argument("traces", nargs="+", type=Path, metavar="TRACE", help="CSV, plain or gzip"),
            argument(
                "--by",
                default="",
                metavar="COLUMN",
                help="the column that names a task's pool (default: pool, role or tenant)",
            ),
            argument("--like", metavar="TENANT/POOL", help="whose settings all its pools take"),
            argument(
                "--ready",
                type=arguments.time_to_ready,
                default=(19.0, None),
                metavar="S[/S]",
                help="how long a replica takes to become ready: 19s, or median and p90: 19s/40s",
            ),
            switch("--warm", "begin with the replicas that the mean load keeps busy"),
            argument("--usd-per-hour", type=arguments.usd, metavar="USD", help="of one replica"),
            argument(
                "--seed",
                type=arguments.whole,
                default=1,
                metavar="N",
                help="of what is drawn (default 1)",
            ),
            switch("--per-pool", "print each pool, too"),
            OneOf((JSON, switch("--markdown", "print Markdown"))),
            argument("--html", type=Path, metavar="FILE", help="write a page with pictures, too"),
            argument(
                "--search",
                metavar="POOL",
                help="try settings of this pool of the trace, and print the best to copy",
            ),
            *PLACE,
        ),
        """\
Replays recorded tasks in virtual time through the same plan() as the daemon's, and beside it under
HPA with KEDA (defaults, and tuned), a reactive rule, a fixed size, and the bound of who knows all
tasks beforehand. Waits are in seconds; times clairvoyant is what was paid, in replica-hours, of
that bound. It needs no cluster.

A trace has the columns arrival_s (seconds, rising), service_s (seconds of work; empty: drawn, 5 s
in the mean), and one that names the pool. Its pools take the settings of the fleet file's pools of
the same names, or of --like. Each pool is alone: what pools share is not simulated, but for the
standbys that serve them (with standbys). Days begin at midnight UTC.
""",
        """\
examples:
  agentdash simulate day.csv.gz -f fleet.yaml --like acme/research --html day.html
  agentdash simulate day.csv -f fleet.yaml --ready 19s/40s --usd-per-hour 0.40 --per-pool
  agentdash simulate day.csv -f fleet.yaml --search acme/research
""",
    ),
    VerbEntry(
        "report",
        "what pools use, can do and cost, from a journal",
        "agentdash.verbs.report:show_report",
        (
            argument(
                "of",
                choices=["sizing", "capacity", "spend", "compare"],
                metavar="WHAT",
                help="sizing, capacity, spend or compare",
            ),
            argument("journal", metavar="JOURNAL", help="a journal's file; - is standard input"),
            argument(
                "--since",
                type=arguments.duration,
                metavar="AGO",
                help="what is younger, such as 24h or 168h (default: all)",
            ),
            OneOf((JSON, switch("--markdown", "print Markdown"))),
            argument("--html", type=Path, metavar="FILE", help="write a page, too"),
        ),
        """\
Adds up the snapshots of a journal and its earlier files. What is not known is printed as ? and said
below the table.

  sizing    what replicas ask for and use, and the smallest profile that has room for it
  capacity  the tasks that a pool can do with all its replicas, and what limits it
  spend     USD by tenant, model and pool
  compare   where the recommendation differed from the size that a pool had: with --read-only beside
            other autoscalers, where agentdash would have differed from them
""",
        """\
examples:
  agentdash report sizing journal.jsonl --since 168h --html sizing.html
  agentdash journal -f fleet.yaml --since 24h | agentdash report spend -
""",
        reads_fleet=False,
    ),
    VerbEntry(
        "whatif",
        "a journal planned again under a changed fleet file",
        "agentdash.verbs.report:what_if",
        (
            argument("journal", metavar="JOURNAL", help="a journal's file; - is standard input"),
            argument(
                "--set",
                dest="changes",
                action="append",
                required=True,
                metavar="PATH=VALUE",
                help="as pools.acme/research.replicas.max=40; may be given again",
            ),
            argument(
                "--since",
                type=arguments.duration,
                metavar="AGO",
                help="what is younger, such as 1h (default: all)",
            ),
            switch("--all", "print each decision that would have differed", dest="all_decisions"),
            JSON,
            again(FLEET),
        ),
        """\
Plans what a journal has seen twice, under the fleet file and with --set: the decisions that differ,
the replica-hours of the targets, and for each pool that is changed the waits and replica-hours of
its arrivals simulated. Pools that lose by it are named, and the lines of the file to change. It
changes nothing.
""",
        """\
examples:
  agentdash whatif journal.jsonl -f fleet.yaml --set pools.acme/research.replicas.max=40 --since 1h
  agentdash journal -f fleet.yaml --since 1h | agentdash whatif - --set tenants.acme.weight=2
""",
        reads_fleet=False,
    ),
    VerbEntry(
        "import",
        "make a fleet file of HPAs and KEDA's ScaledObjects",
        "agentdash.verbs.moving:move_in",
        (
            argument("files", nargs="*", metavar="FILE", help="YAML; - is standard input"),
            switch("--cluster", "read them from the cluster"),
            argument("-n", "--namespace", metavar="NAME", help="of the objects"),
            switch("--apply-order", "print the safe order of steps, with their commands"),
            again(KUBECONFIG),
            again(CONTEXT),
        ),
        """\
Prints a fleet file in which each autoscaler is a pool with rule hpa, which plans as it did. Each
field that has no counterpart stands as a comment beside its pool, with its file, its line and what
to do. Several documents and Lists are read; other kinds are passed over. It writes nothing. A
second autoscaler of a workload is named and becomes no pool.
""",
        """\
examples:
  agentdash import hpa.yaml keda.yaml > fleet.yaml && agentdash doctor -f fleet.yaml
  kubectl get hpa,scaledobject -A -o yaml | agentdash import -
  agentdash import --cluster --context production -n shop --apply-order

exit codes: 2 where a document cannot be read, or none is an autoscaler
""",
        reads_fleet=False,
    ),
    VerbEntry(
        "schema",
        "print a JSON schema",
        "agentdash.cli:print_schema",
        (
            argument(
                "of",
                choices=["fleet", "observation", "plan"],
                metavar="WHAT",
                help="fleet, observation or plan",
            ),
        ),
        reads_fleet=False,
    ),
    VerbEntry(
        "completion",
        "print a script that completes the line",
        "agentdash.cli:print_completion",
        (argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS)),),
        """\
Prints a script that completes verbs, options, and the pools and tenants of the fleet file:

  bash  agentdash completion bash >> ~/.bashrc
  zsh   agentdash completion zsh >> ~/.zshrc
  fish  agentdash completion fish > ~/.config/fish/completions/agentdash.fish
""",
        reads_fleet=False,
    ),
    VerbEntry(
        "profile",
        "which profile an agent with these tools needs",
        "agentdash.verbs.worker:show_profile",
        (
            argument(
                "tools",
                nargs="+",
                metavar="TOOL",
                help="the name of a tool, or an agent MODULE:FUNCTION that declares its tools",
            ),
        ),
        reads_fleet=False,
    ),
    VerbEntry(
        "example", "print a commented fleet file", "agentdash.cli:print_example", reads_fleet=False
    ),
    VerbEntry(
        "promises",
        "",
        "agentdash.verbs.ship:show_promises",
        (JSON,),
        "Prints what agentdash promises under faults, the tests of its source that hold each, and "
        "what is not held yet.",
        reads_fleet=False,
    ),
)

_DEMO: Final = VerbEntry(
    "demo",
    "a fleet, a cluster and a load on this machine",
    "agentdash.cli:run_demo",
    (
        switch("--headless", "no screen, a summary at the end"),
        argument(
            "--for",
            dest="for_s",
            type=arguments.duration,
            metavar="DURATION",
            help="end after this time (60s, 2m)",
        ),
        argument(
            "--speed",
            type=arguments.speed,
            default=2.0,
            metavar="N",
            help="how many times faster than real the cluster and the workers are (default 2)",
        ),
        argument(
            "--seed",
            type=arguments.whole,
            default=1,
            metavar="N",
            help="seed of the random load and start-up times (default 1)",
        ),
        argument(
            "--load-for",
            type=arguments.duration,
            metavar="DURATION",
            help="stop publishing after this time",
        ),
        again(JOURNAL),
        again(ASCII),
        again(THEME),
    ),
    "Runs a real nats-server, a simulated Kubernetes API over HTTP, real workers, and a load "
    "with calm times, bursts and idle times; and the dashboard with its controller.",
    reads_fleet=False,
)

VERBS: Final = (_DEMO, *_LOOKING, *_OPERATING, *_TASKS, *_SHIPPING)

"""The command line's verbs about running agentdash in a cluster. It imports nothing heavy before it
knows the verb.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agentdash import __version__
from controller.exit_codes import ExitCode

if TYPE_CHECKING:
    from controller.model.settings import Settings

Load = Callable[[argparse.Namespace], "Settings | None"]

FLEET_HELP: Final = "the fleet file (default fleet.yaml)"
MANIFESTS: Final = """\
Prints the Kubernetes objects that run agentdash for one fleet file: two controllers without root,
the least rights with a reason for each, and what keeps tenants within their quotas. Secrets are
named, never printed. The same fleet file gives the same text.
"""
MANIFESTS_EXAMPLES: Final = """\
examples:
  agentdash manifests -f fleet.yaml --image registry.example/agentdash:1 | kubectl apply -f -
  agentdash manifests -f fleet.yaml --only Role,RoleBinding
  pip wheel --no-deps --wheel-dir dist .     # in a checkout of the source
  agentdash manifests --dockerfile | docker build -f - -t registry.example/agentdash:1 .
  agentdash manifests --alerts > /etc/prometheus/rules/agentdash.yaml
  agentdash manifests --dashboard > agentdash.json     # Grafana: Dashboards, New, Import
"""


DOCTOR: Final = """\
Looks at everything that a fleet needs, all at once, and writes nothing: connections and versions,
our rights, streams and consumers, Deployments with their requests and probes, other autoscalers,
quotas, the lease, clocks. A line for each says ok, warn (works worse than it could), fail (does not
work) or skip (could not be looked at), and after the arrow what to do.
"""
DOCTOR_EXAMPLES: Final = """\
examples:
  agentdash doctor -f fleet.yaml
  agentdash doctor -f fleet.yaml --json | jq -r '.lines[] | select(.level == "fail").todo'

exit codes: 0 where nothing is fail or skip, else 1
"""


def add_shipping(
    verbs: argparse._SubParsersAction[Any],
    load: Load,
    add_place: Callable[[argparse.ArgumentParser], None],
) -> None:
    """Add them all. `load` reads the fleet file, `add_place` adds the options that say where."""
    _add_manifests(verbs.add_parser("manifests", help="print what runs it in a cluster"), load)
    doctor = verbs.add_parser("doctor", help="whether a fleet can be run as its file says")
    _add_doctor(doctor, load, add_place)
    held = verbs.add_parser("promises", help="what it promises, and the tests that hold it")
    held.description = (
        "Prints what agentdash promises under faults, the tests of its source that hold each, and "
        "what is not held yet."
    )
    held.add_argument("--json", dest="as_json", action="store_true", help="print one JSON array")
    held.set_defaults(run=_run_promises)


def _run_promises(options: argparse.Namespace) -> ExitCode:
    from agentdash.verbs.promises import show_promises

    return show_promises(as_json=options.as_json)


def _add_doctor(
    parser: argparse.ArgumentParser,
    load: Load,
    add_place: Callable[[argparse.ArgumentParser], None],
) -> None:
    parser.description, parser.epilog = DOCTOR, DOCTOR_EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_place(parser)
    parser.add_argument("--json", dest="as_json", action="store_true", help="print one JSON object")

    def run(options: argparse.Namespace) -> ExitCode:
        settings = load(options)
        if settings is None:
            return ExitCode.USAGE
        from agentdash.verbs.doctor import show_doctor

        return show_doctor(settings, as_json=options.as_json)

    parser.set_defaults(run=run)


def _add_manifests(parser: argparse.ArgumentParser, load: Load) -> None:
    parser.description, parser.epilog = MANIFESTS, MANIFESTS_EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    unset = argparse.SUPPRESS
    parser.add_argument("-f", "--fleet", type=Path, default=unset, metavar="FILE", help=FLEET_HELP)
    parser.add_argument(
        "--namespace",
        type=_namespace,
        default="agentdash",
        metavar="NAME",
        help="where agentdash itself runs (default agentdash)",
    )
    parser.add_argument(
        "--image",
        default=f"agentdash:{__version__}",
        metavar="IMAGE",
        help=f"its image, best with a digest (default agentdash:{__version__})",
    )
    parser.add_argument(
        "--only",
        type=_kinds,
        metavar="KIND,...",
        help="print these kinds of objects, such as Role,RoleBinding",
    )
    parser.add_argument(
        "--service-monitor",
        action="store_true",
        help="also a ServiceMonitor and a PrometheusRule, for the Prometheus operator",
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--dockerfile",
        action="store_true",
        help="print the image's Dockerfile instead; it needs no fleet file",
    )
    instead.add_argument(
        "--alerts",
        action="store_true",
        help="print a file of alert rules for Prometheus instead; it needs no fleet file",
    )
    instead.add_argument(
        "--dashboard",
        action="store_true",
        help="print a dashboard for Grafana as JSON instead; it needs no fleet file",
    )

    def run(options: argparse.Namespace) -> ExitCode:
        return _run_manifests(options, load)

    parser.set_defaults(run=run)


def _run_manifests(options: argparse.Namespace, load: Load) -> ExitCode:
    if options.dockerfile:
        from agentdash.verbs.manifests import show_dockerfile

        return show_dockerfile()
    if options.alerts:
        from agentdash.verbs.manifests import show_alerts

        return show_alerts()
    if options.dashboard:
        from agentdash.verbs.manifests import show_dashboard

        return show_dashboard()
    settings = load(options)
    if settings is None:
        return ExitCode.USAGE
    from agentdash.verbs.manifests import show_manifests
    from controller.manifests.dockerfile import Installation
    from controller.manifests.objects import KINDS

    chosen = Installation(
        image=options.image,
        namespace=options.namespace,
        service_monitor=options.service_monitor,
    )
    return show_manifests(settings, options.fleet, chosen, options.only or KINDS)


def _namespace(text: str) -> str:
    import re

    if re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", text) is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a namespace: a-z, 0-9 and -, at most 63 characters"
        )
    return text


def _kinds(text: str) -> tuple[str, ...]:
    from controller.manifests.objects import KINDS
    from controller.model.nearest import nearest

    known = {kind.lower(): kind for kind in KINDS}
    found: list[str] = []
    for word in text.split(","):
        kind = known.get(word.strip().lower())
        if kind is None:
            close = nearest(word.strip(), KINDS)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise argparse.ArgumentTypeError(
                f"{word.strip()!r} is not one of {', '.join(KINDS)}{hint}"
            )
        found.append(kind)
    return tuple(found)

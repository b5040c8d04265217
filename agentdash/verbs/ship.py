"""Ships agentdash: whether a fleet can be run, what runs it in a cluster, what it promises."""

from __future__ import annotations

import tomllib
from argparse import Namespace
from importlib.resources import files

import msgspec

from agentdash import __version__
from agentdash.output import note, tell
from controller.exit_codes import ExitCode
from controller.manifests.monitoring import dashboard, rule_file
from controller.manifests.objects import KINDS, Installation, ManifestError, dockerfile, stream
from controller.manifests.workload import manifests
from controller.model.settings import Settings
from controller.model.text import clean
from controller.model.value import Value


def print_instead(options: Namespace) -> bool:
    """Print the Dockerfile, the alert rules or the Grafana dashboard, if one is asked for."""
    if options.dockerfile:
        tell(dockerfile(__version__).removesuffix("\n"))
    elif options.alerts:
        tell(rule_file())
    elif options.dashboard:
        tell(dashboard())
    else:
        return False
    return True


def show_manifests(settings: Settings, options: Namespace) -> ExitCode:
    """Print the objects of the kinds that are asked for."""
    name = clean(options.fleet)
    chosen = Installation(
        image=options.image,
        namespace=options.namespace,
        service_monitor=options.service_monitor,
    )
    try:
        text = options.fleet.expanduser().read_text("utf-8")
        found = manifests(settings, text, chosen, options.only or KINDS)
    except ManifestError as error:
        note(f"{name}: {error}")
        return ExitCode.USAGE
    theirs = ", ".join(sorted({pool.namespace for pool in settings.fleet.pools}))
    about = (
        f"# agentdash {__version__} for the fleet file {name}: kubectl apply -f -",
        f"# These namespaces of tenants must exist: {theirs}",
    )
    tell("\n".join((*about, stream(found))))
    return ExitCode.OK


class Promise(Value):
    """One promise with the tests that hold it (`file::test`). `missing` says what is not held, or
    not shown by a test, yet; without tests nothing of it is.
    """

    id: str
    says: str
    tests: tuple[str, ...] = ()
    missing: str = ""

    @property
    def state(self) -> str:
        """Whether it is held: `held`, `in part` or `not held`."""
        if not self.tests:
            return "not held"
        return "in part" if self.missing else "held"


def promises() -> tuple[Promise, ...]:
    """All of them, in their order."""
    text = files("agentdash").joinpath("promises.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text)["promise"], tuple[Promise, ...])


def show_promises(options: Namespace) -> ExitCode:
    """Print each promise, its state, its tests and what is missing."""
    found = promises()
    if options.as_json:
        rows = [{"state": each.state, **msgspec.structs.asdict(each)} for each in found]
        tell(msgspec.json.encode(rows).decode())
        return ExitCode.OK
    tell("\n".join(line for each in found for line in _lines(each)))
    states = [each.state for each in found]
    counts = (f"{states.count(state)} {state}" for state in ("held", "in part", "not held"))
    tell(f"\n{len(found)} promises: {', '.join(counts)}")
    return ExitCode.OK


def _lines(promise: Promise) -> list[str]:
    indent = " " * 15
    return [
        f"{promise.id}  {promise.state:<8}  {promise.says}",
        *(f"{indent}{test}" for test in promise.tests),
        *([f"{indent}missing: {promise.missing}"] if promise.missing else ()),
    ]

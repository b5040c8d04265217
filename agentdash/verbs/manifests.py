"""`agentdash manifests`: what runs agentdash in a cluster."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from agentdash import __version__
from agentdash.output import note, tell
from controller.exit_codes import ExitCode
from controller.manifests.alerts import rule_file
from controller.manifests.dashboard import dashboard
from controller.manifests.dockerfile import Installation, ManifestError, dockerfile
from controller.manifests.objects import manifests
from controller.manifests.yaml_text import stream
from controller.model.settings import Settings
from controller.model.text import clean


def show_manifests(
    settings: Settings, path: Path, options: Installation, kinds: Collection[str]
) -> ExitCode:
    """Print the objects of these kinds; `path` is the fleet file."""
    try:
        found = manifests(settings, path.expanduser().read_text("utf-8"), options, kinds)
    except ManifestError as error:
        note(f"{clean(path)}: {error}")
        return ExitCode.USAGE
    theirs = ", ".join(sorted({pool.namespace for pool in settings.fleet.pools}))
    about = (
        f"# agentdash {__version__} for the fleet file {clean(path)}: kubectl apply -f -",
        f"# These namespaces of tenants must exist: {theirs}",
    )
    tell("\n".join((*about, stream(found))))
    return ExitCode.OK


def show_dockerfile() -> ExitCode:
    """Print the Dockerfile."""
    tell(dockerfile(__version__).removesuffix("\n"))
    return ExitCode.OK


def show_alerts() -> ExitCode:
    """Print the alert rules."""
    tell(rule_file())
    return ExitCode.OK


def show_dashboard() -> ExitCode:
    """Print the Grafana dashboard."""
    tell(dashboard())
    return ExitCode.OK

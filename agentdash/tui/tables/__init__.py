"""Every view of the dashboard: each file here defines some, and nothing else lists them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module

from agentdash.tui.names import VIEW_NAMES
from agentdash.tui.table import View


@cache
def views() -> Mapping[str, View]:
    """All views by name, in the order of the files and of their `VIEWS`."""
    files = (import_module(f"{__name__}.{name}") for name in VIEW_NAMES)
    return {view.name: view for file in files for view in file.VIEWS}

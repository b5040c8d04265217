"""Sources of the pools' metrics besides the APIs of the cluster.

Each file here is one if it has `open_source(settings, clock)`: an asynchronous context manager that
gives a `MetricSource`, or None where the fleet file needs none of its kind. It is named nowhere
else. Helpers have names that begin with `_`, and are imported when they are needed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from pkgutil import iter_modules

from controller.model.settings import Settings
from controller.ports import Clock, MetricSource


@asynccontextmanager
async def open_sources(settings: Settings, clock: Clock) -> AsyncIterator[list[MetricSource]]:
    """All sources that this fleet file needs, open while the block runs."""
    names = sorted(module.name for module in iter_modules(__path__))
    async with AsyncExitStack() as stack:
        sources: list[MetricSource] = []
        for name in names:
            if not name.startswith("_"):
                opened = import_module(f"{__name__}.{name}").open_source(settings, clock)
                source = await stack.enter_async_context(opened)
                if source is not None:
                    sources.append(source)
        yield sources

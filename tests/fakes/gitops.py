"""Server-side apply before the simulated API, as tools that restore manifests use it."""

from __future__ import annotations

from aiohttp import web

from agentdash.demo.cluster.api import Call, answer
from fakes.cluster import SimCluster

APPLY = "application/apply-patch+yaml"


def add_apply(sim: SimCluster) -> None:
    """An apply changes the object as a merge patch does, and its manager owns the size then."""

    def apply(call: Call) -> web.Response | None:
        if call.verb != "patch" or call.headers.get("Content-Type") != APPLY:
            return None
        assert call.kind is not None
        stored = sim.registry.read(call.kind, call.namespace, call.name)
        writer = call.writer._replace(operation="Apply")
        return answer(200, sim.registry.patch(stored, call.decoded(), writer).json())

    sim.extensions.append(apply)

"""Writers of a Deployment's size, one after the other, on any API server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"

Ask = Callable[[str, str, Any, str], Awaitable[dict[str, Any]]]
"""Method, path with query, body and content type; the answer, which is a success."""


class SizeOwner(NamedTuple):
    """An entry of managedFields that owns `spec.replicas`."""

    manager: str
    operation: str
    subresource: str
    version: str


def owners(item: dict[str, Any]) -> set[SizeOwner]:
    """Those who own the Deployment's size. Writers of the scale subresource have no time."""
    found = set()
    for each in item["metadata"].get("managedFields", ()):
        if "f:replicas" in each["fieldsV1"].get("f:spec", {}):
            assert ("time" in each) == ("subresource" not in each)
            names = (each["manager"], each["operation"], each.get("subresource", ""))
            found.add(SizeOwner(*names, each["apiVersion"]))
    return found


async def as_argo_cd(ask: Ask, path: str, replicas: int) -> dict[str, Any]:
    """Argo CD patches what differs from the manifest."""
    body = {"spec": {"replicas": replicas}}
    return await ask("PATCH", f"{path}?fieldManager=argocd-controller", body, MERGE)


async def as_flux(ask: Ask, path: str, replicas: int) -> dict[str, Any]:
    """Flux applies the manifest on the server, and takes what others own."""
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": path.rpartition("/")[2]},
        "spec": {"replicas": replicas},
    }
    return await ask("PATCH", f"{path}?fieldManager=kustomize-controller&force=true", body, APPLY)


async def as_agentdash(ask: Ask, path: str, replicas: int) -> dict[str, Any]:
    """A write of the scale subresource, as we make it; the Deployment after it."""
    body = {"spec": {"replicas": replicas}}
    await ask("PATCH", f"{path}/scale?fieldManager=agentdash", body, MERGE)
    return await ask("GET", path, None, "")


async def each_owner_in_turn(ask: Ask, path: str) -> list[set[SizeOwner]]:
    """The owners of the size after each of several writes."""
    label = {"metadata": {"labels": {"seen": "yes"}}}
    return [
        owners(item)
        for item in (
            await as_agentdash(ask, path, 5),
            await as_argo_cd(ask, path, 3),
            await ask("PATCH", f"{path}?fieldManager=kubectl-label", label, MERGE),
            await as_agentdash(ask, path, 5),
            await as_flux(ask, path, 3),
        )
    ]


OURS = SizeOwner("agentdash", "Update", "scale", "apps/v1")
ARGO_CD = SizeOwner("argocd-controller", "Update", "", "apps/v1")
FLUX = SizeOwner("kustomize-controller", "Apply", "", "apps/v1")
IN_TURN = [{OURS}, {ARGO_CD}, {ARGO_CD}, {OURS}, {FLUX}]

"""Discovery of groups and resources, in the old form (one by one) and in the aggregated form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.resources import RESOURCES, Resource, Subresource

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

VERSION_INFO: Mapping[str, str] = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.3-simulated",
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}


def _groups() -> dict[str, list[Resource]]:
    grouped: dict[str, list[Resource]] = {}
    for resource in RESOURCES:
        grouped.setdefault(resource.group, []).append(resource)
    return grouped


GROUPS: Mapping[str, list[Resource]] = _groups()


def wants_aggregated(accept: str) -> bool:
    """Whether the client prefers the aggregated form, as kubectl does."""
    first = accept.split(",", maxsplit=1)[0].replace(" ", "")
    return "as=APIGroupDiscoveryList" in first and "v=v2" in first.split(";")


def document(path: str, accept: str, host: str) -> tuple[Object, str] | None:
    """The discovery document at a path with its content type, or None if there is none."""
    parts = path.strip("/").split("/")
    if parts in (["api"], ["apis"]) and wants_aggregated(accept):
        return _aggregated(core=parts == ["api"]), AGGREGATED
    found: Object | None = None
    match parts:
        case ["version"]:
            found = dict(VERSION_INFO)
        case ["api"]:
            address = [{"clientCIDR": "0.0.0.0/0", "serverAddress": host}]
            found = {"kind": "APIVersions", "versions": ["v1"]}
            found["serverAddressByClientCIDRs"] = address
        case ["apis"]:
            groups = [_group(name) for name in GROUPS if name]
            found = {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        case ["apis", name] if name and name in GROUPS:
            found = {"kind": "APIGroup", "apiVersion": "v1", **_group(name)}
        case ["api", "v1"]:
            found = {"kind": "APIResourceList", "groupVersion": "v1"}
            found["resources"] = list(_listed(GROUPS[""]))
        case ["apis", name, version] if name and name in GROUPS:
            if version == GROUPS[name][0].version:
                found = {"kind": "APIResourceList", "apiVersion": "v1"}
                found["groupVersion"] = f"{name}/{version}"
                found["resources"] = list(_listed(GROUPS[name]))
    return None if found is None else (found, "application/json")


def _group(name: str) -> Object:
    version = GROUPS[name][0].version
    shown = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [shown], "preferredVersion": shown}


def _listed(resources: Iterable[Resource]) -> Iterable[Object]:
    for resource in resources:
        item: Object = {
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": list(resource.verbs),
        }
        yield (
            item
            | _names(resource)
            | ({"storageVersionHash": resource.hash} if resource.hash else {})
        )
        for sub in resource.subresources:
            yield _listed_subresource(resource, sub)


def _listed_subresource(resource: Resource, sub: Subresource) -> Object:
    item: Object = {
        "name": f"{resource.plural}/{sub.name}",
        "singularName": "",
        "namespaced": resource.namespaced,
    }
    if sub.version:
        item |= {"group": sub.group, "version": sub.version}
    return item | {"kind": sub.kind, "verbs": list(sub.verbs)}


def _names(resource: Resource) -> Object:
    names: Object = {}
    if resource.short_names:
        names["shortNames"] = list(resource.short_names)
    if resource.categories:
        names["categories"] = list(resource.categories)
    return names


def _aggregated(*, core: bool) -> Object:
    items = [
        {
            "metadata": {"name": name} if name else {},
            "versions": [
                {
                    "version": resources[0].version,
                    "resources": [_discovered(resource) for resource in resources],
                    "freshness": "Current",
                }
            ],
        }
        for name, resources in GROUPS.items()
        if bool(name) != core
    ]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }


def _discovered(resource: Resource) -> Object:
    item: Object = {
        "resource": resource.plural,
        "responseKind": {"group": "", "version": "", "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
        **_names(resource),
    }
    if resource.subresources:
        item["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind},
                "verbs": list(sub.verbs),
            }
            for sub in resource.subresources
        ]
    return item

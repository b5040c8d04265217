"""The four kinds of patch: JSON merge, strategic merge, JSON patch, and the body of an apply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonpatch
import msgspec
import yaml

from agentdash.demo.kubesim.errors import bad_request, rejected_patch, unsupported_media_type
from agentdash.demo.kubesim.objects import Object

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
KINDS = (JSON_PATCH, MERGE, STRATEGIC, APPLY)

# The lists that strategic merge treats as maps, and their keys (patchMergeKey in the API types).
# A list is known by its field's name; where a name has two meanings, its elements decide.
_MERGE_KEYS: Mapping[str, tuple[str, ...]] = {
    "conditions": ("type",),
    "containers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "hostAliases": ("ip",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ownerReferences": ("uid",),
    "podIPs": ("ip",),
    "ports": ("containerPort", "port"),
    "resourceClaims": ("name",),
    "secrets": ("name",),
    "topologySpreadConstraints": ("topologyKey",),
    "volumeDevices": ("devicePath",),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
_MERGED_SETS = ("finalizers",)
_DIRECTIVES = ("$patch", "$retainKeys", "$setElementOrder/", "$deleteFromPrimitiveList/")


def parse(content_type: str, body: bytes) -> Any:
    """The patch as JSON values; raises StatusError 415 for its type, 400 for its text."""
    kind = content_type.partition(";")[0].strip()
    if kind not in KINDS:
        raise unsupported_media_type()
    if kind == APPLY:
        try:
            return yaml.safe_load(body)
        except yaml.YAMLError as error:
            raise bad_request(f"error decoding YAML: {error}") from error
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise bad_request(f"error decoding patch: {_go_words(body, error)}") from error


def _go_words(body: bytes, error: msgspec.DecodeError) -> str:
    """What Go's decoder says of the same text, for common mistakes at its beginning."""
    text = body.decode(errors="replace").lstrip()
    if not text:
        return "unexpected end of JSON input"
    if text[0] == "{" and text[1:].lstrip()[:1] not in {'"', "}", ""}:
        return (
            f"invalid character '{text[1:].lstrip()[0]}' looking for beginning of object key string"
        )
    if text[0] not in '{["':
        return f"invalid character '{text[0]}' looking for beginning of value"
    return str(error)


def apply(content_type: str, target: Object, patch: Any) -> Object:
    """`target` with the patch applied; the target itself is not changed. Raises StatusError 400 or
    422.
    """
    kind = content_type.partition(";")[0].strip()
    if kind == JSON_PATCH:
        return _json_patch(target, patch)
    if not isinstance(patch, dict):
        raise bad_request("error decoding patch: json: cannot unmarshal value into a map")
    if kind == MERGE:
        return dict(merge(target, patch))
    return strategic(target, patch)


def _json_patch(target: Object, patch: Any) -> Object:
    try:
        changed = jsonpatch.apply_patch(target, patch)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError) as error:
        raise rejected_patch() from error
    if not isinstance(changed, dict):
        raise rejected_patch()
    return changed


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386: null removes, objects merge, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def strategic(target: Any, patch: Object) -> Object:
    """Strategic merge: as merge, but lists with a merge key are merged element by element."""
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    merged = dict(target) if isinstance(target, dict) else {}
    if "$retainKeys" in patch:
        merged = {key: value for key, value in merged.items() if key in patch["$retainKeys"]}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            merged[name] = [item for item in merged.get(name) or () if item not in value]
        if key.startswith(_DIRECTIVES):
            continue
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            if value.get("$patch") == "delete":
                merged.pop(key, None)
            else:
                merged[key] = strategic(merged.get(key), value)
        elif isinstance(value, list):
            order = patch.get(f"$setElementOrder/{key}")
            merged[key] = _merge_list(key, merged.get(key) or [], value, order)
        else:
            merged[key] = value
    return merged


def _merge_list(field: str, target: list[Any], patch: list[Any], order: Any) -> list[Any]:
    if field in _MERGED_SETS:
        return [*target, *(item for item in patch if item not in target)]
    elements = [item for item in (*patch, *target) if isinstance(item, dict)]
    key = next(
        (
            name
            for name in _MERGE_KEYS.get(field, ())
            if any(name in item for item in elements) or not elements
        ),
        None,
    )
    if key is None or len(elements) < len(patch) + len(target):
        return patch
    if any(item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if "$patch" not in item]
    merged: dict[Any, Any] = {item.get(key): item for item in target}
    for item in patch:
        if item.get("$patch") == "delete":
            merged.pop(item.get(key), None)
        else:
            merged[item.get(key)] = strategic(merged.get(item.get(key)), item)
    if order:
        ranks = {item.get(key): rank for rank, item in enumerate(order)}
        names = sorted(merged, key=lambda name: ranks.get(name, len(ranks)))
        return [merged[name] for name in names]
    return list(merged.values())

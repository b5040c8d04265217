"""Label and field selectors, refused with the messages of the real parser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agentdash.demo.kubesim.errors import StatusError, bad_request
from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.resources import EVENTS, EVENTS_V1, NAMESPACES, NODES, PODS, Resource

_SELECTOR_TOKEN = re.compile(r"\s*(==|!=|[!=(),<>]|[^\s!=(),<>]+)")
_SYMBOLS = ("==", "!=", "=", "!", "(", ")", ",", "<", ">")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One clause: operator is in, notin, exists, absent, gt or lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels satisfies the clause."""
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value in self.values
            case "notin":
                return value not in self.values
            case "exists":
                return value is not None
            case "absent":
                return value is None
        if value is None or not re.fullmatch(r"-?\d+", value):
            return False
        bound = int(self.values[0])
        return int(value) > bound if self.operator == "gt" else int(value) < bound


Selector = tuple[Requirement, ...]


def parse_labels(text: str) -> Selector:
    """A label selector in the query form; raises StatusError 400 with the parser's message."""
    tokens = [*_tokens(text), ""]
    requirements: list[Requirement] = []
    while tokens[0]:
        requirements.append(_requirement(tokens))
        if tokens[0] == ",":
            tokens.pop(0)
            if not tokens[0] or tokens[0] == ",":
                raise _unparsable(tokens[0], "identifier after ','")
        elif tokens[0]:
            raise _unparsable(tokens[0], "',' or 'end of string'")
    return tuple(requirements)


def _tokens(text: str) -> Iterator[str]:
    return (found[1] for found in _SELECTOR_TOKEN.finditer(text))


def _unparsable(found: str, expected: str) -> StatusError:
    return bad_request(f"unable to parse requirement: found '{found}', expected: {expected}")


def _requirement(tokens: list[str]) -> Requirement:
    if tokens[0] == "!":
        tokens.pop(0)
        return Requirement(_word(tokens, "identifier"), "absent")
    key = _word(tokens, "!, identifier, or ','")
    operator = tokens[0]
    if operator in {"", ","}:
        return Requirement(key, "exists")
    tokens.pop(0)
    if operator in {"=", "==", "!="}:
        value = tokens.pop(0) if tokens[0] not in {"", *_SYMBOLS} else ""
        return Requirement(key, "notin" if operator == "!=" else "in", (value,))
    if operator in {"<", ">"}:
        bound = _word(tokens, "identifier")
        if not re.fullmatch(r"-?\d+", bound):
            raise bad_request(f"for 'Gt', 'Lt' operators, the value must be an integer: {bound!r}")
        return Requirement(key, "gt" if operator == ">" else "lt", (bound,))
    if operator in {"in", "notin"}:
        return Requirement(key, operator, _values(tokens))
    raise _unparsable(operator, "in, notin, =, ==, !=, gt, lt")


def _word(tokens: list[str], expected: str) -> str:
    if tokens[0] in {"", *_SYMBOLS}:
        raise _unparsable(tokens[0], expected)
    return tokens.pop(0)


def _values(tokens: list[str]) -> tuple[str, ...]:
    if tokens[0] != "(":
        raise _unparsable(tokens[0], "'('")
    tokens.pop(0)
    values: list[str] = []
    while tokens[0] != ")":
        if tokens[0] == ",":
            values.append("")
        else:
            values.append(_word(tokens, "',', ')' or identifier"))
        if tokens[0] not in {",", ")"}:
            raise _unparsable(tokens[0], "',' or ')'")
        if tokens[0] == ",":
            tokens.pop(0)
    tokens.pop(0)
    return tuple(values)


def from_spec(selector: Mapping[str, Any] | None) -> Selector:
    """A `LabelSelector` object (matchLabels and matchExpressions) as requirements."""
    operators = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "absent"}
    wanted = selector or {}
    equal = [Requirement(key, "in", (value,)) for key, value in _pairs(wanted)]
    expressed = [
        Requirement(item["key"], operators[item["operator"]], tuple(item.get("values") or ()))
        for item in wanted.get("matchExpressions") or ()
    ]
    return (*equal, *expressed)


def _pairs(selector: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    return iter((selector.get("matchLabels") or {}).items())


def as_query(selector: Mapping[str, Any] | None) -> str:
    """A `LabelSelector` object in the query form with sorted keys, as scale.status shows it."""
    shown = []
    for requirement in sorted(from_spec(selector), key=lambda item: item.key):
        key, values = requirement.key, requirement.values
        match requirement.operator:
            case "in" if len(values) == 1:
                shown.append(f"{key}={values[0]}")
            case "exists":
                shown.append(key)
            case "absent":
                shown.append(f"!{key}")
            case operator:
                shown.append(f"{key} {operator} ({','.join(sorted(values))})")
    return ",".join(shown)


def matches(selector: Selector, item: Mapping[str, Any]) -> bool:
    """Whether an object's labels satisfy every requirement."""
    labels = item["metadata"].get("labels") or {}
    return all(requirement.matches(labels) for requirement in selector)


def _path(*keys: str) -> Callable[[Object], str]:
    def read(item: Object) -> str:
        value: Any = item
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, bool):
            return "true" if value else "false"
        return "" if value is None else str(value)

    return read


_EVERYWHERE = {
    "metadata.name": _path("metadata", "name"),
    "metadata.namespace": _path("metadata", "namespace"),
}
_EVENT_FIELDS = {
    **{
        f"{prefix}.{key}": _path("involvedObject", key)
        for prefix in ("involvedObject", "regarding")
        for key in (
            "kind",
            "namespace",
            "name",
            "uid",
            "apiVersion",
            "resourceVersion",
            "fieldPath",
        )
    },
    "reason": _path("reason"),
    "type": _path("type"),
    "source": _path("source", "component"),
    "reportingComponent": _path("reportingComponent"),
    "reportingController": _path("reportingComponent"),
}
_FIELDS: Mapping[Resource, Mapping[str, Callable[[Object], str]]] = {
    PODS: {
        **{
            f"spec.{key}": _path("spec", key)
            for key in ("nodeName", "restartPolicy", "schedulerName", "serviceAccountName")
        },
        **{
            f"status.{key}": _path("status", key) for key in ("phase", "podIP", "nominatedNodeName")
        },
    },
    NODES: {"spec.unschedulable": lambda item: _path("spec", "unschedulable")(item) or "false"},
    NAMESPACES: {"status.phase": _path("status", "phase")},
    EVENTS: _EVENT_FIELDS,
    EVENTS_V1: _EVENT_FIELDS,
}


@dataclass(frozen=True, slots=True)
class FieldClause:
    """One field that must (or must not) have a value."""

    read: Callable[[Object], str]
    value: str
    equal: bool

    def matches(self, item: Object) -> bool:
        """Whether the object satisfies the clause."""
        return (self.read(item) == self.value) == self.equal


def parse_fields(resource: Resource, text: str) -> tuple[FieldClause, ...]:
    """A field selector for a resource; raises StatusError 400, also for an unknown field."""
    known = {**_EVERYWHERE, **_FIELDS.get(resource, {})}
    clauses = []
    for part in filter(None, text.split(",")):
        found = re.fullmatch(r"([^=!]+)(!=|==|=)(.*)", part)
        if found is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        if found[1] not in known:
            raise bad_request(_unknown_field(resource, found[1]))
        clauses.append(FieldClause(known[found[1]], found[3], found[2] != "!="))
    return tuple(clauses)


def _unknown_field(resource: Resource, name: str) -> str:
    if resource in _FIELDS:
        return f"field label not supported: {name}"
    only = 'only "metadata.name", "metadata.namespace"'
    return f'"{name}" is not a known field selector: {only}'

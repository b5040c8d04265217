"""The kinds of object that the simulated API serves, its refusals in the real server's words, how
objects are read, and work that is due later.

StatusError: 400 bad_request, 404 not_found, 409 already_exists and conflict, 410 expired, 422
invalid, 500 internal
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, Generic, TypeAlias, TypeVar

Object: TypeAlias = dict[str, Any]
"""A Kubernetes object, or a part of one, as JSON."""


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One kind of object: where its paths begin, and its name in bodies and messages."""

    group: str
    version: str
    plural: str
    name: str
    namespaced: bool = True
    has_generations: bool = False

    @property
    def group_version(self) -> str:
        """`apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """`deployments.apps`, as messages name a kind."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


EVENTS = Kind("", "v1", "events", "Event")
NAMESPACES = Kind("", "v1", "namespaces", "Namespace", namespaced=False)
NODES = Kind("", "v1", "nodes", "Node", namespaced=False)
PODS = Kind("", "v1", "pods", "Pod", has_generations=True)
RESOURCE_QUOTAS = Kind("", "v1", "resourcequotas", "ResourceQuota")
DEPLOYMENTS = Kind("apps", "v1", "deployments", "Deployment", has_generations=True)
REPLICA_SETS = Kind("apps", "v1", "replicasets", "ReplicaSet", has_generations=True)
STATEFUL_SETS = Kind("apps", "v1", "statefulsets", "StatefulSet", has_generations=True)
EVENTS_V1 = Kind("events.k8s.io", "v1", "events", "Event")
"""The same events as EVENTS, with other names of their fields."""
AUTOSCALERS = Kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
SCALED_OBJECTS = Kind("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject")
LEASES = Kind("coordination.k8s.io", "v1", "leases", "Lease")

KINDS: Final[Mapping[tuple[str, str, str], Kind]] = {
    (kind.group, kind.version, kind.plural): kind
    for kind in (
        EVENTS,
        NAMESPACES,
        NODES,
        PODS,
        RESOURCE_QUOTAS,
        DEPLOYMENTS,
        REPLICA_SETS,
        STATEFUL_SETS,
        EVENTS_V1,
        AUTOSCALERS,
        SCALED_OBJECTS,
        LEASES,
    )
}
"""By API group, version and plural. Of AUTOSCALERS and SCALED_OBJECTS, nothing scales here."""
SCALABLE: Final = (DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS)


class StatusError(Exception):
    """An answer other than success, with the Status that the real server sends."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.details = code, reason, message, details

    def status(self) -> Object:
        """The body: a Status without empty keys."""
        body: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        body["message"] = self.message
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = dict(self.details)
        return body | {"code": self.code}


def details_of(kind: Kind, name: str = "") -> dict[str, str]:
    """`details` with name, group and kind, which is the plural here."""
    shown = {"name": name, "group": kind.group, "kind": kind.plural}
    return {key: value for key, value in shown.items() if value}


def bad_request(message: str) -> StatusError:
    """400 for what cannot be read."""
    return StatusError(400, "BadRequest", message)


def not_found(kind: Kind, name: str) -> StatusError:
    """404 for an object."""
    message = f'{kind.qualified} "{name}" not found'
    return StatusError(404, "NotFound", message, details_of(kind, name))


def already_exists(kind: Kind, name: str) -> StatusError:
    """409 for a second creation."""
    message = f'{kind.qualified} "{name}" already exists'
    return StatusError(409, "AlreadyExists", message, details_of(kind, name))


def conflict(kind: Kind, name: str) -> StatusError:
    """409 for a stale version."""
    message = (
        f'Operation cannot be fulfilled on {kind.qualified} "{name}": the object has been modified;'
        " please apply your changes to the latest version and try again"
    )
    return StatusError(409, "Conflict", message, details_of(kind, name))


def expired(message: str) -> StatusError:
    """410 for a version that is no longer kept."""
    return StatusError(410, "Expired", message)


def invalid(name: str, group: str, kind: str, field: str, words: str) -> StatusError:
    """422 with the one field that is wrong."""
    message = f'{kind}.{group} "{name}" is invalid: {field}: {words}'
    causes = [{"reason": "FieldValueInvalid", "message": words, "field": field}]
    details = {"name": name, "group": group, "kind": kind, "causes": causes}
    return StatusError(422, "Invalid", message, details)


def internal(message: str) -> StatusError:
    """500 without a reason, which the real server answers where it has none."""
    return StatusError(500, "", message)


K = TypeVar("K", bound=Hashable)
Amounts = dict[str, int]
"""Thousandths by the name of a resource."""
TURN_S: Final = 0.002  # how long work may go on before the server gets a turn
_POD: Final = {"pods": 1000}
_FACTORS: Final[dict[str, Decimal]] = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}
# a number, then an exponent or a suffix, as apimachinery's resource.ParseQuantity takes them
_QUANTITY: Final = re.compile(
    r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]{1,3})|([numkMGTPE]|[KMGTPE]i))?"
)
_LABEL_CLAUSE: Final = re.compile(
    r"\s*(?P<absent>!)?\s*(?P<key>[^\s!=(),]+)\s*"
    r"(?:(?P<equal>==|!=|=)\s*(?P<value>[^\s,()]*)|(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?"
    r"\s*(?:,(?=\s*\S)|$)"
)
_FIELD_CLAUSE: Final = re.compile(r"([^=!]+)(!=|==|=)(.*)")


def stamp(moment: datetime | None = None) -> str:
    """A moment (now by default) as metav1.Time: whole seconds, UTC."""
    return (moment or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_stamp() -> str:
    """Now as metav1.MicroTime: exactly six decimals, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@lru_cache(maxsize=4096)
def milli(text: str | float) -> int:
    """A quantity in thousandths, rounded up as Kubernetes does; raises ValueError."""
    found = _QUANTITY.fullmatch(str(text))
    if found is None:
        raise ValueError(f"quantities must match the regular expression: {text!r}")
    exact = Decimal(found[1] + (found[2] or "")) * _FACTORS[found[3] or ""] * 1000
    return int(exact.to_integral_value(rounding="ROUND_CEILING"))


def amounts_of(spec: Mapping[str, Any], what: str = "requests") -> Amounts:
    """The sum of the `requests` or `limits` of a pod's containers."""
    stated = (
        (each.get("resources") or {}).get(what) or {} for each in spec.get("containers") or ()
    )
    return added({name: milli(amount) for name, amount in each.items()} for each in stated)


def used_of_node(spec: Mapping[str, Any]) -> Amounts:
    """What one pod uses of its node."""
    return _POD | amounts_of(spec)


def added(amounts: Iterable[Amounts]) -> Amounts:
    """The sum of all."""
    total: Amounts = {}
    for each in amounts:
        for name, amount in each.items():
            total[name] = total.get(name, 0) + amount
    return total


def condition(item: Mapping[str, Any], kind: str) -> Object | None:
    """The condition of that type, if the object has it."""
    conditions = (item.get("status") or {}).get("conditions") or ()
    return next((dict(found) for found in conditions if found["type"] == kind), None)


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether the Ready condition is True."""
    found = condition(pod, "Ready")
    return found is not None and found["status"] == "True"


def is_terminating(pod: Mapping[str, Any]) -> bool:
    """Whether it is deleted but not gone yet."""
    return "deletionTimestamp" in pod["metadata"]


Selector = Callable[[Object], bool]
"""Whether an object is chosen."""


def label_selector(text: str) -> Selector:
    """Chooses by labels: `a=b,c!=d,e in (f,g),h notin (i),j,!k`. Raises StatusError 400."""
    clauses: list[tuple[str, tuple[str | None, ...], bool]] = []
    position = 0
    while position < len(text):
        found = _LABEL_CLAUSE.match(text, position)
        if found is None:
            raise bad_request(f"unable to parse requirement: {text[position:]!r}")
        is_wanted = not (found["equal"] == "!=" or found["set"] == "notin")
        values: tuple[str | None, ...] = (found["value"],)
        if found["set"]:
            values = tuple(each.strip() for each in found["values"].split(","))
        elif not found["equal"]:  # any value, or none
            values, is_wanted = (None,), bool(found["absent"])
        clauses.append((found["key"], values, is_wanted))
        position = found.end()

    def is_chosen(item: Object) -> bool:
        own = item["metadata"].get("labels") or {}
        return all((own.get(key) in values) == wanted for key, values, wanted in clauses)

    return is_chosen


def field_selector(text: str) -> Selector:
    """Chooses by fields: `metadata.name=a,type!=b`. Raises StatusError 400."""
    clauses = []
    for part in filter(None, text.split(",")):
        found = _FIELD_CLAUSE.fullmatch(part)
        if found is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        clauses.append((found[1].split("."), found[3], found[2] != "!="))

    def is_chosen(item: Object) -> bool:
        return all((_text_at(item, path) == value) == wanted for path, value, wanted in clauses)

    return is_chosen


def _text_at(item: Any, path: list[str]) -> str:
    for key in path:
        item = item.get(key) if isinstance(item, dict) else None
    return "" if item is None else str(item)


class WorkQueue(Generic[K]):
    """Keys in order of arrival; a key that is queued is not queued twice."""

    def __init__(self, work: Callable[[K], None]) -> None:
        self._work = work
        self._keys: dict[K, None] = {}
        self._filled = asyncio.Event()

    def add(self, key: K) -> None:
        """Call `work(key)` soon."""
        self._keys.setdefault(key)
        self._filled.set()

    async def run(self) -> None:
        """Handle keys until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._filled.wait()
            # wait one turn, so that writes that belong together are handled together
            await asyncio.sleep(0)
            turn_ends = loop.time() + TURN_S
            while self._keys and loop.time() < turn_ends:
                key = next(iter(self._keys))
                del self._keys[key]
                self._work(key)
            if not self._keys:
                self._filled.clear()


class Timers:
    """Calls that are due later: delays are given in simulated seconds and divided by `speed`."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self.queue: WorkQueue[Callable[[], None]] = WorkQueue(lambda call: call())

    def after(self, delay_s: float, call: Callable[[], None]) -> None:
        """Run `call` once, `delay_s` simulated seconds from now."""
        delay = max(0.0, delay_s) / self._speed
        asyncio.get_running_loop().call_later(delay, self.queue.add, call)

    async def sleep(self, delay_s: float) -> None:
        """Return so many simulated seconds from now."""
        await asyncio.sleep(delay_s / self._speed)

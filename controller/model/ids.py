"""Names, label selectors, the key `tenant/name` of a pool, and its workload."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple, NewType, TypeAlias

PoolKey = NewType("PoolKey", str)

DNS_LABEL_LENGTH: Final = 63
_DNS_LABEL: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?\Z")
_DNS_SUBDOMAIN: Final = re.compile(r"[a-z0-9](?:[-.a-z0-9]*[a-z0-9])?\Z")
# without the characters that JetStream refuses in names of streams and consumers (ADR-6), and
# without those that would split a subject into more tokens
_NATS_NAME: Final = re.compile(r"[^\s.*>/\\\x00-\x1f\x7f]{1,255}\Z")


class QueueName(NamedTuple):
    """A queue: a stream and a durable consumer of it."""

    stream: str
    consumer: str

    def __str__(self) -> str:
        return f"{self.stream}/{self.consumer}"


class WorkloadKind(StrEnum):
    """The kinds of object whose replicas a pool may be, as the Kubernetes API spells them."""

    DEPLOYMENT = "Deployment"
    STATEFUL_SET = "StatefulSet"

    @property
    def plural(self) -> str:
        """The resource in paths and rights: `deployments`."""
        return f"{self.lower()}s"


class WorkloadName(NamedTuple):
    """The object whose replicas a pool is: its name in the namespace of the pool, and its kind."""

    name: str
    kind: WorkloadKind = WorkloadKind.DEPLOYMENT

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def workload_name(deployment: str, statefulset: str) -> WorkloadName:
    """The workload, given the name of a Deployment or of a StatefulSet; the other one is empty."""
    if statefulset:
        return WorkloadName(statefulset, WorkloadKind.STATEFUL_SET)
    return WorkloadName(deployment)


def pool_key(tenant: str, name: str) -> PoolKey:
    """`tenant/name`, the name of a pool everywhere in the product."""
    return PoolKey(f"{tenant}/{name}")


def dns_label(name: str) -> str:
    """Return the name if it is a DNS label (RFC 1123), else raise ValueError."""
    if len(name) > DNS_LABEL_LENGTH or not _DNS_LABEL.match(name):
        raise ValueError("must be a DNS label: at most 63 of a-z, 0-9 and -, no - at either end")
    return name


def dns_subdomain(name: str) -> str:
    """Return the name if a workload may have it (DNS subdomain), else raise ValueError."""
    if len(name) > 253 or not _DNS_SUBDOMAIN.match(name):
        raise ValueError(
            "must be a DNS subdomain: at most 253 of a-z, 0-9, - and ., no - or . at either end"
        )
    return name


def nats_name(name: str) -> str:
    """Return the name if a JetStream stream or consumer may have it, else raise ValueError."""
    if not _NATS_NAME.match(name):
        raise ValueError("must be 1 to 255 characters without spaces, '.', '*', '>', '/' and '\\'")
    return name


Matches: TypeAlias = Callable[[Mapping[str, str]], bool]
"""Whether an object with these labels is selected."""

# an optional DNS prefix, then a name; a value may be empty
LABEL: Final = r"[A-Za-z0-9](?:[-._A-Za-z0-9]{0,61}[A-Za-z0-9])?"
LABEL_KEY: Final = rf"(?:[a-z0-9](?:[-.a-z0-9]{{0,251}}[a-z0-9])?/)?{LABEL}"
_VALUES: Final = rf"\s*(?:{LABEL})?(?:\s*,\s*(?:{LABEL})?)*\s*"
_REQUIREMENT: Final = re.compile(
    rf"\s*(?:!\s*(?P<none>{LABEL_KEY})|(?P<key>{LABEL_KEY})\s*"
    rf"(?:(?P<sign>==|=|!=)\s*(?P<value>(?:{LABEL})?)"
    rf"|\s(?P<word>in|notin)\s*\((?P<values>{_VALUES})\))?)\s*"
)
# commas inside parentheses separate values, all others separate requirements
_SEPARATOR: Final = re.compile(r",(?![^()]*\))")


@lru_cache(maxsize=256)
def read_selector(text: str) -> Matches:
    """Whether labels meet all requirements of a selector. Raises ValueError."""
    requirements = tuple(_requirement(each) for each in _SEPARATOR.split(text))
    return lambda labels: all(met(labels) for met in requirements)


def _requirement(text: str) -> Matches:
    found = _REQUIREMENT.fullmatch(text)
    if found is None:
        raise ValueError('must be a label selector, such as "app=agents,team in (a, b)"')
    key, sign = found["key"], found["sign"] or found["word"]
    if found["none"]:
        return lambda labels: found["none"] not in labels
    if sign is None:
        return lambda labels: key in labels
    written = found["value"] if found["values"] is None else found["values"]
    values = frozenset(value.strip() for value in written.split(","))
    if sign in {"!=", "notin"}:
        # apimachinery, labels.Requirement.Matches: a missing label counts as different
        return lambda labels: labels.get(key) not in values
    return lambda labels: labels.get(key) in values

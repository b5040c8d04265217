"""The ResourceQuotas of one namespace, and what they leave to some of its Deployments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from controller.kube import wire
from controller.kube.quantity import at_most
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import Resources
from controller.model.text import clean, clean_name

# core/v1 ResourceName: what a quota may call the same thing
_REPLICAS: Final = ("pods", "count/pods")
_CPU: Final = ("requests.cpu", "cpu")
_MEMORY: Final = ("requests.memory", "memory")
_NO_LIMIT: Final = Resources()


class QuotaView:
    """The quotas of one namespace. Each binds by itself, so of several the least of each amount is
    what they allow; quotas of `limits.*` and of other objects do not bind replicas by what they
    request and are left out.
    """

    def __init__(self) -> None:
        self._hard: dict[str, Resources] = {}
        self._odd: dict[str, str] = {}

    @property
    def hard(self) -> Resources:
        """What they allow in the whole namespace; None where they say nothing."""
        return Resources(
            replicas=_least(each.replicas for each in self._hard.values()),
            cpu_milli=_least(each.cpu_milli for each in self._hard.values()),
            memory_bytes=_least(each.memory_bytes for each in self._hard.values()),
        )

    @property
    def odd(self) -> str:
        """What is wrong with one that cannot be read; empty if nothing is."""
        return next(iter(self._odd.values()), "")

    def replace(self, objects: Sequence[msgspec.Raw]) -> None:
        """These are all there are."""
        self._hard.clear()
        self._odd.clear()
        for found in objects:
            self.put(found)

    def put(self, found: msgspec.Raw) -> None:
        """One was added or changed."""
        name = _name(found)
        self._forget(name)
        try:
            hard = _hard(wire.QUOTA.decode(found))
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            self._odd[name] = clean(f"ResourceQuota {name} cannot be read: {error}")
        else:
            self._hard[name] = hard

    def remove(self, gone: msgspec.Raw) -> None:
        """One was deleted."""
        self._forget(_name(gone))

    def _forget(self, name: str) -> None:
        self._hard.pop(name, None)
        self._odd.pop(name, None)


def left(hard: Resources, taken: Resources) -> Resources:
    """What a quota leaves beside what others have taken already."""
    return Resources(
        replicas=_minus(hard.replicas, taken.replicas),
        cpu_milli=_minus(hard.cpu_milli, taken.cpu_milli),
        memory_bytes=_minus(hard.memory_bytes, taken.memory_bytes),
    )


def quota_reading(
    hard: Reading[Resources], odd: str, of_others: Reading[Resources]
) -> Reading[Resources]:
    """What the quotas leave to the Deployments we scale, told by two views of the namespace.

    The pods of others count as they are now: a quota admits a pod only where there is room beside
    all that are there, so what is left is never less than what our own pods hold already. (The
    quota's own status.used would be a second view that runs ahead of the pods' or behind it, and
    our own new pods would look like somebody else's.) Pods that were never seen, or that the
    fleet's selector leaves out, are not set aside. A quota that cannot be read makes the reading
    stale: those that can be read still bind.
    """
    if isinstance(hard, Absent):
        return hard
    if hard.value == _NO_LIMIT and not odd:
        return hard
    value, at = hard.value, hard.at
    if isinstance(of_others, Absent):
        return Stale(value=value, at=at, why=of_others.why, detail=of_others.detail)
    value, at = left(value, of_others.value), min(at, of_others.at)
    for each in (hard, of_others):
        if isinstance(each, Stale):
            return Stale(value=value, at=at, why=each.why, detail=each.detail)
    if odd:
        return Stale(value=value, at=at, why=Why.UNREADABLE, detail=odd)
    return Fresh(value=value, at=at)


def _hard(quota: wire.WireQuota) -> Resources:
    """Raises ValueError."""
    spec = quota.spec or wire.WireQuotaSpec()
    if spec.scopes or spec.scope_selector is not None:
        # it binds only pods of one class (a priority, with or without a deadline, best effort):
        # as a limit of the whole namespace it would hold back pods that it does not speak of
        return _NO_LIMIT
    hard = spec.hard or {}
    return Resources(
        replicas=_amount(hard, _REPLICAS),
        cpu_milli=_amount(hard, _CPU, per_one=1000),
        memory_bytes=_amount(hard, _MEMORY),
    )


def _amount(
    hard: Mapping[str, wire.WireQuantity], names: Iterable[str], per_one: int = 1
) -> int | None:
    return _least(at_most(hard[name], per_one) for name in names if name in hard)


def _least(amounts: Iterable[int | None]) -> int | None:
    return min((amount for amount in amounts if amount is not None), default=None)


def _minus(limit: int | None, taken: int | None) -> int | None:
    return None if limit is None else max(0, limit - (taken or 0))


def _name(raw: msgspec.Raw) -> str:
    """Its name; all that have none that can be read share the empty one."""
    try:
        return clean_name(wire.IDENTIFIED.decode(raw).metadata.name)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""

"""The ResourceQuotas of one namespace, and what they leave to some of its Deployments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from controller.kube import wire
from controller.kube.objects import RefusedObject, object_name
from controller.model.limits import CPU, MEMORY, MILLI
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import Resources
from controller.model.text import clean
from controller.notation.quantity import ImplausibleAmountError, exact_amount, rounded_down

# core/v1 ResourceName: the names that a quota may give to the same amount
_REPLICA_NAMES: Final = ("pods", "count/pods")
_CPU_NAMES: Final = ("requests.cpu", CPU)
_MEMORY_NAMES: Final = ("requests.memory", MEMORY)
_NO_LIMIT: Final = Resources()


class QuotaView:
    """The quotas of one namespace. Each of them binds, so the least of each amount is what they
    allow together. Quotas of `limits.*` and of other kinds of objects are left out: they do not
    limit replicas by what these request.

    Where a quota or one of its amounts is implausible or unreadable, the last good amounts bind,
    and `refused` says what is wrong.
    """

    def __init__(self) -> None:
        self._amounts: dict[str, Resources] = {}
        self._refused: dict[str, RefusedObject] = {}
        self._hard = _NO_LIMIT

    @property
    def hard(self) -> Resources:
        """What they allow in the whole namespace; None for what they do not limit. The same object
        as long as it is the same.
        """
        return self._hard

    @property
    def refused(self) -> RefusedObject | None:
        """What is wrong with the first implausible or unreadable quota; None if there is none."""
        return next(iter(self._refused.values()), None)

    def replace(self, objects: Sequence[msgspec.Raw]) -> None:
        """These are all there are."""
        names = {self._take(found) for found in objects}
        for name in self._amounts.keys() - names:
            self._drop(name)
        self._add_up()

    def put(self, found: msgspec.Raw) -> None:
        """One was added or changed."""
        self._take(found)
        self._add_up()

    def remove(self, gone: msgspec.Raw) -> None:
        """One was deleted."""
        self._drop(_name(gone))
        self._add_up()

    def _take(self, found: msgspec.Raw) -> str:
        name = _name(found)
        known = self._amounts.get(name, _NO_LIMIT)
        faults = _Faults()
        try:
            self._amounts[name] = _amounts(wire.QUOTA.decode(found), known, faults)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._amounts[name] = known
            faults.note(error)
        refused = faults.refusal(name)
        if refused is None:
            self._refused.pop(name, None)
        elif refused != self._refused.get(name):
            self._refused[name] = refused
        return name

    def _drop(self, name: str) -> None:
        self._amounts.pop(name, None)
        self._refused.pop(name, None)

    def _add_up(self) -> None:
        amounts = self._amounts.values()
        hard = Resources(
            replicas=_least(each.replicas for each in amounts),
            cpu_milli=_least(each.cpu_milli for each in amounts),
            memory_bytes=_least(each.memory_bytes for each in amounts),
        )
        if hard != self._hard:
            self._hard = hard


def quota_reading(
    hard: Reading[Resources], refused: RefusedObject | None, of_others: Reading[Resources]
) -> Reading[Resources]:
    """What the quotas leave to the Deployments we scale, as two views of the namespace show it.

    The pods of others count as they are now. A quota admits a pod only where there is room beside
    all that are there, so what is left is never less than what our own pods hold already. (The
    quota's own status.used would be a third view, ahead of the pods' or behind it, and our own new
    pods would be taken for others'.) Pods that were never seen, or that the fleet's selector leaves
    out, are not subtracted.

    A refused quota makes the reading stale: the amounts that were known last still bind. Without
    any known amount there is no reading.
    """
    if isinstance(hard, Absent):
        return hard
    if refused is not None and hard.value == _NO_LIMIT:
        return Absent(why=refused.why, at=hard.at, detail=refused.detail)
    reading = _beside(hard, of_others)
    if refused is not None and isinstance(reading, Fresh):
        return Stale(value=reading.value, at=reading.at, why=refused.why, detail=refused.detail)
    return reading


def _beside(
    hard: Fresh[Resources] | Stale[Resources], of_others: Reading[Resources]
) -> Fresh[Resources] | Stale[Resources]:
    """What is left beside the pods of others."""
    value, at = hard.value, hard.at
    if value == _NO_LIMIT:
        return hard
    if isinstance(of_others, Absent):
        return Stale(value=value, at=at, why=of_others.why, detail=of_others.detail)
    value, at = _left(value, of_others.value), min(at, of_others.at)
    for each in (hard, of_others):
        if isinstance(each, Stale):
            return Stale(value=value, at=at, why=each.why, detail=each.detail)
    return Fresh(value=value, at=at)


class _Faults:
    """What is wrong with one quota: the first fault that is noted counts."""

    def __init__(self) -> None:
        self._first: Exception | None = None
        self._where = ""

    def note(self, error: Exception, where: str = "") -> None:
        if self._first is None:
            self._first, self._where = error, where

    def refusal(self, quota: str) -> RefusedObject | None:
        """None where nothing is wrong."""
        if self._first is None:
            return None
        implausible = isinstance(self._first, ImplausibleAmountError)
        where = f"{self._where} " if self._where else ""
        return RefusedObject(
            why=Why.IMPLAUSIBLE if implausible else Why.UNREADABLE,
            detail=clean(f"ResourceQuota {quota}: {where}{self._first}"),
        )


def _amounts(quota: wire.WireQuota, known: Resources, faults: _Faults) -> Resources:
    """What the quota allows; an implausible or unreadable amount is replaced by the last good."""
    spec = quota.spec or wire.WireQuotaSpec()
    if spec.scopes or spec.scope_selector is not None:
        # It binds only pods of one class (a priority, with or without a deadline, best effort). As
        # a limit of the whole namespace it would hold back pods that it is not meant for.
        return _NO_LIMIT
    hard = spec.hard or {}

    def least(names: Iterable[str], last_good: int | None, per_one: int = 1) -> int | None:
        allowed: list[int | None] = []
        for name in names:
            if name in hard:
                try:
                    allowed.append(rounded_down(exact_amount(hard[name]), per_one))
                except ValueError as error:
                    faults.note(error, name)
                    allowed.append(last_good)
        return _least(allowed)

    return Resources(
        replicas=least(_REPLICA_NAMES, known.replicas),
        cpu_milli=least(_CPU_NAMES, known.cpu_milli, MILLI),
        memory_bytes=least(_MEMORY_NAMES, known.memory_bytes),
    )


def _left(hard: Resources, taken: Resources) -> Resources:
    """What a quota leaves beside what others have taken already."""
    return Resources(
        replicas=_minus(hard.replicas, taken.replicas),
        cpu_milli=_minus(hard.cpu_milli, taken.cpu_milli),
        memory_bytes=_minus(hard.memory_bytes, taken.memory_bytes),
    )


def _least(amounts: Iterable[int | None]) -> int | None:
    return min((amount for amount in amounts if amount is not None), default=None)


def _minus(limit: int | None, taken: int | None) -> int | None:
    return None if limit is None else max(0, limit - (taken or 0))


def _name(raw: msgspec.Raw) -> str:
    """Its name; quotas of which not even the name can be read share the empty one."""
    return object_name(raw) or ""

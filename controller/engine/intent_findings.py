"""Findings about operators' intents: they cannot be read, or name a pool or tenant that the fleet
does not have. A freeze with a misspelt name protects nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from controller.engine.findings import Found
from controller.model.fleet import Fleet
from controller.model.intents import Intent, IntentKind, Intents, key_of
from controller.model.snapshot import Severity
from controller.model.text import clean_name
from controller.model.tick import NameKind, StoredIntents, UnknownName, sentence
from controller.planning.demand.hpa_metrics import reading_name

SHOWN: Final = 20
"""Each is a finding and a series of the metrics; of more, only the number is told."""
_KEPT: Final = (
    "the bucket was restored, or deleted and made again: intents in force that it does not have:"
    " {:,}; each stays until it is asked for or taken back there, or the controller restarts"
)


class _WithoutEffect(NamedTuple):
    """An intent for an unknown name.

    `what` is pin, pause or freeze; `until` is Unix seconds, None without an end; `subject` is the
    name it was set for; `problem` says which name is unknown, as a sentence.
    """

    what: str
    until: float | None
    subject: str
    problem: str


class IntentFindings:
    """Finds intents with unknown names; searches only when the intents have changed, because each
    unknown name is compared with all names of the fleet.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._pools = frozenset(pool.key for pool in fleet.pools)
        self._tenants = frozenset(tenant.name for tenant in fleet.tenants)
        self._budgeted = frozenset(
            tenant.name for tenant in fleet.tenants if tenant.budget.tokens_per_day is not None
        )
        self._intents = Intents()
        self._without_effect: list[_WithoutEffect] = []
        self._more_without_effect = 0

    def found(self, stored: StoredIntents, now: float) -> Iterator[Found]:
        """The findings as of `now` (Unix seconds)."""
        if stored.lost_at is not None:
            known = "those known before stay in force" if stored.read else "none are known"
            text = f"operators' intents cannot be read: {stored.detail}; {known}"
            yield Severity.WARNING, "intents", "link", text
        for fault in stored.faults:
            yield Severity.WARNING, "intents", fault.key, f"{fault.key}: {fault.text}"
        if stored.more_faults:
            text = f"{stored.more_faults:,} more keys in the bucket are no intents that can be read"
            yield Severity.WARNING, "intents", "more faults", text
        if stored.kept:
            yield Severity.WARNING, "intents", "kept", _KEPT.format(stored.kept)
        if stored.intents is not self._intents:
            self._intents = stored.intents
            found = self._look(stored.intents)
            self._without_effect = [self._in_words(*each) for each in islice(found, SHOWN)]
            self._more_without_effect = sum(1 for _ in found)
        if self._more_without_effect:
            text = f"{self._more_without_effect:,} more intents have no effect in this fleet"
            yield Severity.WARNING, "intents", "more without effect", text
        # while intents cannot be read, those in force do not expire
        ended_by = now if stored.lost_at is None else stored.lost_at
        for each in self._without_effect:
            if each.until is None or each.until > ended_by:
                effect = "protects nothing" if each.what == "freeze" else "has no effect"
                text = f"the {each.what} of {each.subject} {effect}: {each.problem}"
                yield Severity.WARNING, "intents", f"{each.what} {each.subject}", text

    def _look(self, intents: Intents) -> Iterator[tuple[Intent, UnknownName | None]]:
        """The intents without effect, and the name that is unknown; None for a tenant that has no
        budget.
        """
        for intent in intents:
            kind, scope = key_of(intent)
            if kind is IntentKind.BUDGET and scope.tenant in self._tenants - self._budgeted:
                yield intent, None
            elif scope.pool is not None and scope.pool not in self._pools:
                yield intent, UnknownName("", NameKind.POOL, scope.pool)
            elif scope.tenant is not None and scope.tenant not in self._tenants:
                yield intent, UnknownName("", NameKind.TENANT, scope.tenant)

    def _in_words(self, intent: Intent, unknown: UnknownName | None) -> _WithoutEffect:
        kind, scope = key_of(intent)
        if unknown is None:
            problem = "the fleet file gives it no tokens_per_day, so its tokens are not counted"
            return _WithoutEffect(kind, intent.until, f"tenant {scope.tenant}", problem)
        name = clean_name(unknown.name)
        subject = f"tenant {name}" if unknown.kind is NameKind.TENANT else name
        problem = sentence(unknown, self._fleet, reading_name)
        return _WithoutEffect(kind, intent.until, subject, problem)

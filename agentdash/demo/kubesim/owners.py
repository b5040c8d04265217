"""Objects by the owner that they name, kept up to date as objects change."""

from __future__ import annotations

from collections import defaultdict

from agentdash.demo.kubesim.resources import Resource
from agentdash.demo.kubesim.store import Change, Key, Store, StoredObject

Reference = tuple[Resource, Key]


class OwnerIndex:
    """An index from an owner's uid to the objects that name it as their owner."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # dictionaries as ordered sets: the oldest dependents first, the same in every run
        self._dependents: defaultdict[str, dict[Reference, None]] = defaultdict(dict)
        store.subscribe(self._on_change)

    def dependents(self, uid: str, resource: Resource | None = None) -> list[StoredObject]:
        """Present objects owned by `uid`, of one resource or of all."""
        found = []
        for kind, (namespace, name) in list(self._dependents.get(uid, ())):
            stored = self._store.get(kind, namespace, name)
            if stored is not None and (resource is None or kind is resource):
                found.append(stored)
        return found

    def _on_change(self, change: Change) -> None:
        reference = (change.new.resource, change.new.key)
        before = _owner_uids(change.old) if change.type != "ADDED" else ()
        after = _owner_uids(change.new) if change.type != "DELETED" else ()
        if before == after:
            return
        for uid in before:
            self._dependents[uid].pop(reference, None)
            if not self._dependents[uid]:
                del self._dependents[uid]
        for uid in after:
            self._dependents[uid][reference] = None


def _owner_uids(stored: StoredObject | None) -> tuple[str, ...]:
    references = stored.object["metadata"].get("ownerReferences") if stored else None
    return tuple(reference["uid"] for reference in references or ())


def controller_of(stored: StoredObject) -> dict[str, str] | None:
    """The owner reference that is marked as controller, if any."""
    references = stored.object["metadata"].get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)

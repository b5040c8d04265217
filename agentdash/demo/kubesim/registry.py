"""Create, replace and delete by the API server's rules, for HTTP and for controllers."""

from __future__ import annotations

import copy
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agentdash.demo.kubesim import defaults, validation
from agentdash.demo.kubesim.admission import Admission
from agentdash.demo.kubesim.clock import stamp
from agentdash.demo.kubesim.errors import (
    already_exists,
    bad_request,
    conflict,
    invalid,
    invalid_value,
    not_found,
)
from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.owners import OwnerIndex
from agentdash.demo.kubesim.resources import (
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    EVENTS,
    EVENTS_V1,
    LEASES,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Resource,
    stored_as,
)
from agentdash.demo.kubesim.store import FieldManager, Store, StoredObject
from agentdash.demo.kubesim.usage import PodTotals, is_terminal

FOREGROUND = "foregroundDeletion"
SCALABLE = (DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS)
_VERSION_REQUIRED = (LEASES, DISRUPTION_BUDGETS)
_OWNED_BY_SERVER = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """The options of a write: whether it is a dry run, and its field manager."""

    dry_run: bool = False
    manager: str = "kubesim"
    operation: str = "Update"
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """The options of a DELETE; `grace_s` None means the object's own grace period."""

    grace_s: int | None = None
    propagation: str = "Background"
    uid: str = ""
    version: str = ""
    dry_run: bool = False


class Registry:
    """The only writer of the store."""

    def __init__(self, store: Store, rng: random.Random, *, lenient: bool) -> None:
        self.store, self.rng, self.lenient = store, rng, lenient
        self.usage = PodTotals(store)
        self.owners = OwnerIndex(store)
        self._admission = Admission(store, self.usage, rng)

    def read(self, resource: Resource, namespace: str, name: str) -> StoredObject:
        """The present version; raises StatusError 404."""
        stored = self.store.get(stored_as(resource), namespace, name)
        if stored is None:
            raise not_found(resource, name)
        return stored

    def create(
        self, resource: Resource, namespace: str, item: Object, write: WriteOptions | None = None
    ) -> StoredObject:
        """Complete, check and store a new object. Its dictionary is taken over.

        Raises StatusError 400, 403, 404 (namespace), 409 or 422.
        """
        write = write or WriteOptions()
        item = {key: value for key, value in item.items() if key not in {"kind", "apiVersion"}}
        metadata = item["metadata"] = dict(item.get("metadata") or {})
        if resource.namespaced:
            given = metadata.setdefault("namespace", namespace)
            if given != namespace:
                raise bad_request(
                    "the namespace of the provided object does not match the namespace sent on "
                    "the request"
                )
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + defaults.suffix(self.rng)
        if resource.zero.get("status") is not None:
            item.pop("status", None)
        for key in ("resourceVersion", "managedFields", "selfLink", *_OWNED_BY_SERVER):
            metadata.pop(key, None)
        self._fill_in(resource, item)
        validation.validate(resource, item, lenient=self.lenient)
        kept = stored_as(resource)
        if self.store.get(kept, metadata.get("namespace", ""), metadata["name"]) is not None:
            raise already_exists(resource, metadata["name"])
        metadata["uid"] = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))
        metadata["creationTimestamp"] = stamp()
        if resource.generations:
            metadata["generation"] = 1
        self._admission.admit(kept, item)
        manager = self._manager(kept, write)
        if write.dry_run:
            return StoredObject(kept, item, 0, manager)
        return self.store.create(kept, item, manager)

    def _fill_in(self, resource: Resource, item: Object) -> None:
        try:
            defaults.fill_in(resource, item)
        except (KeyError, TypeError, AttributeError) as error:
            # a part that every object of its kind has is missing
            raise validation.unreadable(resource, f"missing or misplaced field: {error}") from error
        if resource.zero.get("status") is not None and "status" not in item:
            item["status"] = defaults.empty_status(resource)

    def replace(
        self, resource: Resource, old: StoredObject, item: Object, write: WriteOptions | None = None
    ) -> StoredObject:
        """Replace `old` by `item`, by the rules of an update; a status write keeps the rest.

        Raises StatusError 400, 409 or 422.
        """
        write = write or WriteOptions()
        item = {key: value for key, value in item.items() if key not in {"kind", "apiVersion"}}
        metadata = item["metadata"] = dict(item.get("metadata") or {})
        self._check_update(resource, old, metadata)
        before = old.object["metadata"]
        for key in ("name", "namespace", *_OWNED_BY_SERVER):
            metadata.pop(key, None)
            if key in before:
                metadata[key] = before[key]
        metadata.pop("managedFields", None)
        metadata.pop("resourceVersion", None)
        if write.subresource == "status":
            item = old.object | {"status": item.get("status", {})}
        elif "status" in old.object and resource.zero.get("status") is not None:
            item["status"] = old.object["status"]
        if resource in SCALABLE and not write.subresource:
            # a field that a PUT leaves out, or that a patch sets to null, has its default again
            item["spec"] = copy.deepcopy(item.get("spec"))
            self._fill_in(resource, item)
        if resource.generations and write.subresource != "status":
            changed = item.get("spec") != old.object.get("spec")
            metadata["generation"] = before.get("generation", 1) + int(changed)
        elif "generation" in before:
            metadata["generation"] = before["generation"]
        validation.validate(resource, item, old=old.object, lenient=self.lenient)
        manager = old.manager
        if _replicas(item) != _replicas(old.object):
            manager = self._manager(old.resource, write)
        if write.dry_run:
            metadata["resourceVersion"] = str(old.version)
            return StoredObject(old.resource, item, old.version, manager)
        stored = self.store.update(old, item, manager)
        return self._finish_deletion(stored)

    def _check_update(self, resource: Resource, old: StoredObject, metadata: Object) -> None:
        name = old.key[1]
        if metadata.get("name", name) != name:
            raise bad_request(
                f"the name of the object ({metadata['name']}) does not match the name on the "
                f"URL ({name})"
            )
        version = metadata.get("resourceVersion")
        if not version and resource in _VERSION_REQUIRED:
            cause = invalid_value(
                "metadata.resourceVersion", "0", "must be specified for an update"
            )
            raise invalid(resource.plural, resource.group, name, [cause])
        uid = metadata.get("uid")
        if uid and uid != old.uid:
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old.uid}"
            raise conflict(resource, name, why)
        if version and version != str(old.version):
            raise conflict(resource, name)

    def _manager(self, resource: Resource, write: WriteOptions) -> FieldManager | None:
        if resource not in SCALABLE:
            return None
        return FieldManager(write.manager, write.operation, write.subresource, stamp())

    def set_status(self, old: StoredObject, status: Object) -> StoredObject:
        """Write a status for a controller: without validation, version check or copy."""
        return self.store.update(old, old.object | {"status": status})

    def write_event(self, item: Object) -> StoredObject:
        """Write an Event for a component. It is complete, and the names in it were checked."""
        uid = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))
        metadata = item["metadata"] | {"uid": uid, "creationTimestamp": stamp()}
        return self.store.create(EVENTS, item | {"metadata": metadata})

    def change(self, old: StoredObject, edit: Callable[[Object], None]) -> StoredObject:
        """Write anything else for a controller: `edit` changes a copy."""
        item = copy.deepcopy(old.object)
        edit(item)
        if old.resource.generations and item.get("spec") != old.object.get("spec"):
            item["metadata"]["generation"] = old.object["metadata"].get("generation", 1) + 1
        return self._finish_deletion(self.store.update(old, item))

    def delete(
        self, resource: Resource, namespace: str, name: str, deletion: DeleteOptions | None = None
    ) -> tuple[StoredObject, bool]:
        """Begin or complete a deletion; returns the last version, and whether the object is gone.

        Raises StatusError 404 or 409.
        """
        deletion = deletion or DeleteOptions()
        stored = self.read(resource, namespace, name)
        self._check_deletion(resource, stored, deletion)
        if deletion.dry_run:
            return stored, False
        if resource is PODS:
            return self._delete_pod(stored, deletion)
        metadata = stored.object["metadata"]
        finalizers = list(metadata.get("finalizers") or ())
        if deletion.propagation == "Foreground" and FOREGROUND not in finalizers:
            finalizers.append(FOREGROUND)
        if deletion.propagation == "Orphan":
            self._orphan(stored)
        if resource is not NAMESPACES and not finalizers:
            return self.store.delete(stored), True
        if "deletionTimestamp" in metadata:
            return stored, False
        marked = metadata | {"deletionTimestamp": stamp(), "finalizers": finalizers}
        if resource is not NAMESPACES:
            marked["deletionGracePeriodSeconds"] = 0
        item = stored.object | {"metadata": _next_generation(stored.resource, marked)}
        if resource is NAMESPACES:
            item = item | {"status": {"phase": "Terminating"}}
        return self.store.update(stored, item), False

    def _check_deletion(
        self, resource: Resource, stored: StoredObject, deletion: DeleteOptions
    ) -> None:
        group = f".{resource.group}" if resource.group and resource is not EVENTS_V1 else ""
        if deletion.uid and deletion.uid != stored.uid:
            name = stored.key[1]
            refusal = conflict(resource, name)
            # the real server names the kind, not the resource, here (registry/rest/delete.go)
            refusal.message = (
                f'Operation cannot be fulfilled on {resource.kind}{group} "{name}": the UID in '
                f"the precondition ({deletion.uid}) does not match the UID in record "
                f"({stored.uid}). The object might have been deleted and then recreated"
            )
            refusal.details = {**(refusal.details or {}), "kind": resource.kind}
            raise refusal
        if deletion.version and deletion.version != str(stored.version):
            raise conflict(resource, stored.key[1])

    def _delete_pod(
        self, stored: StoredObject, deletion: DeleteOptions
    ) -> tuple[StoredObject, bool]:
        pod, metadata = stored.object, stored.object["metadata"]
        grace = deletion.grace_s
        if grace is None:
            grace = int(pod["spec"].get("terminationGracePeriodSeconds", 30))
        if not pod["spec"].get("nodeName") or is_terminal(pod):
            grace = 0  # nothing runs that needs time to stop
        if grace == 0 and not metadata.get("finalizers"):
            if metadata.get("deletionGracePeriodSeconds"):
                zero = metadata | {"deletionGracePeriodSeconds": 0}
                stored = self.store.update(stored, pod | {"metadata": zero})
            return self.store.delete(stored), True
        if grace >= metadata.get("deletionGracePeriodSeconds", grace + 1):
            return stored, False
        marked = metadata | {
            "deletionTimestamp": stamp(datetime.now(UTC) + timedelta(seconds=grace)),
            "deletionGracePeriodSeconds": grace,
        }
        if "deletionTimestamp" not in metadata:
            marked = _next_generation(PODS, marked)
        return self.store.update(stored, pod | {"metadata": marked}), False

    def _orphan(self, owner: StoredObject) -> None:
        for dependent in self.owners.dependents(owner.uid):
            kept = [
                reference
                for reference in dependent.object["metadata"]["ownerReferences"]
                if reference["uid"] != owner.uid
            ]
            metadata = dependent.object["metadata"] | {"ownerReferences": kept or None}
            self.store.update(dependent, dependent.object | {"metadata": metadata})

    def _finish_deletion(self, stored: StoredObject) -> StoredObject:
        """Remove an object that waited only for its finalizers."""
        metadata = stored.object["metadata"]
        waits = metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds")
        if "deletionTimestamp" in metadata and not waits and stored.resource is not NAMESPACES:
            return self.store.delete(stored)
        return stored


def _replicas(item: Object) -> object:
    return (item.get("spec") or {}).get("replicas")


def _next_generation(resource: Resource, metadata: Object) -> Object:
    if not resource.generations:
        return metadata
    return metadata | {"generation": metadata.get("generation", 1) + 1}

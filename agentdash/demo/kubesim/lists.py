"""Lists: selectors, pages, versions, and the three forms of an answer."""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from agentdash.demo.kubesim import tables, views
from agentdash.demo.kubesim.calls import ApiCall, HttpAnswer, answer
from agentdash.demo.kubesim.errors import StatusError, bad_request, expired, too_large_version
from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.resources import Resource, stored_as
from agentdash.demo.kubesim.selectors import matches, parse_fields, parse_labels
from agentdash.demo.kubesim.store import Key, ObjectCollection, Store, StoredObject

_FRESH_WAIT_S = 3.0  # how long the real watch cache waits for the version of a request
_TOO_OLD_PAGE = (
    "The provided continue parameter is too old to display a consistent list result. You can "
    "start a new list without the continue parameter, or use the continue token in this response "
    "to retrieve the remainder of the results. Continuing with the provided token results in an "
    "inconsistent list - objects that were created, modified, or deleted between the time the "
    "first chunk was returned and now may show up in the list."
)
_ANY_VERSION = -1


class ObjectFilter:
    """The selectors of one request."""

    def __init__(self, call: ApiCall, resource: Resource) -> None:
        self._labels = parse_labels(call.query.get("labelSelector", ""))
        self._fields = parse_fields(resource, call.query.get("fieldSelector", ""))
        self.namespace = call.target.namespace
        self._name = call.target.name
        self.selects = bool(self._labels or self._fields or self._name)

    def passes(self, stored: StoredObject) -> bool:
        """Whether an object is selected."""
        if self.namespace and stored.key[0] != self.namespace:
            return False
        if self._name and stored.key[1] != self._name:
            return False
        return matches(self._labels, stored.object) and all(
            clause.matches(stored.object) for clause in self._fields
        )


@dataclass(frozen=True, slots=True)
class ContinueToken:
    """A continue token: the list goes on after `start`, as of `version` (-1: as of now)."""

    version: int
    start: Key

    def encode(self) -> str:
        """The token as clients send it."""
        raw = {"v": "meta.k8s.io/v1", "rv": self.version, "start": "\0".join(self.start)}
        return base64.urlsafe_b64encode(msgspec.json.encode(raw)).decode().rstrip("=")

    @classmethod
    def decode(cls, token: str) -> ContinueToken:
        """Read a token; raises StatusError 400 in the words of Go's decoders."""
        raw = b""
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            found = msgspec.json.decode(raw)
            namespace, name = found["start"].split("\0")
            return cls(int(found["rv"]), (namespace, name))
        except binascii.Error as error:
            raise _bad_token("illegal base64 data at input byte 0") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            first = chr(raw[0]) if raw else ""
            shown = first if first.isascii() and first.isprintable() else f"\\u{ord(first):04x}"
            words = f"invalid character '{shown}' looking for beginning of value"
            raise _bad_token(words) from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _bad_token("unknown token") from error


def _bad_token(why: str) -> StatusError:
    return bad_request(f"invalid continue token: continue key is not valid: {why}")


async def wait_for_version(store: Store, version: int) -> None:
    """Wait for a version, as long as the real server does; raises StatusError 504."""
    if version > store.version and not await store.wait_for(version, _FRESH_WAIT_S):
        raise too_large_version(version, store.version)


async def list_objects(store: Store, call: ApiCall, resource: Resource) -> HttpAnswer:
    """Answer a list; raises StatusError 400, 410 or 504."""
    wanted, form = ObjectFilter(call, resource), call.form
    collection = store.collection(stored_as(resource))
    objects, keys, version, start = await _view(store, collection, call, wanted.namespace)
    first = bisect_right(keys, start) if start else 0
    limit = call.number("limit", 0)
    found: list[StoredObject] = []
    metadata: Object = {"resourceVersion": str(version)}
    for position in range(first, len(keys)):
        stored = objects[keys[position]]
        if wanted.passes(stored):
            found.append(stored)
        if limit and len(found) == limit and position + 1 < len(keys):
            metadata["continue"] = ContinueToken(version, keys[position]).encode()
            if not wanted.selects:
                metadata["remainingItemCount"] = len(keys) - position - 1
            break
    return _render(resource, found, metadata, form, call.query.get("includeObject", "Metadata"))


async def _view(
    store: Store, collection: ObjectCollection, call: ApiCall, namespace: str
) -> tuple[Mapping[Key, StoredObject], list[Key], int, Key | None]:
    """Objects and keys to list from, their version, and the key after which the page begins."""
    version = _version(call.query.get("resourceVersion", ""))
    token = call.query.get("continue", "")
    if token:
        page = ContinueToken.decode(token)
        if version:
            words = "specifying resource version is not allowed when using continue"
            raise bad_request(words)
        if page.version == _ANY_VERSION:
            return collection.objects, collection.span(namespace), store.version, page.start
        if page.version < collection.floor:
            raise expired(_TOO_OLD_PAGE, ContinueToken(_ANY_VERSION, page.start).encode())
        return *_snapshot(collection, page.version, namespace), page.version, page.start
    await wait_for_version(store, version)
    if version and call.query.get("resourceVersionMatch") == "Exact":
        if version < collection.floor:
            words = f"The provided resource version is too old: {version} ({collection.floor})"
            raise expired(words)
        return *_snapshot(collection, version, namespace), version, None
    return collection.objects, collection.span(namespace), store.version, None


def _snapshot(
    collection: ObjectCollection, version: int, namespace: str
) -> tuple[Mapping[Key, StoredObject], list[Key]]:
    if not collection.changes or collection.changes[-1].version <= version:
        return collection.objects, collection.span(namespace)
    objects = collection.at(version)
    keys = sorted(objects)
    if namespace:
        keys = keys[bisect_left(keys, (namespace, "")) : bisect_left(keys, (namespace + "\0", ""))]
    return objects, keys


def _version(text: str) -> int:
    if not text.isdigit() and text:
        words = f'strconv.ParseUint: parsing "{text}": invalid syntax'
        raise bad_request(f"invalid resource version: {words}")
    return int(text or 0)


def _render(
    resource: Resource, found: list[StoredObject], metadata: Object, form: str, include: str
) -> HttpAnswer:
    if form == "object":
        head = {
            "kind": f"{resource.kind}List",
            "apiVersion": resource.group_version,
            "metadata": metadata,
        }
        items = b",".join(views.item_bytes(resource, stored) for stored in found)
        return answer(200, msgspec.json.encode(head)[:-1] + b',"items":[' + items + b"]}")
    if form == "table":
        objects = [stored.object for stored in found]
        return answer(200, tables.table(stored_as(resource), objects, metadata, include))
    return answer(
        200,
        {
            "kind": "PartialObjectMetadataList",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "items": [tables.partial(stored.object) for stored in found],
        },
    )


def one_object(
    resource: Resource, stored: StoredObject, call: ApiCall, status: int = 200
) -> HttpAnswer:
    """A single object in the form that the client prefers."""
    form = call.form
    if form == "object":
        return answer(status, views.full_bytes(resource, stored))
    if form == "metadata":
        return answer(status, tables.partial(stored.object))
    metadata = {"resourceVersion": str(stored.version)}
    include = call.query.get("includeObject", "Metadata")
    return answer(status, tables.table(stored_as(resource), [stored.object], metadata, include))

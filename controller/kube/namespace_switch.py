"""The freeze annotation of one namespace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from controller.kube import wire
from controller.model.decoding import UndecodableError, decoded
from controller.model.text import clean

FREEZE: Final = "agentdash.dev/freeze"


class _Namespace(wire.WireObject):
    """v1 Namespace."""

    metadata: wire.WireDeploymentMetadata


_NAMESPACE: Final = msgspec.json.Decoder(_Namespace)


class NamespaceSwitch:
    """The view of one namespace: whether its annotation freezes the Deployments in it. What cannot
    be read leaves the switch as it was.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        """`changed` is called when the annotation came, went or changed."""
        self._changed = changed
        self._exists = False
        self.freeze: str | None = None

    def count(self) -> int:
        """1 once the namespace was seen."""
        return int(self._exists)

    def replace(self, objects: Sequence[msgspec.Raw]) -> None:
        """These are all there are: the namespace, or nothing."""
        if not objects:
            self._set(None)
            self._exists = False
        for found in objects:
            self.put(found)

    def put(self, found: msgspec.Raw) -> None:
        """It was added or changed."""
        try:
            annotations = decoded(_NAMESPACE, found).metadata.annotations or {}
        except UndecodableError:
            return
        self._exists = True
        text = annotations.get(FREEZE)
        self._set(None if text is None else clean(text))

    def remove(self, gone: msgspec.Raw) -> None:
        """It was deleted: the Deployments in it are gone too."""
        del gone
        self._set(None)
        self._exists = False

    def _set(self, freeze: str | None) -> None:
        if freeze != self.freeze:
            self.freeze = freeze
            self._changed()

"""Reads a complete list of one kind of object, page by page, up to a limit."""

from __future__ import annotations

from typing import Final

import msgspec

from controller.kube import wire
from controller.kube.client import Client
from controller.kube.errors import TooLargeError, UnreadableError
from controller.model.decoding import UndecodableError, decoded
from controller.model.value import Value

LIST_TIMEOUT_S: Final = 15.0


class WatchTarget(Value):
    """What to watch: the collection's path, and the selectors that choose some of its objects. An
    `optional` kind may be unknown to the server, or we may have no right to list it.
    """

    kind: str
    path: str
    label_selector: str = ""
    field_selector: str = ""
    optional: bool = False

    def query(self, **more: str) -> dict[str, str]:
        """Query parameters, without the empty ones."""
        chosen = {
            "labelSelector": self.label_selector,
            "fieldSelector": self.field_selector,
            **more,
        }
        return {name: value for name, value in chosen.items() if value}


class ListLimits(Value):
    """The most that is read of one list. Kubernetes itself supports 150,000 pods in a whole cluster
    (kubernetes.io, "Considerations for large clusters").
    """

    pages: int = 2_000
    objects: int = 250_000
    size_bytes: int = 512 * 2**20


class Listing:
    """One list of a target. `objects` are those of the pages that were read so far."""

    def __init__(self, client: Client, target: WatchTarget, limits: ListLimits) -> None:
        self.objects: list[msgspec.Raw] = []
        self._client = client
        self._target = target
        self._limits = limits
        self._pages = 0
        self._size_bytes = 0

    async def read(self, page_size: int) -> str:
        """Read all pages, or one without a limit for a `page_size` of 0; returns the list's
        version. Raises KubeError.
        """
        token = ""
        while True:
            page = await self._page(page_size, token)
            self.objects += page.items or ()
            self._check()
            token = page.metadata.continue_
            if not token:
                return page.metadata.resource_version

    async def _page(self, size: int, token: str) -> wire.WirePage:
        answer = await self._client.call(
            "GET",
            self._target.path,
            kind=self._target.kind,
            query=self._target.query(limit=str(size or ""), **{"continue": token}),
            timeout_s=LIST_TIMEOUT_S,
        )
        self._pages += 1
        self._size_bytes += len(answer)
        try:
            return decoded(wire.PAGE, answer)
        except UndecodableError as error:
            raise UnreadableError(f"the answer is no list: {error}") from error

    def _check(self) -> None:
        """Raises TooLargeError above a limit."""
        limits = self._limits
        for found, most, of in (
            (self._pages, limits.pages, "pages"),
            (len(self.objects), limits.objects, "objects"),
            (self._size_bytes, limits.size_bytes, "bytes"),
        ):
            if found > most:
                raise TooLargeError(
                    f"the list of {self._target.kind} has more than the {most:,} {of} that are "
                    "read; does a proxy answer in the API server's place?"
                )

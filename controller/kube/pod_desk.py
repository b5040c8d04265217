"""One pod for the person who looks at it, read when asked: containers, what the cluster said, last
lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, TypeAlias

import msgspec

from controller.kube import wire
from controller.kube.client import Client
from controller.kube.errors import ApiError, KubeError
from controller.kube.pods import MOST_CONTAINERS, containers_of
from controller.kube.wire import unix_seconds
from controller.model.snapshot import ContainerState, PodEvent, PodInFull, PodLog
from controller.model.text import clean, clean_name
from controller.model.value import UndecodableError
from controller.ports import PodUnknownError

TAIL_LINES: Final = 200
MOST_LINES: Final = 2_000
MOST_LOG_BYTES: Final = 2**20
DEADLINE_S: Final = 4.0
LINE_LIMIT: Final = 2_000
_LEFT_OUT: Final = "[lines between these were not read]"
_SECOND: Final = 1_000_000_000
_STAMP: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
_Line: TypeAlias = tuple[int, str]
"""When it was written (Unix nanoseconds), and its text."""
_MOST_EVENTS: Final = 100
_SHOWN_EVENTS: Final = 12
_GONE: Final = "the pod is not there any longer"


class ClusterPods:
    """A PodDesk through the client of a cluster."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def look(self, namespace: str, pod: str) -> PodInFull:
        """Its containers, and what the cluster has said of it."""
        found = await self._pod(namespace, pod)
        events = await self._said(namespace, found.metadata.uid)
        return PodInFull(containers=tuple(containers_of(found)), events=events)

    async def tail(
        self, namespace: str, pod: str, known: PodLog | None = None, *, previous: bool = False
    ) -> PodLog:
        """The last lines of the pod's first container; of the one that is known, those behind."""
        known = known or PodLog()
        names, container = known.containers, known.container
        if not container:
            names = tuple(_names(await self._pod(namespace, pod)))
            container = names[0] if names else ""
        since = known.times[-1] if known.times else 0
        query = {"container": container} if container else {}
        query |= {"previous": "true"} if previous else {}
        found, is_cut = await self._lines(namespace, pod, query, since)
        old, ended_at = tuple(zip(known.times, known.lines, strict=True)), known.ended_at
        if since and not any(at == since for at, _ in found):
            run, last = await self._run_before(namespace, pod, query, known)
            if last is not None:
                mark = f"[it ended with {last.exit_words}, and was started again]"
                old, ended_at = (*old, *run, ((run or old)[-1][0], mark)), last.at
            elif found:
                old = (*old, (since, _LEFT_OUT))
        lines = (*old, *_behind(found, known))
        return PodLog(
            container=container,
            times=tuple(at for at, _ in lines[-MOST_LINES:]),
            lines=tuple(text for _, text in lines[-MOST_LINES:]),
            ended_at=ended_at,
            is_cut=is_cut,
            containers=names,
            first=known.first + max(len(lines) - MOST_LINES, 0),
        )

    async def _lines(
        self, namespace: str, pod: str, query: dict[str, str], since: int
    ) -> tuple[tuple[_Line, ...], bool]:
        """A run's newest lines, with `since` from this second; and whether some are cut."""
        most = MOST_LINES if since else TAIL_LINES
        query = {**query, "timestamps": "true", "tailLines": str(most)}
        query |= {"limitBytes": str(MOST_LOG_BYTES)}
        if since:
            query["sinceTime"] = datetime.fromtimestamp(since // _SECOND, UTC).isoformat()
        try:
            body = await self._get(namespace, f"pods/{pod}/log", "pods/log", query)
        except KubeError as error:
            words = _log_words(error, namespace, previous="previous" in query)
            raise PodUnknownError(words) from error
        text = body.decode("utf-8", "replace").removesuffix("\n")
        lines = text.split("\n")[-most:] if text else []
        return tuple(_stamped(lines)), len(body) >= MOST_LOG_BYTES

    async def _run_before(
        self, namespace: str, pod: str, query: dict[str, str], known: PodLog
    ) -> tuple[tuple[_Line, ...], ContainerState | None]:
        """What the known run still wrote and how it ended; None if it goes on, or was told."""
        if "previous" in query:
            return (), None
        containers = containers_of(await self._pod(namespace, pod))
        name = query.get("container", "")
        last = next((each.last for each in containers if name in {"", each.name}), None)
        ended = None if last is None else last.at
        if ended is None or ended == known.ended_at or ended < known.times[-1] // _SECOND:
            return (), None
        try:
            run, _ = await self._lines(
                namespace, pod, {**query, "previous": "true"}, known.times[-1]
            )
        except PodUnknownError:  # how it ended is known without its last lines
            run = ()
        return tuple(_behind(run, known)), last

    async def _pod(self, namespace: str, pod: str) -> wire.WirePod:
        """By a list of one: whoever sees the pods of a fleet may list them."""
        try:
            items = await self._list(namespace, "pods", f"metadata.name={pod}")
            if items:
                return wire.WirePod.of(items[0])
        except (KubeError, UndecodableError) as error:
            raise PodUnknownError(_words(error, namespace, "pods")) from error
        raise PodUnknownError(_GONE)

    async def _said(self, namespace: str, uid: str) -> tuple[PodEvent, ...] | str:
        """What the cluster has said of it, not of a namesake before it; or why that is unknown."""
        fields = f"involvedObject.uid={uid}"
        try:
            items = await self._list(namespace, "events", fields)
            found = [_event(wire.WireEvent.of(each)) for each in items]
        except (KubeError, UndecodableError) as error:
            return _words(error, namespace, "events")
        # of one second, the later ones stand later in the list
        found.reverse()
        return tuple(sorted(found, key=lambda each: -(each.at or 0.0))[:_SHOWN_EVENTS])

    async def _list(self, namespace: str, kind: str, fields: str) -> list[msgspec.Raw]:
        query = {"fieldSelector": fields, "limit": str(_MOST_EVENTS)}
        return wire.WireItems.of(await self._get(namespace, kind, kind, query)).items

    async def _get(self, namespace: str, path: str, kind: str, query: dict[str, str]) -> bytes:
        path = f"/api/v1/namespaces/{namespace}/{path}"
        return await self._client.call("GET", path, kind=kind, query=query, timeout_s=DEADLINE_S)


def _stamped(lines: Iterable[str]) -> Iterator[_Line]:
    """Each with the time before its text; one without has that of the line before it."""
    at = 0
    for each in lines:
        stamp, _, text = each.partition(" ")
        found = _STAMP.fullmatch(stamp)
        if found is None:
            text = each
        else:
            seconds = datetime.fromisoformat(found[1] + found[3]).timestamp()
            at = int(seconds) * _SECOND + int((found[2] or "").ljust(9, "0"))
        yield at, clean(text.rstrip("\r"), LINE_LIMIT)


def _behind(found: Sequence[_Line], known: PodLog) -> Iterator[_Line]:
    """Those that are not known yet; lines of one time are told apart by their count."""
    last = known.times[-1] if known.times else 0
    same = sum(at == last for at in known.times)
    for at, text in found:
        same -= at == last
        if at > last or (at == last and same < 0):
            yield at, text


def _names(pod: wire.WirePod) -> Iterator[str]:
    """Its containers, those that work first."""
    spec = pod.spec or wire.WirePodSpec()
    for each in (*(spec.containers or ()), *(spec.init_containers or ()))[:MOST_CONTAINERS]:
        yield clean_name(each.name)


def _event(found: wire.WireEvent) -> PodEvent:
    series = found.series or wire.WireEventSeries()
    last = series.last_observed_time or found.last_timestamp or found.event_time
    return PodEvent(
        at=unix_seconds(last or found.metadata.creation_timestamp),
        count=max(found.count or 0, series.count, 1),
        reason=clean(found.reason or ""),
        message=clean(found.message or ""),
        is_warning=found.type == "Warning",
    )


def _words(error: Exception, namespace: str, kind: str) -> str:
    if isinstance(error, ApiError) and error.status in {401, 403}:
        return f"our user may not read {kind} in {namespace}: allow it `list` on `{kind}`"
    if isinstance(error, KubeError):
        return f"the API server cannot be asked: {error.detail}"
    return f"the answer of the API server cannot be read: {error}"


def _log_words(error: KubeError, namespace: str, *, previous: bool) -> str:
    if not isinstance(error, ApiError):
        return f"the API server cannot be asked: {error.detail}"
    of_run = "no log of a run before this one" if previous else "written nothing yet"
    match error.status:
        case 401 | 403:
            return f"our user may not read logs in {namespace}: allow it `get` on `pods/log`"
        case 404:
            return _GONE
        case 400:
            return f"it has {of_run}: {error.detail}"
        case 500 | 502 | 503 | 504:
            return f"the kubelet of its node does not answer: {error.detail}"
    return error.detail

"""What containers have written, and the log subresource of pods that answers with it.

The messages are the real server's: kubernetes/pkg/registry/core/pod/strategy.go (LogLocation,
validateContainer), pkg/apis/core/validation (ValidatePodLogOptions) and the kubelet's.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import Final, NamedTuple

from agentdash.demo.kubesim.calls import ApiCall, HttpAnswer, text_answer
from agentdash.demo.kubesim.errors import Cause, bad_request, invalid, invalid_value
from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.registry import Registry
from agentdash.demo.kubesim.resources import PODS
from agentdash.demo.kubesim.store import Store, StoredObject

_MOST_LINES: Final = 1_000
_NOT_NEGATIVE: Final = "must be greater than or equal to 0"
_POSITIVE: Final = "must be greater than 0"


class _Written(NamedTuple):
    at: datetime
    text: str


class ContainerLogs:
    """The last lines of each pod that is there. All containers of a pod share them."""

    def __init__(self, store: Store) -> None:
        self._lines: dict[tuple[str, str], deque[_Written]] = {}
        self._store = store
        store.subscribe(lambda _: self._forget())

    def write(self, namespace: str, pod: str, text: str) -> None:
        """The pod writes a line now."""
        lines = self._lines.setdefault((namespace, pod), deque(maxlen=_MOST_LINES))
        lines.append(_Written(datetime.now(UTC), text))

    def _forget(self) -> None:
        """Lines go with their pod."""
        for namespace, pod in list(self._lines):
            if self._store.get(PODS, namespace, pod) is None:
                del self._lines[namespace, pod]

    def serve(self, registry: Registry, call: ApiCall) -> HttpAnswer:
        """GET of a pod's log, as plain text; raises StatusError 400, 404 or 422."""
        target = call.target
        stored = registry.read(PODS, target.namespace, target.name)
        options = _options(call, target.name)
        container = _container(stored.object, target.name, call.query.get("container", ""))
        if not stored.object["spec"].get("nodeName"):
            return text_answer(200, "")  # nobody can be asked yet, and that is no error
        _admit(stored, target.name, container, previous=call.flag("previous"))
        lines = list(self._lines.get((target.namespace, target.name), ()))
        if options.since_s is not None:
            now = datetime.now(UTC)
            lines = [each for each in lines if (now - each.at).total_seconds() <= options.since_s]
        if options.tail is not None:
            lines = lines[len(lines) - min(options.tail, len(lines)) :]
        stamps = call.flag("timestamps")
        text = "".join(_line(each, stamped=stamps) for each in lines)
        if options.limit is not None:
            text = text.encode()[: options.limit].decode("utf-8", "ignore")
        return text_answer(200, text)


class _Options(NamedTuple):
    tail: int | None
    limit: int | None
    since_s: int | None


def _options(call: ApiCall, name: str) -> _Options:
    """The numbers of the query; raises StatusError 400 or 422."""
    found: dict[str, int | None] = {}
    causes: list[Cause] = []
    for field, least, why in (
        ("tailLines", 0, _NOT_NEGATIVE),
        ("limitBytes", 1, _POSITIVE),
        ("sinceSeconds", 1, _POSITIVE),
    ):
        number = call.number(field, 0) if call.query.get(field) else None
        if number is not None and number < least:
            causes.append(invalid_value(field, str(number), why))
        found[field] = number
    if causes:
        raise invalid("PodLogOptions", "", name, causes)
    return _Options(found["tailLines"], found["limitBytes"], found["sinceSeconds"])


def _container(pod: Object, name: str, asked: str) -> str:
    names = [each["name"] for each in pod["spec"]["containers"]]
    if asked and asked not in names:
        raise bad_request(f"container {asked} is not valid for pod {name}")
    if not asked and len(names) > 1:
        choices = " ".join(names)
        raise bad_request(
            f"a container name must be specified for pod {name}, choose one of: [{choices}]"
        )
    return asked or str(names[0])


def _admit(stored: StoredObject, name: str, container: str, *, previous: bool) -> None:
    """What the kubelet refuses: a container that has not run, or not before."""
    statuses = stored.object["status"].get("containerStatuses") or ()
    status: Object = next((each for each in statuses if each["name"] == container), {})
    if previous:
        if not status.get("lastState", {}).get("terminated"):
            raise bad_request(
                f'previous terminated container "{container}" in pod "{name}" not found'
            )
        return
    if not status:
        raise bad_request(f'container "{container}" in pod "{name}" is not available')
    waiting = status["state"].get("waiting")
    if waiting is not None and not status.get("lastState"):
        reason = waiting.get("reason", "")
        raise bad_request(f'container "{container}" in pod "{name}" is waiting to start: {reason}')


def _line(written: _Written, *, stamped: bool) -> str:
    if not stamped:
        return f"{written.text}\n"
    at = written.at.isoformat(timespec="microseconds").replace("+00:00", "000Z")
    return f"{at} {written.text}\n"

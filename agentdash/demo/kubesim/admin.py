"""The switches over HTTP, below /_sim/, for tests whose simulator runs in another process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from agentdash.demo.kubesim.calls import ApiCall, HttpAnswer, answer
from agentdash.demo.kubesim.cluster import SimCluster
from agentdash.demo.kubesim.controllers.kubelet import PodTrouble
from agentdash.demo.kubesim.errors import bad_request, no_such_path
from agentdash.demo.kubesim.faults import ApiFault, ApiFaults
from agentdash.demo.kubesim.metrics import Given
from agentdash.demo.kubesim.requests import RequestLog

ADMIN_PREFIX = "/_sim/"
T = TypeVar("T")


class WatchDrop(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /_sim/watches/drop: drop them once, or regularly (`every_s`; 0 stops that)."""

    clean: bool = False
    every_s: float | None = None


class NewNode(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /_sim/nodes."""

    name: str
    labels: dict[str, str] = {}


class Admin:
    """GET, POST and DELETE of faults, troubles, requests, nodes and metrics.

    | path                     | POST                | GET             | DELETE        |
    |--------------------------|---------------------|-----------------|---------------|
    | /_sim/faults             | an ApiFault         | all             | all off       |
    | /_sim/faults/NUMBER      |                     |                 | that one off  |
    | /_sim/watches/drop       | a WatchDrop         |                 |               |
    | /_sim/history/expire     | forget history      |                 |               |
    | /_sim/troubles           | a PodTrouble        |                 | all ended     |
    | /_sim/requests           |                     | counts          | forgotten     |
    | /_sim/nodes              | a NewNode           |                 |               |
    | /_sim/nodes/NAME         |                     |                 | node removed  |
    | /_sim/metrics            | a metric's value    |                 | all forgotten |

    POST of a fault answers its number.
    """

    def __init__(self, cluster: SimCluster, faults: ApiFaults, requests: RequestLog) -> None:
        self._cluster, self._faults, self._requests = cluster, faults, requests
        self._routes: dict[tuple[str, str], Callable[[ApiCall, str], Any]] = {
            ("GET", "faults"): self._list_faults,
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): self._remove_faults,
            ("POST", "watches"): self._drop_watches,
            ("POST", "history"): self._expire_history,
            ("POST", "troubles"): self._add_trouble,
            ("DELETE", "troubles"): self._end_troubles,
            ("GET", "requests"): self._count_requests,
            ("DELETE", "requests"): self._clear_requests,
            ("POST", "nodes"): self._add_node,
            ("DELETE", "nodes"): self._remove_node,
            ("POST", "metrics"): self._set_metric,
            ("DELETE", "metrics"): self._clear_metrics,
        }

    @property
    def crash(self) -> str:
        """Why nothing happens in the cluster any more; empty while all of its parts run."""
        return self._cluster.crash

    def serve(self, call: ApiCall) -> HttpAnswer:
        """Answer a call below /_sim/; raises StatusError 400 or 404."""
        subject, _, rest = call.path.removeprefix(ADMIN_PREFIX).partition("/")
        route = self._routes.get((call.method, subject))
        if route is None:
            raise no_such_path()
        result = route(call, rest)
        return answer(200, msgspec.json.encode(result if result is not None else {}))

    def _list_faults(self, _call: ApiCall, _rest: str) -> Any:
        return {str(number): fault for number, fault in self._faults.active.items()}

    def _add_fault(self, call: ApiCall, _rest: str) -> Any:
        return {"number": self._faults.add(_decode(call, ApiFault))}

    def _remove_faults(self, _call: ApiCall, rest: str) -> Any:
        if rest:
            self._faults.remove(int(rest) if rest.isdigit() else 0)
        else:
            self._faults.clear()

    def _drop_watches(self, call: ApiCall, _rest: str) -> Any:
        wanted = _decode(call, WatchDrop)
        if wanted.every_s is not None:
            self._faults.drop_watches_every(wanted.every_s or None)
            return {}
        return {"dropped": self._faults.drop_watches(clean=wanted.clean)}

    def _expire_history(self, _call: ApiCall, _rest: str) -> Any:
        self._faults.expire_history()

    def _add_trouble(self, call: ApiCall, _rest: str) -> Any:
        self._cluster.kubelets.add_trouble(_decode(call, PodTrouble))

    def _end_troubles(self, _call: ApiCall, _rest: str) -> Any:
        self._cluster.kubelets.end_troubles()

    def _count_requests(self, _call: ApiCall, _rest: str) -> Any:
        counts = [
            {"method": method, "template": template, "status": status, "count": count}
            for (method, template, status), count in sorted(self._requests.by_template().items())
        ]
        writes = len(self._requests.writes())
        return {"total": len(self._requests), "writes": writes, "counts": counts}

    def _clear_requests(self, _call: ApiCall, _rest: str) -> Any:
        self._requests.clear()

    def _add_node(self, call: ApiCall, _rest: str) -> Any:
        node = _decode(call, NewNode)
        self._cluster.add_node(node.name, node.labels)

    def _remove_node(self, _call: ApiCall, rest: str) -> Any:
        self._cluster.remove_node(rest)

    def _set_metric(self, call: ApiCall, _rest: str) -> Any:
        try:
            self._cluster.metrics.set(msgspec.json.decode(call.body, type=Given))
        except msgspec.DecodeError as error:
            raise bad_request(str(error)) from error

    def _clear_metrics(self, _call: ApiCall, _rest: str) -> Any:
        self._cluster.metrics.clear()


def _decode(call: ApiCall, wanted: type[T]) -> T:
    try:
        return msgspec.json.decode(call.body or b"{}", type=wanted)
    except msgspec.DecodeError as error:
        raise bad_request(str(error)) from error

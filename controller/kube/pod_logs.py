"""The last lines that a pod has written (GET pods/log), read when a person asks for them."""

from __future__ import annotations

import re
from typing import Final

from controller.kube.client import Client
from controller.kube.errors import ApiError, KubeError
from controller.model.pod_log import PodLog
from controller.model.text import clean
from controller.ports.desk import PodLogError

TAIL_LINES: Final = 200
MOST_LOG_BYTES: Final = 2**20
DEADLINE_S: Final = 4.0
LINE_LIMIT: Final = 2_000
# kubernetes/pkg/registry/core/pod/strategy.go, validateContainer
_CHOOSE: Final = re.compile(r"choose one of: \[(?P<first>[a-z0-9][a-z0-9-]*)")


class ClusterPodLogs:
    """Reads logs through the client of a cluster. It keeps nothing."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def tail(self, namespace: str, pod: str) -> PodLog:
        """The last lines of the pod; of its first container, where it has several. Raises
        PodLogError, whose text says why there are none and what to do.
        """
        try:
            try:
                return await self._read(namespace, pod)
            except ApiError as refusal:
                several = _CHOOSE.search(refusal.message)
                if several is None:
                    raise
                return await self._read(namespace, pod, several["first"])
        except KubeError as error:
            raise PodLogError(_words(error, namespace)) from error

    async def _read(self, namespace: str, pod: str, container: str = "") -> PodLog:
        query = {"tailLines": str(TAIL_LINES), "limitBytes": str(MOST_LOG_BYTES)}
        if container:
            query["container"] = container
        body = await self._client.call(
            "GET",
            f"/api/v1/namespaces/{namespace}/pods/{pod}/log",
            kind="pods/log",
            query=query,
            timeout_s=DEADLINE_S,
        )
        text = body.decode("utf-8", "replace").removesuffix("\n")
        lines = text.split("\n")[-TAIL_LINES:] if text else []
        return PodLog(
            container=container,
            lines=tuple(clean(each.rstrip("\r"), LINE_LIMIT) for each in lines),
            is_cut=len(body) >= MOST_LOG_BYTES,
        )


def _words(error: KubeError, namespace: str) -> str:
    if not isinstance(error, ApiError):
        return f"the API server cannot be asked: {error.detail}"
    match error.status:
        case 401 | 403:
            return f"our user may not read logs in {namespace}: allow it `get` on `pods/log`"
        case 404:
            return "the pod is not there any longer"
        case 400:
            return f"it has written nothing yet: {error.detail}"
        case 500 | 502 | 503 | 504:
            return f"the kubelet of its node does not answer: {error.detail}"
    return error.detail

"""Other programs: NATS's greeting and error codes, why a server is unreachable, how long to wait
before a try, and who else writes a workload's size.
"""

from __future__ import annotations

import errno
import random as _random
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from typing import Any, Final, NamedTuple

from controller.model.text import clean

# against float overflow: every wait has reached its cap before
_MOST_DOUBLINGS: Final = 32


class Backoff:
    """Exponential backoff with full jitter: a random wait between 0 and min(most, first · 2ⁿ).

    Full jitter keeps clients that failed together from coming back together (AWS Architecture Blog,
    "Exponential Backoff and Jitter"). `first_s` and `most_s` are seconds; `random` returns a number
    from 0 to 1, as `random.random` does. With `no_jitter` each wait is the longest it may be.
    """

    def __init__(
        self, first_s: float, most_s: float, *, random: Callable[[], float] = _random.random
    ) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._random = random
        self._failures = 0

    def next_s(self) -> float:
        """Count one more failure; returns how many seconds to wait."""
        longest_s = min(self._most_s, self._first_s * 2.0 ** min(self._failures, _MOST_DOUBLINGS))
        self._failures += 1
        return longest_s * self._random()

    def reset(self) -> None:
        """Start again with the first wait, because a call has succeeded."""
        self._failures = 0


def no_jitter() -> float:
    """Stands in for a random number where waits must not vary."""
    return 1.0


_NO_WAY: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})
_CLOSED: Final = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED})
# of several addresses that all fail, asyncio keeps only the text
_REFUSED_IN_TEXT: Final = f"[Errno {errno.ECONNREFUSED}]"
_LONGEST_CHAIN: Final = 16


def why_unreachable(error: BaseException, address: str = "") -> str | None:
    """One line that says what is wrong with the connection, or None if the error is about something
    else. `address` is where the server should be; by default what the error itself knows of it.
    """
    for each in _chain(error):
        words = _words(each, address or _address(error))
        if words is not None:
            return clean(words)
    return None


def _words(error: BaseException, address: str) -> str | None:
    server = address or "the server"
    words: str | None = None
    match error:
        case ssl.SSLCertVerificationError():
            words = f"TLS: the server's certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            words = f"TLS: {getattr(error, 'reason', None) or 'the handshake failed'}"
        case socket.gaierror():
            host = f"the name {address.rpartition(':')[0]}" if address else "the host's name"
            words = f"{host} is not found ({error.strerror})"
        case TimeoutError():
            words = f"no answer from {server} in time"
        case OSError() if _is_refused(error):
            place = f"at {address}" if address else "there"
            words = f"nothing listens {place} (connection refused)"
        case OSError() if error.errno in _NO_WAY:
            words = f"no way to {server} ({(error.strerror or '').lower()})"
        case OSError() if isinstance(error, ConnectionError) or error.errno in _CLOSED:
            words = f"{server} closed the connection"
    return words


def _is_refused(error: OSError) -> bool:
    if isinstance(error, ConnectionRefusedError) or error.errno == errno.ECONNREFUSED:
        return True
    failures = str(error).count("[Errno ")
    return failures > 0 and failures == str(error).count(_REFUSED_IN_TEXT)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, the innermost first: libraries wrap the system's error."""
    found: list[BaseException] = []
    seen: BaseException | None = error
    while seen is not None and seen not in found and len(found) < _LONGEST_CHAIN:
        found.append(seen)
        inner = getattr(seen, "os_error", None)  # aiohttp
        seen = inner if isinstance(inner, BaseException) else seen.__cause__ or seen.__context__
    yield from reversed(found)


def _address(error: BaseException) -> str:
    """`host:port`, where the error knows them, as aiohttp's do."""
    host, port = getattr(error, "host", None), getattr(error, "port", None)
    return f"{host}:{port}" if isinstance(host, str) and isinstance(port, int) else ""


NO_TLS: Final = "TLS: the server offers none; nothing was sent to it"


def offers_tls(info: Mapping[str, Any]) -> bool:
    """Whether TLS can follow: nats-py sends plain text where it is not required."""
    return bool(info.get("tls_available") or info.get("tls_required"))


class ErrorCode(IntEnum):
    """`err_code` of an answer (nats-server, server/errors.json)."""

    CONSUMER_NOT_FOUND = 10014
    MESSAGE_NOT_FOUND = 10037
    NOT_ENABLED_FOR_ACCOUNT = 10039
    STREAM_NAME_IN_USE = 10058
    STREAM_NOT_FOUND = 10059
    WRONG_LAST_SEQUENCE = 10071
    NOT_ENABLED = 10076
    WRONG_LAST_SEQUENCE_CONSTANT = 10164


RESOURCE_GROUP: Final = "metrics.k8s.io"
EXTERNAL_GROUP: Final = "external.metrics.k8s.io"
CUSTOM_GROUP: Final = "custom.metrics.k8s.io"
FIELD_MANAGER: Final = "agentdash"
"""Our own name as a writer of Kubernetes objects."""
REPORTER: Final = "agentdash.dev/controller"
"""Our own name as a reporter of events."""


class Writer(NamedTuple):
    """A writer of sizes: what people call it, and what to do so that it leaves sizes to agentdash.

    `restores`: it goes on restoring the size of a manifest, however often others change it.
    """

    title: str
    to_do: str
    restores: bool = False


_ARGO_CD: Final = Writer(
    "Argo CD",
    "remove spec.replicas from the manifest, or list /spec/replicas under ignoreDifferences of the"
    " Application, with the sync option RespectIgnoreDifferences=true",
    restores=True,
)
_FLUX_HELM: Final = (
    "leave spec.replicas out of the chart, or list /spec/replicas under driftDetection.ignore of"
    " its HelmRelease"
)
_HELM: Final = Writer(
    "Helm", "leave spec.replicas out of the chart, so that upgrades keep the size"
)
_WRITERS: Final = {
    FIELD_MANAGER: Writer(
        "another agentdash", "stop one of the two, or let both use the same lease"
    ),
    # argoproj/argo-cd common.go ArgoCDSSAManager; before 2.5 the name of its program
    "argocd-controller": _ARGO_CD,
    "argocd-application-controller": _ARGO_CD,
    # fluxcd/kustomize-controller and fluxcd/helm-controller, main.go controllerName
    "kustomize-controller": Writer(
        "Flux", "remove spec.replicas from the manifests of its Kustomization", restores=True
    ),
    "helm-controller": Writer("Flux", _FLUX_HELM, restores=True),
    "helm": _HELM,
    "Helm": _HELM,
    "kube-controller-manager": Writer(
        "a HorizontalPodAutoscaler", "delete it, or take the pool out of the fleet file"
    ),
    "keda": Writer("KEDA", "delete its ScaledObject, or take the pool out of the fleet file"),
}
_KUBECTL: Final = Writer(
    "a person or a script", "freeze the pool while somebody works on it, or pin or cap it instead"
)
_UNKNOWN: Final = Writer(
    "", "remove its other autoscaler, or freeze the pool while somebody works on it"
)


def writer(manager: str) -> Writer:
    """The writer with this field manager; one without a title if it is not a known one."""
    if manager.startswith("kubectl"):  # kubectl, kubectl-edit, kubectl-client-side-apply, …
        return _KUBECTL
    return _WRITERS.get(manager, _UNKNOWN)


def named(manager: str) -> str:
    """The writer as text: `argocd-controller (Argo CD)`; `another writer` if it is not known."""
    if not manager:
        return "another writer"
    title = writer(manager).title
    return f"{manager} ({title})" if title else manager


def reset_by(manager: str, operation: str) -> str:
    """What to do about an owner of `spec.replicas` that resets it to a manifest's; else empty.
    `operation` is that of its managedFields entry.
    """
    found = writer(manager)
    if found.restores or found is _HELM:
        return found.to_do
    if operation == "Apply":
        # a server-side apply owns what its manifest has (Kubernetes, "Transferring ownership")
        return (
            "remove spec.replicas from the manifest that is applied, once agentdash has set the"
            " size: before that, applying without it sets 1"
        )
    return ""

"""The API server's address and our credentials: from a kubeconfig, or from the pod we run in."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import yaml

from controller.kube.errors import ConfigError, shortened
from controller.model.settings import KubernetesSettings
from controller.model.text import clean_name

_MARK: Final = b"KUBERNETES_EXEC_INFO="
"""The official client sets this variable for its plugins, and they inherit it to what they start
(kubernetes.aio.config.exec_provider)."""


def end_plugins() -> int:
    """End this process's plugins and all they started; returns how many (0 without /proc)."""
    ended = 0
    for process in list(_descendants(os.getpid())):
        with suppress(OSError):
            environment = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
            if any(entry.startswith(_MARK) for entry in environment):
                os.kill(process, signal.SIGKILL)
                ended += 1
    return ended


def _descendants(process: int) -> Iterator[int]:
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            for child in children.read_text().split():
                yield int(child)
                yield from _descendants(int(child))


REREAD_S: Final = 60.0
"""client-go reads token files once a minute (transport.NewCachedFileTokenSource)."""
LOAD_TIMEOUT_S: Final = 15.0
PLUGIN_END_S: Final = 1.0
"""How long a plugin that was killed may take to be gone."""
IN_CLUSTER: Final = "in-cluster"

Configuration: TypeAlias = Any  # kubernetes.aio.client.Configuration, imported late and untyped
Login: TypeAlias = Callable[[Configuration, bool], Awaitable[str]]
"""Fills in address and credentials, and returns the context's name. With True, everything is read
again, also what the loader has cached."""


class Access:
    """One cluster's address and our credentials, kept current.

    `context` is the name to show. `generation` grows each time the credentials are read;
    `reread_failure` is why the last reading failed, empty if it did not.
    """

    def __init__(
        self,
        login: Login,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        timeout_s: float = LOAD_TIMEOUT_S,
    ) -> None:
        self._login = login
        self._timeout_s = timeout_s
        self._monotonic = monotonic
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()
        self.configuration: Configuration = None
        self.context = ""
        self.generation = 0
        self.reread_failure = ""

    @classmethod
    async def load(cls, settings: KubernetesSettings) -> Access:
        """Read the configuration for the first time. Raises ConfigError.

        A user without a home gets the root, as container runtimes do: the official client asks for
        the home when it is imported, and fails where there is none.
        """
        try:
            Path.home()
        except RuntimeError:
            os.environ["HOME"] = "/"
        access = cls(_login_for(settings))
        await access._read(reload=True)
        return access

    async def keep_current(self) -> None:
        """Read the credentials again once a minute; a failure keeps the old ones (client-go)."""
        if self._monotonic() - self._read_at < REREAD_S:
            return
        async with self._reading:
            if self._monotonic() - self._read_at < REREAD_S:
                return  # another request read them while this one waited
            try:
                await self._read(reload=False)
            except ConfigError as error:
                self.reread_failure = error.detail

    async def renew(self, refused: int) -> None:
        """Read everything again after a refusal, once for each generation. Raises ConfigError."""
        async with self._reading:
            if self.generation == refused:
                await self._read(reload=True)

    async def _read(self, *, reload: bool) -> None:
        from kubernetes.aio.client import Configuration as OfficialConfiguration

        # set even if reading fails, so that not every request tries again
        self._read_at = self._monotonic()
        configuration = self.configuration or OfficialConfiguration()
        reading = asyncio.ensure_future(self._login(configuration, reload))
        try:
            await asyncio.wait({reading}, timeout=self._timeout_s)
        finally:
            late = not reading.done()
            if late:
                await _give_up(reading)  # also where the request that waits has a shorter time-out
        if late:
            raise ConfigError(
                f"credentials were not read within {self._timeout_s:.0f} s; does the kubeconfig's "
                "exec plugin wait for input?"
            )
        context = reading.result()
        token = configuration.api_key.get("BearerToken")
        if token:
            _check_encrypted(configuration.host)
            configuration.api_key["BearerToken"] = token.strip()  # a file ends in a line break
        self.configuration, self.context = configuration, clean_name(context)
        self.generation += 1
        self.reread_failure = ""


def _check_encrypted(server: str) -> None:
    """Raises ConfigError if a token would be sent to this server in clear, over a network."""
    parts = urlsplit(server)
    if parts.scheme == "http" and not _is_this_machine(parts.hostname or ""):
        raise ConfigError(
            f"{clean_name(parts.hostname or server)} is asked without encryption (http://), and the"
            " token of this context could be read on the way: write https:// in the kubeconfig"
        )


def _is_this_machine(host: str) -> bool:
    with suppress(ValueError):
        return host == "localhost" or ip_address(host).is_loopback
    return False


async def _give_up(reading: asyncio.Future[str]) -> None:
    """End a login that takes too long. One that waits for a plugin ends with it, once it has read
    the plugin's pipes to their end; cancelled before that, it would leave them open.
    """
    if end_plugins():
        await asyncio.wait({reading}, timeout=PLUGIN_END_S)
    reading.cancel()
    await asyncio.wait({reading})
    if not reading.cancelled():
        reading.exception()  # of an answer that came too late; the caller says so


def _login_for(settings: KubernetesSettings) -> Login:
    """The login by the first that exists, as kubectl: fleet file, KUBECONFIG, ~/.kube, our pod."""
    if settings.kubeconfig is not None:
        return kubeconfig(str(Path(settings.kubeconfig).expanduser()), settings.context)
    paths = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    if settings.context is not None or os.environ.get("KUBECONFIG") or Path(paths).exists():
        return kubeconfig(paths, settings.context)
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return in_cluster()
    raise ConfigError(
        f"no cluster was found: {paths} does not exist, and this process does not run in a pod; "
        "name a kubeconfig with --kubeconfig or in KUBECONFIG"
    )


def kubeconfig(paths: str, context: str | None) -> Login:
    """A login by a kubeconfig, or by several joined by ':'; None is the current context."""
    kept: Any = None  # the official loader, which knows when an exec plugin's token expires

    async def login(configuration: Configuration, reload: bool) -> str:
        nonlocal kept
        from kubernetes.aio import config

        if not _any_exists(paths):
            raise ConfigError(
                f"{clean_name(paths)}: there is no such kubeconfig; name another with "
                "--kubeconfig or in KUBECONFIG"
            )
        try:
            if kept is not None and not reload:
                await kept.load_and_set(configuration)
            else:
                kept = await config.load_kube_config(
                    config_file=paths,
                    context=context,
                    client_configuration=configuration,
                    persist_config=False,
                )
            return str(kept.current_context["name"])
        except (
            config.ConfigException,
            yaml.YAMLError,
            OSError,
            LookupError,
            TypeError,  # what the loader raises where the file is no kubeconfig
            ValueError,
            AttributeError,
        ) as error:
            hint = "" if context is None else "; `kubectl config get-contexts` lists its contexts"
            raise ConfigError(f"{clean_name(paths)}: {shortened(str(error))}{hint}") from error

    return login


def _any_exists(paths: str) -> bool:
    return any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep) if path)


def in_cluster(account: str = "/var/run/secrets/kubernetes.io/serviceaccount") -> Login:
    """A login by the ServiceAccount of the pod we run in, mounted in the folder `account`."""
    token_file, ca_file = str(Path(account) / "token"), str(Path(account) / "ca.crt")

    async def login(configuration: Configuration, _anew: bool) -> str:
        from kubernetes.aio import config
        from kubernetes.aio.config.incluster_config import InClusterConfigLoader

        loader = InClusterConfigLoader(token_file, ca_file, try_refresh_token=False)
        try:
            loader.load_and_set(configuration)
        except (config.ConfigException, OSError) as error:
            raise ConfigError(
                f"in-cluster configuration: {shortened(str(error))} ({token_file}); is "
                "automountServiceAccountToken off?"
            ) from error
        return IN_CLUSTER

    return login


def environment_proxy(url: str) -> str | None:
    """The proxy for this address by HTTP(S)_PROXY and NO_PROXY, as Go has it; None on loopback."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if _is_this_machine(host):
        return None
    if urllib.request.proxy_bypass(f"{host}:{parts.port}" if parts.port else host):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def trust_new_certificate(context: ssl.SSLContext, configuration: Configuration) -> None:
    """Make new connections use the client certificate that is on disk now. Raises ConfigError."""
    if not configuration.cert_file:
        return
    try:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    except (OSError, ssl.SSLError) as error:
        path = clean_name(configuration.cert_file)
        raise ConfigError(f"client certificate {path}: {shortened(str(error))}") from error

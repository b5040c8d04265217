"""What a check gets to look at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from controller.kube.client import Client
from controller.kube.errors import ConfigError
from controller.model.fleet import Pool
from controller.model.settings import Settings
from controller.nats.session import NatsSession
from controller.ports.clock import Clock

CHECK_S: Final = 5.0
"""How long a check may take."""


class Patient(NamedTuple):
    """A fleet, its connections, and the clock by which it runs."""

    settings: Settings
    cluster: Client | ConfigError
    session: NatsSession
    clock: Clock

    @property
    def client(self) -> Client:
        """The cluster's API. Raises ConfigError where no configuration leads to one."""
        if isinstance(self.cluster, ConfigError):
            raise self.cluster
        return self.cluster

    @property
    def pools(self) -> tuple[Pool, ...]:
        """The fleet's pools."""
        return self.settings.fleet.pools

    def namespaces(self) -> Iterator[tuple[str, list[Pool]]]:
        """Each namespace that has pools, with them."""
        for namespace in dict.fromkeys(pool.namespace for pool in self.pools):
            yield namespace, [pool for pool in self.pools if pool.namespace == namespace]

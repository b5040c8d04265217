"""Names, checked once where they enter: a pool is `tenant/name` everywhere."""

from __future__ import annotations

import re
from typing import Final, NewType

PoolKey = NewType("PoolKey", str)

DNS_LABEL_LENGTH: Final = 63
_DNS_LABEL: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?\Z")
_DNS_SUBDOMAIN: Final = re.compile(r"[a-z0-9](?:[-.a-z0-9]*[a-z0-9])?\Z")
# what JetStream refuses in a stream's or consumer's name (ADR-6), and what would leave a subject's
# token
_NATS_NAME: Final = re.compile(r"[^\s.*>/\\\x00-\x1f\x7f]{1,255}\Z")


def pool_key(tenant: str, name: str) -> PoolKey:
    """`tenant/name`, the address of a pool."""
    return PoolKey(f"{tenant}/{name}")


def dns_label(name: str) -> str:
    """The name itself, if it is a DNS label. Raises ValueError."""
    if len(name) > DNS_LABEL_LENGTH or not _DNS_LABEL.match(name):
        raise ValueError("must be a DNS label: at most 63 of a-z, 0-9 and -, no - at either end")
    return name


def dns_subdomain(name: str) -> str:
    """The name itself, if Kubernetes takes it as a Deployment's name. Raises ValueError."""
    if len(name) > 253 or not _DNS_SUBDOMAIN.match(name):
        raise ValueError(
            "must be a DNS subdomain: at most 253 of a-z, 0-9, - and ., no - or . at either end"
        )
    return name


def nats_name(name: str) -> str:
    """The name itself, if JetStream takes it for a stream or a consumer. Raises ValueError."""
    if not _NATS_NAME.match(name):
        raise ValueError("must be 1 to 255 characters without spaces, '.', '*', '>', '/' and '\\'")
    return name

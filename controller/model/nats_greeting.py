"""What a NATS server says first, before it is sent anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

NO_TLS: Final = "TLS: the server offers none; nothing was sent to it"


def offers_tls(info: Mapping[str, Any]) -> bool:
    """Whether a connection can go on with TLS. nats-py sends plain text to a server that does not
    require it, even to a `tls://` URL.
    """
    return bool(info.get("tls_available") or info.get("tls_required"))

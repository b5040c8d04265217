"""A client of the demo's provider: the openai package, as any agent uses it."""

from __future__ import annotations

import ssl

from openai import AsyncOpenAI, DefaultAsyncHttpxClient


def provider_client(url: str) -> AsyncOpenAI:
    """A client that leaves retries to its caller. It speaks plain HTTP on loopback, so it loads no
    certificates.
    """
    return AsyncOpenAI(
        base_url=url,
        api_key="demo",
        max_retries=0,
        http_client=DefaultAsyncHttpxClient(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)),
    )

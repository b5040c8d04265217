"""A provider of language models for the demo: OpenAI's chat completions over HTTP, with a limit on
requests per minute for each model.

As with real providers a request is admitted or refused at once, never queued; a refused one says
when to come again, and it counts against the limit too.
"""

from __future__ import annotations

import asyncio
import math
import random
import ssl
import time
from collections.abc import Iterable
from typing import Annotated, Any, Final, Self

import msgspec
from aiohttp import web
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

MINUTE_S: Final = 60.0
SHUTDOWN_S: Final = 1.0
RIGHT, WRONG = "OK", "UNSURE"
CHARACTERS_PER_TOKEN: Final = 4
DEFAULT_MOST_TOKENS: Final = 1_024
_HOST: Final = "127.0.0.1"


class ProviderModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model: its limit (None: none), its speed, and how good it is.

    - `burst`: requests that may come at once.
    - `first_token_s`, `tokens_per_s`: how long an answer takes.
    - `skill`: the part of its answers that are right.
    """

    name: str
    requests_per_minute: float | None = None
    burst: int = 1
    first_token_s: float = 0.4
    tokens_per_s: float = 80.0
    skill: float = 1.0


class ModelAdmission:
    """What one model admits now: a bucket of requests that fills steadily. Times are seconds of any
    steady clock.
    """

    def __init__(self, model: ProviderModel) -> None:
        self._per_s = (model.requests_per_minute or math.inf) / MINUTE_S
        self._holds = self._level = float(model.burst)
        self._at = -math.inf
        self.admitted = self.refused = 0

    def enter(self, now: float) -> float | None:
        """Admit a request, or say after how many seconds to come again."""
        if math.isinf(self._per_s):
            self._level = self._holds
        elif self._at > -math.inf:
            self._level = min(self._level + (now - self._at) * self._per_s, self._holds)
        self._at = now
        if self._level >= 1 - 1e-9:
            self._level -= 1
            self.admitted += 1
            return None
        self.refused += 1
        self._level = 0.0  # what it has taken is missing when it comes again
        return 1 / self._per_s


class _Message(msgspec.Struct):
    content: str = ""


class _Asked(msgspec.Struct):
    """The body of a request, as far as it is read."""

    model: str
    messages: Annotated[list[_Message], msgspec.Meta(min_length=1)]
    max_completion_tokens: Annotated[int, msgspec.Meta(ge=1)] = DEFAULT_MOST_TOKENS

    def input_tokens(self) -> int:
        """The tokens of all messages, by the rule of thumb."""
        letters = sum(len(message.content) for message in self.messages)
        return len(self.messages) + letters // CHARACTERS_PER_TOKEN


class DemoProvider:
    """A provider of these models on a loopback port. Use it with `async with`."""

    def __init__(
        self, models: Iterable[ProviderModel], *, speed: float = 1.0, seed: int = 0
    ) -> None:
        """`speed` divides the times that answers take, not the limits per minute."""
        self._models = {model.name: model for model in models}
        self.admissions = {name: ModelAdmission(model) for name, model in self._models.items()}
        self._speed, self._rng, self._port, self._answers = speed, random.Random(seed), 0, 0
        self._runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        """The base URL for a client, once the server runs."""
        return f"http://{_HOST}:{self._port}/v1"

    async def __aenter__(self) -> Self:
        """Serve."""
        server = web.Server(self._handle, handler_cancellation=True)
        self._runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_S)
        await self._runner.setup()
        await web.TCPSite(self._runner, _HOST, 0).start()
        self._port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop serving; requests under way are cut."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        if (request.method, request.path) != ("POST", "/v1/chat/completions"):
            return _refuse(404, f"there is no {request.method} {request.path}")
        try:
            asked = msgspec.json.decode(await request.read(), type=_Asked)
        except msgspec.DecodeError as error:
            return _refuse(400, f"the body cannot be read: {error}")
        model = self._models.get(asked.model)
        if model is None:
            return _refuse(404, f"the model {asked.model!r} does not exist")
        wait_s = self.admissions[model.name].enter(time.monotonic())
        if wait_s is not None:
            return _too_many(model, wait_s)
        most = asked.max_completion_tokens
        words = self._rng.randint(max(1, most // 4), most)
        text = RIGHT if self._rng.random() < model.skill else WRONG
        await asyncio.sleep((model.first_token_s + words / model.tokens_per_s) / self._speed)
        return _json(200, self._answer(asked, text, words))

    def _answer(self, asked: _Asked, text: str, words: int) -> dict[str, Any]:
        self._answers += 1
        message = {"role": "assistant", "content": text}
        used = asked.input_tokens()
        return {
            "id": f"chatcmpl-{self._answers}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": asked.model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {
                "prompt_tokens": used,
                "completion_tokens": words,
                "total_tokens": used + words,
                "prompt_tokens_details": {"cached_tokens": 0},
            },
        }


def provider_client(url: str) -> AsyncOpenAI:
    """A client of the provider as any agent has one, which leaves retries to its caller. It speaks
    plain HTTP on loopback, so it loads no certificates.
    """
    return AsyncOpenAI(
        base_url=url,
        api_key="demo",
        max_retries=0,
        http_client=DefaultAsyncHttpxClient(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)),
    )


def _json(
    status: int, value: dict[str, Any], headers: dict[str, str] | None = None
) -> web.Response:
    body = msgspec.json.encode(value)
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def _error(message: str, kind: str, code: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _refuse(status: int, message: str) -> web.Response:
    return _json(status, _error(message, "invalid_request_error", None))


def _too_many(model: ProviderModel, wait_s: float) -> web.Response:
    """429 with Retry-After: whole seconds, rounded up, and exact milliseconds beside them."""
    message = (
        f"Rate limit reached for {model.name}: {model.requests_per_minute:g} requests per minute. "
        f"Please try again in {wait_s:.3f}s."
    )
    headers = {
        "Retry-After": str(math.ceil(wait_s)),
        "Retry-After-Ms": str(math.ceil(wait_s * 1000)),
    }
    return _json(429, _error(message, "requests", "rate_limit_exceeded"), headers)

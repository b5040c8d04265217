"""The HTTP server: `POST /v1/chat/completions`, streamed or not, and `GET /v1/models`."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Iterable
from typing import Any, Final, Self

import msgspec
from aiohttp import web

from agentdash.demo.provider.admission import ModelAdmission, ProviderModel, Refusal
from agentdash.demo.provider.wire import ChatAnswer, ChatRequest, error_body

CHUNKS: Final = 8
"""A streamed answer comes in so many parts."""
SHUTDOWN_S: Final = 1.0
RIGHT, WRONG = "OK", "UNSURE"
_HOST: Final = "127.0.0.1"
_REASONS: Final = {
    "requests": ("requests", "requests per minute"),
    "tokens": ("tokens", "tokens per minute"),
    "parallel": ("requests", "requests at the same time"),
}


class DemoProvider:
    """A provider of these models on a loopback port. Use it with `async with`."""

    def __init__(
        self, models: Iterable[ProviderModel], *, speed: float = 1.0, seed: int = 0, port: int = 0
    ) -> None:
        """`speed` divides the times that answers take, not the limits per minute. Port 0 takes a
        free one.
        """
        self._models = {model.name: model for model in models}
        self._admissions = {name: ModelAdmission(model) for name, model in self._models.items()}
        self._speed, self._port = speed, port
        self._rng = random.Random(seed)
        self._numbers = 0
        self._runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        """The base URL for a client, once the server runs."""
        return f"http://{_HOST}:{self._port}/v1"

    def refused(self) -> int:
        """How many requests were refused by a limit (429)."""
        return sum(each.refused.total() for each in self._admissions.values())

    def admitted(self) -> int:
        """How many requests were admitted."""
        return sum(each.admitted for each in self._admissions.values())

    async def __aenter__(self) -> Self:
        """Serve. Raises OSError if the port cannot be had."""
        server = web.Server(self._handle, handler_cancellation=True)
        self._runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_S)
        await self._runner.setup()
        await web.TCPSite(self._runner, _HOST, self._port).start()
        self._port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop serving; requests under way are cut."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        match request.method, request.path:
            case "POST", "/v1/chat/completions":
                return await self._complete(request)
            case "GET", "/v1/models":
                models = [{"id": name, "object": "model"} for name in self._models]
                return _json(200, {"object": "list", "data": models})
            case _:
                return _refuse(404, f"there is no {request.method} {request.path}")

    async def _complete(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            asked = msgspec.json.decode(await request.read(), type=ChatRequest)
        except msgspec.DecodeError as error:
            return _refuse(400, f"the body cannot be read: {error}")
        model = self._models.get(asked.model)
        if model is None:
            return _refuse(404, f"the model {asked.model!r} does not exist", "model_not_found")
        admission = self._admissions[model.name]
        estimate = asked.input_tokens() + asked.most_output_tokens()
        refusal = admission.enter(estimate, time.monotonic())
        if refusal is not None:
            return _too_many(model, refusal)
        used = asked.input_tokens()
        try:
            answer = self._answer(asked, model)
            response = await self._send(request, asked, model, answer)
            used += answer.output_tokens
        finally:
            admission.leave(estimate, used)
        return response

    def _answer(self, asked: ChatRequest, model: ProviderModel) -> ChatAnswer:
        self._numbers += 1
        most = asked.most_output_tokens()
        is_right = self._rng.random() < model.skill
        words = self._rng.randint(max(1, most // 4), most)
        return ChatAnswer(
            id=f"chatcmpl-{self._numbers}",
            model=model.name,
            created=int(time.time()),
            text=RIGHT if is_right else WRONG,
            input_tokens=asked.input_tokens(),
            output_tokens=words,
        )

    async def _send(
        self, request: web.BaseRequest, asked: ChatRequest, model: ProviderModel, answer: ChatAnswer
    ) -> web.StreamResponse:
        writing_s = answer.output_tokens / model.tokens_per_s / self._speed
        await asyncio.sleep(model.first_token_s / self._speed)
        if not asked.stream:
            await asyncio.sleep(writing_s)
            return _json(200, answer.whole())
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(_event(answer.chunk({"role": "assistant", "content": answer.text})))
        for _ in range(CHUNKS):
            await asyncio.sleep(writing_s / CHUNKS)
            await response.write(_event(answer.chunk({"content": " …"})))
        await response.write(_event(answer.chunk({}, "stop")))
        if asked.stream_options is not None and asked.stream_options.include_usage:
            await response.write(_event(answer.usage_chunk()))
        await response.write(b"data: [DONE]\n\n")
        return response


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def _json(
    status: int, value: dict[str, Any], headers: dict[str, str] | None = None
) -> web.Response:
    return web.Response(
        status=status,
        body=msgspec.json.encode(value),
        content_type="application/json",
        headers=headers,
    )


def _refuse(status: int, message: str, code: str | None = None) -> web.Response:
    return _json(status, error_body(message, "invalid_request_error", code))


def _too_many(model: ProviderModel, refusal: Refusal) -> web.Response:
    """429 with Retry-After: whole seconds, rounded up, and exact milliseconds beside them."""
    kind, what = _REASONS[refusal.limit]
    limits = {
        "requests": model.requests_per_minute,
        "tokens": model.tokens_per_minute,
        "parallel": model.parallel,
    }
    message = (
        f"Rate limit reached for {model.name}: {limits[refusal.limit]:g} {what}. "
        f"Please try again in {refusal.retry_after_s:.3f}s."
    )
    headers = {
        "Retry-After": str(math.ceil(refusal.retry_after_s)),
        "Retry-After-Ms": str(math.ceil(refusal.retry_after_s * 1000)),
    }
    return _json(429, error_body(message, kind, "rate_limit_exceeded"), headers)

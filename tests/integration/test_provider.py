"""The demo's provider, spoken to by the openai package over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError, RateLimitError
from openai.types.chat import ChatCompletionMessageParam

from agentdash.demo.agents import DemoProvider, ProviderModel, provider_client

ASKED: list[ChatCompletionMessageParam] = [{"role": "user", "content": "x" * 400}]
MODELS = (
    ProviderModel(name="free"),
    ProviderModel(name="scarce", requests_per_minute=30),
    ProviderModel(name="weak", skill=0.0),
)


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    async with DemoProvider(MODELS, speed=1000, seed=1) as running:
        yield running


@pytest.fixture
async def client(provider: DemoProvider) -> AsyncIterator[AsyncOpenAI]:
    async with provider_client(provider.url) as made:
        yield made


async def test_an_answer_says_what_it_used(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="free", messages=ASKED, max_completion_tokens=50
    )
    assert answer.choices[0].message.content == "OK"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 101
    assert 12 <= answer.usage.completion_tokens <= 50


async def test_a_limit_is_a_429_with_the_time_to_come_again(
    client: AsyncOpenAI, provider: DemoProvider
) -> None:
    await client.chat.completions.create(model="scarce", messages=ASKED)
    with pytest.raises(RateLimitError, match="30 requests per minute") as refused:
        await client.chat.completions.create(model="scarce", messages=ASKED)
    headers = refused.value.response.headers
    assert int(headers["retry-after"]) == 2
    assert 1000 < int(headers["retry-after-ms"]) <= 2000
    assert refused.value.code == "rate_limit_exceeded"
    found = provider.admissions["scarce"]
    assert (found.admitted, found.refused) == (1, 1)


async def test_a_weak_model_is_not_right(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="weak", messages=ASKED)
    assert answer.choices[0].message.content == "UNSURE"


async def test_mistakes_of_a_client_are_named(client: AsyncOpenAI) -> None:
    with pytest.raises(NotFoundError, match="'nothing' does not exist"):
        await client.chat.completions.create(model="nothing", messages=ASKED)
    with pytest.raises(BadRequestError, match="cannot be read"):
        await client.chat.completions.create(model="free", messages=[])

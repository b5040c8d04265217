"""What a client of OpenAI's chat completions sends and gets, as far as the demo needs it."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

CHARACTERS_PER_TOKEN: Final = 4
DEFAULT_MOST_TOKENS: Final = 1_024


class ChatMessage(msgspec.Struct):
    """One message; `content` is text or a list of parts."""

    role: str
    content: str | list[Any] | None = None


class StreamOptions(msgspec.Struct):
    """With `include_usage` the last chunk says the tokens."""

    include_usage: bool = False


class ChatRequest(msgspec.Struct):
    """The body of a request. Other fields are ignored."""

    model: str
    messages: Annotated[list[ChatMessage], msgspec.Meta(min_length=1)]
    max_completion_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None

    def input_tokens(self) -> int:
        """The tokens of all messages, by the rule of thumb."""
        letters = sum(len(str(message.content or "")) for message in self.messages)
        return len(self.messages) + letters // CHARACTERS_PER_TOKEN

    def most_output_tokens(self) -> int:
        """The most that the answer may have."""
        return self.max_completion_tokens or self.max_tokens or DEFAULT_MOST_TOKENS


class ChatAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer before it is written: its text and its tokens."""

    id: str
    model: str
    created: int
    text: str
    input_tokens: int
    output_tokens: int

    def usage(self) -> dict[str, Any]:
        """The tokens, as OpenAI spells them."""
        return {
            "prompt_tokens": self.input_tokens,
            "completion_tokens": self.output_tokens,
            "total_tokens": self.input_tokens + self.output_tokens,
            "prompt_tokens_details": {"cached_tokens": 0},
        }

    def whole(self) -> dict[str, Any]:
        """The answer as one object."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": self.text},
            "finish_reason": "stop",
        }
        head = self._head("chat.completion")
        return head | {"choices": [choice], "usage": self.usage()}

    def chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        """One part of a streamed answer."""
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return self._head("chat.completion.chunk") | {"choices": [choice]}

    def usage_chunk(self) -> dict[str, Any]:
        """The last part of a streamed answer, with the tokens of all of it."""
        return self._head("chat.completion.chunk") | {"choices": [], "usage": self.usage()}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def error_body(message: str, kind: str, code: str | None) -> dict[str, Any]:
    """An error, as OpenAI spells it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}

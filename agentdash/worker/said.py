"""What an agent says is checked where it says it: before anything is counted or stored."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from controller.model.text import clean, quote
from controller.model.worker_messages import UsedTokens

LONGEST_PAUSE_S: Final = 7 * 86_400.0
Usd = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Pause = Annotated[float, msgspec.Meta(ge=0, le=LONGEST_PAUSE_S)]
ContextTokens = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
Name = Annotated[str, msgspec.Meta(max_length=256)]


def said(what: str, value: object, kind: Any) -> Any:
    """The value as this type of msgspec has it. Raises ValueError: `what` names it."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"{what} cannot be {quote(value)}: {clean(error)}") from None


def said_tokens(tokens: UsedTokens) -> UsedTokens:
    """The tokens, if a usage event may have them. Raises ValueError."""
    if not isinstance(tokens, UsedTokens):
        raise ValueError(f"tokens must be UsedTokens, not {type(tokens).__name__}")  # noqa: TRY004
    checked: UsedTokens = said("tokens", msgspec.structs.asdict(tokens), UsedTokens)
    return checked

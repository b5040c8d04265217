"""What a newer version would write: every struct with a field that is unknown here."""

from __future__ import annotations

from msgspec import UNSET, Struct

NEW = {"new": {"field": [1, None]}}


def grown(value: object) -> object:
    """The value in plain data, with a field more in every struct of it."""
    match value:
        case Struct():
            pairs = ((name, getattr(value, name)) for name in value.__struct_fields__)
            found = {name: grown(each) for name, each in pairs if each is not UNSET}
            config = value.__struct_config__
            tag = {} if config.tag_field is None else {config.tag_field: config.tag}
            return tag | found | NEW
        case dict():
            return {name: grown(each) for name, each in value.items()}
        case tuple() if not hasattr(value, "_fields"):
            return [grown(each) for each in value]
    return value

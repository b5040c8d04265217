"""The JetStream error codes that the product uses.

Other constants of the wire format (headers, status codes, the prefix of the API) are in nats-py.
"""

from __future__ import annotations

from enum import IntEnum


class ErrorCode(IntEnum):
    """`err_code` of an answer (nats-server, server/errors.json)."""

    CONSUMER_NOT_FOUND = 10014
    MESSAGE_NOT_FOUND = 10037
    NOT_ENABLED_FOR_ACCOUNT = 10039
    STREAM_NAME_IN_USE = 10058
    STREAM_NOT_FOUND = 10059
    WRONG_LAST_SEQUENCE = 10071
    NOT_ENABLED = 10076
    WRONG_LAST_SEQUENCE_CONSTANT = 10164

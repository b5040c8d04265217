"""The API's refusals: an exception that carries a Kubernetes Status, and a constructor for each.

StatusError
├── 400 bad_request      404 not_found, no_such_path      409 already_exists, conflict
├── 401 unauthorized     410 expired                      415 unsupported_media_type
├── 403 forbidden        422 invalid                      429 too_many_requests
└── 500 internal         504 too_large_version
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentdash.demo.kubesim.resources import Resource


@dataclass(frozen=True, slots=True)
class Cause:
    """What is wrong with one field, in an Invalid answer."""

    reason: str
    message: str
    field: str = ""

    def as_json(self) -> dict[str, str]:
        """The cause as `details.causes` has it."""
        shown = {"reason": self.reason, "message": self.message}
        return shown | {"field": self.field} if self.field else shown


def invalid_value(field: str, shown: str, why: str) -> Cause:
    """`Invalid value`; `shown` is the value as Go prints it, with quotes."""
    return Cause("FieldValueInvalid", f"Invalid value: {shown}: {why}", field)


def required_value(field: str, why: str = "") -> Cause:
    """`Required value`, with a reason where the real server gives one."""
    return Cause("FieldValueRequired", "Required value" + (f": {why}" if why else ""), field)


class StatusError(Exception):
    """An answer other than success, with the Status the real server sends."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        *,
        retry_after: int | None = None,
        continue_token: str = "",
        plain: bool = False,
    ) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message
        self.details, self.retry_after = details, retry_after
        self.continue_token, self.plain = continue_token, plain

    def status(self) -> dict[str, Any]:
        """The body: a Status without empty keys."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {"continue": self.continue_token} if self.continue_token else {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = dict(self.details)
        return body | {"code": self.code}


def success(details: Mapping[str, Any] | None = None, code: int | None = None) -> dict[str, Any]:
    """The Status of a deletion or an eviction that succeeded."""
    body: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
    }
    if details is not None:
        body["details"] = dict(details)
    if code is not None:
        body["code"] = code
    return body


def details_of(resource: Resource, name: str = "", subresource: str = "") -> dict[str, str]:
    """`details` with name, group and kind, which is the resource's plural here."""
    kind = f"{resource.plural}/{subresource}" if subresource else resource.plural
    shown = {"name": name, "group": resource.group, "kind": kind}
    return {key: value for key, value in shown.items() if value}


def not_found(resource: Resource, name: str) -> StatusError:
    """404 for an object."""
    message = f'{resource.qualified} "{name}" not found'
    return StatusError(404, "NotFound", message, details_of(resource, name))


def no_such_path() -> StatusError:
    """404 for a path of no group: plain text, not a Status."""
    return StatusError(404, "", "404 page not found\n", plain=True)


def method_not_allowed() -> StatusError:
    """405 for a verb that a resource does not have."""
    message = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", message, {})


def already_exists(resource: Resource, name: str) -> StatusError:
    """409 for a second creation."""
    message = f'{resource.qualified} "{name}" already exists'
    return StatusError(409, "AlreadyExists", message, details_of(resource, name))


def conflict(resource: Resource, name: str, why: str = "", subresource: str = "") -> StatusError:
    """409 for a stale version, or `why` where another precondition failed."""
    why = why or (
        "the object has been modified; please apply your changes to the latest version "
        "and try again"
    )
    qualified = resource.qualified
    if subresource:
        group = f".{resource.group}" if resource.group else ""
        qualified = f"{resource.plural}/{subresource}{group}"
    message = f'Operation cannot be fulfilled on {qualified} "{name}": {why}'
    return StatusError(409, "Conflict", message, details_of(resource, name, subresource))


def invalid(kind: str, group: str, name: str, causes: Sequence[Cause]) -> StatusError:
    """422 with every cause; several are listed in brackets, as the real server does."""
    shown = [f"{cause.field}: {cause.message}" for cause in causes]
    text = shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]"
    qualified = f"{kind}.{group}" if group else kind
    details: dict[str, Any] = {"name": name, "group": group, "kind": kind}
    details = {key: value for key, value in details.items() if value}
    details["causes"] = [cause.as_json() for cause in causes]
    return StatusError(422, "Invalid", f'{qualified} "{name}" is invalid: {text}', details)


def bad_request(message: str) -> StatusError:
    """400 with the parser's message."""
    return StatusError(400, "BadRequest", message)


def unauthorized() -> StatusError:
    """401 for a token that was not issued, or that has expired."""
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(resource: Resource, name: str, why: str) -> StatusError:
    """403 for one object or, with no name, for the collection."""
    shown = f'{resource.qualified} "{name}"' if name else resource.qualified
    return StatusError(403, "Forbidden", f"{shown} is forbidden: {why}", details_of(resource, name))


def unsupported_media_type() -> StatusError:
    """415 for a patch of an unknown kind."""
    return StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})


def rejected_patch() -> StatusError:
    """422 for a JSON patch whose test failed or whose path does not exist."""
    message = "the server rejected our request due to an error in our request"
    return StatusError(422, "Invalid", message, {})


def expired(message: str, continue_token: str = "") -> StatusError:
    """410 for a version that is no longer kept."""
    return StatusError(410, "Expired", message, continue_token=continue_token)


def too_large_version(asked: int, current: int) -> StatusError:
    """504 for a version that does not exist yet."""
    details = {
        "causes": [
            Cause("ResourceVersionTooLarge", "Too large resource version").as_json(),
        ],
        "retryAfterSeconds": 1,
    }
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    return StatusError(504, "Timeout", message, details, retry_after=1)


def internal(message: str) -> StatusError:
    """500 without a reason, which the real server answers where it has none."""
    return StatusError(500, "", message)

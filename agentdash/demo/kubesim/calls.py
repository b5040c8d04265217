"""One request as the API understands it: what its path names, its verb, and the form of answer that
the client accepts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote

import msgspec

from agentdash.demo.kubesim.errors import StatusError, bad_request
from agentdash.demo.kubesim.resources import BY_PATH, Resource

Form = Literal["object", "table", "metadata"]
JSON = "application/json"
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
_NO_CACHE = {"Cache-Control": "no-cache, private"}


@dataclass(frozen=True, slots=True)
class CallTarget:
    """What a path names. `resource` is None where the path is not one of an object."""

    resource: Resource | None = None
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    template: str = ""


def locate(path: str) -> CallTarget:
    """What a raw path names: /api/v1/... or /apis/GROUP/VERSION/..., namespaced or not."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest, prefix = "", parts[1], parts[2:], f"/api/{parts[1]}"
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
        prefix = f"/apis/{group}/{version}"
    else:
        return CallTarget(template=path)
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and (group, version, rest[2]) in BY_PATH:
        namespace, rest, prefix = rest[1], rest[2:], f"{prefix}/namespaces/{{namespace}}"
    resource = BY_PATH.get((group, version, rest[0]))
    if resource is None or len(rest) > 3:
        return CallTarget(template=path)
    if namespace and not resource.namespaced:
        return CallTarget(template=path)
    name = rest[1] if len(rest) > 1 else ""
    sub = rest[2] if len(rest) > 2 else ""
    template = f"{prefix}/{rest[0]}" + ("/{name}" if name else "") + (f"/{sub}" if sub else "")
    return CallTarget(resource, namespace, name, sub, template)


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One request."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    target: CallTarget

    @property
    def verb(self) -> str:
        """The verb as RBAC names it: get, list, watch, create, update, patch, delete..."""
        if self.method in {"GET", "HEAD"}:
            if self.target.resource is None or self.target.name:
                return "watch" if self.is_watch and self.target.resource else "get"
            return "watch" if self.is_watch else "list"
        if self.method == "DELETE":
            return "delete" if self.target.name else "deletecollection"
        return _VERBS.get(self.method, self.method.lower())

    @property
    def is_watch(self) -> bool:
        """Whether the query asks for a watch."""
        return self.flag("watch")

    def flag(self, name: str) -> bool:
        """A boolean of the query."""
        return self.query.get(name, "").lower() in {"1", "true", "t"}

    def number(self, name: str, default: int) -> int:
        """A whole number of the query; raises StatusError 400."""
        text = self.query.get(name) or str(default)
        try:
            return int(text)
        except ValueError:
            words = f'strconv.ParseInt: parsing "{text}": invalid syntax'
            raise bad_request(words) from None

    @property
    def manager(self) -> str:
        """The field manager: the one given, else the client's name, else unknown."""
        agent = self.headers.get("User-Agent", "")
        return self.query.get("fieldManager") or agent.partition("/")[0] or "unknown"

    @property
    def form(self) -> Form:
        """The form of answer that the client prefers; raises StatusError 406."""
        accept = self.headers.get("Accept") or "*/*"
        for choice in accept.split(","):
            kind, *parameters = (part.strip() for part in choice.split(";"))
            if kind not in {JSON, "*/*", "application/*"}:
                continue
            wanted = dict(part.partition("=")[::2] for part in parameters)
            if wanted.get("as") == "Table" and wanted.get("v") == "v1":
                return "table"
            if wanted.get("as") in {"PartialObjectMetadata", "PartialObjectMetadataList"}:
                return "metadata"
            if "as" not in wanted:
                return "object"
        words = "only the following media types are accepted: application/json"
        raise StatusError(406, "NotAcceptable", words, {})

    def decoded(self) -> Any:
        """The body as JSON values, None when it is empty; raises StatusError 400 or 415."""
        kind = self.headers.get("Content-Type", JSON).partition(";")[0].strip()
        if self.body and kind not in {JSON, "application/yaml"}:
            raise StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
        try:
            return msgspec.json.decode(self.body) if self.body else None
        except msgspec.DecodeError as error:
            words = f"couldn't get version/kind; json parse error: {error}"
            raise bad_request(words) from error


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A complete answer."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] | None = None


def answer(
    status: int, body: Mapping[str, Any] | bytes, warnings: tuple[str, ...] = ()
) -> HttpAnswer:
    """A JSON answer, with the Warning headers of a lenient decoder."""
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    headers = dict(_NO_CACHE)
    if warnings:
        quoted = (msgspec.json.encode(text).decode() for text in warnings)
        headers["Warning"] = ", ".join(f"299 - {text}" for text in quoted)
    return HttpAnswer(status, raw, JSON, headers)


def text_answer(status: int, text: str) -> HttpAnswer:
    """A plain text answer, for health checks and unknown paths."""
    return HttpAnswer(status, text.encode(), "text/plain; charset=utf-8", dict(_NO_CACHE))


def refusal(error: StatusError) -> HttpAnswer:
    """The answer that a StatusError stands for."""
    if error.plain:
        return text_answer(error.code, error.message)
    made = answer(error.code, error.status())
    if error.retry_after is None:
        return made
    headers = {**(made.headers or {}), "Retry-After": str(error.retry_after)}
    return HttpAnswer(made.status, made.body, made.content_type, headers)

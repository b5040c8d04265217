"""What a connection to a NATS server is made with, and why there can be none."""

from __future__ import annotations

import re
import ssl
from typing import Any, Final, TypedDict

import nkeys
from nats.aio.client import RawCredentials

from controller.model.servers import NO_TLS, offers_tls
from controller.model.settings import (
    NatsCredentials,
    NatsSettings,
    NatsTls,
    Secret,
    SecretUnreadableError,
)
from controller.model.text import clean

OLDEST: Final = (2, 10)
"""Older servers silently ignore `filter_subjects`, so a part of the queue would not be counted."""
_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)(?:\.|\Z|-)")


class UnusableError(Exception):
    """No connection can be used. The message says why, and never a secret.

    UnusableError
    ├── UnsupportedVersionError   the server's version is too old or cannot be read
    ├── GreetingError             there can be no TLS; nothing secret was sent
    └── CredentialsError          a secret or certificate cannot be used
    """


class UnsupportedVersionError(UnusableError):
    """The server's version is too old or cannot be read."""


class GreetingError(UnusableError):
    """There can be no TLS; nothing secret was sent."""


class CredentialsError(UnusableError):
    """A secret or certificate cannot be used."""


def check_greeting(info: dict[str, Any], has_certificate: bool, *, require_tls: bool) -> None:
    """Look at what a server says of itself before anything is sent to it. Raises UnusableError."""
    version = info.get("version")
    match = _VERSION.match(version) if isinstance(version, str) else None
    wanted, shown = f"agentdash needs {OLDEST[0]}.{OLDEST[1]} or newer", clean(version, 40)
    if match is None:
        raise UnsupportedVersionError(f"NATS server of unknown version {shown}: {wanted}")
    if (int(match[1]), int(match[2])) < OLDEST:
        raise UnsupportedVersionError(f"NATS server {shown} is too old: {wanted}")
    if require_tls and not offers_tls(info):
        raise GreetingError(NO_TLS)
    if info.get("tls_verify") and not has_certificate:
        raise GreetingError("TLS: the server asks for a client certificate")


class Identity(TypedDict, total=False):
    """The options of `nats.aio.client.Client.connect` that prove who we are."""

    user: str
    password: str
    token: str
    nkeys_seed_str: str
    user_credentials: RawCredentials
    tls: ssl.SSLContext


def identity(settings: NatsSettings) -> Identity:
    """Read secrets and certificates, which may be replaced. Blocks. Raises CredentialsError."""
    try:
        options = _credentials(settings.credentials)
    except SecretUnreadableError as error:
        raise CredentialsError(str(error)) from None
    if settings.tls is not None:
        options["tls"] = _tls(settings.tls)
    return options


def _credentials(credentials: NatsCredentials) -> Identity:
    if credentials.creds is not None:
        return {"user_credentials": _creds(credentials.creds.read())}
    if credentials.nkey is not None:
        return {"nkeys_seed_str": _seed(credentials.nkey.read().reveal(), "the nkey seed")}
    if credentials.token is not None:
        return {"token": credentials.token.read().reveal()}
    if credentials.user is not None:
        password = credentials.password
        return {
            "user": credentials.user,
            "password": password.read().reveal() if password is not None else "",
        }
    return {}


def _creds(secret: Secret) -> RawCredentials:
    """The JWT and seed of a creds file, both looked for: without one nats-py reads for ever."""
    lines = [line.strip() for line in secret.reveal().splitlines()]
    for marker in ("BEGIN NATS USER JWT", "BEGIN USER NKEY SEED"):
        places = [number for number, line in enumerate(lines) if marker in line]
        if not places or not lines[places[0] + 1 : places[0] + 2]:
            raise CredentialsError(f"the creds file has no {marker.removeprefix('BEGIN ')}")
        if "SEED" in marker:
            _seed(lines[places[0] + 1], "the seed in the creds file")
    return RawCredentials("\n".join(lines) + "\n")


def _seed(seed: str, what: str) -> str:
    try:
        nkeys.from_seed(bytearray(seed.strip().encode())).wipe()
    except (nkeys.NkeysError, ValueError):
        raise CredentialsError(f"{what} is not an nkey seed") from None
    return seed


def _tls(tls: NatsTls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca)
    except (OSError, ssl.SSLError) as error:
        raise CredentialsError(f"{tls.ca}: {_reason(error)}") from None
    if tls.cert is not None:
        try:
            context.load_cert_chain(tls.cert, tls.key)
        except (OSError, ssl.SSLError) as error:
            where = tls.cert if tls.key is None else f"{tls.cert} with {tls.key}"
            raise CredentialsError(f"{where}: {_reason(error)}") from None
    return context


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "not a usable PEM certificate or key"
    return error.strerror or "cannot be read"

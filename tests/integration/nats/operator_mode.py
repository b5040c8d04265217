"""An operator, an account with JetStream and its users: what `nsc` makes, with nkeys alone."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from typing import Any

import nkeys

Claims = dict[str, Any]


class Operator:
    """Signs an account, a system account and users (JWT, claims version 2, ADR-14)."""

    def __init__(self) -> None:
        self._operator = _key(nkeys.PREFIX_BYTE_OPERATOR)
        self._account = _key(nkeys.PREFIX_BYTE_ACCOUNT)
        self._system = _key(nkeys.PREFIX_BYTE_ACCOUNT)

    def server_config(self) -> str:
        """The lines for nats-server's configuration file."""
        free = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
        base = {"subs": -1, "data": -1, "payload": -1, "conn": -1, "leaf": -1}
        limits = base | {"imports": -1, "exports": -1, "wildcards": True}
        account = {"type": "account", "version": 2, "limits": limits | free}
        system = {"type": "account", "version": 2, "limits": limits}
        system_id = _public(self._system)
        operator = {"type": "operator", "version": 2, "system_account": system_id}
        accounts = {
            _public(self._account): self._sign(self._operator, self._account, account),
            system_id: self._sign(self._operator, self._system, system),
        }
        preload = "\n".join(f"  {public}: {jwt}" for public, jwt in accounts.items())
        return (
            f"operator: {self._sign(self._operator, self._operator, operator)}\n"
            f"system_account: {system_id}\nresolver: MEMORY\nresolver_preload {{\n{preload}\n}}"
        )

    def creds(self) -> str:
        """A creds file for a new user of the account."""
        user = _key(nkeys.PREFIX_BYTE_USER)
        claims = {"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1}
        jwt = self._sign(self._account, user, claims)
        return (
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------"
        )

    def _sign(self, issuer: nkeys.KeyPair, subject: nkeys.KeyPair, nats: Claims) -> str:
        claims: Claims = {
            "iat": int(time.time()),
            "iss": _public(issuer),
            "sub": _public(subject),
            "name": nats["type"],
            "nats": nats,
        }
        digest = hashlib.sha256(json.dumps(claims).encode()).digest()
        claims["jti"] = base64.b32encode(digest).decode().rstrip("=")
        header = {"typ": "JWT", "alg": "ed25519-nkey"}
        body = f"{_encode(json.dumps(header).encode())}.{_encode(json.dumps(claims).encode())}"
        return f"{body}.{_encode(issuer.sign(body.encode()))}"


def _key(prefix: int) -> nkeys.KeyPair:
    return nkeys.from_seed(bytearray(nkeys.encode_seed(os.urandom(32), prefix)))


def _public(key: nkeys.KeyPair) -> str:
    return key.public_key.decode()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")

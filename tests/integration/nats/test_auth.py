"""Every kind of credentials, right and wrong, against the real server; no secret is ever shown."""

from __future__ import annotations

import logging
import os
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import nkeys
import pytest
from msgspec.structs import replace
from nats.aio.msg import Msg

from agentdash.worker import NatsLogin
from agentdash.worker.stores import NatsLink
from controller.engine.supervise import SystemClock
from controller.model.settings import NatsCredentials, NatsSettings, NatsTls, SecretRef
from controller.model.snapshot import LinkState
from controller.nats.jetstream import NatsDisconnectedError, NatsRefusedError, NatsTimeoutError
from controller.nats.session import NatsSession
from tests.integration.nats.conftest import Connect, Until
from tests.integration.nats.operator_mode import Operator
from tests.support.nats_server import RealNats

CANARY = "canary-7f3a"

Write = Callable[[str, str], SecretRef]


@pytest.fixture
def secret(directory: Path) -> Write:
    def write(name: str, content: str) -> SecretRef:
        path = directory / name
        path.write_text(content + "\n", encoding="utf-8")
        return SecretRef(file=str(path))

    return write


@pytest.fixture
def certificates(directory: Path) -> dict[str, str]:
    """A CA, a server's certificate for 127.0.0.1 and a client's."""
    names = {name: str(directory / name) for name in ("ca", "server", "client")}

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-batch")
    ca, ca_key = f"{names['ca']}.pem", f"{names['ca']}.key"
    openssl("req", "-x509", *key, "-keyout", ca_key, "-out", ca, "-days", "2", "-subj", "/CN=ca")
    for name in ("server", "client"):
        pem, private = f"{names[name]}.pem", f"{names[name]}.key"
        openssl(
            *("req", "-x509", *key, "-CA", ca, "-CAkey", ca_key, "-days", "2"),
            *("-keyout", private, "-out", pem, "-subj", f"/CN={name}"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        )
    return names


async def _works(connect: Connect, server: RealNats, **settings: object) -> None:
    session = await connect(server.url, **settings)
    assert b"streams" in await session.request("$JS.API.INFO", b"", 5.0)


async def _is_refused(
    session_to: Connect, until: Until, server: RealNats, words: str, **settings: object
) -> None:
    session = await session_to(server.url, **settings)
    await until(lambda: session.link().state is LinkState.DISCONNECTED)
    assert words in session.link().detail
    assert CANARY not in session.link().detail
    with pytest.raises(NatsDisconnectedError, match=r"127\.0\.0\.1"):
        await session.request("$JS.API.INFO", b"", 5.0)


REFUSED = "the server refuses our credentials (Authorization Violation)"


async def test_user_and_password(
    directory: Path, connect: Connect, session_to: Connect, until: Until, secret: Write
) -> None:
    config = f"authorization {{ user: ann, password: {CANARY} }}"
    with RealNats(directory, config) as server:
        right = NatsCredentials(user="ann", password=secret("right", CANARY))
        wrong = NatsCredentials(user="ann", password=secret("wrong", f"{CANARY}-no"))
        await _works(connect, server, credentials=right)
        await _is_refused(session_to, until, server, REFUSED, credentials=wrong)
        await _is_refused(session_to, until, server, REFUSED)


async def test_a_password_in_the_url_works_and_is_never_shown(
    directory: Path, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    config = f"authorization {{ user: ann, password: {CANARY} }}"
    with RealNats(directory, config) as server:
        session = await connect(server.url.replace("//", f"//ann:{CANARY}@"))
        assert session.link().detail == server.url
        server.kill()
        with pytest.raises(NatsDisconnectedError) as caught:
            await session.request("$JS.API.INFO", b"", 5.0)
        assert CANARY not in str(caught.value)
    await session.stop()
    assert server.url in caplog.text
    assert CANARY not in caplog.text


async def test_token(
    directory: Path, connect: Connect, session_to: Connect, until: Until, secret: Write
) -> None:
    with RealNats(directory, f"authorization {{ token: {CANARY} }}") as server:
        right = NatsCredentials(token=secret("right", CANARY))
        wrong = NatsCredentials(token=secret("wrong", f"{CANARY}-no"))
        await _works(connect, server, credentials=right)
        await _is_refused(session_to, until, server, REFUSED, credentials=wrong)


async def test_nkey(
    directory: Path, connect: Connect, session_to: Connect, until: Until, secret: Write
) -> None:
    seeds = [nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER) for _ in range(2)]
    public = nkeys.from_seed(bytearray(seeds[0])).public_key.decode()
    with RealNats(directory, f"authorization {{ users: [{{ nkey: {public} }}] }}") as server:
        right, unknown = (
            NatsCredentials(nkey=secret(f"seed{number}", seed.decode()))
            for number, seed in enumerate(seeds)
        )
        garbled = NatsCredentials(nkey=secret("garbled", CANARY))
        await _works(connect, server, credentials=right)
        await _is_refused(session_to, until, server, REFUSED, credentials=unknown)
        words = "the nkey seed is not an nkey seed"
        await _is_refused(session_to, until, server, words, credentials=garbled)


async def test_creds_file(
    directory: Path, connect: Connect, session_to: Connect, until: Until, secret: Write
) -> None:
    operator = Operator()
    with RealNats(directory, operator.server_config()) as server:
        right = NatsCredentials(creds=secret("right.creds", operator.creds()))
        foreign = NatsCredentials(creds=secret("foreign.creds", Operator().creds()))
        garbled = NatsCredentials(creds=secret("garbled.creds", CANARY))
        await _works(connect, server, credentials=right)
        await _is_refused(session_to, until, server, REFUSED, credentials=foreign)
        words = "the creds file has no NATS USER JWT"
        await _is_refused(session_to, until, server, words, credentials=garbled)


async def test_a_secret_is_read_again_for_each_connection(
    directory: Path, session_to: Connect, until: Until, secret: Write
) -> None:
    with RealNats(directory, f"authorization {{ token: {CANARY} }}") as server:
        token = secret("token", "old")
        session = await session_to(server.url, credentials=NatsCredentials(token=token))
        await until(lambda: REFUSED in session.link().detail)
        secret("token", CANARY)
        await until(lambda: session.connected)


async def test_a_secret_that_cannot_be_read_is_named(
    session_to: Connect, until: Until, server: RealNats
) -> None:
    missing = NatsCredentials(token=SecretRef(file="/nowhere/token"))
    words = "/nowhere/token: No such file or directory"
    await _is_refused(session_to, until, server, words, credentials=missing)


async def test_tls_and_mutual_tls(
    directory: Path,
    connect: Connect,
    session_to: Connect,
    until: Until,
    certificates: dict[str, str],
) -> None:
    ca, own, client = (certificates[name] for name in ("ca", "server", "client"))
    files = f'cert_file: "{own}.pem", key_file: "{own}.key"'
    trusting = NatsTls(ca=f"{ca}.pem")
    known = NatsTls(ca=f"{ca}.pem", cert=f"{client}.pem", key=f"{client}.key")
    with RealNats(directory / "tls", f"tls {{ {files} }}") as server:
        await _works(connect, server, tls=trusting)
        words = "TLS: the server's certificate is not trusted"
        await _is_refused(session_to, until, server, words, tls=NatsTls())
        words = "not a usable PEM certificate or key"
        broken = NatsTls(ca=f"{ca}.pem", cert=f"{client}.pem", key=f"{own}.key")
        await _is_refused(session_to, until, server, words, tls=broken)
    mutual = f'tls {{ {files}, ca_file: "{ca}.pem", verify: true }}'
    with RealNats(directory / "mtls", mutual) as server:
        await _works(connect, server, tls=known)
        words = "TLS: the server asks for a client certificate"
        await _is_refused(session_to, until, server, words, tls=trusting)
    with RealNats(directory / "optional", f"tls {{ {files} }}\nallow_non_tls: true") as server:
        session = await connect(server.url, tls=trusting)
        assert isinstance(
            session._client._transport._io_writer.get_extra_info("ssl_object"), ssl.SSLObject
        )
        link = NatsLink(NatsLogin(servers=(server.url,), ca_file=f"{ca}.pem"), name="worker")
        await link.open()
        assert isinstance(
            link.client._transport._io_writer.get_extra_info("ssl_object"), ssl.SSLObject
        )
        await link.close()


PERMISSIONS = """
accounts {
  A: {
    jetstream: enabled
    users: [
      { user: free, password: free }
      { user: mute, password: mute, permissions: {
          publish: { allow: ["$JS.API.INFO", "silent"] }
          subscribe: { allow: ["_INBOX.>", "a"] } } }
      { user: deaf, password: deaf, permissions: { subscribe: { deny: ["_INBOX.>"] } } }
    ]
  }
}
"""


async def test_a_request_we_may_not_send_is_refused_and_not_merely_late(
    directory: Path, connect: Connect, secret: Write
) -> None:
    with RealNats(directory, PERMISSIONS) as server:
        mute = NatsCredentials(user="mute", password=secret("mute", "mute"))
        session = await connect(server.url, credentials=mute)
        for _ in range(2):
            with pytest.raises(NatsRefusedError, match="may not publish to "):
                await session.request("$JS.API.CONSUMER.LIST.WORK", b"", 30.0)
            with pytest.raises(NatsRefusedError, match="may not publish to "):
                await session.jetstream(timeout_s=30.0).stream_info("WORK")
        free = NatsCredentials(user="free", password=secret("free", "free"))
        other = await connect(server.url, credentials=free)
        await other._client.subscribe("silent")
        await other.request("$JS.API.INFO", b"", 5.0)
        with pytest.raises(NatsTimeoutError):
            await session.request("silent", b"", 0.02)
        assert session.connected


OWN_INBOX = """
accounts { A: { jetstream: enabled, users: [
  { user: dash, password: dash, permissions: { subscribe: { allow: ["DASH_INBOX.>"] } } } ] } }
"""


async def test_with_an_inbox_of_its_own_nothing_else_need_be_readable(
    directory: Path, secret: Write, until: Until
) -> None:
    with RealNats(directory, OWN_INBOX) as server:
        user = NatsCredentials(user="dash", password=secret("dash", "dash"))
        settings = NatsSettings(servers=(server.url,), credentials=user, inbox="DASH_INBOX")
        async with NatsSession(settings, SystemClock()) as session:
            await until(lambda: session.connected)
            assert b"memory" in await session.request("$JS.API.INFO", b"", 5.0)
        async with NatsSession(replace(settings, inbox="_INBOX"), SystemClock()) as session:
            await until(lambda: session.connected)
            with pytest.raises(NatsRefusedError, match=r"its own inbox \(_INBOX\.>\)"):
                await session.request("$JS.API.INFO", b"", 5.0)


async def test_no_answer_can_be_sent_to_a_request_that_was_not_seen(
    directory: Path, connect: Connect
) -> None:
    with RealNats(directory) as server:
        session, other = await connect(server.url), await connect(server.url)
        seen: list[str] = []

        async def answer(message: Msg) -> None:
            seen.append(message.reply)
            await message.respond(b"yes")

        await other._client.subscribe("ask", cb=answer)
        await other.request("$JS.API.INFO", b"", 5.0)
        for _ in range(3):
            assert await session.request("ask", b"", 5.0) == b"yes"
        tokens = [subject.split(".")[2] for subject in seen]
        assert len({subject.rpartition(".")[0] for subject in seen}) == 1
        assert len(set(tokens)) == 3
        assert all(len(token) == 16 for token in tokens), "64 random bits, not a number"


async def test_a_subject_that_we_may_not_subscribe_to_is_named(
    directory: Path, connect: Connect, until: Until, secret: Write
) -> None:
    with RealNats(directory, PERMISSIONS) as server:
        mute = NatsCredentials(user="mute", password=secret("mute", "mute"))
        session = await connect(server.url, credentials=mute)
        refused: list[str] = []
        for subject in ("a", "b"):
            await session.subscribe_once(subject, list, refused.append)
        await until(lambda: refused)
        assert refused == ["our NATS user may not subscribe to b"]


async def test_without_an_inbox_every_request_is_refused_in_words(
    directory: Path, connect: Connect, until: Until, secret: Write
) -> None:
    with RealNats(directory, PERMISSIONS) as server:
        deaf = NatsCredentials(user="deaf", password=secret("deaf", "deaf"))
        session = await connect(server.url, credentials=deaf)
        with pytest.raises(NatsRefusedError, match="its own inbox"):
            await session.request("$JS.API.INFO", b"", 30.0)

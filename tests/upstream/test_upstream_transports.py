"""TLS, unix sockets, names, and what a base URL may look like. On both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from pathlib import Path

import pytest
import trustme
from support.scripted_backend import Peer, answering
from support.upstream_calls import Pieces, get, put

from proxy.errors import ConfigurationError, UpstreamBroken, UpstreamUnreachable
from proxy.upstream.address import parse_address, tls_context
from proxy.upstream.pool import Pool

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nhello"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "backend.test").configure_cert(context)
    return context


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


async def test_https_with_a_known_authority(play, pool_for, server_tls, ca_file) -> None:
    backend = await play(answering(OK, OK), tls=server_tls)
    pool = pool_for(f"https://localhost:{backend.port}", tls=tls_context(ca_file=ca_file))
    for _ in range(2):
        assert (await (await pool.send(put())).read(10)) == b"ok"
    assert len(backend.peers) == 1
    assert pool.connections == (1, 1)


async def test_https_streams_both_ways(play, pool_for, server_tls, ca_file) -> None:
    size = 5 * 2**20

    async def script(peer: Peer) -> None:
        await peer.head()
        body = await peer.take(size)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + body)
        await peer.rest()

    backend = await play(script, tls=server_tls)
    pool = pool_for(f"https://localhost:{backend.port}", tls=tls_context(ca_file=ca_file))
    reply = await pool.send(put(Pieces([b"x" * 2**20] * 5, length=size)))
    received = 0
    async for piece in reply.chunks():
        received += len(piece)
    assert received == size
    assert pool.connections == (1, 1)


async def test_another_server_name(play, pool_for, server_tls, ca_file) -> None:
    names: list[str | None] = []
    server_tls.sni_callback = lambda _socket, name, _context: names.append(name)
    backend = await play(answering(OK), tls=server_tls)
    url = f"https://127.0.0.1:{backend.port}"
    pool = pool_for(url, tls=tls_context(ca_file=ca_file), server_name="backend.test")
    assert (await (await pool.send(get())).read(10)) == b"ok"
    assert names == ["backend.test"]


async def test_unknown_authorities_and_wrong_names_are_refused_unless_told_so(
    play, pool_for, server_tls, ca_file
) -> None:
    backend = await play(answering(OK), tls=server_tls)
    named, numbered = f"https://localhost:{backend.port}", f"https://127.0.0.1:{backend.port}"
    for pool in (pool_for(named), pool_for(numbered, tls=tls_context(ca_file=ca_file))):
        with pytest.raises(UpstreamUnreachable) as raised:
            await pool.send(put())
        assert "certificate" in raised.value.reason
        assert not raised.value.maybe_applied
    pool = pool_for(numbered, tls=tls_context(verify=False))
    assert (await (await pool.send(get())).read(10)) == b"ok"


async def test_tls_to_a_plain_port_is_unreachable(play, pool_for) -> None:
    backend = await play(answering(OK, then="end"))

    async def script(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.rest()

    backend = await play(script)
    with pytest.raises(UpstreamUnreachable):
        await pool_for(f"https://127.0.0.1:{backend.port}").send(put())


async def test_a_backend_that_never_ends_its_handshake(play, pool_for) -> None:
    async def script(peer: Peer) -> None:
        await peer.rest()

    backend = await play(script)
    pool = pool_for(f"https://127.0.0.1:{backend.port}", connect_timeout=0.05)
    with pytest.raises(UpstreamUnreachable, match="in time"):
        await pool.send(put())
    assert pool.connections == (0, 0)


class BlockingTlsServer:
    """Answers once, then closes with or without the closure alert, which asyncio's server always sends."""

    def __init__(self, context: ssl.SSLContext, *, alert: bool) -> None:
        self._context = context
        self._alert = alert
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._thread.join(5)
        self._listener.close()

    def _serve(self) -> None:
        plain, _ = self._listener.accept()
        secure = self._context.wrap_socket(plain, server_side=True)
        secure.recv(65536)
        secure.sendall(UNTIL_CLOSE)
        if self._alert:
            with contextlib.suppress(OSError):
                plain = secure.unwrap()
                plain.close()
        secure.close()


@pytest.mark.parametrize("alert", [True, False])
async def test_over_tls_only_a_closure_alert_ends_a_body_without_length(
    pool_for, server_tls, ca_file, alert: bool
) -> None:
    server = BlockingTlsServer(server_tls, alert=alert)
    pool = pool_for(f"https://localhost:{server.port}", tls=tls_context(ca_file=ca_file))
    reply = await pool.send(get())
    if alert:
        assert await reply.read(10) == b"hello"
    else:
        with pytest.raises(UpstreamBroken):
            await reply.read(10)
    server.stop()
    assert pool.connections == (0, 0)


async def test_a_unix_socket(play, pool_for, tmp_path: Path) -> None:
    path = tmp_path / "backend.sock"
    await play(answering(OK, OK), path=str(path))
    pool = pool_for(f"unix://{path}")
    for _ in range(2):
        assert (await (await pool.send(put())).read(10)) == b"ok"
    assert pool.host() == b"localhost"
    assert pool.connections == (1, 1)


async def test_a_unix_socket_that_is_not_there(pool_for, tmp_path: Path) -> None:
    with pytest.raises(UpstreamUnreachable) as raised:
        await pool_for(f"unix://{tmp_path}/none.sock").send(put())
    assert raised.value.reason == f"the backend at {tmp_path}/none.sock cannot be connected to"


async def test_a_name_that_does_not_resolve(pool_for) -> None:
    for host in ("name.invalid", "a" * 70 + ".invalid"):
        with pytest.raises(UpstreamUnreachable, match="cannot be resolved"):
            await pool_for(f"http://{host}").send(put())


async def test_an_injected_connector(play) -> None:
    backend = await play(answering(OK))
    asked = []

    async def connect(factory):
        asked.append(factory)
        return await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", backend.port)

    pool = Pool("http://elsewhere.test", connect=connect)
    assert (await (await pool.send(get())).read(10)) == b"ok"
    assert len(asked) == 1
    await pool.close()


HOSTS = {
    "http://localhost:8080": b"localhost:8080",
    "http://localhost:80": b"localhost",
    "http://localhost": b"localhost",
    "http://Backend.Test/": b"backend.test",
    "https://localhost": b"localhost",
    "https://localhost:443": b"localhost",
    "https://localhost:80": b"localhost:80",
    "http://[::1]:8080": b"[::1]:8080",
    "http://[::1]": b"[::1]",
    "http://b\u00fccher.test:81": b"xn--bcher-kva.test:81",
    "unix:///run/a.sock": b"localhost",
}


@pytest.mark.parametrize(("url", "host"), HOSTS.items())
def test_the_default_host(url: str, host: bytes) -> None:
    assert Pool(url).host() == host


BAD_URLS = [
    "",
    "localhost:8080",
    "ftp://localhost",
    "http://",
    "http://:80",
    "http://localhost:0",
    "http://localhost:x",
    "http://localhost:99999",
    "http://user:secret@localhost",
    "http://localhost/base",
    "http://localhost?a=b",
    "http://localhost/#a",
    "unix://run/a.sock",
    "unix://",
    "http://[::1",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_bad_urls_are_refused_without_repeating_credentials(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse_address(url)
    assert "secret" not in str(raised.value)


def test_a_ca_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("hello")
    for name in ("no.pem", "missing.pem"):
        with pytest.raises(ConfigurationError, match=name):
            tls_context(ca_file=tmp_path / name)


def test_certificates_are_checked_by_default() -> None:
    context = tls_context()
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED

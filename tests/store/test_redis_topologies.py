"""TLS, passwords, Unix sockets, Sentinel and Cluster: real servers, found by URL."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
import trustme
from support.redis_server import RedisServer, free_port
from support.stores import opened, record, until, version

from proxy.errors import ConfigurationError, StoreUnavailable
from proxy.rules.versions import UNKNOWN, Known
from proxy.store import Observed
from proxy.store.address import Address, Topology, parse_url
from proxy.store.redis import RedisStore

A, B = version("a"), version("b")
KEY = "/notes/1"


def process(url: str, *, lease: float = 0.5, timeout: float = 0.5) -> RedisStore:
    """One proxy process's store."""
    return RedisStore.from_url(url, lease=lease, wait=0.5, grace=None, timeout=timeout, tick=0.01)


async def when_ready(store: RedisStore, seconds: float) -> None:
    """Waits until the store says that it is ready."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + seconds
    while not (await store.health()).ready:
        assert loop.time() < give_up, await store.health()
        await asyncio.sleep(0.01)


async def works(store: RedisStore) -> None:
    """One write and one read, as they should be."""
    await record(store, KEY, A)
    claim = await store.claim(KEY)
    assert claim.recorded == Known((A,))
    assert await store.release(claim, Known((B,)))
    assert await store.look(KEY) == Known((B,))


# URLs.

GOOD = [
    ("redis://localhost", Topology.STANDALONE, ["localhost:6379"]),
    ("redis://u:p%40ss@redis:6380/3", Topology.STANDALONE, ["redis:6380"]),
    ("redis://[::1]:6380", Topology.STANDALONE, ["::1:6380"]),
    ("unix:///run/redis.sock?db=2", Topology.STANDALONE, ["/run/redis.sock"]),
    ("redis+sentinel://a:1,b/main/1", Topology.SENTINEL, ["a:1", "b:26379"]),
    ("redis+cluster://a:1,b", Topology.CLUSTER, ["a:1", "b:6379"]),
]


@pytest.mark.parametrize(("url", "topology", "addresses"), GOOD)
def test_a_url_is_read(url: str, topology: Topology, addresses: list[str]) -> None:
    parsed = parse_url(url)
    assert parsed.topology is topology
    assert [str(address) for address in parsed.addresses] == addresses


def test_a_url_says_who_and_where() -> None:
    parsed = parse_url("redis+sentinel://u:p%40ss@a:1/main/3?sentinel_password=x")
    assert (parsed.service, parsed.addresses) == ("main", (Address("a", 1),))
    assert (parsed.login.username, parsed.login.password, parsed.login.db) == ("u", "p@ss", 3)
    assert parsed.sentinel_login.password == "x"
    assert "p@ss" not in repr(parsed)


BAD = [
    ("http://localhost", "unknown scheme"),
    ("redis://localhost:x", "the port 'x' is not a number"),
    ("redis://localhost/x", "the database 'x' is not a number"),
    ("redis://localhost/1/2", "not understood"),
    ("redis://a,b", "several servers"),
    ("redis://a?sslcert=b", "unknown parameter 'sslcert'"),
    ("redis+sentinel://a", "name the service"),
    ("redis+cluster://a/1", "a Cluster has no db"),
    ("unix://host", "unix:///path"),
    ("rediss://a?ssl_cert_reqs=perhaps", "ssl_cert_reqs is one of"),
    ("rediss://a?ssl_ca_certs=/does/not/exist", "TLS files cannot be used"),
]


@pytest.mark.parametrize(("url", "words"), BAD)
def test_a_bad_url_is_refused_with_what_is_wrong(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        RedisStore.from_url(url, lease=1, wait=1)


# One server.


async def test_a_password() -> None:
    with RedisServer({"requirepass": "se cret"}) as server:
        async with opened(process(f"redis://:se%20cret@127.0.0.1:{server.port}/2")) as store:
            await works(store)
        async with opened(process(f"redis://:wrong@127.0.0.1:{server.port}")) as store:
            with pytest.raises(StoreUnavailable, match="refused the user or the password"):
                await store.claim(KEY)
        async with opened(process(server.url)) as store:
            with pytest.raises(StoreUnavailable, match="asks for a password"):
                await store.claim(KEY)


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with RedisServer({"unixsocket": str(path)}):
        async with opened(process(f"unix://{path}")) as store:
            await works(store)


async def _terminate_tls(server: RedisServer, context: ssl.SSLContext) -> asyncio.Server:
    """TLS in front of a server: not every build of Redis has it in itself."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(carry(reader, to_server), carry(from_server, writer), return_exceptions=True)

    return await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)


async def test_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with RedisServer() as server:
        front = await _terminate_tls(server, context)
        where = f"rediss://127.0.0.1:{front.sockets[0].getsockname()[1]}/0"
        async with opened(process(f"{where}?ssl_ca_certs={tmp_path / 'ca.pem'}")) as store:
            await works(store)
        async with opened(process(where)) as store:
            with pytest.raises(StoreUnavailable, match="certificate verify failed"):
                await store.claim(KEY)
        async with opened(process(f"{where}?ssl_cert_reqs=none")) as store:
            assert (await store.health()).ready
        front.close()


# Sentinel.


@pytest.fixture
def sentinels() -> Iterator[tuple[RedisServer, RedisServer, list[RedisServer]]]:
    """A master, its replica, and three sentinels that watch them."""
    with ExitStack() as servers:
        master = servers.enter_context(RedisServer())
        replica = servers.enter_context(RedisServer({"replicaof": f"127.0.0.1 {master.port}"}))
        watch = [
            f"sentinel monitor main 127.0.0.1 {master.port} 2",
            "sentinel down-after-milliseconds main 300",
            "sentinel failover-timeout main 2000",
        ]
        three = [servers.enter_context(RedisServer(sentinel=watch)) for _ in range(3)]
        yield master, replica, three


async def test_a_fail_over_is_followed_and_believes_nothing(
    sentinels: tuple[RedisServer, RedisServer, list[RedisServer]],
) -> None:
    master, replica, three = sentinels
    clients = [sentinel.client() for sentinel in three]
    await until(lambda: all(_sees_all(client) for client in clients), 10)
    hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in three)
    async with opened(process(f"redis+sentinel://{hosts}/main/0")) as store:
        await works(store)
        held = await store.claim("/notes/2")
        master.kill()
        await until(lambda: _is_master(replica), 15)
        await when_ready(store, 5)
        assert not await store.release(held, Known((A,)))
        assert await store.look(KEY) is UNKNOWN
        assert await record(store, KEY, A) is Observed.RECORDED
        await works(store)


def _is_master(server: RedisServer) -> bool:
    try:
        return bool(server.client().info("replication")["role"] == "master")
    except redis.ConnectionError:
        return False  # the sentinels cut every connection of whom they promote


def _sees_all(client: redis.Redis) -> bool:
    state = client.sentinel_master("main")
    return state["num-slaves"] == 1 and state["num-other-sentinels"] == 2


async def test_no_sentinel_is_unavailable() -> None:
    async with opened(process(f"redis+sentinel://127.0.0.1:{free_port()}/main")) as store:
        with pytest.raises(StoreUnavailable, match="No sentinel names a master called 'main'"):
            await store.claim(KEY)


# Cluster.


@pytest.fixture
def cluster() -> Iterator[list[RedisServer]]:
    """Three masters that share the slots."""
    with ExitStack() as servers:
        options = {"cluster-enabled": "yes", "cluster-node-timeout": "500"}
        nodes = [servers.enter_context(RedisServer(options)) for _ in range(3)]
        bounds = [0, 5461, 10923, 16384]
        for number, node in enumerate(nodes):
            client = node.client()
            client.execute_command("CLUSTER", "ADDSLOTS", *range(bounds[number], bounds[number + 1]))
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
        yield nodes


async def _when_formed(nodes: list[RedisServer]) -> None:
    clients = [node.client() for node in nodes]

    def formed(client: redis.Redis) -> bool:
        info = client.execute_command("CLUSTER INFO")
        return info["cluster_state"] == "ok" and info["cluster_known_nodes"] == "3"

    await until(lambda: all(formed(client) for client in clients), 20)


async def test_a_cluster_serves_all_its_nodes_resources(cluster: list[RedisServer]) -> None:
    await _when_formed(cluster)
    async with opened(process(f"redis+cluster://127.0.0.1:{cluster[0].port}")) as store:
        await when_ready(store, 5)
        for number in range(60):
            claim = await store.claim(f"/notes/{number}")
            assert await store.release(claim, Known((A,)))
        for number in range(60):
            assert (await store.claim(f"/notes/{number}")).recorded == Known((A,))
        for node in cluster:
            assert any("incarnation" not in key for key in node.client().scan_iter())


async def test_a_cluster_node_that_comes_back_empty_is_a_new_incarnation(
    cluster: list[RedisServer],
) -> None:
    await _when_formed(cluster)
    async with opened(process(f"redis+cluster://127.0.0.1:{cluster[1].port}")) as store:
        await when_ready(store, 5)
        keys = [f"/notes/{number}" for number in range(60)]
        for key in keys:
            await store.release(await store.claim(key), Known((A,)))
        cluster[0].kill()
        await asyncio.to_thread(cluster[0].start)
        await when_ready(store, 10)
        looks = [await store.look(key) for key in keys]
        assert UNKNOWN in looks
        assert Known((A,)) in looks
        for key in keys:
            await store.release(await store.claim(key), Known((B,)))
            assert await store.look(key) == Known((B,))

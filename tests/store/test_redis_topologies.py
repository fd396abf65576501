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
from support.scripted_sentinel import ScriptedSentinel, sentinel
from support.stores import opened, record, until, version, when_ready, when_refused

from proxy.errors import ConfigurationError, StoreUnavailable
from proxy.rules.versions import UNKNOWN, Known, Recorded
from proxy.store import Observed
from proxy.store.address import Address, Topology, parse_url
from proxy.store.redis import RedisStore
from proxy.store.servers import Master, find_master

A, B = version("a"), version("b")
KEY, OTHER = "/notes/1", "/notes/2"
GRACE = "earlier writes may be under way"


def process(url: str, *, lease: float = 0.5, grace: float | None = None, timeout: float = 0.5) -> RedisStore:
    """One proxy process's store."""
    return RedisStore.from_url(url, lease=lease, wait=0.5, grace=grace, timeout=timeout, tick=0.01)


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


def _behind(*sentinels: RedisServer | ScriptedSentinel, **settings: float) -> RedisStore:
    hosts = ",".join(f"127.0.0.1:{one.port}" for one in sentinels)
    return process(f"redis+sentinel://{hosts}/main/0", **settings)


async def _when_watching(sentinels: list[RedisServer]) -> None:
    clients = [sentinel.client() for sentinel in sentinels]
    await until(lambda: all(_sees_all(client) for client in clients), 10)


async def test_a_fail_over_is_followed_and_believes_nothing(
    sentinels: tuple[RedisServer, RedisServer, list[RedisServer]],
) -> None:
    master, replica, three = sentinels
    await _when_watching(three)
    async with opened(_behind(*three)) as store:
        await works(store)
        held = await store.claim("/notes/2")
        master.kill()
        await until(lambda: _is_master(replica), 15)
        await when_ready(store, 15)
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


async def test_a_fail_over_there_and_back_believes_nothing(
    sentinels: tuple[RedisServer, RedisServer, list[RedisServer]],
) -> None:
    """As an administrator asks for it: the first master never hears that it was none for a while."""
    master, _, three = sentinels
    await _when_watching(three)
    chief = three[0].client()
    before = master.client().info("replication")["master_replid"]
    # With a grace of its own: what was made without one is not believed by those who knew another anyway.
    async with opened(_behind(*three, grace=0.05)) as old:
        await when_ready(old, 5)
        await record(old, KEY, A)
        first = _incarnation(master)
        await _fail_over(chief)
        await until(lambda: _epoch(chief) == 1, 10)
        await _when(old, UNKNOWN)
        async with opened(_behind(*three, grace=0.05)) as young:  # it knows of the second master only
            assert await _first_look(young) is UNKNOWN
            await _fail_over(chief)
            await until(lambda: _epoch(chief) == 2, 10)
            await until(lambda: _incarnation(master) not in (first, None), 5)
            for store in (young, old):
                await when_refused(store, GRACE, OTHER, 5.0)
                assert await _first_look(store) is UNKNOWN
    now = master.client().info("replication")
    assert (now["role"], now["master_replid"]) == ("master", before)  # else this tests something easier


async def _fail_over(client: redis.Redis) -> None:
    """Asked for until it is begun: not while the last one ends."""

    def begun() -> bool:
        try:
            return bool(client.execute_command("SENTINEL", "FAILOVER", "main"))
        except redis.ResponseError:
            return False

    await until(begun, 10)


def _incarnation(server: RedisServer) -> object:
    try:
        return server.client().hget("pp:{0}:incarnation", "id")
    except redis.ConnectionError:
        return None  # the sentinels cut every connection of whom they promote


def _epoch(client: redis.Redis) -> int:
    return int(client.sentinel_master("main")["config-epoch"])


async def _when(store: RedisStore, recorded: Recorded) -> None:
    """Waits until this is what it remembers of the resource; it may be out of reach meanwhile."""
    async with asyncio.timeout(5):
        while await _first_look(store) != recorded:
            pass


async def _first_look(store: RedisStore) -> Recorded:
    """What it remembers of the resource, as soon as it answers: its connection may be ended just now."""
    async with asyncio.timeout(5):
        while True:
            try:
                return await store.look(KEY)
            except StoreUnavailable:
                await asyncio.sleep(0.01)


async def test_a_later_epoch_of_the_same_master_is_another_incarnation() -> None:
    with RedisServer() as server:
        async with sentinel(server, epoch=3) as one, opened(_behind(one)) as store:
            await works(store)
            one.epoch = 4
            await when_refused(store, GRACE, OTHER, 5.0)
            assert await store.look(KEY) is UNKNOWN
            life = server.client().hgetall("pp:{0}:incarnation")
            assert life["epoch"] == "4"


async def test_a_sentinel_that_has_not_heard_yet_changes_nothing() -> None:
    with RedisServer() as server:
        async with (
            sentinel(server, epoch=3) as one,
            sentinel(server, epoch=2) as other,
            opened(_behind(one)) as store,
            opened(_behind(other)) as second,
        ):
            await works(store)
            assert await second.look(KEY) == Known((B,))
            await second.release(await second.claim(KEY), Known((A,)))
            assert await store.look(KEY) == Known((A,))


async def test_the_sentinel_that_knows_of_the_latest_fail_over_is_believed() -> None:
    with RedisServer() as server, RedisServer() as deposed:
        async with (
            sentinel(deposed, epoch=2) as behind,
            sentinel(server, epoch=3) as ahead,
            sentinel(deposed, epoch=9) as silent,
        ):
            silent.silent = True
            async with opened(_behind(behind, ahead, silent, timeout=0.2)) as store:
                await when_ready(store, 5)
                await works(store)
        assert server.client().exists("pp:{0}:incarnation")
        assert not deposed.client().exists("pp:{0}:incarnation")


async def test_a_silent_sentinel_holds_nobody_up() -> None:
    with RedisServer() as server:
        async with sentinel(server) as one, sentinel(server) as other, sentinel(server) as silent:
            silent.silent = True
            async with asyncio.timeout(10), opened(_behind(silent, one, other, timeout=60.0)) as store:
                await works(store)


async def test_a_sentinel_that_tells_no_epoch_is_not_believed() -> None:
    with RedisServer() as server:
        async with sentinel(server, epoch=None) as one, opened(_behind(one)) as store:
            with pytest.raises(StoreUnavailable, match="does not tell the master's address and config-epoch"):
                await store.claim(KEY)


async def test_another_set_of_sentinels_counts_anew() -> None:
    """On another server, that is: there its first epochs are late ones again."""
    with RedisServer() as server:
        server.client().hset("pp:{0}:incarnation", mapping={"id": "x", "run": "another", "epoch": 9})
        async with sentinel(server, epoch=1) as one, opened(_behind(one)) as store:
            await when_refused(store, GRACE, OTHER, 5.0)
            assert server.client().hget("pp:{0}:incarnation", "epoch") == "1"


async def test_behind_sentinels_the_grace_covers_those_who_still_ask_a_deposed_master() -> None:
    """Two seconds until all sentinels know, one until a process asks, and twice the timeout of a question."""
    lease, timeout = 0.5, 0.5
    with RedisServer() as server:
        async with sentinel(server) as one, opened(_behind(one, timeout=timeout)) as store:
            one.epoch = 1
            refused = await when_refused(store, GRACE, OTHER, 5.0)
            assert refused.retry_after is not None
            assert lease + 3.0 + timeout < refused.retry_after <= lease + 3.0 + 2 * timeout
            # What a shared claim erases here, the deposed one would still tell those who ask it.
            with pytest.raises(StoreUnavailable, match=GRACE) as shared:
                await store.claim(KEY, shared=True)
            assert shared.value.retry_after is not None
            assert 0 < shared.value.retry_after <= 3.0 + 2 * timeout


async def test_a_grace_is_never_shortened_by_somebody_with_a_shorter_lease() -> None:
    with RedisServer() as server:
        async with sentinel(server) as one:
            async with opened(_behind(one, lease=20.0, grace=0.01)) as store:
                await when_ready(store, 5)
            one.epoch = 1
            async with opened(_behind(one, lease=20.0)) as store:
                await when_refused(store, GRACE, OTHER, 5.0)
            one.epoch = 2
            async with opened(_behind(one)) as store:
                refused = await when_refused(store, GRACE, OTHER, 5.0)
                assert refused.retry_after is not None
                assert refused.retry_after > 20.0


async def test_sentinels_that_have_not_heard_of_what_we_know_are_not_followed() -> None:
    with RedisServer() as server, RedisServer() as deposed:
        async with sentinel(server, epoch=4) as one, opened(_behind(one)) as store:
            await works(store)
            one.master, one.epoch = deposed, 3
            server.client().client_kill_filter(_type="normal", skipme=True)
            await when_refused(store, "have not heard of the last fail-over yet", OTHER, 5.0)
            one.master, one.epoch = server, 4
            await _when(store, Known((B,)))
        assert not deposed.client().exists("pp:{0}:incarnation")


async def test_a_connection_that_comes_up_at_a_master_deposed_meanwhile_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("proxy.store.servers._WATCH", 0.02)
    with RedisServer() as server, RedisServer() as deposed:
        async with sentinel(deposed, epoch=1) as one:
            store = _behind(one, timeout=10.0)
            deposed.pause()
            opening = asyncio.create_task(store.open())
            await until(lambda: one.asked >= 4)  # it knows where to connect, and has begun to watch
            one.master, one.epoch = server, 2
            before = one.asked
            await until(lambda: one.asked >= before + 6)
            deposed.resume()
            await opening
            await works(store)
            await store.close()
        assert not deposed.client().exists("pp:{0}:incarnation")


async def test_a_master_that_is_written_in_two_ways_stays_where_it_is() -> None:
    with RedisServer() as server:
        async with sentinel(server, epoch=3) as one, sentinel(server, epoch=3) as other:
            other.host = "localhost"
            url = parse_url(f"redis+sentinel://127.0.0.1:{one.port},127.0.0.1:{other.port}/main")
            for host in ("127.0.0.1", "localhost"):
                known = Master(Address(host, server.port), 3)
                assert [await find_master(url, 1.0, known) for _ in range(10)] == [known] * 10


@pytest.mark.parametrize(
    "odd", [b"*-1\r\n", b"*2\r\n$3\r\na..\r\n$1\r\nx\r\n", b":1\r\n", b"-ERR no\r\n", b"what\r\n"]
)
async def test_an_odd_answer_ends_nothing(odd: bytes) -> None:
    with RedisServer() as server:
        async with sentinel(server) as one:
            one.odd = odd
            async with opened(_behind(one)) as store:
                await when_refused(store, "No sentinel names a master", OTHER, 5.0)
                one.odd = b""
                await when_ready(store, 5)
                await works(store)


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

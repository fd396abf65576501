"""Where spans go, and that no request suffers where they cannot go there."""

from __future__ import annotations

import logging
import time

import pytest
from support.collector import Collector
from support.legacy import Legacy
from support.proxies import Connect, Inside, StartProcess, StartProxy, settings
from support.redis_server import RedisServer
from support.waiting import eventually
from support.wire_client import request

from proxy.app import App
from proxy.errors import ConfigurationError


def spans(proxy: Inside, result: str) -> float:
    """How many spans there were."""
    return proxy.count("precondition_spans_total", result=result)


async def test_spans_are_counted(traced: Inside, collector: Collector, connect: Connect) -> None:
    await connect(traced).request("GET", "/notes/1")
    await eventually(lambda: spans(traced, "exported") == 3)
    assert (spans(traced, "made"), spans(traced, "failed"), len(collector.spans)) == (3, 0, 3)


async def test_a_collector_that_refuses_is_told_of_once(
    traced: Inside, collector: Collector, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client = connect(traced)
    collector.refuse = 400
    for count in (1, 2, 3):
        assert (await client.request("GET", "/notes/1")).status == 404
        await eventually(lambda: spans(traced, "failed") == 3 * count)  # noqa: B023
    collector.refuse = 0
    await client.request("GET", "/notes/1")
    await eventually(lambda: spans(traced, "exported") == 3)
    said = [
        one.getMessage() for one in caplog.records if one.name.startswith(("opentelemetry", "proxy.tracing"))
    ]
    assert [line[:40] for line in said] == [
        "spans cannot be exported, and are lost u",
        "spans are exported again",
    ]
    assert "400" in said[0]


async def test_a_collector_that_is_away_holds_nobody_up(
    trace_with: StartProxy, connect: Connect, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    proxy = await trace_with(tracing={"endpoint": f"http://127.0.0.1:{unused_tcp_port}"})
    client = connect(proxy)
    assert (await client.request("GET", "/notes/1")).status == 404
    await eventually(lambda: spans(proxy, "failed") == 3)
    assert (await client.request("GET", "/notes/1")).status == 404


async def test_a_collector_that_hangs_holds_nobody_up(
    trace_with: StartProxy, collector: Collector, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    proxy = await trace_with()
    collector.go.clear()
    client = connect(proxy)
    for _ in range(20):
        assert (await client.request("GET", "/notes/1")).status == 404
    assert spans(proxy, "made") == 60
    assert spans(proxy, "exported") == 0
    collector.go.set()
    await eventually(lambda: spans(proxy, "exported") >= 4)  # the batch that hung, and what waited behind it
    assert len(collector.spans) < 60  # the others were dropped


async def test_the_last_spans_are_sent_at_the_end(start_process: StartProcess, collector: Collector) -> None:
    environment = {
        "PROXY_TRACING__ENABLED": "true",
        "PROXY_TRACING__ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "60000",
    }
    process = await start_process(environment)
    await request(process.address, "GET", "/a")
    process.terminate()
    assert await process.ended() == 0
    assert collector.story() == ["GET default", "GET default > GET", "GET default > observe"]


async def test_a_collector_that_hangs_does_not_hold_up_the_end(
    trace_with: StartProxy, collector: Collector, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    proxy = await trace_with(drain="0s")
    collector.go.clear()
    await connect(proxy).request("GET", "/notes/1")
    started = time.monotonic()
    await proxy.app.stop()
    assert time.monotonic() - started < 3
    assert "the last spans could not be exported within 1.0 s, and are lost" in caplog.messages


async def test_every_worker_sends_its_own(
    start_process: StartProcess, collector: Collector, redis: RedisServer
) -> None:
    environment = {
        "PROXY_WORKERS": "2",
        "PROXY_TRACING__ENABLED": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "10",
    }
    process = await start_process(environment, store=redis.url)
    for _ in range(24):  # that one of two gets all of them has a chance of one to some millions
        await request(process.address, "GET", "/a")
    await collector.until(lambda: sum(span.kind == "server" for span in collector.spans) == 24)
    assert len({span.resource["service.instance.id"] for span in collector.spans}) == 2
    process.terminate()
    assert await process.ended() == 0


async def test_the_variables_of_opentelemetry(start_process: StartProcess, collector: Collector) -> None:
    environment = {
        "PROXY_TRACING__ENABLED": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url + "/base/",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20token",
        "OTEL_SERVICE_NAME": "orders-proxy",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        "OTEL_BSP_SCHEDULE_DELAY": "10",
    }
    process = await start_process(environment)
    await request(process.address, "GET", "/a")
    await collector.until(lambda: bool(collector.spans))
    ((path, fields), *_) = collector.requests
    assert (path, fields["authorization"]) == ("/base/v1/traces", "Bearer token")
    resource = collector.spans[0].resource
    assert (resource["service.name"], resource["deployment.environment.name"]) == ("orders-proxy", "test")


async def test_settings_win_over_the_variables(start_process: StartProcess, collector: Collector) -> None:
    environment = {
        "PROXY_TRACING__ENABLED": "true",
        "PROXY_TRACING__ENDPOINT": collector.url,
        "PROXY_TRACING__SERVICE": "mine",
        "PROXY_TRACING__SAMPLE": "1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        "OTEL_SERVICE_NAME": "other",
        "OTEL_TRACES_SAMPLER": "always_off",
        "OTEL_BSP_SCHEDULE_DELAY": "10",
    }
    process = await start_process(environment)
    await request(process.address, "GET", "/a")
    await collector.until(lambda: bool(collector.spans))
    assert collector.spans[0].resource["service.name"] == "mine"


@pytest.mark.parametrize(("name", "value"), [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")])
async def test_a_variable_switches_it_off(
    trace_with: StartProxy, connect: Connect, legacy: Legacy, name: str, value: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv(name, value)
    proxy = await trace_with()
    await connect(proxy).request("GET", "/notes/1")
    assert "traceparent" not in legacy.last()
    assert proxy.app._gate.house.store is proxy.app._store


async def test_a_variable_that_cannot_be_used(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    wanted = settings("http://localhost:1", tracing={"enabled": True, "endpoint": collector.url})
    with pytest.raises(
        ConfigurationError, match=r"tracing: an OTEL_\* variable cannot be used: max_queue_size"
    ):
        App(wanted)

"""deploy/compose: what docker-compose makes of it, and whether its files are there and fit together."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
import yaml
from support.deployed import DEPLOY, ROOT, ran, tool

from proxy.settings import load

COMPOSE = DEPLOY / "compose"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The file as docker-compose understands it."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PROXY_")}
    environment = own | {"COMPOSE_PROFILES": "tracing"}
    text = ran(tool("docker-compose"), "-f", COMPOSE / "compose.yaml", "config", env=environment)
    return dict(yaml.safe_load(text)["services"])


def test_everything_that_is_mounted_is_in_the_repository(services: dict[str, Any]) -> None:
    mounts = [mount for service in services.values() for mount in service.get("volumes", [])]
    sources = [mount.split(":")[0] for mount in mounts if mount.startswith("/")]
    assert len(sources) >= 6
    for source in sources:
        assert os.path.exists(source), source
        assert source.startswith(str(ROOT))


def test_only_loopback_is_published(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_backend_is_reached_only_through_the_proxy(services: dict[str, Any]) -> None:
    assert "ports" not in services["notes"]
    assert "ports" not in services["redis"]


def test_redis_never_evicts_a_claim(services: dict[str, Any]) -> None:
    command = services["redis"]["command"]
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"


def test_the_proxys_root_is_read_only_and_it_has_time_to_drain(services: dict[str, Any]) -> None:
    proxy = services["proxy"]
    assert proxy["read_only"]
    assert proxy["tmpfs"] == ["/tmp"]
    settings = load(COMPOSE / "proxy.yaml", {}, proxy["environment"] | {"PROXY_CONFIG": ""})
    assert float(proxy["stop_grace_period"].removesuffix("s")) > settings.drain


def test_the_proxys_file_names_the_services_beside_it(services: dict[str, Any]) -> None:
    settings = load(COMPOSE / "proxy.yaml", {}, {})
    assert settings.upstream.url == "http://notes:8413"
    assert "8413" in services["notes"]["entrypoint"]
    assert settings.store.shown == "redis://redis:6379/0"
    assert (settings.listen.port, settings.admin and settings.admin.port) == (8412, 9412)


def test_traces_go_to_the_collector_of_their_profile(services: dict[str, Any]) -> None:
    environment = services["proxy"]["environment"] | {"PROXY_CONFIG": ""}
    tracing = load(COMPOSE / "proxy.yaml", {}, environment).tracing
    assert (tracing.enabled, tracing.endpoint) == (False, "http://jaeger:4318")
    assert services["jaeger"]["profiles"] == ["tracing"]


def test_one_image_serves_both_and_every_image_is_pinned(services: dict[str, Any]) -> None:
    images = {name: service["image"] for name, service in services.items()}
    assert images.pop("proxy") == images.pop("notes") == "precondition-proxy"
    assert all(re.search(r":v?\d", image) for image in images.values())

"""Flags over environment over file over defaults, and what each of them may say."""

# ruff: noqa: E501 (tables)

from __future__ import annotations

from dataclasses import fields
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from proxy.rules.routing import Mode, Route, Verify
from proxy.settings import Address, RouteOptions, RouteSettings, Settings, load

A, B, C = ("http://a:1", "http://b:2", "http://c:3")

# fmt: off
PRECEDENCE = [
    # file                                       environment                                                  flags                                 what             is
    ("",                                         {},                                                          {"upstream": A},                      "listen",        Address("127.0.0.1", 8412)),
    ("",                                         {},                                                          {"upstream": A},                      "admin",         Address("127.0.0.1", 9412)),
    (f"upstream: {A}",                           {},                                                          {},                                   "upstream.url",  A),
    (f"upstream: {A}",                           {"PROXY_UPSTREAM": B},                                       {},                                   "upstream.url",  B),
    (f"upstream: {A}",                           {"PROXY_UPSTREAM__URL": B},                                  {},                                   "upstream.url",  B),
    (f"upstream: {A}",                           {"PROXY_UPSTREAM": B},                                       {"upstream": C},                      "upstream.url",  C),
    (f"upstream: {{url: {A}, timeout: 7s}}",     {"PROXY_UPSTREAM": B},                                       {},                                   "upstream.timeout", 7.0),
    (f"upstream: {{url: {A}, timeout: 7s}}",     {"PROXY_UPSTREAM": B},                                       {"upstream": C},                      "upstream.timeout", 7.0),
    ("",                                         {"PROXY_UPSTREAM": B, "PROXY_UPSTREAM__TIMEOUT": "10s"},     {},                                   "upstream.url",  B),
    ("",                                         {"PROXY_UPSTREAM": B, "PROXY_UPSTREAM__TIMEOUT": "10s"},     {},                                   "upstream.timeout", 10.0),
    ("",                                         {"PROXY_UPSTREAM": '{"url": "http://b:2", "timeout": 9}', "PROXY_UPSTREAM__TIMEOUT": "10s"}, {}, "upstream.timeout", 10.0),
    ("upstream: {timeout: 3s}",                  {"PROXY_UPSTREAM": B},                                       {},                                   "upstream.timeout", 3.0),
    (f"upstream: {A}\nadmin: 127.0.0.1:1",       {"PROXY_ADMIN": "off"},                                      {},                                   "admin",         None),
    (f"upstream: {A}\nadmin: off",               {},                                                          {},                                   "admin",         None),
    (f"upstream: {A}\nadmin:",                   {},                                                          {},                                   "admin",         None),
    (f"upstream: {A}\nadmin: off",               {},                                                          {"admin": "127.0.0.1:0"},             "admin",         Address("127.0.0.1", 0)),
    (f"upstream: {A}\nlisten: ':1'",             {"PROXY_LISTEN": "[::1]:2"},                                 {},                                   "listen",        Address("::1", 2)),
    (f"upstream: {A}\nlisten: ':1'",             {"PROXY_LISTEN": ""},                                        {},                                   "listen",        Address("", 1)),
    (f"upstream: {A}\nstore: redis://r",         {},                                                          {"store": "memory"},                  "store.shown",   "memory"),
    (f"upstream: {A}\nstore: {{wait: 1s}}",      {},                                                          {"store": "redis://u:pw@r/2"},        "store.shown",   "redis://u:***@r/2"),
    (f"upstream: {A}\nstore: {{wait: 1s}}",      {},                                                          {"store": "redis://r"},               "store.wait",    1.0),
    (f"upstream: {A}\nstore:",                   {},                                                          {},                                   "store.in_memory", True),
    (f"upstream: {A}\nstore: memory://",         {},                                                          {},                                   "store.in_memory", True),
    (f"upstream: {A}\nlog: {{level: debug}}",    {"PROXY_LOG": '{"format": "text"}'},                         {},                                   "log.level",     "debug"),
    (f"upstream: {A}\nlog: {{level: debug}}",    {"PROXY_LOG": '{"format": "text"}'},                         {},                                   "log.format",    "text"),
    (f"upstream: {A}\nlog: {{access: true}}",    {"PROXY_LOG__ACCESS": "no"},                                 {},                                   "log.access",    False),
    (f"upstream: {A}\ndefaults: {{mode: off}}",  {"PROXY_DEFAULTS__GUARD": "put, delete"},                    {},                                   "defaults.mode", Mode.OFF),
    (f"upstream: {A}\ndefaults: {{mode: off}}",  {"PROXY_DEFAULTS__GUARD": "put, delete"},                    {},                                   "defaults.guard", frozenset({"PUT", "DELETE"})),
    (f"upstream: {A}",                           {"PROXY_DEFAULTS__GUARD": '["PUT"]'},                        {},                                   "defaults.guard", frozenset({"PUT"})),
    (f"upstream: {A}",                           {"PROXY_DEFAULTS__QUERY": "none"},                           {},                                   "defaults.query", frozenset()),
    (f"upstream: {A}",                           {"PROXY_DEFAULTS__QUERY": "page,size"},                      {},                                   "defaults.query", frozenset({"page", "size"})),
    (f"upstream: {A}",                           {"PROXY_TRUSTED_PROXIES": "10.0.0.0/8 ::1"},                 {},                                   "trusted_proxies", (ip_network("10.0.0.0/8"), ip_network("::1"))),
    (f"upstream: {A}\nroutes: [{{match: /a}}]",  {"PROXY_ROUTES": '[{"match": "/b"}]'},                       {},                                   "routes",        (RouteSettings.model_validate({"match": "/b"}),)),
    (f"upstream: {A}\nroutes:",                  {},                                                          {},                                   "routes",        ()),
    (f"upstream: {A}\nvia: false",               {},                                                          {},                                   "via",           None),
    (f"upstream: {A}",                           {"PROXY_VIA": "edge"},                                       {},                                   "via",           "edge"),
    (f"upstream: {A}/",                          {},                                                          {},                                   "upstream.url",  A),
    ("upstream: HTTPS://[::1]:443",              {},                                                          {},                                   "upstream.url",  "https://[::1]:443"),
    ("upstream: unix:///run/b.sock",             {},                                                          {},                                   "upstream.url",  "unix:/run/b.sock"),
    (f"upstream: {A}",                           {},                                                          {},                                   "lease",         35.0),
    (f"upstream: {{url: {A}, timeout: 2m}}",     {},                                                          {},                                   "lease",         125.0),
    (f"upstream: {A}\nstore: {{lease: 1h}}",     {},                                                          {},                                   "lease",         3600.0),
    (f"upstream: {A}\nstore: {{grace: 35s}}",    {},                                                          {},                                   "store.grace",   35.0),
    (f"upstream: {A}",                           {},                                                          {},                                   "store.grace",   "auto"),
    # variables that Kubernetes sets for services called proxy and proxy-redis are not ours
    (f"upstream: {A}",                           {"PROXY_SERVICE_HOST": "10.0.0.1", "PROXY_SERVICE_PORT_HTTP": "80", "PROXY_PORT": "tcp://10.0.0.1:80", "PROXY_PORT_80_TCP_ADDR": "10.0.0.1", "PROXY_REDIS_SERVICE_HOST": "x"}, {}, "listen", Address("127.0.0.1", 8412)),
    # YAML 1.2: what looks like a word is one
    (f"upstream: {A}\ndefaults: {{mode: off}}",  {},                                                          {},                                   "defaults.mode", Mode.OFF),
    (f"upstream: {A}\ndrain: 010",               {},                                                          {},                                   "drain",         10.0),
    (f"upstream: {A}\nroutes:\n  - &r {{match: /a, mode: report}}\n  - {{<<: *r, match: /b}}", {},            {},                                   "routes",        (RouteSettings.model_validate({"match": "/a", "mode": "report"}), RouteSettings.model_validate({"match": "/b", "mode": "report"}))),
]
DURATIONS = [("500ms", 0.5), ("30s", 30.0), ("2m", 120.0), ("1h", 3600.0), ("7d", 604800.0), ("1.5s", 1.5), ("20", 20.0), ("30 s", 30.0), ("0", 0.0)]
SIZES = [("1024", 1024), ("64KiB", 65536), ("64k", 64000), ("500kB", 500_000), ("1MiB", 1 << 20), ("2GiB", 2 << 30), ("1.5KiB", 1536), ("10B", 10)]
# fmt: on


@pytest.mark.parametrize(("text", "environ", "flags", "what", "value"), PRECEDENCE)
def test_precedence(
    tmp_path: Path, text: str, environ: dict[str, str], flags: dict[str, str], what: str, value: object
) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text(text)
    found: Any = load(file, flags, {"PATH": "/bin", "HTTP_PROXY": "x"} | environ)
    for name in what.split("."):
        found = getattr(found, name)
    assert found == value


def test_the_flag_beats_the_variable_that_names_the_file(tmp_path: Path) -> None:
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    one.write_text(f"upstream: {A}")
    other.write_text(f"upstream: {B}")
    environ = {"PROXY_CONFIG": str(other)}
    assert load(None, {}, environ).upstream.url == B
    assert load(one, {}, environ).upstream.url == A


@pytest.mark.parametrize(("written", "seconds"), DURATIONS)
def test_duration(written: str, seconds: float) -> None:
    assert load(None, {"upstream": A}, {"PROXY_DRAIN": written}).drain == seconds


@pytest.mark.parametrize(("written", "size"), SIZES)
def test_size(written: str, size: int) -> None:
    assert load(None, {"upstream": A}, {"PROXY_LIMITS__BODY": written}).limits.body == size


def test_what_is_written_back_means_the_same(tmp_path: Path) -> None:
    """The dump of every setting, read again, is the same configuration."""
    file = tmp_path / "proxy.yaml"
    file.write_text(
        f"upstream: {{url: {A}, timeout: 90s, connect_timeout: 250ms}}\nlimits: {{body: 1500}}\nadmin: off\n"
        "defaults: {query: none, replay: off, version: {ignore: [/a~1b, /c], ignore_text: x+, from: /d, modified: /e}}\n"
        "routes: [{match: /a, query: [x], vary_by: [Authorization, 'cookie:Sid'],"
        " cors: {origins: ['https://a.example'], preflight: pass}, replay: 5m,"
        " version: {content: true, modified: /at}}]\n"
    )
    settings = load(file, {}, {})
    assert (settings.defaults.replay, settings.routes[0].replay) == (0.0, 300.0)
    assert Settings.model_validate(settings.model_dump(mode="json")) == settings


def test_routes_take_what_they_do_not_say_from_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text(
        f"upstream: {A}\n"
        "defaults: {verify: always, require: [put], hash_limit: 2KiB, trailing_slash: same}\n"
        "routes:\n"
        "  - {match: '/a/{id}', require: [], vary_by: [Authorization, 'Cookie:Sid']}\n"
        "  - {match: /b, verify: auto, query: [b, a]}\n"
    )
    settings = load(file, {}, {})
    common: dict[str, Any] = {"hash_limit": 2048, "trailing_slash": "same"}
    put = frozenset({"PUT"})
    assert settings.default_route() == Route("default", verify=Verify.ALWAYS, require=put, **common)
    assert settings.resolved_routes() == (
        Route("/a/{id}", verify=Verify.ALWAYS, vary_by=("authorization", "cookie:Sid"), **common),
        Route("/b", verify=Verify.AUTO, require=put, query=frozenset({"a", "b"}), **common),
    )


def test_without_a_word_a_route_is_as_the_rules_have_it() -> None:
    settings = load(None, {"upstream": A}, {"PROXY_ROUTES": '[{"match": "/a"}]'})
    assert settings.default_route() == Route()
    assert settings.resolved_routes() == (Route("/a"),)


def test_options_are_exactly_those_of_a_route() -> None:
    names = {field.name for field in fields(Route)}
    assert set(RouteSettings.model_fields) == names
    assert set(RouteOptions.model_fields) == names - {"match", "resource"}


def test_every_setting_is_described() -> None:
    from proxy.settings.names import fields as settings_at
    from proxy.settings.names import variables

    for path in [*variables().values(), ("routes", 0, "match")]:
        description = settings_at(path[:-1])[str(path[-1])].description
        assert description, path
        assert "\n" not in description
        assert description.endswith("."), path


def test_no_secret_is_ever_shown() -> None:
    settings = load(
        None, {"upstream": A, "store": "redis://u:sesame@r/0"}, {"PROXY_TAG_SECRET": "sesame" + "x" * 16}
    )
    for shown in (repr(settings), str(settings), settings.model_dump_json(), settings.store.shown):
        assert "sesame" not in shown
    assert settings.store.url.get_secret_value() == "redis://u:sesame@r/0"
    assert settings.tag_secret is not None
    assert settings.tag_secret.get_secret_value() == "sesame" + "x" * 16


def test_the_process_environment_is_not_read_behind_our_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN", "127.0.0.1:1")
    monkeypatch.setenv("PROXY_LISTEN", "127.0.0.1:2")
    assert load(None, {"upstream": A}, {}).listen.port == 8412

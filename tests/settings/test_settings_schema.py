"""The JSON Schema: current, and of one mind with the reader of the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from proxy.errors import ConfigurationError
from proxy.settings import load, schema_text

CONFIG = Path(__file__).parents[2] / "config"

# fmt: off
DOCUMENTS = [
    # the file                                                          right?
    ({},                                                                True),
    ({"upstream": "http://b:1"},                                        True),
    ({"upstream": "unix:/run/b.sock"},                                  True),
    ({"upstream": {"timeout": "30s"}},                                  True),
    ({"upstream": {"timeout": 30}},                                     True),
    ({"upstream": {"timeout": 0}},                                      False),
    ({"upstream": {"timeout": "thirty"}},                               False),
    ({"upstream": {"tiemout": "30s"}},                                  False),
    ({"upstream": "b:1"},                                               False),
    ({"upstream": "http://b/api"},                                      False),
    ({"upstream": "http://u:p@b"},                                      False),
    ({"store": "memory"},                                               True),
    ({"store": None, "routes": None, "log": None},                      True),
    ({"store": "redis+sentinel://a:1,b:2/mymaster"},                    True),
    ({"store": {"url": "rediss://r", "lease": "40s", "grace": "auto"}}, True),
    ({"store": {"grace": "35s"}},                                       True),
    ({"store": {"grace": "never"}},                                     False),
    ({"store": "reddis://r"},                                           False),
    ({"admin": "off"},                                                  True),
    ({"admin": None},                                                   True),
    ({"admin": "127.0.0.1:0", "listen": "[::1]:0"},                     True),
    ({"listen": 8412},                                                  False),
    ({"limits": {"body": "1GiB", "target": 100}},                       True),
    ({"limits": {"body": "much"}},                                      False),
    ({"limits": {"target": 0}},                                         False),
    ({"via": False},                                                    True),
    ({"via": "edge"},                                                   True),
    ({"via": "a b"},                                                    False),
    ({"tag_secret": "short"},                                           False),
    ({"defaults": {"mode": "report", "require": ["PUT", "mkcol"]}},     True),
    ({"defaults": {"require": "PUT"}},                                  False),
    ({"defaults": {"require": ["GET"]}},                                False),
    ({"defaults": {"query": "none", "vary_by": ["cookie:sid"]}},        True),
    ({"defaults": {"query": ["a"]}},                                    True),
    ({"defaults": {"query": "a"}},                                      False),
    ({"defaults": {"match": "/a"}},                                     False),
    ({"defaults": {"version": {"ignore": ["/a", "/b/*/c"], "modified": "/at"}}}, True),
    ({"defaults": {"version": {"from": "/rev", "ignore_text": "x+"}}},  True),
    ({"defaults": {"version": {"header": "X-Revision"}}},               True),
    ({"defaults": {"version": {"content": True}}},                      True),
    ({"defaults": {"version": {"content": "all"}}},                     False),
    ({"defaults": {"cors": {"origins": ["https://a.example", "*"]}}},   True),
    ({"defaults": {"cors": {"origins": ["http://a:1"], "credentials": True, "preflight": "pass"}}}, True),
    ({"defaults": {"cors": {"origins": []}}},                           False),
    ({"defaults": {"cors": {"origins": ["a"]}}},                        False),
    ({"defaults": {"cors": {}}},                                        False),
    ({"defaults": {"cors": None, "status_header": True}},               True),
    ({"defaults": {"require_mode": "report", "weak_if_match": "relaxed"}}, True),
    ({"defaults": {"require_mode": "off"}},                             False),
    ({"defaults": {"version": {}}},                                     True),
    ({"defaults": {"version": None}},                                   True),
    ({"defaults": {"version": {"ignore": ["a"]}}},                      False),
    ({"defaults": {"version": {"ignore": ["/~"]}}},                     False),
    ({"defaults": {"version": {"ignored": ["/a"]}}},                    False),
    ({"defaults": {"version": {"header": "a b"}}},                      False),
    ({"defaults": {"version": "/rev"}},                                 False),
    ({"routes": [{"match": "/a/{id}", "invalidates": ["/a"]}]},         True),
    ({"routes": [{"match": "/a/{id}/x", "resource": "/a/{id}", "replay": "off"}]}, True),
    ({"routes": [{"match": "/a/{id}/x", "resource": "a"}]},             False),
    ({"defaults": {"resource": "/a"}},                                  False),
    ({"defaults": {"replay": -1}},                                      False),
    ({"routes": [{"mode": "off"}]},                                     False),
    ({"routes": [{"match": "a"}]},                                      False),
    ({"nonsense": 1},                                                   False),
]
# fmt: on


def schema() -> Any:
    return json.loads((CONFIG / "proxy.schema.json").read_text())


def test_the_schema_in_config_is_current() -> None:
    """If not: precondition-proxy schema > config/proxy.schema.json"""
    assert (CONFIG / "proxy.schema.json").read_text() == schema_text() + "\n"


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize(("document", "right"), DOCUMENTS)
def test_schema_and_reader_agree(tmp_path: Path, document: dict[str, Any], right: bool) -> None:
    assert jsonschema.Draft202012Validator(schema()).is_valid(document) is right
    file = tmp_path / "proxy.yaml"
    file.write_text(yaml.safe_dump(document))
    flags = {} if isinstance(document.get("upstream"), str) else {"upstream": "http://b"}
    assert is_accepted(file, flags) is right


def is_accepted(file: Path, flags: dict[str, str]) -> bool:
    try:
        load(file, flags, {})
    except ConfigurationError:
        return False
    return True


def test_every_key_of_the_schema_is_described_and_closed() -> None:
    whole = schema()
    for part in (whole, *whole["$defs"].values()):
        assert part["additionalProperties"] is False
        assert [key for key, value in part["properties"].items() if not value.get("description")] == []


def test_the_example_is_right() -> None:
    example = CONFIG / "proxy.yaml"
    jsonschema.validate(yaml.safe_load(example.read_text().replace("mode: off", "mode: 'off'")), schema())
    assert load(example, {}, {}).upstream.url == "http://localhost:8080"


def test_the_example_shows_the_defaults(tmp_path: Path) -> None:
    """What is commented out below `defaults` changes nothing when it is not."""
    lines = (CONFIG / "proxy.yaml").read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("# drain:"))
    body = [line.removeprefix("# ") if line.startswith("# ") else line for line in lines[at:]]
    inner = [line.replace("  # ", "  ", 1) if line.startswith("  # ") else line for line in lines[:at]]
    file = tmp_path / "proxy.yaml"
    file.write_text("\n".join([*inner, *body]).replace("ca_file:", "# ca_file:"))
    assert load(file, {}, {}) == load(CONFIG / "proxy.yaml", {}, {})

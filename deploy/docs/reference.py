"""Writes docs/configuration.md from the settings themselves, so that the two cannot differ.

    python deploy/docs/reference.py > docs/configuration.md

A test holds the page to what this prints.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from proxy.settings.names import PREFIX
from proxy.settings.schema import json_schema

Schema = dict[str, Any]

TOP = """\
# Configuration

Every setting, with its default. This page is generated (`python deploy/docs/reference.py`);
[config/proxy.yaml](../config/proxy.yaml) shows a whole file, and [recipes.md](recipes.md) what to set when.

A setting comes from the command line (`--upstream`, `--listen`, `--admin`, `--store`), else from its
environment variable, else from the file that `--config` or `PROXY_CONFIG` names, else it has its default.
Unknown keys, variables that begin with `PROXY_` and are no setting, and values that contradict each other are
refused at the start, with their place and what to write instead. `precondition-proxy check` says what a
configuration means without starting anything.

* Durations: `500ms`, `30s`, `2m`, `1h`, `7d`; a bare number is seconds.
* Sizes: `64KiB`, `1MiB`; a bare number is bytes.
* Lists in variables: words with commas (`PROXY_DEFAULTS__REQUIRE=PUT,PATCH`), or JSON.
  `PROXY_ROUTES` is JSON.
* `upstream` and `store` may be a bare URL, also as `PROXY_UPSTREAM` and `PROXY_STORE`:
  `upstream: http://localhost:8080` is `upstream: {url: http://localhost:8080}`.
"""

SECTIONS = {
    "upstream": "The backend.",
    "store": "Where versions and claims are kept.",
    "defaults": "Options of all paths that no route matches, and of what a route does not set itself.",
    "routes": "A list; the first whose `match` fits wins. It has the options of `defaults`, and one more:",
    "limits": "What a client may send and hold.",
    "log": "Events go to standard error, requests to standard output, one line each.",
    "tracing": "Spans of requests, for OpenTelemetry; [tracing.md](tracing.md) shows how to see them.",
}


def page() -> str:
    """The whole page, in Markdown."""
    schema = json_schema()
    single = [name for name in schema["properties"] if name not in SECTIONS]
    parts = [TOP, "## The whole\n", table(schema, "", schema, single)]
    for name, words in SECTIONS.items():
        inner = definition(schema, name)
        keys = ["match"] if name == "routes" else list(inner["properties"])
        parts += [f"## {name}\n", f"{words}\n", table(schema, name, inner, keys)]
    return "\n".join(parts).rstrip() + "\n"


def definition(schema: Schema, name: str) -> Schema:
    """The schema of a section, or of one route."""
    found = re.search(r'"#/\$defs/(\w+)"', json.dumps(schema["properties"][name]))
    assert found is not None
    inner: Schema = schema["$defs"][found[1]]
    return inner


def table(whole: Schema, section: str, schema: Schema, keys: list[str]) -> str:
    """One row for each setting."""
    rows = ["| key, variable | values | default | meaning |", "| --- | --- | --- | --- |"]
    rows += [row(whole, section, key, schema["properties"][key]) for key in keys]
    return "\n".join(rows) + "\n"


def row(whole: Schema, section: str, key: str, schema: Schema) -> str:
    """Key, values, default, meaning."""
    name = f"routes[].{key}" if section == "routes" else f"{section}.{key}".strip(".")
    variable = PREFIX + name.replace(".", "__").upper()
    names = f"`{name}`" if section == "routes" else f"`{name}` `{variable}`"
    cells = [names, values(whole, schema), default(schema), schema.get("description", "")]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def values(whole: Schema, schema: Schema) -> str:
    """What may be written, in a few words."""
    found = list(dict.fromkeys(kinds(whole, schema)))
    for pattern, word in (("(ms|s|m|h|d)", "duration"), ("[kKmMgG]", "size")):
        if pattern in json.dumps(schema):
            return word if "auto" not in json.dumps(schema.get("anyOf")) else f"`auto`, {word}"
    return "; ".join(found) or "text"


def default(schema: Schema) -> str:
    """As it would be written in the file."""
    if "default" not in schema or schema["default"] is None:
        return ""
    value = schema["default"]
    if isinstance(value, list):
        return f"`[{', '.join(map(str, value))}]`"
    return written(value)


def kinds(whole: Schema, schema: Schema) -> Iterator[str]:
    """What may be written."""
    if "$ref" in schema:
        yield from kinds(whole, whole["$defs"][schema["$ref"].rsplit("/", 1)[1]])
    for one in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from kinds(whole, one)
    if "enum" in schema:
        yield ", ".join(map(written, schema["enum"]))
    elif "const" in schema:
        yield written(schema["const"])
    elif "anyOf" not in schema and "oneOf" not in schema and "$ref" not in schema:
        yield from plain(whole, schema)


def written(value: object) -> str:
    """A word as it is, all else as YAML has it."""
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def plain(whole: Schema, schema: Schema) -> Iterator[str]:
    """A single type."""
    match schema.get("type"):
        case "boolean":
            yield "`true`, `false`"
        case "array":
            items = schema.get("items", {})
            yield "list of methods" if "enum" in items else "list, " + ", ".join(kinds(whole, items))
        case "string" if examples := schema.get("examples"):
            yield "such as " + ", ".join(f"`{example}`" for example in examples)
        case "object" if keys := schema.get("properties"):
            yield "mapping of " + ", ".join(f"`{key}`" for key in keys)
        case "string" | "object":
            yield "text"
        case "integer" | "number" if "pattern" not in schema:
            yield "number"


if __name__ == "__main__":
    print(page(), end="")

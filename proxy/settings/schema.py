"""The JSON Schema of the YAML file (draft 2020-12), for editors and for other checkers."""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema

from proxy.settings.model import SHORTHAND, Settings

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema. Nothing but a route's `match` is required: the rest may come from the environment."""
    schema = Settings.model_json_schema(schema_generator=_Plain)
    schema = {"$schema": _DIALECT, **schema, "title": "Precondition proxy", "$defs": schema["$defs"]}
    schema.pop("required", None)
    schema["$defs"]["UpstreamSettings"].pop("required", None)
    _show_defaults_as_written(schema)
    for name in SHORTHAND:
        _accept_bare_url(schema, name)
    for name in ("routes", "defaults", "limits", "log", "store"):
        _accept_nothing(schema["properties"], name)
    return schema


def text() -> str:
    """The schema as `precondition-proxy schema` prints it."""
    return json.dumps(json_schema(), indent=2)


class _Plain(GenerateJsonSchema):
    """Without a title for every key: it would only repeat the key."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def _show_defaults_as_written(schema: dict[str, Any]) -> None:
    """`30s` instead of 30.0. A section's default is that of its keys, and is not repeated."""
    whole = Settings.model_validate({"upstream": "http://localhost:8080", "routes": [{"match": "/"}]})
    shown = whole.model_dump(mode="json")
    for key in schema["$defs"]["RouteSettings"]["properties"].values():
        key.pop("default", None)  # what a route does not set comes from `defaults`
    for model in (whole.upstream, whole.store, whole.defaults, whole.limits, whole.log):
        _show(schema["$defs"][type(model).__name__]["properties"], model.model_dump(mode="json"))
    _show(schema["properties"], {key: value for key, value in shown.items() if key != "routes"})


def _show(properties: dict[str, Any], values: dict[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, dict) or "default" not in properties[key]:
            properties[key].pop("default", None)
        else:
            properties[key]["default"] = value


def _accept_bare_url(schema: dict[str, Any], name: str) -> None:
    whole = schema["properties"][name]
    reference = {"$ref": whole.pop("$ref")}
    definition = schema["$defs"][reference["$ref"].rsplit("/", 1)[1]]
    bare = {key: value for key, value in definition["properties"]["url"].items() if key != "default"}
    schema["properties"][name] = {"anyOf": [bare, reference], **whole}


def _accept_nothing(properties: dict[str, Any], name: str) -> None:
    """A key with nothing behind it is as if it were not there."""
    whole = properties[name]
    forms = whole.pop("anyOf", None)
    if forms is None:
        about = {key: whole.pop(key) for key in ("description", "default") if key in whole}
        forms, whole = [whole], about
    properties[name] = {"anyOf": [*forms, {"type": "null"}], **whole}

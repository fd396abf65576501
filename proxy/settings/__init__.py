"""Settings: the only reader of the YAML file, the environment and the flags.

`load` merges the three (flags over environment over file over defaults), and answers with one `Settings`, or
with one `ConfigurationError` that names every mistake, its place, and what to write instead.
"""

from __future__ import annotations

from proxy.settings.addresses import Address
from proxy.settings.explanation import explained
from proxy.settings.loading import config_file, load
from proxy.settings.model import (
    LimitSettings,
    LogSettings,
    RouteOptions,
    RouteSettings,
    Settings,
    StoreSettings,
    UpstreamSettings,
)
from proxy.settings.schema import text as schema_text

__all__ = [
    "Address",
    "LimitSettings",
    "LogSettings",
    "RouteOptions",
    "RouteSettings",
    "Settings",
    "StoreSettings",
    "UpstreamSettings",
    "config_file",
    "explained",
    "load",
    "schema_text",
]

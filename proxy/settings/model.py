"""What can be set, with its defaults. The configuration reference and the JSON Schema are made from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from proxy.rules.routing import (
    UNSAFE_GUARDED,
    AfterWrite,
    EtagOnWrite,
    Mode,
    OnStoreFailure,
    RequireMode,
    Route,
    Verify,
    WeakIfMatch,
)
from proxy.settings import coherence, kinds
from proxy.settings.addresses import Address, redacted
from proxy.settings.kinds import Count, Duration, PositiveCount, PositiveDuration, PositiveSize, Size, Switch

SHORTHAND: Final = ("upstream", "store")
"""Sections that may be written as their bare `url`."""


class Section(BaseModel):
    """Settings that belong together. Unknown keys are errors, and pydantic's own errors show no values."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class UpstreamSettings(Section):
    """The backend, and how to reach it. May be written as its bare URL."""

    url: kinds.UpstreamUrl = Field(description="Where the backend is: http://, https:// or unix:/path.")
    timeout: PositiveDuration = Field(
        default=30.0, description="Longest wait for the backend to answer a request."
    )
    connect_timeout: PositiveDuration = Field(
        default=5.0, description="Longest wait for a connection, TLS included."
    )
    max_connections: Count = Field(
        default=0, description="Most connections to the backend at once; 0 for no limit."
    )
    verify_tls: Switch = Field(
        default=True, description="Whether the certificate of an https backend is checked."
    )
    ca_file: kinds.Text | None = Field(
        default=None, description="PEM file of the certificates to trust instead of the system's."
    )
    host: kinds.HostChoice = Field(
        default=kinds.HostField.KEEP,
        description="Which Host the backend sees: the client's (keep) or the upstream's.",
    )


class StoreSettings(Section):
    """Where versions and claims are kept. May be written as its bare URL."""

    url: kinds.StoreUrl = Field(
        default=SecretStr("memory"),
        description="memory, or Redis: redis://, rediss:// (TLS), unix:/path, each TCP one also with "
        "+sentinel or +cluster.",
    )
    lease: PositiveDuration | None = Field(
        default=None,
        description="How long a claim lasts without renewal; by default upstream.timeout and 5s more.",
    )
    wait: Duration = Field(
        default=10.0, description="Longest wait of a write for another one's claim; then 503."
    )
    grace: kinds.Grace = Field(
        default="auto",
        description="Pause before a new store grants claims: auto (where the old one was known), or so long.",
    )
    timeout: PositiveDuration = Field(default=1.0, description="Longest wait for an answer of Redis.")
    prefix: kinds.Prefix = Field(default="pp", description="What every key in Redis begins with.")
    capacity: PositiveCount = Field(
        default=100_000, description="Most resources that the in-memory store remembers."
    )
    ttl: PositiveDuration = Field(
        default=604_800.0, description="How long Redis remembers a resource that nobody uses."
    )

    @property
    def shown(self) -> str:
        """The URL without its password."""
        return redacted(self.url.get_secret_value())

    @property
    def in_memory(self) -> bool:
        """Whether the store lives in this process."""
        return self.url.get_secret_value() == "memory"


class RouteOptions(Section):
    """How resources are guarded. A route's unset options come from `defaults`."""

    mode: kinds.ModeChoice = Field(
        default=Mode.ENFORCE,
        description="enforce; report: evaluate and count, forward anyway; off: not looked at.",
    )
    require: kinds.Methods = Field(
        default=frozenset(), description="Methods that must carry a condition; without one they get 428."
    )
    guard: kinds.Methods = Field(
        default=UNSAFE_GUARDED, description="Methods that hold the resource's claim even without a condition."
    )
    verify: kinds.VerifyChoice = Field(
        default=Verify.AUTO,
        description="Ask the backend before conditional writes: always, never, or auto (when in doubt).",
    )
    after_write: kinds.AfterWriteChoice = Field(
        default=AfterWrite.REREAD,
        description="Where the version after a write comes from: reread, the write's response, or forget.",
    )
    etag_on_write: kinds.EtagOnWriteChoice = Field(
        default=EtagOnWrite.STRICT,
        description="When a write is answered with the new ETag: strict (RFC 9110 section 9.3.4) or always.",
    )
    invalidates: kinds.Templates = Field(
        default=(),
        description="Other paths that a write changes too; {names} are those of the route's match.",
    )
    hash_limit: Size = Field(default=1 << 20, description="Largest body that is hashed for a minted ETag.")
    on_store_failure: kinds.OnStoreFailureChoice = Field(
        default=OnStoreFailure.REJECT,
        description="Guarded writes without the store: reject (503), or probe the backend without a claim.",
    )
    case_insensitive: Switch = Field(
        default=False,
        description="Whether paths that differ only in case name one resource (and match alike).",
    )
    trailing_slash: kinds.SlashChoice = Field(
        default=kinds.Slash.DISTINCT, description="Whether /a and /a/ are distinct resources or the same."
    )
    merge_slashes: Switch = Field(default=False, description="Whether // in a path means the same as /.")
    query: kinds.Names = Field(
        default=None, description="Query parameters that are part of a resource's name: all, none, or a list."
    )
    vary_by: kinds.Selectors = Field(
        default=(), description="Request fields, or cookie:NAME, that are part of a resource's name."
    )
    version: kinds.VersionChoice = Field(
        default=None,
        description="Where versions come from, if not the backend's validators or a hash of all content: "
        "ignore, ignore_text, from, modified, header, content. See docs/legacy-backends.md.",
    )
    require_mode: kinds.RequireModeChoice = Field(
        default=RequireMode.ENFORCE,
        description="Where `require` is not met: enforce (428), or report: count it and go on without.",
    )
    weak_if_match: kinds.WeakIfMatchChoice = Field(
        default=WeakIfMatch.STRICT,
        description="Tags in If-Match that something on the way made weak (W/): strict (412), or relaxed: "
        "they count as what they were.",
    )
    fence: Switch = Field(
        default=False,
        description="Whether writes carry X-Precondition-Fence, a number that grows with every write.",
    )
    status_header: Switch = Field(
        default=False,
        description="Whether responses say in Precondition-Status what was evaluated, and why.",
    )
    cors: kinds.CorsChoice = Field(
        default=None,
        description="Scripts of which origins may send conditions and see ETag and refusals: origins, "
        "credentials, preflight.",
    )
    replay: kinds.Replay = Field(
        default=120.0,
        description="How long the very same conditional write, sent again, gets its first answer, and no "
        "412; off for never. See docs/recipes.md.",
    )
    collections: Switch = Field(
        default=False,
        description="Whether a path holds those that begin with it, so that a DELETE, MOVE or COPY takes "
        "them along (WebDAV): such writes and those inside wait for each other.",
    )


class RouteSettings(RouteOptions):
    """One route: which paths, and how they differ from the defaults."""

    match: kinds.Match = Field(
        description="The paths: {name} stands for one segment, {name*} at the end for all below."
    )
    resource: kinds.Template = Field(
        default=None,
        description="The path that writes of this route change, if it is not their own; {names} are those of "
        "match. Conditions, claims and tags are that resource's.",
    )


class LimitSettings(Section):
    """Bounds on what a client may send and hold."""

    header_size: PositiveSize = Field(
        default=16 << 10,
        description="Largest header section of a request, all its field lines together; else 431.",
    )
    header_count: PositiveCount = Field(
        default=100, description="Most header field lines of a request; else 431."
    )
    target: PositiveSize = Field(
        default=8 << 10, description="Longest request target (path and query); else 414."
    )
    body: Size = Field(default=1 << 30, description="Largest request body; else 413. 0 for no limit.")
    head_timeout: PositiveDuration = Field(
        default=10.0, description="Longest time to send a request's header section."
    )
    body_timeout: PositiveDuration = Field(
        default=60.0, description="Longest pause of a client in the middle of its request body; else 408."
    )
    idle_timeout: PositiveDuration = Field(
        default=75.0, description="How long an idle client connection stays open."
    )
    connections: Count = Field(default=0, description="Most client connections at once; 0 for no limit.")
    tags: PositiveCount = Field(
        default=1000, description="Most entity tags in one If-Match or If-None-Match; else 400."
    )
    memory_body: Size = Field(
        default=256 << 10,
        description="Largest body of a guarded write that is kept in memory while it waits for its claim; "
        "a larger one is in a temporary file.",
    )


class LogSettings(Section):
    """The log: events go to standard error, requests to standard output."""

    level: kinds.LevelChoice = Field(
        default=kinds.LogLevel.INFO, description="The least important lines to write."
    )
    format: kinds.FormatChoice = Field(
        default=kinds.LogFormat.JSON, description="One JSON object in a line, or text."
    )
    access: Switch = Field(default=True, description="Whether each request gets a line.")


class TracingSettings(Section):
    """Spans for OpenTelemetry; needs the packages of the extra `tracing`."""

    enabled: Switch = Field(default=False, description="Whether requests are followed by spans.")
    endpoint: kinds.CollectorUrl = Field(
        default=None,
        description="Base URL of a collector that speaks OTLP over HTTP; by default "
        "OTEL_EXPORTER_OTLP_ENDPOINT, or http://localhost:4318.",
    )
    sample: kinds.Share = Field(
        default=None,
        description="Share of new traces that is recorded, 0 to 1; a caller's traceparent decides for its "
        "own. By default OTEL_TRACES_SAMPLER, or all.",
    )
    service: kinds.Text | None = Field(
        default=None,
        description="The proxy's name in traces; by default OTEL_SERVICE_NAME, or precondition-proxy.",
    )


class Settings(BaseSettings):
    """The configuration of the proxy."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    listen: kinds.Listen = Field(
        default=Address("127.0.0.1", 8412),
        description="Where clients connect: host:port; :port for every interface.",
    )
    admin: kinds.Admin = Field(
        default=Address("127.0.0.1", 9412),
        description="Where /metrics, /conflicts, /healthz and /readyz are; off for nowhere.",
    )
    admin_names: kinds.NamesChoice = Field(
        default=kinds.ShownNames.SHOW,
        description="Resource names on /conflicts and in traces: show (paths, never queries), or hide.",
    )
    admin_hosts: kinds.HostNames = Field(
        default=(),
        description="Names, beside localhost, addresses and the machine's own, by which browsers may open "
        "/conflicts; * for any.",
    )
    workers: kinds.Workers = Field(
        default=1,
        description="Processes that share `listen` and one admin port; needs Redis. auto: one for each "
        "processor.",
    )
    upstream: UpstreamSettings = Field(description="The backend: its URL, or a mapping.")
    store: StoreSettings = Field(
        default=StoreSettings(), description="Where versions are kept: memory, a Redis URL, or a mapping."
    )
    defaults: RouteOptions = Field(
        default=RouteOptions(),
        description="Options of paths that no route matches, and what routes do not set.",
    )
    routes: tuple[RouteSettings, ...] = Field(
        default=(), description="Routes, first match wins; paths that none matches get the defaults."
    )
    tag_secret: kinds.TagSecret = Field(
        default=None,
        description="Key of minted ETags, 16 characters or more; better set as PROXY_TAG_SECRET.",
    )
    drain: Duration = Field(
        default=30.0, description="How long requests under way may take to finish after SIGTERM."
    )
    limits: LimitSettings = Field(default=LimitSettings(), description="What a client may send and hold.")
    forwarded: kinds.ForwardedChoice = Field(
        default=kinds.Forwarded.X_FORWARDED,
        description="How the backend is told of the client: x-forwarded (X-Forwarded-*), forwarded, or none.",
    )
    trusted_proxies: kinds.Networks = Field(
        default=(),
        description="Addresses and networks whose X-Forwarded-* and Forwarded are believed and extended.",
    )
    via: kinds.Pseudonym = Field(
        default="precondition-proxy",
        description="The proxy's name in Via; true for the usual one, false for no Via.",
    )
    method_override: kinds.OverrideChoice = Field(
        kinds.Override.EVALUATE,
        description="X-HTTP-Method-Override: judged by the method that it names, or removed (strip).",
    )
    log: LogSettings = Field(
        default=LogSettings(),
        description="What is logged: events to standard error, requests to standard output.",
    )
    tracing: TracingSettings = Field(
        default=TracingSettings(), description="Traces of requests, for OpenTelemetry. See docs/tracing.md."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Reads nothing behind our back: `load` merges the layers, for it must know each value's place."""
        return (init_settings,)

    @model_validator(mode="wrap")
    @classmethod
    def _coherent(cls, data: Any, handler: ModelWrapValidatorHandler[Settings]) -> Settings:
        """Checks what several settings say together, even where single ones are wrong: all errors at once."""
        if not isinstance(data, Mapping):
            return handler(data)
        whole = in_full(data)
        together = coherence.errors(whole)
        try:
            settings = handler(whole)
        except ValidationError as error:
            raise coherence.joined(error, together) from None
        if together:
            raise coherence.joined(None, together)
        return settings

    @property
    def lease(self) -> float:
        """Seconds that a claim lasts without renewal (DESIGN rule 5)."""
        return self.store.lease or self.upstream.timeout + coherence.LEASE_MARGIN

    def default_route(self) -> Route:
        """The route of every path that no other matches."""
        return Route(**_options(self.defaults))

    def resolved_routes(self) -> tuple[Route, ...]:
        """The routes, first match first, each with every option decided."""
        defaults = _options(self.defaults)
        return tuple(Route(**(defaults | _options(route, route.model_fields_set))) for route in self.routes)


def in_full(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same settings without shorthand: a bare URL becomes `{url: ...}`, an empty section is left out."""
    sections = (*SHORTHAND, "defaults", "limits", "log", "tracing", "routes")
    whole = {key: value for key, value in data.items() if value is not None or key not in sections}
    for key in SHORTHAND:
        if isinstance(whole.get(key), str):
            whole[key] = {"url": whole[key]}
    return whole


def _options(options: RouteOptions, names: set[str] | None = None) -> dict[str, Any]:
    known = type(options).model_fields if names is None else names
    found = {name: getattr(options, name) for name in known}
    if "trailing_slash" in found:
        found["trailing_slash"] = found["trailing_slash"].value
    return found

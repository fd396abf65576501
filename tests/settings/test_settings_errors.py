"""Every mistake in the configuration, and the exact words that the operator reads."""

# ruff: noqa: E501 (tables)

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from proxy.errors import ConfigurationError
from proxy.settings import Settings, coherence, load

UP = "upstream: http://b\n"
GIVEN = {"upstream": "http://localhost:8080"}

# fmt: off
IN_FILE = [
    # the file                                     place   what is wrong                                              what to write
    # -- YAML itself
    ("listen: [a\n",                               "2:1",  "not valid YAML: expected ',' or ']', but got '<stream end>'", "inside [ ] put a path with {parameters} in quotes, and close the bracket"),
    ("routes:\n\t- match: /a\n",                   "2:1",  "not valid YAML: found character '\\t' that cannot start any token", "indent with spaces, not with tabs"),
    ("listen: a: b\n",                             "1:10", "not valid YAML: mapping values are not allowed here",      "write one key: value in a line, and put a value with ': ' in quotes"),
    ("routes: [{match: /a/{id}}]\n",               "1:21", "not valid YAML: expected ',' or '}', but got '{'",         "inside { } put a path with {parameters} in quotes, and close the brace"),
    ("drain: *x\n",                                "1:8",  "not valid YAML: found undefined alias 'x'",                "define the anchor (&name) above its use, or put the value in quotes"),
    ("drain: 1s\n---\ndrain: 2s\n",                "2:1",  "not valid YAML: expected a single document in the stream, but found another document", "write one document: remove the line --- and what follows it"),
    ("drain: 1s\nlog: {}\ndrain: 2s\n",            "3:1",  "drain: is given twice, first in line 1",                   "keep one of the two"),
    ("log:\n  level: info\n  level: debug\n",      "3:3",  "log.level: is given twice, first in line 2",               "keep one of the two"),
    ("- a\n- b\n",                                 "1:1",  "the file does not hold settings",                          "write one key: value in a line"),
    ("just words\n",                               "1:1",  "the file does not hold settings",                          "write one key: value in a line"),
    ("drain: !env X\n",                            "1:8",  "drain: has the tag !env",                                  "write the value without a tag"),
    ("? [a, b]\n: c\n",                            "1:3",  "has a key that is no word",                                "write key: value"),
    ("log: &x {level: info, format: *x}\n",        "1:6",  "log.format: holds itself",                                 "remove the alias"),
    # -- keys
    ("upstrem: http://b\n",                        "1:1",  "upstrem: is not a known setting",                          "did you mean upstream?"),
    ("lease: 40s\n",                               "1:1",  "lease: is not a known setting",                            "did you mean store.lease?"),
    ("timeout: 40s\n",                             "1:1",  "timeout: is not a known setting",                          "did you mean upstream.timeout or store.timeout?"),
    ("log: {colour: red}\n",                       "1:7",  "log.colour: is not a known setting",                       "known here: level, format, access"),
    ("routes:\n  - match: /a\n    requires: []\n", "3:5",  "routes[0].requires: is not a known setting",               "did you mean require?"),
    ("defaults: {match: /a}\n",                    "1:12", "defaults.match: is not a known setting",                   "known here: mode, require, guard, verify, after_write, etag_on_write, invalidates, hash_limit, on_store_failure, case_insensitive, trailing_slash, merge_slashes, query, vary_by, version, require_mode, weak_if_match, fence, status_header, cors, replay, collections"),
    ("routes:\n  - mode: off\n",                   "2:5",  "routes[0].match: is missing",                              "write match: /api/users/{id}, or another path"),
    # -- shapes
    ("limits: 5\n",                                "1:9",  "limits: is not a mapping",                                 "write limits: {header_size: ...}"),
    ("upstream: [a]\n",                            "1:11", "upstream: is not a mapping",                               "write upstream: {url: ...}, or the bare URL"),
    ("routes: {match: /a}\n",                      "1:9",  "routes: is not a list",                                    "write a list: routes: and below it one - match: /api/users/{id} for each"),
    ("routes: [/a]\n",                             "1:10", "routes[0]: is not a mapping",                              "write - match: /api/users/{id}, with its options below"),
    ("defaults: {require: PUT}\n",                 "1:21", 'defaults.require: "PUT" is not a list',                    "write [PUT]"),
    ("defaults:\n  require:\n",                    "2:11", "defaults.require: null is not a list",                     "write a list, such as [a, b], or [] for none"),
    # -- single values
    ("listen: 8412\n",                             "1:9",  "listen: 8412 is not host:port",                            "write 127.0.0.1:8412, or :8412 for every interface"),
    ("listen: localhost\n",                        "1:9",  'listen: "localhost" is not host:port',                     "write localhost:8412"),
    ("listen: http://a:80/\n",                     "1:9",  'listen: "http://a:80/" is not host:port',                  "write a:80"),
    ("listen: ::1:8412\n",                         "1:9",  'listen: "::1:8412" is not host:port',                      "write an IPv6 address in brackets, such as [::1]:8412"),
    ("listen: 127.0.0.1:99999\n",                  "1:9",  'listen: "127.0.0.1:99999" has a port above 65535',         "write a port from 0 to 65535"),
    ("listen: a b:80\n",                           "1:9",  'listen: "a b:80" has an impossible host',                  "write host:port, such as 127.0.0.1:8412"),
    ("admin: maybe\n",                             "1:8",  'admin: "maybe" is not host:port',                          "write maybe:8412"),
    ("drain: 10 parsecs\n",                        "1:8",  'drain: "10 parsecs" is not a duration',                    "write a number with a unit, such as 500ms, 30s, 2m, 1h or 7d"),
    ("drain: -1s\n",                               "1:8",  'drain: "-1s" is not a duration',                           "write a number with a unit, such as 500ms, 30s, 2m, 1h or 7d"),
    ("drain: true\n",                              "1:8",  "drain: true is not a duration",                            "write a number with a unit, such as 500ms, 30s, 2m, 1h or 7d"),
    ("drain:\n  - 1s\n",                           "2:3",  'drain: ["1s"] is not a duration',                          "write a number with a unit, such as 500ms, 30s, 2m, 1h or 7d"),
    ("limits: {head_timeout: 0s}\n",               "1:24", 'limits.head_timeout: "0s" leaves no time at all',          "write a duration above zero, such as 30s"),
    ("limits: {body: lots}\n",                     "1:16", 'limits.body: "lots" is not a size',                        "write a number of bytes or one with a unit, such as 64KiB or 1MiB"),
    ("limits: {body: 0.5}\n",                      "1:16", "limits.body: 0.5 is not a size",                           "write a number of bytes or one with a unit, such as 64KiB or 1MiB"),
    ("limits: {target: 0}\n",                      "1:18", "limits.target: 0 would refuse everything",                 "write a number above zero"),
    ("limits: {connections: 1.5}\n",               "1:23", "limits.connections: 1.5 is not a whole number",            "write a number such as 100"),
    ("limits: {connections: true}\n",              "1:23", "limits.connections: true is not a whole number",           "write a number such as 100"),
    ("log: {access: maybe}\n",                     "1:15", 'log.access: "maybe" is neither true nor false',            "write true or false"),
    ("log: {level: inf}\n",                        "1:14", 'log.level: "inf" is not one of debug, info, warning or error', "write info"),
    ("log: {level: 3}\n",                          "1:14", "log.level: 3 is not one of debug, info, warning or error", "write debug, info, warning or error"),
    ("defaults: {mode: enforced}\n",               "1:18", 'defaults.mode: "enforced" is not one of enforce, report or off', "write enforce"),
    ("defaults: {require: [PUTT]}\n",              "1:22", 'defaults.require[0]: "PUTT" is not a known method',        "write PUT"),
    ("defaults: {require: [PUT, FROB]}\n",         "1:27", 'defaults.require[1]: "FROB" is not a known method',        "write a method such as PUT, PATCH, DELETE or POST"),
    ("defaults: {guard: [get]}\n",                 "1:20", "defaults.guard[0]: GET is a safe method: it writes nothing", "name methods that write, such as PUT"),
    ("defaults: {query: page}\n",                  "1:19", 'defaults.query: "page" is not all, none or a list',        "write all, none, or names such as [page]"),
    ("defaults: {vary_by: ['cookie:']}\n",         "1:22", 'defaults.vary_by[0]: "cookie:" is no field name',          "write a field name such as authorization, or cookie:sid for one cookie"),
    ("defaults: {version: X-Rev}\n",               "1:21", 'defaults.version: "X-Rev" is not a mapping',               "write one, such as {ignore: [/meta/generatedAt]}"),
    ("defaults: {version: {ignor: [/a]}}\n",       "1:21", 'defaults.version: has no key "ignor"',                     "write ignore"),
    ("defaults: {version: {ignore: /a}}\n",        "1:21", 'defaults.version: "/a" is not a list',                     "write [/a]"),
    ("defaults: {version: {ignore: [a.b]}}\n",     "1:21", 'defaults.version: ignore: "a.b" is no JSON Pointer to a part of a document', "write /a.b"),
    ("defaults: {version: {from: /a~b}}\n",        "1:21", 'defaults.version: from: "/a~b" has a ~ that is neither ~0 nor ~1', "write ~0 for ~, and ~1 for / in a name"),
    ("defaults: {version: {from: /a/*}}\n",        "1:21", 'defaults.version: from: "/a/*" names many parts',          "name one, such as /rev"),
    ("defaults: {version: {header: A B}}\n",       "1:21", 'defaults.version: header: "A B" is no field name',         "write one, such as X-Revision"),
    ("defaults: {version: {ignore_text: '('}}\n",  "1:21", 'defaults.version: ignore_text: "(" is no regular expression (missing ), unterminated subpattern)', "write Python's"),
    ("defaults: {version: {ignore_text: 'a*'}}\n", "1:21", 'defaults.version: ignore_text: "a*" matches nothing at all, too', "demand one character or more"),
    ("defaults: {version: {from: /a, header: B}}\n", "1:21", "defaults.version: has its version from two places",     "keep from, or header"),
    ("defaults: {version: {content: all}}\n",      "1:21", 'defaults.version: "all" is neither true nor false',         "write true or false"),
    ("defaults: {version: {content: true, header: B, ignore: [/a]}}\n", "1:21", "defaults.version: has its version from all of the content, and from elsewhere", "keep content, or header and ignore"),
    ("defaults: {replay: soon}\n",                 "1:20", 'defaults.replay: "soon" is not a duration',                 "write a number with a unit, such as 500ms, 30s, 2m, 1h or 7d"),
    ("defaults: {cors: ['*']}\n",                  "1:18", 'defaults.cors: ["*"] is not a mapping',                    "write one, such as {origins: [https://app.example]}"),
    ("defaults: {cors: {}}\n",                     "1:18", "defaults.cors: null is not a list",                        "write a list, such as [a, b], or [] for none"),
    ("defaults: {cors: {origins: []}}\n",          "1:18", "defaults.cors: allows no origin",                          "write origins: [https://app.example], or leave cors out"),
    ("defaults: {cors: {origins: [a.example]}}\n", "1:18", 'defaults.cors: "a.example" is no origin',                  "write scheme and host, such as https://app.example"),
    ("defaults: {cors: {origins: ['https://a/']}}\n", "1:18", 'defaults.cors: "https://a/" is no origin',              "write scheme and host, such as https://app.example"),
    ("defaults: {cors: {origins: ['*'], credentials: true}}\n", "1:18", "defaults.cors: would show every site what is only for its visitors", "name the origins instead of *"),
    ("defaults: {cors: {origins: ['*'], preflight: ask}}\n", "1:18", 'defaults.cors: preflight: "ask" is not one of answer or pass', "write answer"),
    ("trusted_proxies: [10.0.0.1/8]\n",            "1:19", 'trusted_proxies[0]: "10.0.0.1/8" is not an IP address or network', "write 10.0.0.0/8"),
    ("trusted_proxies: [nginx]\n",                 "1:19", 'trusted_proxies[0]: "nginx" is not an IP address or network', "write one such as 10.0.0.0/8, 192.168.1.7 or fd00::/8"),
    ("via: a b\n",                                 "1:6",  'via: "a b" cannot stand in Via',                           "write true, false, or one word such as edge-proxy"),
    ("tag_secret: hunter2\n",                      "1:13", "tag_secret: has 7 characters, and could be guessed",       "write at least 16, such as the output of: openssl rand -base64 32"),
    ("tag_secret: 1234567890123456\n",             "1:13", "tag_secret: is not text",                                  "write it in quotes"),
    ("store: {prefix: '{a}'}\n",                   "1:17", 'store.prefix: "{a}" cannot begin a key',                   "write a short word without spaces and braces, such as pp"),
    ("tracing: {sample: 10%}\n",                   "1:19", 'tracing.sample: "10%" is not a share from 0 to 1',         "write 0.1"),
    ("tracing: {sample: 2}\n",                     "1:19", "tracing.sample: 2 is not a share from 0 to 1",             "write a number such as 0.1, or 1 for all"),
    ("tracing: {sample: most}\n",                  "1:19", 'tracing.sample: "most" is not a share from 0 to 1',        "write a number such as 0.1, or 1 for all"),
    ("tracing: {endpoint: jaeger}\n",              "1:21", 'tracing.endpoint: "jaeger" is not a URL',                  "write http://jaeger"),
    ("tracing: {endpoint: 'grpc://a:4317'}\n",     "1:21", 'tracing.endpoint: "grpc://a:4317" has the scheme grpc:, which is none of http:, https:', "write http://localhost:4318"),
    ("tracing: {endpoint: 'http://u:p@a:4318'}\n", "1:21", 'tracing.endpoint: "http://u:***@a:4318" has more than scheme, host, port and path', "write http://a:4318; credentials go into OTEL_EXPORTER_OTLP_HEADERS"),
    ("tracing: {endpoint: 'http://a:4318/v1/traces'}\n", "1:21", 'tracing.endpoint: "http://a:4318/v1/traces" names the path of traces, which is added', "write http://a:4318"),
    ("tracing: {enabled: maybe}\n",                "1:20", 'tracing.enabled: "maybe" is neither true nor false',       "write true or false"),
    ("store: {capacity: 0}\n",                     "1:19", "store.capacity: 0 would refuse everything",                "write a number above zero"),
    # -- routes
    ("routes: [{match: api}]\n",                   "1:18", 'routes[0].match: "api" does not begin with a slash',       "write /api"),
    ("routes: [{match: 5}]\n",                     "1:18", "routes[0].match: 5 is not text",                           "write some text, in quotes if it looks like a number"),
    ("routes: [{match: '/a/{id'}]\n",              "1:18", 'routes[0].match: "/a/{id" has a brace without its partner', "write {name}, or %7B and %7D for the characters"),
    ("routes:\n  - match: /u/{id}\n  - match: /u/{name}\n", "3:12", 'routes[1].match: "/u/{name}" is the same match as routes[0] (/u/{id}), which comes first', "put all options into one of the two, and remove the other"),
    ("routes:\n  - match: /a/{p*}\n  - match: /a/b\n", "3:12", 'routes[1].match: "/a/b" can never match: routes[0] (/a/{p*}) comes first and takes all its paths', "move it above routes[0] (/a/{p*}), or remove it"),
    ("routes:\n  - {match: /z}\n  - {match: /a}\n  - {match: /a/}\n  - {match: /a, trailing_slash: same}\n", "5:13", 'routes[3].match: "/a" is the same match as routes[1] (/a), which comes first', "put all options into one of the two, and remove the other"),
    ("routes:\n  - {match: /z}\n  - {match: '/{x}'}\n  - {match: '/{x}/'}\n  - {match: /a, trailing_slash: same}\n", "5:13", 'routes[3].match: "/a" can never match: routes[1] (/{x}) and routes[2] (/{x}/) come first and take all its paths', "move it above routes[1] (/{x}), or remove it"),
    ("defaults: {case_insensitive: true}\nroutes:\n  - match: /A\n  - match: /a\n", "4:12", 'routes[1].match: "/a" is the same match as routes[0] (/A), which comes first', "put all options into one of the two, and remove the other"),
    ("routes:\n  - match: /a/{id}\n    invalidates: ['/b/{nr}']\n", "3:19", 'routes[0].invalidates[0]: "/b/{nr}" names {nr}, which the route\'s match does not have', "use {id}"),
    ("routes: [{match: '/a/{id}/x', resource: '/a/{nr}'}]\n", "1:41", 'routes[0].resource: "/a/{nr}" names {nr}, which the route\'s match does not have', "use {id}"),
    ("routes: [{match: '/a/{id}/x', resource: a}]\n", "1:41", 'routes[0].resource: "a" does not begin with a slash', "write /a"),
    ("routes: [{match: '/a/{id}', resource: '/a/{id}'}]\n", "1:39", 'routes[0].resource: "/a/{id}" is the route\'s own match', "leave it out, or name another path"),
    ("defaults: {resource: /a}\n",                "1:12", "defaults.resource: is not a known setting",                 "did you mean require?"),
    ("defaults: {collections: true, verify: never}\n", "1:39", 'defaults.verify: "never" believes versions of members that have gone with their collection', "leave it out, or write collections: false"),
    ("defaults: {verify: never}\nroutes: [{match: /a, collections: true}]\n", "2:10", 'routes[0].verify: "never" believes versions of members that have gone with their collection', "leave it out, or write collections: false"),
    ("defaults:\n  invalidates: ['/b/{nr}']\n",    "2:17", 'defaults.invalidates[0]: "/b/{nr}" names {nr}, which the route\'s match does not have', "write it without parameters: the match has none"),
    # -- together
    ("store: {lease: 30s}\n",                      "1:16", "store.lease: 30s is not longer than upstream.timeout (30s): a claim would end while its write may still be under way", "write 35s or more, or leave it out"),
    ("listen: 127.0.0.1:80\nadmin: 127.0.0.1:80\n", "2:8", "admin: listen (127.0.0.1:80) and admin (127.0.0.1:80) cannot share one port", "write 127.0.0.1:9412, or off"),
    ("workers: 2\n",                               "1:10", "workers: 2 needs Redis: processes must see each other's versions and claims, and the store is in memory", "write store: redis://redis:6379/0, or workers: 1"),
    ("workers: auto\nstore: memory\n",             "1:10", "workers: auto needs Redis: processes must see each other's versions and claims, and the store is in memory", "write store: redis://redis:6379/0, or workers: 1"),
    ("workers: many\nstore: redis://r\n",          "1:10", 'workers: "many" is no number of processes',               "write auto (one for each processor), or a number from 1 to 256"),
    ("workers: 0\nstore: redis://r\n",             "1:10", "workers: 0 is no number of processes",                    "write auto (one for each processor), or a number from 1 to 256"),
    ("store: redis://r\nworkers: 4\nlimits: {connections: 3}\n", "3:23", "limits.connections: 3 cannot be shared by 4 workers: each needs one", "write 4 or more, or 0 for no limit"),
    ("store: redis://r\nworkers: 4\nupstream: {url: http://b, max_connections: 3}\n", "3:44", "upstream.max_connections: 3 cannot be shared by 4 workers: each needs one", "write 4 or more, or 0 for no limit"),
    ("admin_hosts: ['a b']\n",                     "1:15", 'admin_hosts[0]: "a b" is no host name',                  "write a name without a port, such as proxy.example, or *"),
    ("listen: :9412\n",                            "1:9",  "listen: listen (:9412) and admin (127.0.0.1:9412) cannot share one port", "write :8412"),
]
BAD_URLS = [
    # flag        value                              what is wrong                                                     what to write
    ("upstream",  "localhost:8080",                  '"localhost:8080" is not a URL',                                  "write http://localhost:8080"),
    ("upstream",  "backend",                         '"backend" is not a URL',                                         "write http://backend"),
    ("upstream",  "//b",                             '"//b" is not a URL',                                             "write http://localhost:8080"),
    ("upstream",  "htp://b",                         '"htp://b" has the scheme htp:, which is none of http:, https:, unix:', "write http://b"),
    ("upstream",  "ftp://b",                         '"ftp://b" has the scheme ftp:, which is none of http:, https:, unix:', "write http://localhost:8080"),
    ("upstream",  "gopher://b",                      '"gopher://b" has the scheme gopher:, which is none of http:, https:, unix:', "write http://localhost:8080"),
    ("upstream",  "http://b/api",                    '"http://b/api" has more than scheme, host and port',             "write http://b: a request's path is forwarded as it is"),
    ("upstream",  "http://b?x=1",                    '"http://b?x=1" has more than scheme, host and port',             "write http://b: a request's path is forwarded as it is"),
    ("upstream",  "http://u:sesame@b:1",             '"http://u:***@b:1" has a user name or password, which the proxy never sends', "write http://b:1: clients send their own credentials"),
    ("upstream",  "http://",                         '"http://" has no host',                                          "write host:port"),
    ("upstream",  "http://b:0",                      '"http://b:0" has an impossible port',                            "write a port from 1 to 65535"),
    ("upstream",  "http://b:http",                   '"http://b:http" has an impossible port',                         "write a port from 1 to 65535"),
    ("upstream",  "http://b c",                      '"http://b c" has a space, control character or backslash',       "write http://localhost:8080"),
    ("upstream",  "http://[::1",                     '"http://[::1" is not a URL',                                     "write http://localhost:8080"),
    ("upstream",  "http://a_b-:80",                  '"http://a_b-:80" has an impossible host',                        "write host:port"),
    ("upstream",  "unix:run/b.sock",                 '"unix:run/b.sock" does not name a socket',                       "write unix:/run/backend.sock, an absolute path"),
    ("store",     "redis:6379",                      '"redis:6379" is not a URL',                                      "write redis://redis:6379"),
    ("store",     "reddis://u:sesame@r",             '"reddis://u:***@r" has the scheme reddis:, which is none of memory:, redis:, rediss:, unix:, redis+sentinel:, rediss+sentinel:, redis+cluster:, rediss+cluster:', "write redis://u:***@r"),
    ("store",     "redis://:sesame@r:99999/0",       '"redis://:***@r:99999/0" has an impossible port',                "write a port from 1 to 65535"),
    ("store",     "redis://:sesame@r/x",             '"redis://:***@r/x" has a path that is no database number',       "write redis://:***@r/0"),
    ("store",     "redis+sentinel://a:1,b:1",        '"redis+sentinel://a:1,b:1" does not name Sentinel\'s master',    "write redis+sentinel://host:26379,host2:26379/mymaster/0"),
    ("store",     "redis+cluster://a,b/3",           '"redis+cluster://a,b/3" names a database: a Redis Cluster has only database 0', "write redis+cluster://a,b"),
    ("store",     "unix:redis.sock",                 '"unix:redis.sock" does not name a socket',                       "write unix:///run/redis.sock?db=0"),
]
VARIABLES = [
    # name                           value               what is wrong                                              what to write
    ("PROXY_UPSTREM",                "x",                "is not a known setting",                                  "did you mean PROXY_UPSTREAM?"),
    ("PROXY_STORE_URL",              "x",                "is not a known setting",                                  "did you mean PROXY_STORE__URL?"),
    ("PROXY_CONFG",                  "x",                "is not a known setting",                                  "did you mean PROXY_CONFIG?"),
    ("PROXY_PORT",                   "8412",             "is not a known setting",                                  "unset it: variables that begin with PROXY_ are settings"),
    ("PROXY_XYZZY_PLUGH_9",          "x",                "is not a known setting",                                  "unset it: variables that begin with PROXY_ are settings"),
    ("PROXY_ROUTES__0__MATCH",       "/a",               "routes cannot be set one by one",                         "write all of them as JSON into PROXY_ROUTES, or into a file"),
    ("PROXY_ROUTES",                 "/a",               "is not JSON (column 1: Expecting value)",                 'write JSON, such as [{"match": "/api/users/{id}"}]'),
    ("PROXY_ROUTES",                 '{"match": "/a"}',  "is not a list",                                           "write a list: routes: and below it one - match: /api/users/{id} for each"),
    ("PROXY_ROUTES",                 '[{"match": "a"}]', 'routes[0].match: "a" does not begin with a slash',        "write /a"),
    ("PROXY_LIMITS",                 "lots",             "is not JSON (column 1: Expecting value)",                 'write JSON, such as {"key": "value"}'),
    ("PROXY_LIMITS",                 '{"bdy": 1}',       "limits.bdy: is not a known setting",                      "did you mean body?"),
    ("PROXY_DRAIN",                  "soon",             '"soon" is not a duration',                                "write a number with a unit, such as 500ms, 30s, 2m, 1h or 7d"),
    ("PROXY_UPSTREAM__TIMEOUT",      "soon",             '"soon" is not a duration',                                "write a number with a unit, such as 500ms, 30s, 2m, 1h or 7d"),
    ("PROXY_DEFAULTS__GUARD",        "PUT,GETT",         'defaults.guard[1]: "GETT" is not a known method',         "write a method such as PUT, PATCH, DELETE or POST"),
    ("PROXY_TAG_SECRET",             "",                 "is empty",                                                "write at least 16, such as the output of: openssl rand -base64 32"),
    ("PROXY_CONFIG",                 "nowhere.yaml",     "no such file: nowhere.yaml",                              "write the path of an existing file, or leave it out"),
    ("PROXY_STORE",                  '{"url": "redis://:sesame@r"', "is not JSON (column 28: Expecting ',' delimiter)", 'write JSON, such as {"key": "value"}'),
]
# fmt: on


@pytest.mark.parametrize(("text", "place", "what", "instead"), IN_FILE)
def test_mistake_in_the_file(tmp_path: Path, text: str, place: str, what: str, instead: str) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text(text)
    given = {} if "upstream:" in text else GIVEN
    assert first(refusal(file, given, {})) == f"{file}:{place}: {what}\n    {instead}"


@pytest.mark.parametrize(("flag", "value", "what", "instead"), BAD_URLS)
def test_bad_url_in_a_flag(flag: str, value: str, what: str, instead: str) -> None:
    assert refusal(None, GIVEN | {flag: value}, {}) == f"--{flag}: {what}\n    {instead}"


@pytest.mark.parametrize(("name", "value", "what", "instead"), VARIABLES)
def test_mistake_in_a_variable(name: str, value: str, what: str, instead: str) -> None:
    assert refusal(None, GIVEN, {name: value}) == f"{name}: {what}\n    {instead}"


def test_no_upstream() -> None:
    assert refusal(None, {}, {}) == (
        "upstream: nothing says where the backend is\n"
        "    write upstream: http://localhost:8080 into the file, or give --upstream http://localhost:8080,"
        " or set PROXY_UPSTREAM"
    )


def test_upstream_said_twice() -> None:
    message = refusal(None, {}, {"PROXY_UPSTREAM": "http://a", "PROXY_UPSTREAM__URL": "http://b"})
    assert message == "PROXY_UPSTREAM__URL: says the same as PROXY_UPSTREAM\n    keep one of the two"


def test_no_such_file(tmp_path: Path) -> None:
    file = tmp_path / "none.yaml"
    assert refusal(file, GIVEN, {}) == (
        f"--config: no such file: {file}\n    write the path of an existing file, or leave it out"
    )


def test_a_directory_as_file(tmp_path: Path) -> None:
    assert refusal(tmp_path, GIVEN, {}) == (
        f"--config: {tmp_path} is a directory\n    write the path of the file, such as {tmp_path}/proxy.yaml"
    )


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_bytes(b"drain: \xff\n")
    assert refusal(file, GIVEN, {}) == f"{file}:1:1: is not UTF-8 text (byte 7)\n    save it as UTF-8"


def test_every_mistake_is_told_at_once_in_the_order_of_its_place(tmp_path: Path) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text(
        "listen: nowhere\nroutes:\n  - match: /a\n    mode: of\n  - match: /{x}\n  - match: /b\ndrain: x\nlogs: {}\n"
    )
    places = [
        line.split(": ")[0].removeprefix(f"{file}:")
        for line in refusal(file, {"store": "r"}, {"PROXY_VIA": "a b"}).splitlines()
        if not line.startswith(" ")
    ]
    assert places == ["--store", "PROXY_VIA", "1:9", "4:11", "6:12", "7:8", "8:1", "upstream"]


def test_an_error_names_the_source_whose_word_counts(tmp_path: Path) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text("upstream: {url: http://b, timeout: 40s}\nstore: {lease: 60s}\n")
    message = refusal(file, {}, {"PROXY_STORE__LEASE": "20s"})
    assert message.startswith("PROXY_STORE__LEASE: 20s is not longer than upstream.timeout (40s)")
    message = refusal(file, {}, {"PROXY_UPSTREAM__TIMEOUT": "2m"})
    assert message.startswith(
        f"{file}:2:16: store.lease: 60s is not longer" if False else f"{file}:2:16: store.lease: 1m"
    )


def test_a_list_that_replaces_another_answers_for_all_of_its_items(tmp_path: Path) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text("upstream: http://b\nroutes: [{match: /a}]\n")
    message = refusal(file, {}, {"PROXY_ROUTES": '[{"mode": "off"}]'})
    assert message.startswith("PROXY_ROUTES: routes[0].match: is missing\n")


def test_settings_built_without_load_say_each_mistake_once() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"upstream": "http://b", "store": {"lease": "1s"}, "drain": "x"})
    assert sorted(line["loc"] for line in caught.value.errors()) == [("drain",), ("store", "lease")]


def test_no_message_holds_a_secret(tmp_path: Path) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text(
        "tag_secret: sesame\nstore: redis://:sesame@r:x/0\nupstream: https://u:sesame@b/\nextra: 1\n"
    )
    environ = {"PROXY_LOG": json.dumps("sesame") + "x"}
    assert "sesame" not in refusal(file, {}, environ)


def refusal(file: Path | None, flags: dict[str, str], environ: dict[str, str]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(file, flags, environ)
    return str(caught.value)


def first(message: str) -> str:
    """The first mistake; a file that cannot be read has further consequences."""
    return "\n".join(message.splitlines()[:2])


def test_tracing_needs_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coherence, "TRACING_PACKAGE", "opentelemetry_that_nobody_installed.exporter")
    path = tmp_path / "proxy.yaml"
    path.write_text(UP + "tracing:\n  enabled: true\n")
    with pytest.raises(ConfigurationError) as caught:
        load(path, {}, {})
    assert str(caught.value) == (
        f"{path}:3:12: tracing.enabled: needs packages that are not installed here\n"
        "    install them with: pip install 'precondition-proxy[tracing]', or write false"
    )
    path.write_text(UP + "tracing:\n  enabled: false\n")
    assert not load(path, {}, {}).tracing.enabled

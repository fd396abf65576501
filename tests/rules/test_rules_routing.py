"""Patterns and routes: what matches what, which route wins, and which can never be reached."""

# ruff: noqa: E501 (tables)

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.rules.content import VersionSource
from proxy.rules.coverage import Reach, covered, escape, matches
from proxy.rules.patterns import PatternError, check_template, expand, parse
from proxy.rules.routing import UNSAFE_GUARDED, AfterWrite, Route, Router, Verify, expression, on_behalf

# fmt: off
MATCHES = [
    # pattern                  path                     parameters, or None for no match
    ("/",                      "/",                     {}),
    ("/",                      "/a",                    None),
    ("/api/users",             "/api/users",            {}),
    ("/api/users",             "/api/users/",           None),
    ("/api/users",             "/API/users",            None),
    ("/api/users/",            "/api/users/",           {}),
    ("/api/users/",            "/api/users",            None),
    ("/api/users/{id}",        "/api/users/7",          {"id": "7"}),
    ("/api/users/{id}",        "/api/users/a%2Fb",      {"id": "a%2Fb"}),
    ("/api/users/{id}",        "/api/users/",           None),
    ("/api/users/{id}",        "/api/users/7/",         None),
    ("/api/users/{id}",        "/api/users/7/orders",   None),
    ("/api/{a}/x/{b}",         "/api/1/x/2",            {"a": "1", "b": "2"}),
    ("/items/{id}.json",       "/items/7.json",         {"id": "7"}),
    ("/items/{id}.json",       "/items/7.json.json",    {"id": "7.json"}),
    ("/items/{id}.json",       "/items/.json",          None),
    ("/items/{id}.json",       "/items/7xjson",         None),
    ("/v{n}/x",                "/v2/x",                 {"n": "2"}),
    ("/v{n}/x",                "/v/x",                  None),
    ("/static/{path*}",        "/static/",              {"path": ""}),
    ("/static/{path*}",        "/static/a/b.css",       {"path": "a/b.css"}),
    ("/static/{path*}",        "/static//a",            {"path": "/a"}),
    ("/static/{path*}",        "/static",               None),
    ("/{path*}",               "/",                     {"path": ""}),
    ("/{path*}",               "/a/b",                  {"path": "a/b"}),
    ("/{path*}",               "/a\nb",                 {"path": "a\nb"}),
    ("/a.b",                   "/axb",                  None),
    ("/caf\u00e9",             "/caf%C3%A9",            {}),
    ("/caf%c3%a9",             "/caf%C3%A9",            {}),
    ("/%61b",                  "/ab",                   {}),
    ("/a b",                   "/a%20b",                {}),
    ("/a",                     "/a\n",                  None),
]
OPTIONS = [
    # pattern            options                                                  path              parameters
    ("/API/{id}",        {"case_insensitive": True},                              "/api/X",         {"id": "X"}),
    ("/a",               {"trailing_slash": "same"},                              "/a/",            {}),
    ("/a",               {"trailing_slash": "same"},                              "/a",             {}),
    ("/a",               {"trailing_slash": "same"},                              "/a//",           None),
    ("/a/",              {"trailing_slash": "same"},                              "/a",             {}),
    ("/a/{id}",          {"trailing_slash": "same"},                              "/a/7/",          {"id": "7"}),
    ("/",                {"trailing_slash": "same"},                              "/",              {}),
    ("/",                {"trailing_slash": "same"},                              "//",             None),
    ("/s/{path*}",       {"trailing_slash": "same"},                              "/s",             {"path": ""}),
    ("/s/{path*}",       {"trailing_slash": "same"},                              "/s/a/",          {"path": "a/"}),
    ("/s/{path*}",       {"trailing_slash": "same"},                              "/sx",            None),
    ("/a/b",             {"merge_slashes": True},                                 "//a///b",        {}),
    ("/a/b",             {"merge_slashes": True},                                 "/a/b/",          None),
    ("/a/{p*}",          {"merge_slashes": True},                                 "/a//b//c",       {"p": "b/c"}),
    ("/a/",              {"merge_slashes": True},                                 "/a//",           {}),
    ("/a",               {"merge_slashes": True, "trailing_slash": "same"},       "/a//",           {}),
    ("/a/b",             {},                                                      "//a/b",          None),
]
BAD = [
    # pattern            what is wrong                                            what to write
    ("api",              "does not begin with a slash",                           "write /api"),
    ("",                 "does not begin with a slash",                           "write /"),
    ("/a?b=1",           "has a query or fragment",                               "write /a: only the path is looked at"),
    ("/a#b",             "has a query or fragment",                               "write /a: only the path is looked at"),
    ("/100%",            "has a % that begins no percent-encoding",               "write %25 for the character itself"),
    ("/a//b",            "has an empty segment (//)",                             "write /a/b, with merge_slashes if need be"),
    ("/a/../b",          "has a dot segment, which no request path keeps",                "write the path without . and .."),
    ("/a/%2e/b",         "has a dot segment, which no request path keeps",                "write the path without . and .."),
    ("/{id",             "has a brace without its partner",                       "write {name}, or %7B and %7D for the characters"),
    ("/a}/b",            "has a brace without its partner",                       "write {name}, or %7B and %7D for the characters"),
    ("/{}",              "has the parameter {}, which is no name",                "use letters, digits and _, such as {id}"),
    ("/{user-id}",       "has the parameter {user-id}, which is no name",         "use letters, digits and _, such as {id}"),
    ("/{*}",             "has the parameter {}, which is no name",                "use letters, digits and _, such as {id}"),
    ("/{id}/x/{id}",     "has the parameter {id} twice",                          "give each parameter a name of its own"),
    ("/{id}/{id*}",      "has the parameter {id} twice",                          "give each parameter a name of its own"),
    ("/{a}-{b}",         "has two parameters in the segment {a}-{b}",             "write one parameter in each segment"),
    ("/{p*}/x",          "has {p*} before its end or beside other text",          "write {p*} as the whole last segment, or {p} for one segment"),
    ("/x{p*}",           "has {p*} before its end or beside other text",          "write {p*} as the whole last segment, or {p} for one segment"),
]
CASE, SAME, MERGE = {"case_insensitive": True}, {"either_slash": True}, {"merge_slashes": True}
COVERED = [
    # earlier routes, each a pattern or (pattern, options)           later                       covered
    (["/api/{id}"],                                                  "/api/me",                  True),
    (["/api/me"],                                                    "/api/{id}",                False),
    (["/{path*}"],                                                   "/a/{b}/c",                 True),
    (["/{path*}"],                                                   "/",                        True),
    (["/{a}"],                                                       "/",                        False),
    (["/a/{path*}"],                                                 "/a",                       False),
    (["/a/{path*}"],                                                 "/a/",                      True),
    (["/a/{path*}"],                                                 "/a/b/{c}/{d*}",            True),
    (["/a/{path*}"],                                                 "/{x}/b",                   False),
    (["/{x}/b"],                                                     "/a/{y}",                   False),
    (["/{x}/{y}"],                                                   "/a/{y}",                   True),
    (["/{x}/{y}"],                                                   "/{x*}",                    False),
    (["/items/{id}"],                                                "/items/{id}.json",         True),
    (["/items/{id}.json"],                                           "/items/{id}",              False),
    (["/items/{id}.json"],                                           "/items/v{n}.json",         True),
    (["/items/{id}n"],                                               "/items/{id}.json",         True),
    (["/items/i{id}"],                                               "/items/{id}.json",         False),
    (["/a{x}"],                                                      "/aa",                      True),
    (["/a{x}a"],                                                     "/aa",                      False),
    (["/a{x}a"],                                                     "/aa{x}a",                  True),
    (["/A"],                                                         "/a",                       False),
    ([("/A", CASE)],                                                 "/a",                       True),
    (["/a"],                                                         ("/a", CASE),               False),
    (["/a", "/A"],                                                   ("/a", CASE),               True),
    (["/a"],                                                         ("/a", SAME),               False),
    (["/a", "/a/"],                                                  ("/a", SAME),               True),
    ([("/a/", SAME)],                                                "/a",                       True),
    ([("/a/{p*}", SAME)],                                            "/a",                       True),
    (["/a/b"],                                                       ("/a/b", MERGE),            False),
    ([("/a/b", MERGE)],                                              "/a/b",                     True),
    ([("/a/{p*}", MERGE)],                                           "/a/{x}",                   True),
    (["/b/{p*}", "/a/", "/a/{x}", "/a/{x}/{p*}"],                    "/a/{p*}",                  False),  # /a//x
    ([("/a/", MERGE), ("/a/{x}", MERGE), ("/a/{x}/{p*}", MERGE)],    ("/a/{p*}", MERGE),         True),
    (["/a/", "/a/{x}", "/a/{x}/"],                                   ("/a/{x}", SAME),           True),
    ([],                                                             "/a",                       False),
]
TEMPLATES = [
    # template                        parameters                     path
    ("/api/users",                    {},                            "/api/users"),
    ("/api/users/{id}/orders",        {"id": "7"},                   "/api/users/7/orders"),
    ("/a/{x}-{y}",                    {"x": "1", "y": "2"},          "/a/1-2"),
    ("/files/{path*}",                {"path": "a/b"},               "/files/a/b"),
    ("/files/{path}",                 {"path": "a/b"},               "/files/a/b"),
    ("/caf\u00e9/{id}",               {"id": "%C3%A9"},              "/caf%C3%A9/%C3%A9"),
    ("/a/{nope}",                     {"id": "7"},                   None),
]
# fmt: on


@pytest.mark.parametrize(("pattern", "path", "parameters"), MATCHES)
def test_pattern(pattern: str, path: str, parameters: dict[str, str] | None) -> None:
    assert_found(Route(pattern), path, parameters)


@pytest.mark.parametrize(("pattern", "options", "path", "parameters"), OPTIONS)
def test_pattern_with_options(
    pattern: str, options: dict[str, object], path: str, parameters: dict[str, str] | None
) -> None:
    assert_found(Route(pattern, **options), path, parameters)  # type: ignore[arg-type]


def assert_found(route: Route, path: str, parameters: dict[str, str] | None) -> None:
    router = Router([route], Route())
    found = router.find(path), router.parameters(path)
    assert found == ((Route(), {}) if parameters is None else (route, parameters))


@pytest.mark.parametrize(("pattern", "what", "instead"), BAD)
def test_bad_pattern(pattern: str, what: str, instead: str) -> None:
    with pytest.raises(PatternError) as caught:
        parse(pattern)
    assert (caught.value.what, caught.value.instead) == (what, instead)


def test_first_match_wins_and_the_default_takes_the_rest() -> None:
    routes = [
        Route("/api/users/me"),
        Route("/api/users/{id}"),
        Route("/{a}/{b}/{c}"),
        Route("/api/{path*}"),
        Route("/other", case_insensitive=True),
    ]
    router = Router(routes, Route())
    paths = ("/api/users/me", "/api/users/7", "/x/y/z", "/api/a/b/c")
    assert [(router.find(path).match, router.parameters(path)) for path in paths] == [
        ("/api/users/me", {}),
        ("/api/users/{id}", {"id": "7"}),
        ("/{a}/{b}/{c}", {"a": "x", "b": "y", "c": "z"}),
        ("/api/{path*}", {"path": "a/b/c"}),
    ]
    assert router.find("/OTHER").match == "/other"
    assert router.find("/API/users/me").match == "/{a}/{b}/{c}"
    assert (router.find("*"), router.parameters("*")) == (Route(), {})


def test_without_routes_everything_is_default() -> None:
    router = Router([], Route())
    assert (router.find("/"), router.parameters("/")) == (Route(), {})


def test_many_routes_stay_apart() -> None:
    routes = [Route(f"/r{number}/{{id}}/{{p*}}") for number in range(300)]
    router = Router(routes, Route())
    assert all(router.find(f"/r{n}/{n}/x") is routes[n] for n in range(300))
    assert router.parameters("/r299/7/x/y") == {"id": "7", "p": "x/y"}


def test_a_long_path_costs_no_backtracking() -> None:
    """Would take hours if a parameter could be split in several ways."""
    router = Router([Route("/{a}a/{b}b/{c}c/{d}d/{e*}")], Route())
    assert router.find("/" + "a" * 4000 + "/" + "b" * 4000 + "x").match == "default"


@pytest.mark.parametrize(("earlier", "later", "expected"), COVERED)
def test_coverage(earlier: list[object], later: object, expected: bool) -> None:
    assert covered(reach(later), [reach(item) for item in earlier]) is expected


def reach(written: object) -> Reach:
    pattern, options = written if isinstance(written, tuple) else (written, {})
    return Reach(parse(pattern), **options)


SEGMENTS = st.sampled_from(["a", "b", "ab", "A", "{x}", "a{x}", "{x}b", "a{x}b"])
WORDS = ["".join(word) for length in range(1, 7) for word in itertools.product("/aAb", repeat=length)]
WORDS = [word for word in WORDS if word.startswith("/")]


@st.composite
def reaches(draw: st.DrawFn) -> Reach:
    parts = draw(st.lists(SEGMENTS, max_size=2))
    named = [part.replace("{x}", f"{{x{at}}}") for at, part in enumerate(parts)]
    end = draw(st.sampled_from(["", "/", "/{p*}"])) if named else draw(st.sampled_from(["/", "/{p*}"]))
    text = "".join(f"/{part}" for part in named) + end
    return Reach(parse(text), draw(st.booleans()), draw(st.booleans()), draw(st.booleans()))


def as_regex(one: Reach) -> re.Pattern[str]:
    route = Route(
        one.pattern.text,
        case_insensitive=one.case_insensitive,
        trailing_slash="same" if one.either_slash else "distinct",
        merge_slashes=one.merge_slashes,
    )
    return re.compile(expression(route, one.pattern), re.ASCII | re.DOTALL)


@settings(max_examples=40, deadline=None)
@given(reaches())
def test_the_proof_and_the_router_mean_the_same_by_a_pattern(one: Reach) -> None:
    regex = as_regex(one)
    assert [word for word in WORDS if matches(one, word)] == [word for word in WORDS if regex.fullmatch(word)]


@settings(max_examples=150, deadline=None)
@given(reaches(), st.lists(reaches(), min_size=1, max_size=3))
def test_coverage_agrees_with_every_short_path(later: Reach, earlier: list[Reach]) -> None:
    """Either no short path escapes, or the path that is named escapes."""
    ours, theirs = as_regex(later), [as_regex(one) for one in earlier]

    def escapes(path: str) -> bool:
        return bool(ours.fullmatch(path)) and not any(one.fullmatch(path) for one in theirs)

    found = escape(later, earlier)
    assert escapes(found) if found is not None else not any(map(escapes, WORDS))


@pytest.mark.parametrize(("template", "parameters", "path"), TEMPLATES)
def test_expand(template: str, parameters: dict[str, str], path: str | None) -> None:
    assert expand(template, parameters) == path


@pytest.mark.parametrize(
    ("template", "known", "message"),
    [
        ("/a/{nope}", ["id"], "names {nope}, which the route's match does not have; use {id}"),
        (
            "/a/{id}",
            [],
            "names {id}, which the route's match does not have; write it without parameters: the match has none",
        ),
        ("a", [], "does not begin with a slash; write /a"),
        (
            "/a/{id",
            ["id"],
            "has a brace without its partner; write {name}, or %7B and %7D for the characters",
        ),
    ],
)
def test_bad_template(template: str, known: list[str], message: str) -> None:
    with pytest.raises(PatternError) as caught:
        check_template(template, known)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("alias", "doubtful", "changed"),
    [
        ({}, False, {}),
        ({}, True, {"verify": Verify.ALWAYS}),
        ({"verify": Verify.NEVER}, True, {}),
        ({"after_write": AfterWrite.RESPONSE}, False, {"after_write": AfterWrite.REREAD}),
        ({"after_write": AfterWrite.FORGET}, False, {}),
        ({"require": frozenset({"POST"}), "replay": 0.0}, False, {}),
    ],
)
def test_a_write_under_an_alias_is_asked_as_its_route_says_of_versions_as_the_resources_says(
    alias: dict[str, Any], doubtful: bool, changed: dict[str, Any]
) -> None:
    route = Route("/a/{id}/do", resource="/a/{id}", **alias)
    own = Route("/a/{id}", version=VersionSource(header="X-R"), hash_limit=7, verify=Verify.ALWAYS)
    expected = replace(route, version=own.version, hash_limit=7, guard=UNSAFE_GUARDED | {"POST"}, **changed)
    assert on_behalf(route, own, "POST", doubtful=doubtful) == expected

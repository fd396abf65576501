"""A calendar that ignores If-Match, and a client that sends the tags it was shown in PROPFIND and REPORT."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from support.deployed import free_ports, status

from backends.apis import APPS
from backends.proxying import proxy
from backends.stores import store_url
from backends.tools import ground, package, serving, thorough

EVENT = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:a test
BEGIN:VEVENT
UID:{name}
DTSTAMP:20221115T000000Z
DTSTART:20221115T100000Z
DTEND:20221115T110000Z
SUMMARY:first
END:VEVENT
END:VCALENDAR
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of the server itself."""
    package("caldav", "radicale", "werkzeug")
    (port,) = free_ports(1)
    with ground() as folder:
        command = (sys.executable, APPS / "caldav_store.py", str(port), folder / "store")
        with serving(*command, folder=folder, ready=lambda: status(port, "/") != 0):
            yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module", params=thorough("memory", all_of=["memory", "redis"]))
def proxied(server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The same through the proxy."""
    with ground() as folder, store_url(request.param) as store, proxy(folder, server, store=store) as url:
        yield url


def calendar(url: str, name: str) -> Any:
    """A new calendar with one event."""
    import caldav

    client = caldav.DAVClient(url=f"{url}/", username="me", password="secret")
    made = client.principal().make_calendar(name=name)
    made.save_event(EVENT.format(name=name))
    return made


def lose(held: Any, name: str) -> Any:
    """Two programs read one event; the first has saved its change, the second is about to."""
    theirs, mine = held.event_by_uid(name), held.event_by_uid(name)
    theirs.icalendar_component["SUMMARY"] = "theirs"
    theirs.save()
    mine.icalendar_component["SUMMARY"] = "mine"
    return mine


def summary(held: Any, name: str) -> str:
    return str(held.event_by_uid(name).icalendar_component["SUMMARY"])


def test_without_the_proxy_an_update_is_lost(server: str) -> None:
    held = calendar(server, "direct")
    lose(held, "direct").save()
    assert summary(held, "direct") == "mine"


def test_a_lost_update_is_refused_and_can_be_made_again(proxied: str) -> None:
    from caldav.lib.error import ETagMismatchError

    held = calendar(proxied, "proxied")
    mine = lose(held, "proxied")
    with pytest.raises(ETagMismatchError):
        mine.save()
    assert summary(held, "proxied") == "theirs"
    again = held.event_by_uid("proxied")
    again.icalendar_component["SUMMARY"] = "merged"
    again.save()
    again.icalendar_component["SUMMARY"] = "and once more"
    again.save()  # with the tag of the answer, or of a look at it
    assert summary(held, "proxied") == "and once more"


def test_calendars_are_listed_searched_and_synchronised(proxied: str) -> None:
    held = calendar(proxied, "all")
    held.save_event(EVENT.format(name="other"))
    assert len(held.search(event=True)) == 2
    seen = held.objects_by_sync_token(load_objects=True)
    assert len(list(seen)) == 2
    held.event_by_uid("other").delete()
    updated, deleted = seen.sync()
    assert (len(list(updated)), len(list(deleted))) == (0, 1)

"""A legacy backend: JSON notes, kept in memory, by an API that knows nothing of conditional requests.

It sends no ETag and no Last-Modified, and ignores If-Match and its kin: the last writer wins, silently.

    GET  /notes         all notes              GET, HEAD /notes/{id}   one note
    POST /notes         a new note, 201        PUT       /notes/{id}   replaces it, or creates it, 201
                                               PATCH     /notes/{id}   JSON merge patch (RFC 7396)
                                               DELETE    /notes/{id}   204

Run it: python notes.py [--host 127.0.0.1] [--port 8413]; port 0 takes a free one. Its first line of output is
`listening on http://HOST:PORT`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from dataclasses import asdict, dataclass

from aiohttp import web


@dataclass(frozen=True)
class Note:
    """What a client may say of a note."""

    title: str
    text: str = ""


SEED = {
    1: Note("Groceries", "bread, milk, apples"),
    2: Note("Meeting", "Tuesday at ten, room 4"),
    3: Note("Ideas", "ask before overwriting"),
}


class Notes:
    """The notes, by number, and the handlers of their HTTP API."""

    def __init__(self) -> None:
        self.notes = dict(SEED)
        self.last = max(SEED)

    def app(self) -> web.Application:
        """The API as an aiohttp application."""
        app = web.Application()
        app.router.add_get("/notes", self.list_all)
        app.router.add_post("/notes", self.create)
        app.router.add_get(r"/notes/{id:[1-9]\d{0,8}}", self.show)
        app.router.add_put(r"/notes/{id:[1-9]\d{0,8}}", self.replace)
        app.router.add_patch(r"/notes/{id:[1-9]\d{0,8}}", self.change)
        app.router.add_delete(r"/notes/{id:[1-9]\d{0,8}}", self.delete)
        return app

    async def list_all(self, _request: web.Request) -> web.Response:
        """GET /notes."""
        return answer([shown(number, note) for number, note in sorted(self.notes.items())])

    async def create(self, request: web.Request) -> web.Response:
        """POST /notes."""
        note = parse(await members(request))
        self.last += 1
        self.notes[self.last] = note
        return answer(shown(self.last, note), 201, {"Location": f"/notes/{self.last}"})

    async def show(self, request: web.Request) -> web.Response:
        """GET and HEAD /notes/{id}."""
        number = self.existing(request)
        return answer(shown(number, self.notes[number]))

    async def replace(self, request: web.Request) -> web.Response:
        """PUT /notes/{id}."""
        number, note = int(request.match_info["id"]), parse(await members(request))
        created = number not in self.notes
        self.notes[number] = note
        self.last = max(self.last, number)
        return answer(shown(number, note), 201 if created else 200)

    async def change(self, request: web.Request) -> web.Response:
        """PATCH /notes/{id}: members given replace those that are there, null takes a member away."""
        patch = await members(request)
        number = self.existing(request)
        merged = {**asdict(self.notes[number]), **patch}
        self.notes[number] = parse({name: value for name, value in merged.items() if value is not None})
        return answer(shown(number, self.notes[number]))

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE /notes/{id}."""
        del self.notes[self.existing(request)]
        return web.Response(status=204)

    def existing(self, request: web.Request) -> int:
        """The number in the path, if there is such a note; else 404."""
        number = int(request.match_info["id"])
        if number not in self.notes:
            raise web.HTTPNotFound(text=text_of({"error": f"there is no note {number}"}), content_type=JSON)
        return number


JSON = "application/json"


def text_of(value: object) -> str:
    """The same value is always the same text."""
    return json.dumps(value, ensure_ascii=False) + "\n"


def answer(value: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON response."""
    return web.Response(text=text_of(value), status=status, headers=headers, content_type=JSON)


def shown(number: int, note: Note) -> dict[str, object]:
    """A note as clients see it."""
    return {"id": number, **asdict(note)}


async def members(request: web.Request) -> dict[str, object]:
    """The request's content, a JSON object, without the id, which the path says; else 400."""
    try:
        value = json.loads(await request.text())
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise bad("the content must be a JSON object")
    return {name: member for name, member in value.items() if name != "id"}


def parse(given: dict[str, object]) -> Note:
    """A note from a client's members; else 400."""
    title, text = given.get("title"), given.get("text", "")
    if not isinstance(title, str) or not isinstance(text, str) or given.keys() - {"title", "text"}:
        raise bad('a note is {"title": "...", "text": "..."}')
    return Note(title, text)


def bad(why: str) -> web.HTTPBadRequest:
    """400 that says why."""
    return web.HTTPBadRequest(text=text_of({"error": why}), content_type=JSON)


async def serve(host: str, port: int) -> None:
    """Serves until SIGINT or SIGTERM."""
    runner = web.AppRunner(Notes().app(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    print(f"listening on http://{host}:{runner.addresses[0][1]}", flush=True)
    await stopped.wait()
    await runner.cleanup()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="A notes API without conditional requests.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8413, help="0 takes a free one")
    options = parser.parse_args()
    try:
        asyncio.run(serve(options.host, options.port))
    except OSError as error:
        raise SystemExit(f"notes: {error}") from None


if __name__ == "__main__":
    main()

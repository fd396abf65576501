"""Flask: tags on GET, and PUT that never asks for them. `python flask_notes.py PORT`."""

from __future__ import annotations

import sys

from flask import Flask, Response, jsonify, request

app = Flask(__name__)
notes: dict[str, object] = {"1": {"text": "first"}}


@app.get("/notes/<name>")
def show(name: str) -> Response:
    if name not in notes:
        return Response(status=404)
    answer = jsonify(notes[name])
    answer.add_etag()
    return answer.make_conditional(request)


@app.put("/notes/<name>")
def store(name: str) -> Response:
    made = name not in notes
    notes[name] = request.get_json()
    return Response(status=201 if made else 204)


@app.delete("/notes/<name>")
def remove(name: str) -> Response:
    return Response(status=204 if notes.pop(name, None) is not None else 404)


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]), threaded=True)

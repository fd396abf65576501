"""Django REST framework: ConditionalGetMiddleware gives GETs their tags; PUT and PATCH ask nobody.

`python django_notes.py PORT`.
"""

from __future__ import annotations

import sys
from typing import Any

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for tests",
    INSTALLED_APPS=["rest_framework"],
    MIDDLEWARE=["django.middleware.gzip.GZipMiddleware", "django.middleware.http.ConditionalGetMiddleware"],
    REST_FRAMEWORK={
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "UNAUTHENTICATED_USER": None,
    },
)
django.setup()

from django.core.management import execute_from_command_line  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402

notes: dict[str, dict[str, Any]] = {"1": {"text": "first", "more": "x" * 400}}


class Note(APIView):
    """One note."""

    def get(self, request: Any, name: str) -> Response:  # noqa: ARG002
        return Response(notes[name]) if name in notes else Response(status=404)

    def put(self, request: Any, name: str) -> Response:
        made = name not in notes
        notes[name] = request.data
        return Response(notes[name], status=201 if made else 200)

    def patch(self, request: Any, name: str) -> Response:
        if name not in notes:
            return Response(status=404)
        notes[name] = {**notes[name], **request.data}
        return Response(notes[name])

    def delete(self, request: Any, name: str) -> Response:  # noqa: ARG002
        return Response(status=404 if notes.pop(name, None) is None else 204)


urlpatterns = [path("notes/<name>", Note.as_view())]

if __name__ == "__main__":
    execute_from_command_line(["", "runserver", f"127.0.0.1:{sys.argv[1]}", "--noreload", "--skip-checks"])

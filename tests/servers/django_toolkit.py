"""The PyPI package django-oauth-toolkit as an authorization server, but for its clock.

It runs in an environment of its own, as a script: Django is configured before it is imported from.
Its arguments are a secret for everybody, the toolkit's settings as JSON, and a directory.
"""

from __future__ import annotations

import json
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import django
from django.conf import settings

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET, OAUTH, DIRECTORY = sys.argv[1:]
REDIRECT = "https://client.example/"

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": f"{DIRECTORY}/database",
            # Two requests at once wait for each other, as at any other database.
            "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 60},
        }
    },
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider"],
    LOGGING_CONFIG=None,
    MIDDLEWARE=[f"{__name__}.clocked"],
    OAUTH2_PROVIDER={"PKCE_REQUIRED": False, **json.loads(OAUTH)},
    # As Django advises for tests: the others are slow on purpose.
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    ROOT_URLCONF=__name__,
    SECRET_KEY=SECRET,
    USE_TZ=True,
)
django.setup()

from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import include, path
from django.utils import timezone
from oauth2_provider.generators import generate_client_id
from oauth2_provider.models import Application, Grant

moments = [datetime.now(UTC)]
timezone.now = lambda: moments[-1]


def clocked(respond: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Take the time from each request."""

    def at_its_time(request: HttpRequest) -> Any:  # noqa: ANN401
        moments.append(datetime.fromtimestamp(int(request.headers["X-Now"]), UTC))
        return respond(request)

    return at_its_time


def consent(_: HttpRequest) -> JsonResponse:
    """What a person's consent ends with: a code, which the client redeems."""
    code = generate_client_id()
    Grant.objects.create(
        user=User.objects.get(),
        application=Application.objects.get(client_id="person"),
        code=code,
        expires=timezone.now() + timedelta(minutes=1),
        redirect_uri=REDIRECT,
        scope="read",
    )
    return JsonResponse({"code": code, "redirect_uri": REDIRECT})


urlpatterns = [path("consent", consent), path("", include("oauth2_provider.urls"))]


class QuietHandler(WSGIRequestHandler):  # type: ignore[misc] # has no types here
    """Prints no line for each request."""

    def log_message(self, *_: object) -> None:
        """Say nothing: requests carry secrets."""


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    User.objects.create_user("dealer", password=SECRET)
    for client_id, grant_type in (("person", "authorization-code"), ("machine", "password")):
        Application.objects.create(
            client_id=client_id,
            client_secret=SECRET,
            client_type="confidential",
            authorization_grant_type=grant_type,
            redirect_uris=REDIRECT,
        )
    server = ThreadedWSGIServer(("127.0.0.1", 0), QuietHandler)
    server.daemon_threads = True
    server.set_app(get_wsgi_application())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    # Whoever started it is gone: so is this.
    sys.stdin.read()

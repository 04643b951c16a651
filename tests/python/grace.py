"""A real authorization server with a grace period for rotated refresh tokens: django-oauth-toolkit, http, 127.0.0.1,
a port of the system's choice.

    python3 grace.py '{"client_id": "tokenwell", "client_secret": "s3cret",
                       "redirect_uris": ["http://127.0.0.1:8080/oauth/callback"]}'

Options: client_id, client_secret, redirect_uris, access_token_ttl (seconds, 3600), grace_period (seconds, 120). Beyond
the grace period a spent refresh token ends its whole family.

Prints one line on stdout when it answers: {"issuer": "http://127.0.0.1:PORT"}. It ends on SIGTERM and when stdin closes.

Paths: /login/ (the user `ada`, password `ada`) and /o/authorize/ are forms with Django's token against forgery;
/o/token/, /o/revoke_token/; /me answers who a token is of; /__book tells what was counted; POST /__mint?count=N gives N
refresh tokens, each of a user of its own.

Two things a client should know of this server. A refresh ends the access token that it replaces, also if its answer never
arrives; /__book names such tokens as `ended`. A spent refresh token
that comes again within the grace period brings the tokens that it brought before, and the answer says of the access token
that it will live its whole time: it may have expired already. /__book names such tokens as `replayed`.
"""

import json
import os
import secrets
import signal
import sys
import tempfile
import threading
import uuid
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / ".packages"))
# It speaks http, since it never leaves the machine.
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"

import django  # noqa: E402
from django.conf import settings  # noqa: E402

options = json.loads(sys.argv[1] if len(sys.argv) > 1 else "{}")
directory = tempfile.TemporaryDirectory(prefix="tokenwell-grace-")
LOGIN = '<form method="post">{% csrf_token %}{{ form }}<button>Sign in</button></form>'

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    SECRET_KEY=secrets.token_hex(32),
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    LOGIN_URL="/login/",
    # Fast, and for passwords that are no secret.
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "oauth2_provider",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "context_processors": ["django.template.context_processors.request"],
                "loaders": [
                    ("django.template.loaders.locmem.Loader", {"registration/login.html": LOGIN}),
                    "django.template.loaders.app_directories.Loader",
                ],
            },
        }
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": f"{directory.name}/db.sqlite3",
            "OPTIONS": {
                # Writers wait for each other from the start, instead of failing in the middle.
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF",
            },
        }
    },
    LOGGING_CONFIG=None,
    OAUTH2_PROVIDER={
        "OAUTH2_VALIDATOR_CLASS": f"{__name__}.Counting",
        "SCOPES": {"read": "Read", "write": "Write"},
        "PKCE_REQUIRED": True,
        "ROTATE_REFRESH_TOKEN": True,
        "ACCESS_TOKEN_EXPIRE_SECONDS": options.get("access_token_ttl", 3600),
        "REFRESH_TOKEN_GRACE_PERIOD_SECONDS": options.get("grace_period", 120),
        "REFRESH_TOKEN_REUSE_PROTECTION": True,
    },
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.contrib.auth.views import LoginView  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler  # noqa: E402
from django.http import JsonResponse  # noqa: E402
from django.urls import include, path  # noqa: E402
from django.utils import timezone  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402
from oauth2_provider.decorators import protected_resource  # noqa: E402
from oauth2_provider.models import AccessToken, Application, RefreshToken  # noqa: E402
from oauth2_provider.oauth2_validators import OAuth2Validator  # noqa: E402

lock = threading.Lock()
book = {"presented": Counter(), "redeemed": Counter(), "replayed": [], "ended": [], "refused": [], "revoked": 0}


class Counting(OAuth2Validator):
    """The toolkit's own rules, and a book of what became of refresh tokens."""

    def validate_refresh_token(self, refresh_token, client, request, *args, **kwargs):
        valid = super().validate_refresh_token(refresh_token, client, request, *args, **kwargs)
        with lock:
            book["presented"][refresh_token] += 1
            if not valid:
                book["refused"].append({"grant_type": "refresh_token", "error": "invalid_grant"})
                book["revoked"] += RefreshToken.objects.filter(token=refresh_token).count()
        return valid

    def _create_access_token(self, expires, request, token, source_refresh_token=None):
        made = super()._create_access_token(expires, request, token, source_refresh_token)
        if source_refresh_token is not None:
            with lock:
                book["redeemed"][source_refresh_token.token] += 1
        return made

    def _save_bearer_token(self, token, request, *args, **kwargs):
        fresh = token["access_token"]
        spent = getattr(request, "refresh_token_instance", None)
        before = spent.access_token.token if spent and spent.access_token else None
        super()._save_bearer_token(token, request, *args, **kwargs)
        with lock:
            if token["access_token"] != fresh:
                book["replayed"].append(token["access_token"])
            elif before:
                book["ended"].append(before)


@protected_resource()
def me(request):
    return JsonResponse({"sub": request.resource_owner.username})


def counted(request):
    with lock:
        return JsonResponse(book)


@csrf_exempt
def mint(request):
    application = Application.objects.get()
    tokens = []
    for _ in range(int(request.GET["count"])):
        token = secrets.token_urlsafe(32)
        user = User.objects.create(username=f"minted-{User.objects.count()}")
        about = {"user": user, "application": application}
        # The access token has been used up: what is left of it is that it pairs with the refresh token.
        access_token = AccessToken.objects.create(
            **about, token=secrets.token_urlsafe(32), expires=timezone.now(), scope="read write"
        )
        RefreshToken.objects.create(
            **about, token=token, access_token=access_token, token_family=uuid.uuid4()
        )
        tokens.append(token)
    return JsonResponse(tokens, safe=False)


urlpatterns = [
    path("login/", LoginView.as_view()),
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("me", me),
    path("__book", counted),
    path("__mint", mint),
]


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


def end_with_stdin():
    sys.stdin.read()
    directory.cleanup()
    os._exit(0)


def main():
    # The library looks this file up by its name.
    sys.modules["grace"] = sys.modules[__name__]
    threading.Thread(target=end_with_stdin, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    call_command("migrate", verbosity=0)
    User.objects.create_user("ada", password="ada")
    Application.objects.create(
        client_id=options.get("client_id", "tokenwell"),
        client_secret=options.get("client_secret", "secret"),
        hash_client_secret=False,
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
        redirect_uris=" ".join(options.get("redirect_uris", ["http://127.0.0.1/callback"])),
    )
    server = ThreadedWSGIServer(("127.0.0.1", 0), Quiet)
    server.daemon_threads = True
    server.set_app(WSGIHandler())
    print(json.dumps({"issuer": f"http://127.0.0.1:{server.server_port}"}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()

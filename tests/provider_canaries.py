"""Providers that repeat each secret they are shown, in whatever they can, or fail halfway.

A channel for each kind of provider and each way to fail; what is planted in it is a canary.
"""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import relay
from aiohttp import web
from google_stand_in import TokenEndpoint, service_account
from relay import Offers, Verb

from chimewayd.testing.receiver import HERE, Answer, Receiver, receiver
from chimewayd.testing.receiver import Fault as HttpFault

WEBPUSH_KEY = base64.urlsafe_b64encode(b"canary-of-a-webpush-channel-32-b").decode()
WEBPUSH_POINT = (
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
)
SMTP_USER = "canary-smtp-user-5Rt"
SMTP_PASSWORD = "canary-smtp-password-1Fd"
PLANTED = {
    "slack": "xoxb-canary-slack-3Gh",
    "discord": "canary.discord.token-6Jk",
    "slack url": "canarySlackUrl4Tr7Yx0Pz9",
    "discord url": "canary-discord-url-of-68-characters-5Bn-0123456789-0123456789-01234",
    "teams url": "canary-teams-url-6Vc",
    "telegram": "123456789:canary-telegram-8Lz",
    "twilio": "canary-twilio-auth-0Xc",
    "webpush": WEBPUSH_KEY,
    "fcm": "canary-access-token-",
    "apprise": "canary-apprise-2Vb",
    "proxy": "canary-proxy-4Nm",
    "smtp user": SMTP_USER,
    "smtp password": SMTP_PASSWORD,
    "smtp login": base64.b64encode(f"\0{SMTP_USER}\0{SMTP_PASSWORD}".encode()).decode(),
    "template data": "canary-template-data-9Qw",
}
ACCOUNT = "AC00000000000000000000000000000000"


class Way(StrEnum):
    """How a provider fails."""

    REPEATS = "repeats"
    GARBAGE = "garbage"
    RESET = "reset"
    HANGS = "hangs"


class Parrot(Receiver):
    """Fails as the first part of the path says; what it was shown stands in each of its words."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[str] = []
        """Credentials that were made for one call: nobody planted them."""
        self.said: list[str] = []

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        way = Way(request.path.split("/")[1])
        faults = {Way.RESET: HttpFault.CLOSE_BEFORE_ANSWER, Way.HANGS: HttpFault.HANG_BEFORE_ANSWER}
        self.script(request.path, Answer(fault=faults.get(way)))
        answer = await super().answer(request)
        said = self._shown_by(request)
        if way is Way.GARBAGE:
            return web.Response(status=401, body=b"\xff\x00{" + said.encode() + b"\x1b[2J\xfe")
        if way is not Way.REPEATS:
            return answer
        self.said.append(said)
        says = f"no: {said}"
        document: dict[str, Any] = {"ok": False, "code": 20003, "message": says}
        document |= {"description": f"Unauthorized: {says}", "error": says, "sid": said}
        if "messages:send" in request.path:
            document["error"] = {"status": "UNAUTHENTICATED", "message": says}
        headers = {"WWW-Authenticate": says, "Retry-After": says, "Location": says}
        return web.json_response(document, status=401, headers=headers)

    def _shown_by(self, request: web.BaseRequest) -> str:
        words = [request.path_qs, *request.headers.values()]
        for header in ("Authorization", "Proxy-Authorization"):
            kind, _, credentials = request.headers.get(header, "").partition(" ")
            if kind == "Basic":
                words.append(base64.b64decode(credentials).decode())
            elif kind == "vapid":
                self.shown.append(credentials.partition("t=")[2].partition(",")[0])
        body = self.requests[-1].body.decode(errors="replace")
        if "assertion=" in body:
            self.shown.append(body.partition("assertion=")[2])
            words.append(self.shown[-1])
        return " ".join(words)


class Stand(NamedTuple):
    """Providers that run, the channels to them, and a recipient and a payload for each."""

    parrot: Parrot
    channels: dict[str, dict[str, Any]]
    deliveries: dict[str, tuple[str, Mapping[str, object]]]


@asynccontextmanager
async def providers(folder: Path) -> AsyncIterator[Stand]:
    """Run one of each kind for each way to fail."""
    async with AsyncExitStack() as running:
        parrot, tokens = Parrot(), TokenEndpoint()
        tokens.pattern = PLANTED["fcm"] + "{}"
        await running.enter_async_context(receiver(hooks=parrot))
        await running.enter_async_context(receiver(hooks=tokens))
        stand = Stand(parrot, {}, {})
        for way in Way:
            _chat_and_push(stand, way, tokens)
            _mail(stand, way, await running.enter_async_context(_mailer(way)))
        _others(stand, folder)
        yield stand


def _add(
    stand: Stand, name: str, adapter: str, settings: Mapping[str, object], recipient: str
) -> None:
    channel = {"adapter": adapter, "settings": settings, "timeout": "2s"}
    stand.channels[name] = channel | {"retry": {"max_attempts": 1}}
    stand.deliveries[name] = (recipient, {"text": "Hello"})


def _chat_and_push(stand: Stand, way: Way, tokens: TokenEndpoint) -> None:
    url = f"{stand.parrot.url}/{way}"
    here = {**HERE, "base_url": f"{url}/"}
    keys = {"p256dh": WEBPUSH_POINT, "auth": "BTBZMqHH6r4Tts7J_aSIgg"}
    subscription = json.dumps({"endpoint": f"{url}/push/1", "keys": keys})
    twilio = {"account_sid": ACCOUNT, "auth_token": PLANTED["twilio"], "sender": "+15005550006"}
    webpush = {**HERE, "private_key": WEBPUSH_KEY, "subject": "mailto:ops@example.org"}
    account = service_account(f"{tokens.url}/token")
    refused = service_account(f"{url}/token")
    apprise = {"ada": f"json://user:{PLANTED['apprise']}@{url.partition('://')[2]}/x"}
    slack_url = f"{url}/services/T0/B0/{PLANTED['slack url']}"
    discord_url = f"{url}/api/webhooks/123456789012345678/{PLANTED['discord url']}"
    teams_url = f"{url}/invoke?sp=%2Ftriggers&sig={PLANTED['teams url']}"
    for adapter, settings, recipient in (
        ("slack", here | {"token": PLANTED["slack"]}, "C0123"),
        ("discord", here | {"token": PLANTED["discord"]}, "123456789012345678"),
        ("telegram", here | {"token": PLANTED["telegram"]}, "42"),
        ("twilio", here | twilio, "+4915123456789"),
        ("webpush", webpush, subscription),
        ("fcm", here | {"service_account": account}, "app-1:t0k"),
        ("apprise", {"urls": apprise}, "ada"),
    ):
        _add(stand, f"{adapter}-{way}", adapter, settings, recipient)
    # An incoming webhook's URL is its key.
    for adapter, recipient in (
        ("slack", slack_url),
        ("discord", discord_url),
        ("teams", teams_url),
    ):
        _add(stand, f"{adapter}-url-{way}", adapter, HERE, recipient)
    _add(stand, f"token-{way}", "fcm", here | {"service_account": refused}, "app-1:t0k")


@asynccontextmanager
async def _mailer(way: Way) -> AsyncIterator[relay.Relay]:
    said = f"{SMTP_PASSWORD} {SMTP_USER} {PLANTED['smtp login']}"
    async with relay.relay(Offers(logins={SMTP_USER: SMTP_PASSWORD})) as smarthost:
        match way:
            case Way.REPEATS:
                smarthost.script(Verb.AUTH, f"535 5.7.8 no: {said}")
            case Way.GARBAGE:
                smarthost.script(Verb.DOT, f"999 {said}")
            case Way.RESET:
                smarthost.script(Verb.AUTH, relay.Fault.HANG_UP)
            case Way.HANGS:
                smarthost.script(Verb.DOT, relay.Fault.HANG)
        yield smarthost


def _mail(stand: Stand, way: Way, smarthost: relay.Relay) -> None:
    login = {"username": SMTP_USER, "password": SMTP_PASSWORD}
    where = {"host": "localhost", "port": smarthost.port, "tls": "none"}
    settings = {**login, **where, "from": "shop@example.org", "connect_timeout": "1s"}
    _add(stand, f"smtp-{way}", "smtp", settings, "ada@example.org")
    stand.deliveries[f"smtp-{way}"] = ("ada@example.org", {"subject": "Hi", "text": "Hello"})


def _others(stand: Stand, folder: Path) -> None:
    url = f"{stand.parrot.url}/{Way.REPEATS}"
    proxy = url.replace("://", f"://user:{PLANTED['proxy']}@").partition("/repeats")[0]
    _add(stand, "proxied", "webhook", {"proxy": proxy}, "http://93.184.215.14/repeats")
    data = PLANTED["template data"]
    for name, text in (
        ("sent", '{"text": "{{ a }}"}'),
        ("unknown", "{{ nobody[a] }}"),
        ("missing", "{{ {}[a].b }}"),
        ("wrong", "{{ a + 1 }}"),
        ("filter", "{{ a | int('x') + a }}"),
        ("no-json", '{"text": {{ a }}}'),
    ):
        (folder / name).mkdir()
        (folder / name / "payload.json.j2").write_text(text)
        letters = f"letters-{name}"
        _add(stand, letters, "webhook", HERE, f"{stand.parrot.url}/garbage")
        stand.channels[letters]["templates"] = str(folder)
        stand.deliveries[letters] = (
            f"{stand.parrot.url}/garbage",
            {"template": name, "data": {"a": data}},
        )

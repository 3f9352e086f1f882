"""The wire: calls to one HubSpot account, its limits kept, its errors translated.

Responsible for HTTP, tokens, the one limiter per account and process, and which failures leave it open whether something was done.
Must not know objects, values or syncs. No secret gets into a message: what is sent in headers and forms is never quoted.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo

import httpx
import msgspec

from connectors.base import ConnectorError, FatalError, RetriableError
from connectors.hubspot.clock import AccountClock
from connectors.hubspot.errors import Json, Refusal, account_error, refusal_of, seconds
from connectors.hubspot.limits import Limiter, Use
from connectors.hubspot.settings import HubSpotSettings
from connectors.hubspot.standard import API
from connectors.hubspot.values import millis_of

# Every call at level info would drown what a worker's log is for.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

CONNECT, ANSWER = 5.0, 25.0  # seconds
PATIENCE = 15.0  # the longest wait for the limits before the account is said to throttle
ATTEMPTS = 3  # of a call that fails in passing
EARLY = 60.0  # seconds before its end a token is renewed


class UnknownOutcomeError(Exception):
    """A write was sent, and no answer came: it may have been done."""


class RefusedError(Exception):
    """The account refuses what was asked for, and is otherwise well (400, 404, 409)."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Shared:
    """What all connections of this process to one account share."""

    def __init__(self, settings: HubSpotSettings) -> None:
        self.limiter = Limiter(settings.share, settings.daily, settings.searches)
        self.clock = AccountClock()
        self.gate = asyncio.Lock()
        self.zone: str = "UTC"
        self.portal: str | None = None
        self.currency = ""  # of the company: what an amount without a currency is in
        self.unanswered: set[str] = (
            set()
        )  # tokens of creates that were sent and not answered, where nothing can find them
        # By installation, account and link: the token and the id of what a create has made that was not answered so.
        self.made: dict[tuple[str, str, str], tuple[str, str]] = {}
        self.access: tuple[str, float] | None = None  # an access token, and until when
        self.renewing = asyncio.Lock()
        self._related: dict[str, set[str]] = {}

    def wrote_related(self, type_id: str, ids: Iterable[str]) -> None:
        """We have written associations of these records, so that what capture knows of them is not what others know."""
        self._related.setdefault(type_id, set()).update(ids)

    def take_related(self, type_id: str) -> set[str]:
        """Those records, once."""
        return self._related.pop(type_id, set())


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Shared]] = WeakKeyDictionary()


def shared_of(settings: HubSpotSettings) -> Shared:
    """The same for all who name the account by the same address and credentials."""
    secret = settings.token or settings.refresh_token
    named = f"{settings.url}\0{secret.get_secret_value() if secret else ''}"
    key = hashlib.sha256(named.encode()).hexdigest()
    return _shared.setdefault(asyncio.get_running_loop(), {}).setdefault(key, Shared(settings))


class Answer(msgspec.Struct, frozen=True):
    """A body, and when the call that it answers was sent, in the account's milliseconds."""

    body: Json
    asked_at: int
    status: int


class Client:
    """Calls to one account, one after the other or at once."""

    def __init__(self, settings: HubSpotSettings, grant: Mapping[str, str] | None = None) -> None:
        """`grant`: what an app asks access tokens of its own with, in place of the account's token."""
        self._settings, self._grant = settings, grant
        self._access: tuple[str, float] | None = None
        self._http: httpx.AsyncClient | None = None
        self._kept: Shared | None = None

    @property
    def shared(self) -> Shared:
        """What this process knows of the account."""
        if self._kept is None:
            self._kept = shared_of(self._settings)
        return self._kept

    async def close(self) -> None:
        """Closes connections; the next call would open others."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    def now(self) -> int:
        """The account's time in milliseconds, never later than it is there."""
        return self.shared.clock.now(time.monotonic(), time.time())

    # ---------------------------------------------------------------- calls

    async def get(self, path: str, doing: str, params: Mapping[str, Any] | None = None, use: Use = Use.LIVE) -> Answer:
        """Reads."""
        return await self._repeat("GET", path, doing, None, params, use)

    async def ask(
        self, path: str, doing: str, body: Json, params: Mapping[str, Any] | None = None, use: Use = Use.LIVE
    ) -> Answer:
        """Reads by POST (batch read, search)."""
        return await self._repeat("POST", path, doing, body, params, use)

    async def write(self, method: str, path: str, doing: str, body: Json) -> Answer:
        """Writes. Raises `UnknownOutcomeError` where it may have been done; what was refused as a whole was not done."""
        return await self._repeat(method, path, doing, body, None, Use.WRITE, writing=True)

    async def _repeat(
        self, method: str, path: str, doing: str, body: Json | None, params: Mapping[str, Any] | None, use: Use,
        *, writing: bool = False,
    ) -> Answer:  # fmt: skip
        """Once more after what passes: a throttled call in its time, a lock, a token that has run out; a read that broke."""
        deadline, failures = time.monotonic() + PATIENCE, 0
        renewed = False
        while True:
            try:
                return await self._call(method, path, doing, body, params, use, writing=writing)
            except _TokenRefusedError as error:
                if renewed or (self._settings.token is not None and self._grant is None):
                    raise error.meaning from None
                renewed, self.shared.access, self._access = True, None, None
            except RetriableError as error:
                failures += 1
                if failures == ATTEMPTS or time.monotonic() + error.retry_after > deadline:
                    raise
                await asyncio.sleep(error.retry_after)

    async def _call(
        self, method: str, path: str, doing: str, body: Json | None, params: Mapping[str, Any] | None, use: Use,
        *, writing: bool,
    ) -> Answer:  # fmt: skip
        token = await self._token()
        search, association, limited = (
            path.endswith("/search"),
            "/associations/" in path,
            "/webhooks-journal/" not in path,
        )
        if limited:
            await self._enter(search=search, association=association, use=use)
        asked_at = self.now()
        try:
            response = await self._client().request(
                method, self._settings.url.rstrip("/") + path, json=body, params=params,
                headers={"Authorization": f"Bearer {token}"},
            )  # fmt: skip
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise RetriableError(f"{doing}: {self._settings.url} cannot be reached ({type(error).__name__})") from None
        except httpx.HTTPError as error:
            if writing:
                raise UnknownOutcomeError(f"{doing}: the connection was lost ({type(error).__name__})") from None
            raise RetriableError(f"{doing}: the connection was lost ({type(error).__name__})") from None
        finally:
            if limited:
                self.shared.limiter.arrived(time.monotonic(), search=search, association=association)
        received = time.monotonic()
        self.shared.clock.answered(response.headers, received)
        answer = self._judge(response, asked_at, doing, writing=writing)
        if (newest := _newest(answer.body)) > 0:
            self.shared.clock.told(newest, received)
        return answer

    def _judge(self, response: httpx.Response, asked_at: int, doing: str, *, writing: bool) -> Answer:
        try:
            body = response.json() if response.content else {}
        except ValueError:
            body = {}
        if response.status_code < 300:
            self.shared.limiter.answered(response.headers, time.monotonic())
            return Answer(body if isinstance(body, dict) else {"results": body}, asked_at, response.status_code)
        refusal = refusal_of(response.status_code, body)
        if response.status_code == 429:
            raise self._throttled(response, refusal, doing)
        error = account_error(response.status_code, response.headers, refusal, doing)
        if error is None:
            raise RefusedError(refusal)
        if response.status_code == 401:
            raise _TokenRefusedError(error)
        if response.status_code >= 500 and response.status_code != 530 and writing:
            # A gateway may give up on a write that the servers behind it go on with.
            raise UnknownOutcomeError(error.message)
        raise error

    def _throttled(self, response: httpx.Response, refusal: Refusal, doing: str) -> RetriableError:
        now = time.monotonic()
        pause = self.shared.limiter.refused(now, refusal.policy, seconds(response.headers), self._until_midnight())
        policy = refusal.policy or "unnamed"
        return RetriableError(f"{doing}: the account throttles ({policy})", retry_after=pause, throttled=True)

    def _until_midnight(self) -> float:
        with suppress(KeyError, ValueError):
            here = datetime.now(ZoneInfo(self.shared.zone))
            midnight = (here + timedelta(days=1)).replace(hour=0, minute=0, second=5, microsecond=0)
            return (midnight.astimezone(UTC) - here.astimezone(UTC)).total_seconds()
        return 3600.0

    async def _enter(self, *, search: bool, association: bool, use: Use) -> None:
        """Waits for the account's limits, in the order of asking among equals."""
        limiter = self.shared.limiter
        deadline = time.monotonic() + PATIENCE
        while True:
            async with self.shared.gate:
                now = time.monotonic()
                delay = limiter.delay(now, search=search, association=association, use=use)
                if delay <= 0:
                    limiter.take(search=search, association=association)
                    return
            if now + delay > deadline and use is not Use.BULK:
                raise RetriableError("the account's limits are used up", retry_after=delay, throttled=True)
            await asyncio.sleep(min(delay, 5.0))

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            self._http = httpx.AsyncClient(
                timeout=httpx.Timeout(ANSWER, connect=CONNECT), follow_redirects=False, headers={"User-Agent": "tandem"}
            )
        return self._http

    async def fetch(self, url: str, doing: str) -> Json:
        """A file at an address that needs no token, and gets none."""
        try:
            response = await self._client().get(url)
        except httpx.HTTPError as error:
            raise RetriableError(f"{doing}: the connection was lost ({type(error).__name__})") from None
        if response.status_code >= 500:
            raise RetriableError(f"{doing}: HTTP status {response.status_code}")
        if response.status_code >= 300:
            raise RefusedError(refusal_of(response.status_code, None))
        return _object_in(response, doing)

    # ---------------------------------------------------------------- tokens

    async def _token(self) -> str:
        if self._grant is not None:
            if self._access is None or self._access[1] < time.monotonic():
                self._access = await self.grant(self._grant)
            return self._access[0]
        if self._settings.token is not None:
            return self._settings.token.get_secret_value()
        async with self.shared.renewing:
            access = self.shared.access
            if access is None or access[1] < time.monotonic():
                assert self._settings.refresh_token is not None
                access = self.shared.access = await self.grant(
                    {"grant_type": "refresh_token", "refresh_token": self._settings.refresh_token.get_secret_value()}
                )
            return access[0]

    async def grant(self, what: Mapping[str, str]) -> tuple[str, float]:
        """An access token for what the app holds, and the (monotonic) second until which it is good."""
        assert self._settings.client_secret is not None and self._settings.client_id is not None
        secret = self._settings.client_secret.get_secret_value()
        form = {**what, "client_id": self._settings.client_id, "client_secret": secret}
        doing = "renewing the access token"
        try:
            response = await self._client().post(f"{self._settings.url.rstrip('/')}/oauth/{API}/token", data=form)
        except httpx.HTTPError as error:
            raise RetriableError(f"{doing}: the connection was lost ({type(error).__name__})") from None
        if response.status_code == 429 or response.status_code >= 500:
            raise RetriableError(
                f"{doing}: HTTP status {response.status_code}", retry_after=seconds(response.headers) or 5
            )
        if response.status_code >= 300:
            # The body is not quoted: it may repeat what was sent.
            raise FatalError(
                f"{doing}: HubSpot refuses it (HTTP status {response.status_code})",
                "install the app in the account again, and give the new refresh_token",
            )
        said = _object_in(response, doing)
        if "access_token" not in said:
            raise RetriableError(f"{doing}: the answer holds no token")
        lifetime = float(said.get("expires_in") or 1800)
        return str(said["access_token"]), time.monotonic() + max(lifetime / 2, lifetime - EARLY)


def _object_in(response: httpx.Response, doing: str) -> Json:
    """The JSON object that an answer is. It is not quoted: it may hold a token."""
    try:
        body = response.json()
    except ValueError:
        raise RetriableError(f"{doing}: the answer is no JSON") from None
    return body if isinstance(body, dict) else {}


def _newest(body: Json) -> int:
    """The latest time that the records of an answer tell of: it was past when the answer was given."""
    given = body.get("results")
    if not isinstance(given, list):
        return 0
    stamps = [one.get(name) for one in given if isinstance(one, dict) for name in ("updatedAt", "archivedAt")]
    return max((millis_of(one) for one in stamps if isinstance(one, str)), default=0)


class _TokenRefusedError(Exception):
    """401: perhaps the access token has run out."""

    def __init__(self, meaning: ConnectorError) -> None:
        super().__init__(meaning.message)
        self.meaning = meaning

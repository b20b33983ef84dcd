"""What a request must be, and may cost, before anything looks at it: for whom it is, its key, its
rate, its body."""

import asyncio
import hashlib
import hmac
import time
from collections import OrderedDict

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from styleclip_rt.runtime.service.forms import is_form
from styleclip_rt.runtime.service.metrics import Metrics
from styleclip_rt.runtime.service.problems import Problem
from styleclip_rt.runtime.service.settings import ServiceSettings

OPEN = ("/", "/healthz", "/readyz", "/metrics")
"""Paths that need no key; nor do the files of the page."""
PAGE = "/page/"
CLOSE = {"Connection": "close"}
CALLERS = 10_000
"""Whose rates are remembered."""


def path_of(scope: Scope) -> str:
    """A request's path in this app, wherever it is mounted."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


class Rates:
    """A bucket of tokens a caller, of which each request takes one.

    Args:
        rate: tokens a minute.
        burst: that a bucket holds.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate / 60, burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> float:
        """Seconds until a caller may come; 0 if it may now."""
        if self._rate == 0:
            return 0.0
        now = time.monotonic()
        tokens, since = self._buckets.pop(caller, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - since) * self._rate)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self._rate
        self._buckets[caller] = (tokens - (wait == 0), now)
        while len(self._buckets) > CALLERS:
            self._buckets.popitem(last=False)
        return wait


class Limits:
    """Middleware that refuses requests to another host or of another site, without a key, too many
    of them, and bodies that are too large or too slow; it tells the app whose a request is, as
    `request.state.owner`."""

    def __init__(self, app: ASGIApp, settings: ServiceSettings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._keys = [key.get_secret_value() for key in settings.api_keys]
        self._rates = Rates(settings.rate, settings.burst)
        self._hosts = {host.lower() for host in settings.allowed_hosts} - {"*"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            headers, path = Headers(scope=scope), path_of(scope)
            self._check_host(headers.get("host", ""))
            owner = "" if path in OPEN or path.startswith(PAGE) else self._owner(headers)
            self._check_site(headers, scope["method"])
            scope.setdefault("state", {})["owner"] = owner
            if scope["method"] == "POST":
                self._check_rate(owner or (scope.get("client") or ("",))[0])
            most = self._most(path, headers)
            if int(headers.get("content-length", "0")) > most:
                raise self._too_large(most)
        except (Problem, ValueError) as error:
            problem = error if isinstance(error, Problem) else Problem(422, "a header is none.")
            await problem.answer()(scope, receive, send)
            return
        await self._app(scope, self._bounded(receive, most), send)

    def _most(self, path: str, headers: Headers) -> int:
        """Bytes of a body, of which what is large goes to the disk."""
        limits = self._settings
        if path == "/v1/photos":
            return limits.photo_bytes
        form = path == "/v1/edits" and is_form(headers)
        return limits.body_bytes + form * limits.photo_bytes

    def _check_host(self, host: str) -> None:
        """A page of another site that has its own name point here is of the same site to a browser,
        but it calls the service by that name."""
        name = host.rpartition("]")[0].lstrip("[") if "]" in host else host.partition(":")[0]
        if self._hosts and name.lower() not in self._hosts:
            self._metrics.refusals.labels("host").inc()
            known = "call it by a name that it listens to, or add this one to its allowed_hosts."
            raise Problem(421, f"this service is not called {name[:100]!r}: {known}")

    def _check_site(self, headers: Headers, method: str) -> None:
        """Forms are sent to other origins without asking first; "same-site" are those of this
        machine's other ports, too."""
        site, allowed = headers.get("sec-fetch-site"), self._settings.cors_origins
        foreign = site == "cross-site" or (site == "same-site" and method == "POST")
        if foreign and not {headers.get("origin"), "*"} & set(allowed):
            raise Problem(403, "pages of other sites may not use this service.")

    def _owner(self, headers: Headers) -> str:
        if not self._keys:
            return ""
        given = headers.get("x-api-key") or headers.get("authorization", "").partition(" ")[2]
        # All are compared, so that time tells nothing.
        if not sum(hmac.compare_digest(given.encode(), key.encode()) for key in self._keys):
            self._metrics.refusals.labels("key").inc()
            raise Problem(
                401,
                "send one of the service's keys as X-API-Key.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return hashlib.sha256(given.encode()).hexdigest()

    def _check_rate(self, caller: str) -> None:
        if wait := self._rates.take(caller):
            self._metrics.refusals.labels("rate").inc()
            raise Problem(
                429, f"at most {self._settings.rate:g} requests a minute are answered.", wait
            )

    def _too_large(self, most: int) -> Problem:
        self._metrics.refusals.labels("size").inc()
        return Problem(413, f"the body is too large: send at most {most} bytes.", headers=CLOSE)

    def _bounded(self, receive: Receive, most: int) -> Receive:
        end, read, whole = time.monotonic() + self._settings.body_seconds, 0, False

        async def bounded() -> Message:
            nonlocal read, whole
            left = None if whole else max(0.001, end - time.monotonic())
            try:
                message = await asyncio.wait_for(receive(), left)
            except asyncio.TimeoutError:
                self._metrics.refusals.labels("slow").inc()
                raise Problem(
                    408, "the body came too slowly: send it again.", headers=CLOSE
                ) from None
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                whole = not message.get("more_body", False)
                if read > most:
                    raise self._too_large(most)
            return message

        return bounded

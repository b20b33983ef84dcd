"""Runs an app by itself: connections are bounded in number and time, and SIGTERM drains."""

import asyncio
import json
import logging
import os
import sys
import threading
from types import FrameType
from typing import Any, ClassVar, cast

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from styleclip_rt.runtime.service.logs import log_as_json
from styleclip_rt.runtime.service.problems import Problem
from styleclip_rt.runtime.service.settings import ServiceSettings
from styleclip_rt.runtime.service.state import Service

OTHER_FILES = 64
"""That a process holds open beside its connections: weights, libraries, the store."""
BACKLOG = 64
"""Connections accepted at once, before any of them can be counted."""
HEAD_BYTES = 16 << 10
LAST_SECONDS = 5
"""For the last answers to go out, once all work is done."""

log = logging.getLogger("styleclip_rt.service")


class Connection(H11Protocol):
    """A client's connection, which it cannot hold by sending or reading nothing."""

    most: ClassVar[int]
    header_seconds: ClassVar[float]
    answer_seconds: ClassVar[float]

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._head: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.write(_too_many())
            transport.close()
        else:
            self._expect_head()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._expect_head()
        elif self._head is not None:
            self._head.cancel()
            self._head = None

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().pause_writing()
        self._reading = self.loop.call_later(self.answer_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().resume_writing()
        if self._reading is not None:
            self._reading.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        for timer in (self._head, self._reading):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        if self._head is None:
            self._head = self.loop.call_later(self.header_seconds, self.transport.abort)


class Server(uvicorn.Server):
    """Ends when all that it took is done: readyz says 503 from the first signal on."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains; a second one ends at once."""
        queue = self._service.queue
        if queue.draining:
            self.force_exit = self.should_exit = True
            return
        queue.draining = True
        threading.Thread(target=self._drain, name="drain", daemon=True).start()

    def _drain(self) -> None:
        whole = self._service.queue.drain(self._service.settings.drain_seconds)
        log.info("drained" if whole else "drained: what was not done in time is cancelled")
        self.should_exit = True


def run(app: FastAPI, settings: ServiceSettings) -> None:
    """Serve an app of `create_app` until a signal ends it."""
    log_as_json()
    bounds = {
        "most": _connections(settings.connections),
        "header_seconds": settings.header_seconds,
        "answer_seconds": settings.answer_seconds,
    }
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=cast(type[asyncio.Protocol], type("Connection", (Connection,), bounds)),
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=LAST_SECONDS,
        h11_max_incomplete_event_size=HEAD_BYTES,
    )
    service = cast(Service, app.state.service)
    service.store.sweep()
    service.warm_up()
    Server(config, service).run()
    if not service.queue.drain(0):
        # A step that is under way in C++ would abort the interpreter as it is torn down.
        logging.shutdown()
        os._exit(0)


def _connections(wanted: int) -> int:
    """That many, or what the limit of open files leaves room for."""
    if sys.platform == "win32":
        return wanted
    import resource

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(8, min(wanted, files - OTHER_FILES - BACKLOG))


def _too_many() -> bytes:
    problem = Problem(503, "too many connections are open: ask again.", 1)
    body = json.dumps({"title": "Service Unavailable", "status": 503, "detail": problem.detail})
    return (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
        f"Retry-After: 1\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()

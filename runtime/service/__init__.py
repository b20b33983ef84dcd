"""Edits over HTTP (extra: serve): a FastAPI app to run alone or to mount in another.

FastAPI and not Starlette alone: it takes 0.13 s of CPU more to import, beside pydantic, which both
need (0.2 s for Starlette with uvicorn, 0.1 s for pydantic), and writes the OpenAPI description
from the annotations that check the requests, so that neither can say what the other does not.
"""

import contextlib
from collections.abc import Mapping

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from styleclip_rt import __version__
from styleclip_rt.errors import StyleClipError
from styleclip_rt.runtime.mapper import MapperRuntime
from styleclip_rt.runtime.service import (
    about_routes,
    edit_routes,
    job_routes,
    legacy,
    page_routes,
    photo_routes,
)
from styleclip_rt.runtime.service.edits import Edits
from styleclip_rt.runtime.service.jobs import JobBook
from styleclip_rt.runtime.service.limits import Limits
from styleclip_rt.runtime.service.logs import HEADER, Requests
from styleclip_rt.runtime.service.metrics import Metrics
from styleclip_rt.runtime.service.photos import Photos
from styleclip_rt.runtime.service.problems import answer_problems
from styleclip_rt.runtime.service.queue import Queue
from styleclip_rt.runtime.service.settings import ServiceSettings
from styleclip_rt.runtime.service.state import Service
from styleclip_rt.runtime.service.store import Store
from styleclip_rt.runtime.service.vocabulary import Vocabulary

__all__ = ["create_app"]


def create_app(
    runtime: MapperRuntime,
    refused: Mapping[str, str] | None = None,
    settings: ServiceSettings | None = None,
) -> FastAPI:
    """An app that serves a runtime: docs/SERVICE.md says how it is called.

    Args:
        runtime: with the mappers; requests share it.
        refused: mappers that this runtime cannot serve, and the sentence that says why.
        settings: those of the environment, if none are given.
    """
    settings = settings or ServiceSettings()
    runtimes = {"full": runtime}
    with contextlib.suppress(StyleClipError):
        runtimes["draft"] = runtime.drafts()
    metrics = Metrics()
    queue = Queue(settings.queue, settings.long_queue, metrics)
    store = Store(settings.store_folder, settings.store_seconds, settings.store_bytes)
    photos = Photos(runtimes, store, queue, settings.photo_pixels)
    on_cpu = str(getattr(runtime.networks, "device", "cpu")) == "cpu"
    batch = settings.batch or (1 if on_cpu else 8)
    vocabulary = Vocabulary(runtime, refused or {})
    edits = Edits(runtimes, vocabulary, photos, store, queue, settings.steps, batch)
    app = FastAPI(
        title="StyleCLIP-RT",
        version=__version__,
        summary="Edit faces by a sentence.",
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    jobs = JobBook(settings.jobs, settings.store_seconds)
    app.state.service = Service(
        settings, runtimes, vocabulary, queue, jobs, store, photos, edits, metrics
    )
    app.include_router(edit_routes.forms)
    for routes in (edit_routes, job_routes, photo_routes, about_routes, page_routes, legacy):
        app.include_router(routes.router)
    answer_problems(app)
    app.add_middleware(Limits, settings=settings, metrics=metrics)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["Location", "Retry-After", HEADER],
        )
    app.add_middleware(Requests, metrics=metrics)
    return app

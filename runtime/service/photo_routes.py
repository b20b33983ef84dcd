"""`/v1/photos`: photographs, uploaded once."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import contextmanager_in_threadpool
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from styleclip_rt.runtime.service import schemas
from styleclip_rt.runtime.service.jobs import Job
from styleclip_rt.runtime.service.photos import SUFFIXES, UPLOAD, Inversion, suffix_of
from styleclip_rt.runtime.service.problems import Problem
from styleclip_rt.runtime.service.state import Owner, Served, Service, problems

router = APIRouter(prefix="/v1/photos", tags=["photos"], responses=problems(401, 403, 404, 422))


@router.post(
    "",
    status_code=202,
    responses=problems(408, 413, 415, 429, 503),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                media: {"schema": {"type": "string", "format": "binary"}} for media in SUFFIXES
            },
        }
    },
)
async def upload(
    service: Served,
    owner: Owner,
    request: Request,
    face: Annotated[
        str,
        Query(
            pattern="^(largest|[1-9][0-9]{0,2})$",
            description="largest, or 1, 2, ... from the left.",
        ),
    ] = "largest",
    quality: schemas.Quality = "fast",
) -> JSONResponse:
    """Send a photograph as the body. It is inverted once, which takes a while; edits by its id wait
    for that, and are quick afterwards."""
    suffix = suffix_of(request.headers.get("content-type", ""))
    async with receiving(service, request) as (id, folder):
        with (folder / f"{UPLOAD}{suffix}").open("wb") as file:
            async for chunk in request.stream():
                await run_in_threadpool(file.write, chunk)
    folder = service.store.find("photo", id, "photograph")
    which = int(face) if re.fullmatch(r"\d+", face) else face
    job = Job("invert", Inversion(folder, which, quality), owner, service.photos.steps(quality))
    try:
        service.queue.submit(job)
    except Problem:
        service.photos.forget(id)
        raise
    service.jobs.add(job)
    service.photos.note(folder, {"job": job.id})
    job.result = id
    headers = {"Location": f"/v1/photos/{id}"}
    return JSONResponse(_told(service, owner, id).model_dump(), 202, headers)


@asynccontextmanager
async def receiving(service: Service, request: Request) -> AsyncIterator[tuple[str, Path]]:
    """The id of a photograph, and a folder for its upload, which is in the store afterwards.

    Raises:
        Problem: it is no picture, too large, not whole, or the store is full.
    """
    service.edits.check_photographs()
    service.store.check_room(int(request.headers.get("content-length", "0")))
    id = Job("invert", None).id
    try:
        entry = service.store.entry("photo", id)
        async with contextmanager_in_threadpool(entry) as folder:
            yield id, folder
            width, height = await run_in_threadpool(service.photos.count_pixels, folder)
            service.photos.note(folder, {"width": width, "height": height})
    except ClientDisconnect:
        raise Problem(408, "the upload ended too early: send it again.") from None


@router.get("/{id}")
async def photo(service: Served, owner: Owner, id: schemas.Id) -> schemas.Photo:
    """What is known of a photograph."""
    return _told(service, owner, id)


@router.delete("/{id}", status_code=204)
async def delete(service: Served, owner: Owner, id: schemas.Id) -> None:
    """Delete a photograph and all that was found of it."""
    job = service.inversion(id, owner)
    if job is not None:
        service.queue.cancel(job)
    await run_in_threadpool(service.photos.forget, id)


def _told(service: Service, owner: str, id: str) -> schemas.Photo:
    known = service.photos.known(id)
    job = service.inversion(id, owner)
    state: schemas.State = "done" if "face" in known else "failed"
    detail = None if "face" in known else "its inversion was cut short: upload it again."
    if job is not None and "face" not in known:
        state, detail = job.state, job.detail
    folder = service.store.find("photo", id, "photograph")
    told = {"id": id, "state": state, "detail": detail, "expires": service.store.expires(folder)}
    return schemas.Photo.model_validate(known | told)

"""`/v1/jobs`: work that takes a while."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Response
from fastapi.responses import FileResponse, StreamingResponse
from PIL import Image
from starlette.concurrency import run_in_threadpool

from styleclip_rt.runtime.service import schemas
from styleclip_rt.runtime.service.edits import LATENT, PICTURE
from styleclip_rt.runtime.service.formats import TYPES, encoded, wanted
from styleclip_rt.runtime.service.jobs import Job, changes
from styleclip_rt.runtime.service.problems import Problem
from styleclip_rt.runtime.service.state import Owner, Served, Service, problems

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=problems(401, 403, 404, 422))

BEAT = 15
"""Seconds after which a silent stream of events says that it is there."""
_CONVERTING = asyncio.Semaphore(1)


@router.get("/{id}")
async def job(service: Served, owner: Owner, id: schemas.Id) -> schemas.Job:
    """How far a job is."""
    return service.told(service.jobs.find(id, owner))


@router.delete("/{id}", status_code=204)
async def cancel(service: Served, owner: Owner, id: schemas.Id) -> None:
    """Cancel a job, before it begins or between two of its steps."""
    service.queue.cancel(service.jobs.find(id, owner))


@router.get(
    "/{id}/result",
    response_class=Response,
    responses={
        200: {
            "description": "The picture.",
            "content": {
                media: {"schema": {"type": "string", "format": "binary"}} for media in TYPES
            },
        },
        **problems(406, 409, 410),
    },
)
async def result(
    service: Served,
    owner: Owner,
    id: schemas.Id,
    accept: Annotated[str | None, Header()] = None,
) -> Response:
    """The picture that an edit became."""
    media, job = wanted(accept), service.jobs.find(id, owner)
    return await picture(service, _done(job), media)


@router.get(
    "/{id}/latent",
    response_class=Response,
    responses={
        200: {
            "description": "A latent.safetensors.",
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
            },
        },
        **problems(409, 410),
    },
)
async def latent(service: Served, owner: Owner, id: schemas.Id) -> Response:
    """The latent that an edit became."""
    job = _done(service.jobs.find(id, owner))
    path = service.edits.result(job.id) / LATENT
    return FileResponse(path, media_type="application/octet-stream", filename=LATENT)


@router.get(
    "/{id}/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Events `job` (the job as JSON) and `draft` (a data URL of a "
            "JPEG), until the job is over.",
            "content": {"text/event-stream": {}},
        }
    },
)
async def events(service: Served, owner: Owner, id: schemas.Id) -> Response:
    """How a job goes, as server-sent events."""
    job = service.jobs.find(id, owner)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(service, job), 200, headers, "text/event-stream")


async def picture(service: Service, job: Job, media: str) -> Response:
    """What an edit left, in the format that the client wants."""
    path = service.edits.result(job.id) / PICTURE
    headers = {"Vary": "Accept"}
    if media == "image/png":
        return FileResponse(path, media_type=media, headers=headers)
    async with _CONVERTING:  # pixels of one picture at a time
        content = await run_in_threadpool(_converted, path, media)
    return Response(content, media_type=media, headers=headers)


def _converted(path: Path, media: str) -> bytes:
    with Image.open(path) as image:
        return encoded(image, media)


def _done(job: Job) -> Job:
    if not job.over:
        raise Problem(409, "this job is not done yet: wait for it.", 1)
    job.future.result()  # raises what went wrong
    if job.kind == "invert":
        raise Problem(422, "this job inverts a photograph: edit that by its id.")
    return job


async def _events(service: Service, job: Job) -> AsyncIterator[str]:
    seen: bytes | None = None
    stream = changes(job)
    while True:
        try:
            await asyncio.wait_for(anext(stream), BEAT)
        except asyncio.TimeoutError:
            yield ": still there\n\n"
            stream = changes(job)
            continue
        except StopAsyncIteration:
            break
        yield _event("job", service.told(job).model_dump_json())
        if job.draft is not None and job.draft is not seen:
            seen = job.draft
            yield _event("draft", f"data:image/jpeg;base64,{base64.b64encode(seen).decode()}")
    yield _event("job", service.told(job).model_dump_json())


def _event(name: str, data: str) -> str:
    return f"event: {name}\ndata: {data}\n\n"

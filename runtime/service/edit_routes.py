"""`/v1/edits` and `/v1/latents`."""

import hashlib
import time
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from styleclip_rt.runtime.service import schemas
from styleclip_rt.runtime.service.edits import LATENT
from styleclip_rt.runtime.service.formats import TYPES, wanted
from styleclip_rt.runtime.service.job_routes import picture
from styleclip_rt.runtime.service.jobs import Job
from styleclip_rt.runtime.service.prefer import preference, until_over
from styleclip_rt.runtime.service.problems import Problem
from styleclip_rt.runtime.service.state import Owner, Served, Service, problems

router = APIRouter(prefix="/v1", tags=["edits"])

PICTURE = {media: {"schema": {"type": "string", "format": "binary"}} for media in TYPES}


@router.post(
    "/edits",
    response_class=Response,
    responses={
        200: {"description": "The picture.", "content": PICTURE},
        202: {"description": "It takes a while; its job.", "model": schemas.Job},
        **problems(401, 403, 404, 406, 408, 413, 422, 429, 503),
    },
)
async def edit(
    service: Served,
    owner: Owner,
    request: Request,
    wish: schemas.EditRequest,
    accept: Annotated[str | None, Header()] = None,
    prefer: Annotated[
        str | None, Header(description="wait=SECONDS, respond-async (RFC 7240).")
    ] = None,
    idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
) -> Response:
    """Edit a face. Moves are answered with the picture, a prompt with a job, unless `Prefer` says
    otherwise; what cannot be there within `wait` seconds is refused at once."""
    media = wanted(accept)
    wait, respond_async = preference(prefer)
    later = respond_async or (wish.prompt is not None and wait is None)
    edit = service.edits.plan(wish, media, kept=later or idempotency_key is not None)
    digest = hashlib.sha256(wish.model_dump_json().encode()).hexdigest()
    job = service.jobs.same(owner, idempotency_key, digest) if idempotency_key else None
    if job is None:
        patience = service.settings.wait if wait is None else wait
        if wish.photo is not None and wish.prompt is None:
            await inverted(service, wish.photo, owner, request, patience)
        job = service.edits.job(edit, owner, None if later else time.monotonic() + patience)
        service.queue.submit(job)
        if edit.kept:
            service.jobs.add(job)
        if idempotency_key:
            service.jobs.keep(owner, idempotency_key, digest, job)
    if later and (wait is None or not await until_over(job, request, wait)):
        return accepted(service, job)
    if not job.over and not await until_over(job, request, None):
        if not edit.kept:
            service.queue.cancel(job)
        return Response(status_code=499)  # nobody reads it
    content = job.future.result()
    if content is None:
        return await picture(service, job, media)
    return Response(content, media_type=media, headers={"Vary": "Accept"})


@router.post(
    "/latents",
    status_code=201,
    responses=problems(401, 403, 408, 413, 422, 429, 503),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
            },
        }
    },
)
async def send_latent(service: Served, request: Request) -> schemas.Latent:
    """Send the latent.safetensors of one face, to edit it by its id."""
    content = await request.body()
    service.edits.one_latent(content)

    def keep() -> tuple[str, float]:
        with service.store.entry("latent", id := Job("latent", None).id) as folder:
            (folder / LATENT).write_bytes(content)
        return id, time.time() + service.settings.store_seconds

    id, expires = await run_in_threadpool(keep)
    return schemas.Latent(id=id, expires=expires)


async def inverted(
    service: Service, photo: str, owner: str, request: Request, seconds: float
) -> None:
    """Wait until a photograph can be edited; raises Problem if that takes longer."""
    job = service.inversion(photo, owner)
    left = None if job is None else service.queue.seconds_left(job)
    if job is None or left is None:
        return
    if left > seconds or not await until_over(job, request, seconds):
        raise Problem(429, "the photograph is still being inverted: ask again later.", left)


def accepted(service: Service, job: Job) -> Response:
    """The answer that there will be a result."""
    told = service.told(job)
    headers = {"Location": f"/v1/jobs/{job.id}", "Preference-Applied": "respond-async"}
    return JSONResponse(told.model_dump(), 202, headers)

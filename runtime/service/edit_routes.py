"""`/v1/edits` and `/v1/latents`."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.routing import Match
from starlette.types import Scope

from styleclip_rt.runtime.service import schemas
from styleclip_rt.runtime.service.edits import LATENT, Edit
from styleclip_rt.runtime.service.formats import TYPES, wanted
from styleclip_rt.runtime.service.forms import MEDIA, is_form, read_form
from styleclip_rt.runtime.service.job_routes import picture
from styleclip_rt.runtime.service.jobs import Job, Key
from styleclip_rt.runtime.service.photo_routes import receiving
from styleclip_rt.runtime.service.photos import SUFFIXES, Inversion
from styleclip_rt.runtime.service.prefer import preference, until_over
from styleclip_rt.runtime.service.problems import Problem
from styleclip_rt.runtime.service.state import Owner, Served, Service, problems


def _inlined(model: type[BaseModel]) -> dict[str, Any]:
    """A model's schema; what it refers to are components of the description anyway."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs")
    return schema


class _OfForms(APIRoute):
    """Leaves what is no form to the other route of its path: FastAPI would read one that takes both
    into memory."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """See `starlette.routing.BaseRoute`."""
        form = is_form(Headers(scope=scope))
        return super().matches(scope) if form else (Match.NONE, {})


router = APIRouter(prefix="/v1", tags=["edits"])
forms = APIRouter(prefix="/v1", route_class=_OfForms, include_in_schema=False)

FORM = {
    "schema": {
        "type": "object",
        "required": ["edit", "photo"],
        "properties": {
            "edit": _inlined(schemas.PhotoEdit),
            "photo": {"type": "string", "format": "binary"},
        },
        "additionalProperties": False,
    },
    "encoding": {
        "edit": {"contentType": "application/json"},
        "photo": {"contentType": ", ".join(SUFFIXES)},
    },
}
PICTURE = {media: {"schema": {"type": "string", "format": "binary"}} for media in TYPES}


@router.post(
    "/edits",
    response_class=Response,
    responses={
        200: {"description": "The picture.", "content": PICTURE},
        202: {"description": "It takes a while; its job.", "model": schemas.Job},
        **problems(401, 403, 404, 406, 408, 413, 415, 422, 429, 503),
    },
    openapi_extra={"requestBody": {"content": {MEDIA: FORM}}},
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
    otherwise; what cannot be there within `wait` seconds is refused at once. A form edits a
    photograph that is in it, which is not kept."""
    media = wanted(accept)
    wait, respond_async = preference(prefer)
    later = respond_async or (wish.prompt is not None and wait is None)
    edit = service.edits.plan(wish, media, kept=later or idempotency_key is not None)
    patience = service.settings.wait if wait is None else wait
    key = Key(owner, idempotency_key, wish.model_dump_json())
    job = service.jobs.same(key)
    if job is None:
        if wish.photo is not None and edit.prompt is None:
            await inverted(service, wish.photo, owner, request, patience)
        job = begun(service, edit, key, None if later else patience)
    return await answered(service, request, job, edit, wait, later)


@forms.post("/edits")
async def edit_form(
    service: Served,
    owner: Owner,
    request: Request,
    accept: Annotated[str | None, Header()] = None,
    prefer: Annotated[str | None, Header()] = None,
    idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
) -> Response:
    """Edit a photograph that comes with the request: inverting it is a part of the job."""
    media = wanted(accept)
    wait, respond_async = preference(prefer)
    limits = service.settings
    async with receiving(service, request) as (id, folder):
        wish = await read_form(request, folder, limits.body_bytes, limits.photo_bytes)
        said = wish.model_dump_json()
        if idempotency_key is not None:
            said += await run_in_threadpool(service.photos.digest, folder)
    try:
        later = respond_async or (wish.prompt is not None and wait is None)
        of_photo = wish.model_dump(exclude={"face", "quality"}) | {"photo": id}
        edit = service.edits.plan(
            schemas.EditRequest.model_validate(of_photo),
            media,
            kept=later or idempotency_key is not None,
            upload=Inversion(
                service.store.find("photo", id, "photograph"), wish.face, wish.quality
            ),
        )
        key = Key(owner, idempotency_key, said)
        job = service.jobs.same(key)
        if job is None:
            patience = limits.wait if wait is None else wait
            job = begun(service, edit, key, None if later else patience)
            job.future.add_done_callback(lambda _: service.photos.forget(id))
        else:
            service.photos.forget(id)
    except Exception:
        service.photos.forget(id)
        raise
    return await answered(service, request, job, edit, wait, later)


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


def begun(service: Service, edit: Edit, key: Key, patience: float | None) -> Job:
    """The job of an edit, in the queue; raises Problem if it cannot be done in time."""
    deadline = None if patience is None else time.monotonic() + patience
    job = service.edits.job(edit, key.owner, deadline)
    service.queue.submit(job)
    if edit.kept:
        service.jobs.add(job)
    service.jobs.keep(key, job)
    return job


async def answered(
    service: Service, request: Request, job: Job, edit: Edit, wait: float | None, later: bool
) -> Response:
    """The picture when there is one; if it may come `later`, the job after `wait` seconds."""
    if later and (wait is None or not await until_over(job, request, wait)):
        return accepted(service, job)
    if not job.over and not await until_over(job, request, None):
        if not edit.kept:
            service.queue.cancel(job)
        return Response(status_code=499)  # nobody reads it
    content = job.future.result()
    if content is None:
        return await picture(service, job, edit.media)
    return Response(content, media_type=edit.media, headers={"Vary": "Accept"})


def accepted(service: Service, job: Job) -> Response:
    """The answer that there will be a result."""
    told = service.told(job)
    headers = {"Location": f"/v1/jobs/{job.id}", "Preference-Applied": "respond-async"}
    return JSONResponse(told.model_dump(), 202, headers)

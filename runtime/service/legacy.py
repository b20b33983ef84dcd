"""The routes of the first version, `/mappers` and `/edit`, for programs that call them."""

import time
from collections.abc import Callable
from typing import TypeVar

from fastapi import APIRouter, Request, Response
from starlette.datastructures import QueryParams

from styleclip_rt.errors import StyleClipError
from styleclip_rt.runtime.service.edits import Edit
from styleclip_rt.runtime.service.prefer import until_over
from styleclip_rt.runtime.service.schemas import MoveRequest
from styleclip_rt.runtime.service.state import Owner, Served
from styleclip_rt.runtime.starts import Start

Value = TypeVar("Value")

router = APIRouter(include_in_schema=False)


@router.get("/mappers")
async def mappers(service: Served) -> dict[str, tuple[str, ...]]:
    """The mappers and their prompts."""
    return service.vocabulary.mappers


@router.post("/edit")
async def edit(service: Served, owner: Owner, request: Request) -> Response:
    """Edit a face by one mapper; the body may be a latent."""
    query, body = request.query_params, await request.body()
    wanted = MoveRequest.model_construct(
        mapper=read(query, "mapper", str),
        look=None,
        prompt=read(query, "prompt", str, ""),
        strength=read(query, "strength", float, 1.0),
    )
    any_prompt = read(query, "any_prompt", boolean, False)
    moves = service.vocabulary.moves([wanted], any_prompt)
    start: int | Start = read(query, "seed", int, 0)
    if body:
        start = service.edits.one_latent(body)
    planned = Edit("full", start, moves, any_prompt, None, {}, "image/png", kept=False)
    job = service.edits.job(planned, owner, time.monotonic() + service.settings.wait)
    service.queue.submit(job)
    if not await until_over(job, request, None):
        service.queue.cancel(job)
        return Response(status_code=499)  # nobody reads it
    return Response(job.future.result(), media_type="image/png")


def read(
    query: QueryParams, name: str, kind: Callable[[str], Value], default: Value | None = None
) -> Value:
    """One value of a query.

    Raises:
        StyleClipError: it is missing and has no default, or is not of its kind.
    """
    text = query.get(name)
    if text is None:
        if default is None:
            raise StyleClipError(f"{name} is missing: give it in the query.")
        return default
    try:
        return kind(text)
    except ValueError:
        raise StyleClipError(f"{name} must be of the kind {kind.__name__}, not {text!r}.") from None


def boolean(text: str) -> bool:
    """Raises ValueError for other words than "true" and "false"."""
    return bool(("false", "true").index(text.lower()))

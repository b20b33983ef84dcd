"""Edits by mapper over HTTP (extra: serve): a Starlette app to run alone or to mount in another.

Starlette alone is imported in a third of the time that FastAPI takes, and a service that draws with
exported files has its first image in less than a second.
"""

import io
from collections.abc import Callable, Mapping
from typing import TypeVar

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from styleclip_rt.errors import StyleClipError
from styleclip_rt.pictures import to_pil
from styleclip_rt.runtime.mapper import MapperRuntime, Move
from styleclip_rt.runtime.moves import TRUNCATION_PSI
from styleclip_rt.runtime.starts import from_bytes, from_seeds

Value = TypeVar("Value")


def create_app(runtime: MapperRuntime, refused: Mapping[str, str] | None = None) -> Starlette:
    """An app that serves a runtime's mappers.

    ``GET /mappers`` tells their prompts. ``POST /edit`` returns the edited face as PNG; its query
    has ``mapper`` and, if they are to differ, ``prompt`` (""), ``strength`` (1), ``seed`` (0) of
    the face and ``any_prompt`` (false). The latent.safetensors of an edit, sent as the body, takes
    the place of the seed. What cannot be done is answered with status 422 and one sentence, as
    ``{"detail": ...}``.

    Args:
        runtime: with the mappers; requests share it.
        refused: mappers that this runtime cannot serve, and the sentence that says why.
    """
    reasons = refused or {}

    def mappers(_: Request) -> JSONResponse:
        return JSONResponse(runtime.prompts)

    def edited(query: QueryParams, body: bytes) -> bytes:
        move = Move(
            read(query, "mapper", str),
            read(query, "prompt", str, ""),
            read(query, "strength", float, 1.0),
        )
        if move.mapper in reasons:
            raise StyleClipError(reasons[move.mapper])
        if body:
            starts = from_bytes(runtime.networks, body)
            if len(starts) > 1:
                raise StyleClipError(f"send one latent, not {len(starts)}.")
        else:
            seed = read(query, "seed", int, 0)
            starts = from_seeds(runtime.networks, [seed], TRUNCATION_PSI)
        any_prompt = read(query, "any_prompt", boolean, False)
        latent = runtime.latents(runtime.w_plus(starts), [move], any_prompt)
        picture = io.BytesIO()
        to_pil(runtime.draw(latent)[0]).save(picture, "PNG", compress_level=1)
        return picture.getvalue()

    async def edit(request: Request) -> Response:
        picture = await run_in_threadpool(edited, request.query_params, await request.body())
        return Response(picture, media_type="image/png")

    def not_possible(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 422)

    return Starlette(
        routes=[Route("/mappers", mappers), Route("/edit", edit, methods=["POST"])],
        exception_handlers={StyleClipError: not_possible},
    )


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

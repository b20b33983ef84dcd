"""Edits by mapper over HTTP (extra: serve): a FastAPI app to run alone or to mount in another."""

import io
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from fastapi import Body, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load
from styleclip_rt.runtime.mapper import MapperRuntime, Move

from styleclip_rt.errors import StyleClipError
from styleclip_rt.pictures import to_pil

_PNG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}}}


def create_app(runtime: MapperRuntime, refused: Mapping[str, str] | None = None) -> FastAPI:
    """An app that serves a runtime's mappers.

    ``GET /mappers`` tells their prompts; ``POST /edit`` returns the edited face as PNG. What cannot
    be done is answered with status 422 and one sentence, as ``{"detail": ...}``.

    Args:
        runtime: with the mappers; requests share it.
        refused: mappers that this runtime cannot serve, and the sentence that says why.
    """
    app = FastAPI(title="StyleCLIP-RT mappers")
    reasons = refused or {}

    @app.exception_handler(StyleClipError)
    def not_possible(_: Request, error: StyleClipError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 422)

    @app.exception_handler(RequestValidationError)
    def not_understood(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return JSONResponse({"detail": f"{first['loc'][-1]}: {first['msg'].lower()}."}, 422)

    @app.get("/mappers")
    def mappers() -> dict[str, tuple[str, ...]]:
        """Every mapper and the prompts that it was trained for."""
        return runtime.prompts

    # FastAPI runs this in a pool of threads, which the runtime takes.
    @app.post("/edit", response_class=Response, responses=_PNG)
    def edit(
        mapper: str,
        prompt: str = "",
        strength: float = 1.0,
        seed: int = 0,
        any_prompt: bool = False,
        latent: Annotated[bytes, Body(media_type="application/octet-stream")] = b"",
    ) -> Response:
        """The face of `seed`, or of the latent.safetensors sent as the body, edited."""
        if mapper in reasons:
            raise StyleClipError(reasons[mapper])
        start = read_latent(latent) if latent else runtime.start([seed])
        edited = runtime.latents(start[:1], [Move(mapper, prompt, strength)], any_prompt)
        picture = io.BytesIO()
        to_pil(runtime.draw(edited)[0]).save(picture, "PNG", compress_level=1)
        return Response(picture.getvalue(), media_type="image/png")

    return app


def read_latent(content: bytes) -> NDArray[np.float32]:
    """The array in the bytes of a latent.safetensors that an edit saved.

    Raises:
        StyleClipError: they hold none.
    """
    try:
        latent: NDArray[np.float32] = load(content)["latent"]
        return latent
    except (SafetensorError, KeyError) as error:
        raise StyleClipError(
            f"the body is not a latent that an edit saved ({error}): send its latent.safetensors."
        ) from None

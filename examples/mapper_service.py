"""A service that edits faces by mapper: ``pip install 'styleclip-rt[serve]'``, then

MAPPERS=hair-colour uvicorn mapper_service:app
curl -X POST "localhost:8000/edit?mapper=hair-colour&prompt=red+hair&seed=7" -o red.png
"""

import io
import os

from fastapi import FastAPI, HTTPException, Response
from styleclip_rt.runtime.mapper import MapperRuntime, Move

from styleclip_rt.errors import StyleClipError

runtime = MapperRuntime.from_bundle(
    os.environ.get("MAPPERS", "hair-colour").split(","), os.environ.get("BUNDLE", "ffhq-mobile")
)
app = FastAPI(title="StyleCLIP-RT mappers")


@app.get("/prompts")
def prompts() -> dict[str, tuple[str, ...]]:
    """What can be asked of each mapper."""
    return runtime.prompts


@app.post("/edit")
def edit(mapper: str, prompt: str = "", strength: float = 1.0, seed: int = 0) -> Response:
    """The edited face as PNG. FastAPI runs this in a pool of threads; the runtime takes that."""
    try:
        (face,) = runtime.edit(runtime.start([seed]), [Move(mapper, prompt, strength)])
    except StyleClipError as error:
        raise HTTPException(422, str(error)) from None
    picture = io.BytesIO()
    face.image.save(picture, "PNG")
    return Response(picture.getvalue(), media_type="image/png")

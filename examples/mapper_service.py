"""Edits by mapper inside a FastAPI service: ``pip install 'styleclip-rt[serve]'``, then

MAPPERS=smiling uvicorn mapper_service:app
curl -X POST "localhost:8000/faces/edit?mapper=smiling&seed=7" -o smiling.png

`styleclip serve` runs the same app alone. ENGINE=onnxruntime serves exported files, without torch.
"""

import os

from fastapi import FastAPI

from styleclip_rt.runtime.mapper import MapperRuntime
from styleclip_rt.runtime.service import create_app

runtime = MapperRuntime.from_bundle(
    os.environ.get("MAPPERS", "smiling").split(","),
    os.environ.get("BUNDLE", "ffhq-mobile"),
    engine=os.environ.get("ENGINE", "torch"),
)
app = FastAPI(title="A service with faces")
app.mount("/faces", create_app(runtime))

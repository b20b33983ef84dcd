"""What the service can do, and how it does."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from styleclip_rt import __version__
from styleclip_rt.runtime.service import schemas
from styleclip_rt.runtime.service.problems import Problem
from styleclip_rt.runtime.service.state import Served, problems

router = APIRouter()


@router.get("/v1/about", tags=["about"], responses=problems(401, 403))
async def about(service: Served) -> schemas.About:
    """What this service can do."""
    full, draft = service.runtimes["full"], service.runtimes.get("draft")
    return schemas.About(
        version=__version__,
        bundle=str(full.engine.made_with["bundle"]),
        resolution=full.engine.resolution,
        draft_resolution=0 if draft is None else draft.engine.resolution,
        photos=service.edits.photographs,
        prompts=service.edits.prompts,
        photo_bytes=service.settings.photo_bytes,
        photo_pixels=service.settings.photo_pixels,
    )


@router.get("/v1/mappers", tags=["about"], responses=problems(401, 403))
async def mappers(service: Served) -> schemas.Mappers:
    """The mappers that moves can name."""
    known = service.vocabulary.mappers.items()
    return schemas.Mappers(
        mappers=[schemas.Mapper(name=name, prompts=list(prompts)) for name, prompts in known],
        refused=service.vocabulary.refused,
    )


@router.get("/v1/looks", tags=["about"], responses=problems(401, 403))
async def looks(service: Served) -> schemas.Looks:
    """The looks that moves can name."""
    return schemas.Looks(looks=list(service.vocabulary.looks.values()))


@router.get("/healthz", tags=["operation"])
async def healthz() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "alive"}


@router.get("/readyz", tags=["operation"], responses=problems(503))
async def readyz(service: Served) -> dict[str, str]:
    """Whether it takes work."""
    if service.queue.draining:
        raise Problem(503, "the service is about to end.")
    if not all(job.over for job in service.warming):
        raise Problem(503, "the service draws its first faces: ask again.", 1)
    return {"status": "ready"}


@router.get(
    "/metrics",
    tags=["operation"],
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(service: Served) -> Response:
    """For Prometheus."""
    return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)

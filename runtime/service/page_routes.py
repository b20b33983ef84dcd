"""`/`: the page, whose files lie in `page/` as they are sent."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

from styleclip_rt.runtime.service.problems import Problem

router = APIRouter(include_in_schema=False)

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
FILES = {
    path.name: path for path in (Path(__file__).parent / "page").iterdir() if path.suffix in TYPES
}
HEADERS = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # What the page is made of comes from here, and pictures that it made itself.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'",
}


@router.get("/")
async def page() -> FileResponse:
    """The page."""
    return await file("index.html")


@router.get("/page/{name}")
async def file(name: str) -> FileResponse:
    """A file of the page."""
    if name not in FILES:
        raise Problem(404, "the page has no such file.")
    path = FILES[name]
    return FileResponse(path, media_type=TYPES[path.suffix], headers=HEADERS)

"""What went wrong, as RFC 9457 has it: problem details, one sentence each."""

import http
import logging
import math
from collections.abc import Mapping
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from styleclip_rt.errors import StyleClipError

MEDIA_TYPE = "application/problem+json"

log = logging.getLogger("styleclip_rt.service")


class Problem(HTTPException):
    """A request that is not answered as it wished.

    Args:
        status: of HTTP.
        detail: one sentence that says what was wrong and what to do.
        retry_after: seconds after which asking again may help.
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        headers = dict(headers or {})
        if retry_after is not None:
            headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
        super().__init__(status, detail, headers)

    def answer(self) -> JSONResponse:
        """As an answer; `detail` is where the first version of the service had it too."""
        content = {
            "type": "about:blank",
            "title": http.HTTPStatus(self.status_code).phrase,
            "status": self.status_code,
            "detail": self.detail,
        }
        return JSONResponse(content, self.status_code, dict(self.headers or {}), MEDIA_TYPE)


def problem_of(error: BaseException) -> Problem:
    """Any exception as a problem; what is no known one is logged, and a fault of ours."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, StyleClipError):
        return Problem(422, str(error))
    log.error("a request failed", exc_info=error)
    return Problem(500, "the service failed at this request: its log says how.")


def answer_problems(app: FastAPI) -> None:
    """Have all that goes wrong in an app answered with problem details."""

    def answer(_: Request, error: Exception) -> JSONResponse:
        return problem_of(error).answer()

    def invalid(_: Request, error: Exception) -> JSONResponse:
        return Problem(422, _sentence(cast(RequestValidationError, error))).answer()

    def refused(request: Request, error: Exception) -> JSONResponse:
        error = cast(HTTPException, error)
        headers = dict(error.headers or {})
        if error.status_code == 405:
            # Starlette names the methods of the first route of a path alone.
            routes = [route for route in app.routes if isinstance(route, Route)]
            same = [route for route in routes if route.matches(request.scope)[0] != Match.NONE]
            headers["Allow"] = ", ".join(sorted({m for route in same for m in route.methods or ()}))
        details = {
            404: "there is nothing at this path: /v1/openapi.json lists what there is.",
            405: "this path does not take this method: /v1/openapi.json says which.",
        }
        # FastAPI answers bodies that are no JSON at all so.
        status = 422 if error.status_code == 400 else error.status_code
        detail = details.get(status, str(error.detail).lower())
        return Problem(status, detail, headers=headers).answer()

    app.add_exception_handler(Problem, answer)
    app.add_exception_handler(StyleClipError, answer)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, refused)


def _sentence(error: RequestValidationError) -> str:
    """The first of what is wrong with a request."""
    first: Mapping[str, Any] = error.errors()[0]
    if first["type"] in ("model_attributes_type", "missing") and first["loc"] == ("body",):
        return "send the request as a JSON object, with Content-Type: application/json."
    return said(first)


def said(error: Mapping[str, Any]) -> str:
    """One of pydantic's errors as a sentence."""
    where = [str(part) for part in error["loc"] if part not in ("body", "query", "path", "header")]
    what = str(error["msg"]).removeprefix("Value error, ").rstrip(".")
    what = what[:1].lower() + what[1:]
    return f"{'.'.join(where)[:100]}: {what[:300]}." if where else f"{what[:300]}."

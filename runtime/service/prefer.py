"""How long a client waits for its answer (RFC 7240), and whether it is still there."""

import asyncio
import re
from typing import NamedTuple

from fastapi import Request

from styleclip_rt.runtime.service.jobs import Job, changes
from styleclip_rt.runtime.service.problems import Problem


class Preference(NamedTuple):
    """`wait` seconds, None if it is not said; whether to be answered with a job after that."""

    wait: float | None
    respond_async: bool


def preference(header: str | None) -> Preference:
    """What a Prefer header says; what it says of other things is ignored, as the RFC asks.

    Raises:
        Problem: it waits for no number of seconds.
    """
    wait, respond_async = None, False
    for each in (header or "").split(","):
        name, _, value = each.partition(";")[0].partition("=")
        if name.strip().lower() == "respond-async":
            respond_async = True
        elif name.strip().lower() == "wait":
            text = value.strip().strip('"')
            if not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", text, re.ASCII):
                raise Problem(422, "Prefer: wait= takes a number of seconds.")
            wait = float(text)
    return Preference(wait, respond_async)


async def until_over(job: Job, request: Request, seconds: float | None) -> bool:
    """Wait for the end of a job; False if the client has gone, or `seconds` are over, before."""
    over = asyncio.create_task(_over(job))
    gone = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({over, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return job.over
    finally:
        over.cancel()
        gone.cancel()


async def _over(job: Job) -> None:
    async for _ in changes(job):
        pass


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass

"""What the routes of one app share."""

from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request

from styleclip_rt.runtime.mapper import MapperRuntime
from styleclip_rt.runtime.service import schemas
from styleclip_rt.runtime.service.edits import Edits
from styleclip_rt.runtime.service.jobs import Job, JobBook
from styleclip_rt.runtime.service.metrics import Metrics
from styleclip_rt.runtime.service.photos import Photos
from styleclip_rt.runtime.service.problems import MEDIA_TYPE
from styleclip_rt.runtime.service.queue import Queue
from styleclip_rt.runtime.service.settings import ServiceSettings
from styleclip_rt.runtime.service.store import Store
from styleclip_rt.runtime.service.vocabulary import Vocabulary


@dataclass
class Service:
    """One service; `request.app.state.service`."""

    settings: ServiceSettings
    runtimes: dict[str, MapperRuntime]
    vocabulary: Vocabulary
    queue: Queue
    jobs: JobBook
    store: Store
    photos: Photos
    edits: Edits
    metrics: Metrics
    warming: list[Job] = field(default_factory=list)

    def warm_up(self) -> None:
        """Draw a face at each size, so that the first caller does not wait and the queue knows how
        long it takes; until then the service is not ready."""
        for size in self.runtimes:
            wanted = schemas.EditRequest.model_validate({"seed": 0, "size": size})
            job = self.edits.job(self.edits.plan(wanted, "image/jpeg", kept=False), "", None)
            self.queue.submit(job)
            self.warming.append(job)

    def inversion(self, photo: str, owner: str) -> Job | None:
        """The job that inverts a photograph, as long as it is remembered."""
        return self.jobs.get(str(self.photos.known(photo).get("job")), owner)

    def told(self, job: Job) -> schemas.Job:
        """What a client is told of a job."""
        result = None
        if job.over and job.state == "done":
            photo = job.kind == "invert"
            result = f"/v1/photos/{job.result}" if photo else f"/v1/jobs/{job.id}/result"
        left = self.queue.seconds_left(job)
        return schemas.Job(
            id=job.id,
            kind=job.kind,
            state=job.state,
            step=job.step,
            steps=job.steps,
            seconds_left=None if left is None else round(left, 2),
            note=job.note,
            detail=job.detail,
            result=result,
        )


def _service(request: Request) -> Service:
    return cast(Service, request.app.state.service)


def _owner(request: Request) -> str:
    return cast(str, getattr(request.state, "owner", ""))


Served = Annotated[Service, Depends(_service)]
Owner = Annotated[str, Depends(_owner)]

PROBLEMS: dict[int | str, dict[str, object]] = {
    status: {
        "description": said,
        "content": {MEDIA_TYPE: {"schema": schemas.ProblemDetails.model_json_schema()}},
    }
    for status, said in {
        401: "A key is missing.",
        403: "A page of another site asks.",
        404: "There is no such thing, or its time was over.",
        409: "It is not done yet.",
        406: "No format that the client accepts.",
        408: "The body came too slowly.",
        410: "It was cancelled or deleted.",
        413: "The body or the picture is too large.",
        415: "The body is no picture.",
        421: "The service is not called by that host.",
        422: "The request cannot be done; one sentence says why.",
        429: "Too much waits, or the answer would come too late; Retry-After says when to come.",
        503: "The service is about to end, or its disk is full.",
    }.items()
}


def problems(*statuses: int) -> dict[int | str, dict[str, object]]:
    """The problems that a route can answer with, for its description."""
    return {status: PROBLEMS[status] for status in (*statuses, 421)}

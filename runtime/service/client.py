"""A typed client of the service (extra: serve).

with Client("http://127.0.0.1:8000") as client:
    picture = client.edit(seed=7, moves=[Move("smiling", strength=0.8)])
    photo = client.photo(Path("me.jpg"))
    picture = client.edit(photo=photo.id, looks=[("red hair", 1.0)])
    picture = client.edit(image=Path("me.jpg"), looks=[("red hair", 1.0)])  # once
    job = client.optimise("red lipstick", seed=7)
    picture = client.result(client.wait(job))
"""

import base64
import io
import json
import mimetypes
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
from PIL import Image

from styleclip_rt.errors import StyleClipError
from styleclip_rt.runtime.moves import Move
from styleclip_rt.runtime.service.schemas import About, Job, Look, Mapper, Photo

CONNECT_SECONDS = 10


class ServiceError(StyleClipError):
    """The service did not do what was asked.

    Attributes:
        status: of HTTP.
        retry_after: seconds after which to ask again; None where that does not help.
        request_id: by which the service's log knows the request.
    """

    def __init__(self, answer: httpx.Response) -> None:
        try:
            detail = str(answer.json()["detail"])
        except (ValueError, KeyError, TypeError):
            detail = f"the service answered with status {answer.status_code}."
        super().__init__(detail)
        self.status = answer.status_code
        retry_after = answer.headers.get("retry-after", "")
        self.retry_after = int(retry_after) if retry_after.isdigit() else None
        self.request_id = answer.headers.get("x-request-id", "")


class Client:
    """Calls one service; threads may share it.

    Args:
        url: of the service.
        key: one of its keys, if it asks for one.
        patience: times that a request which was refused is made again, when the service says to.
        transport: of httpx, for tests.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        key: str | None = None,
        patience: int = 3,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {} if key is None else {"X-API-Key": key}
        timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
        self._http = httpx.Client(
            base_url=url, headers=headers, timeout=timeout, transport=transport
        )
        self._patience = patience

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def about(self) -> About:
        """What the service can do."""
        return About.model_validate_json(self._ask("GET", "/v1/about").content)

    def mappers(self) -> list[Mapper]:
        """The mappers that moves can name."""
        found = self._ask("GET", "/v1/mappers").json()["mappers"]
        return [Mapper.model_validate(each) for each in found]

    def looks(self) -> list[Look]:
        """The looks that edits can name."""
        return [Look.model_validate(each) for each in self._ask("GET", "/v1/looks").json()["looks"]]

    def edit(
        self,
        *,
        seed: int | None = None,
        latent: bytes | Path | None = None,
        latent_id: str | None = None,
        photo: str | None = None,
        image: Path | None = None,
        face: str | int = "largest",
        quality: str = "fast",
        moves: Sequence[Move] = (),
        looks: Sequence[tuple[str, float]] = (),
        size: str = "full",
        media: str = "image/png",
        wait: float | None = None,
    ) -> Image.Image:
        """Edit a face by moves of mappers and by looks with their strengths.

        Args:
            seed, latent, latent_id, photo, image: one of them says which face; `latent` is a
                latent.safetensors or what it holds, `image` a photograph that is sent along and
                not kept; `photo` is quicker from the second edit on.
            face, quality: of `image`.
            size: "full" or "draft".
            media: in which the picture is sent: "image/png", "image/jpeg" or "image/webp".
            wait: seconds after which the answer is of no use.

        Raises:
            ServiceError: it cannot be done, or not in time.
        """
        wanted = _face(seed, latent, latent_id, photo) | {"size": size}
        wanted["moves"] = [vars(move) for move in moves]
        wanted["moves"] += [{"look": name, "strength": strength} for name, strength in looks]
        headers = {"Accept": media} | ({} if wait is None else {"Prefer": f"wait={wait:.3f}"})
        # Who has no time has none to ask again.
        patience = self._patience if wait is None else 0
        body: dict[str, Any] = {"json": wanted}
        if image is not None:
            said = json.dumps(wanted | {"face": face, "quality": quality})
            parts = {"edit": (None, said), "photo": (image.name, image.read_bytes(), _media(image))}
            body = {"files": parts}
        return _picture(self._ask("POST", "/v1/edits", patience, headers=headers, **body))

    def optimise(
        self,
        prompt: str,
        *,
        seed: int | None = None,
        latent: bytes | Path | None = None,
        latent_id: str | None = None,
        photo: str | None = None,
        **settings: float,
    ) -> Job:
        """Begin an edit by any prompt; `settings` are those of `schemas.Optimiser`."""
        wanted = _face(seed, latent, latent_id, photo)
        wanted |= {"prompt": prompt, "optimiser": settings}
        headers = {"Prefer": "respond-async", "Idempotency-Key": uuid.uuid4().hex}
        answer = self._ask("POST", "/v1/edits", json=wanted, headers=headers)
        return Job.model_validate_json(answer.content)

    def job(self, id: str) -> Job:
        """How far a job is."""
        return Job.model_validate_json(self._ask("GET", f"/v1/jobs/{id}").content)

    def progress(self, job: Job) -> Iterator[tuple[Job, Image.Image | None]]:
        """How a job goes, with a draft where there is a new one, until it is over."""
        with self._http.stream("GET", f"/v1/jobs/{job.id}/events") as answer:
            if answer.status_code != 200:
                answer.read()
                raise ServiceError(answer)
            name = ""
            for line in answer.iter_lines():
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "data" and name == "job":
                    job = Job.model_validate(json.loads(value))
                    yield job, None
                elif field == "data" and name == "draft":
                    content = base64.b64decode(value.partition(",")[2])
                    yield job, Image.open(io.BytesIO(content))

    def wait(self, job: Job) -> Job:
        """Wait for the end of a job.

        Raises:
            StyleClipError: it failed or was cancelled.
        """
        for told, _ in self.progress(job):
            job = told
        if job.state != "done":
            raise StyleClipError(job.detail or f"the job is {job.state}.")
        return job

    def result(self, job: Job, media: str = "image/png") -> Image.Image:
        """The picture that an edit became."""
        return _picture(self._ask("GET", f"/v1/jobs/{job.id}/result", headers={"Accept": media}))

    def latent(self, job: Job) -> bytes:
        """The latent.safetensors that an edit became."""
        return self._ask("GET", f"/v1/jobs/{job.id}/latent").content

    def cancel(self, job: Job) -> None:
        """Cancel a job."""
        self._ask("DELETE", f"/v1/jobs/{job.id}")

    def send(self, path: Path, face: str | int = "largest", quality: str = "fast") -> Photo:
        """Upload a photograph; its inversion begins."""
        query = {"face": str(face), "quality": quality}
        headers = {"Content-Type": _media(path)}
        content = path.read_bytes()
        answer = self._ask("POST", "/v1/photos", params=query, content=content, headers=headers)
        return Photo.model_validate_json(answer.content)

    def photo(self, path: Path, face: str | int = "largest", quality: str = "fast") -> Photo:
        """Upload a photograph and wait until it is inverted; edits of it are quick then.

        Raises:
            StyleClipError: there is no such face in it, or it is no picture.
        """
        sent = self.send(path, face, quality)
        self.wait(self.job(sent.job))
        return Photo.model_validate_json(self._ask("GET", f"/v1/photos/{sent.id}").content)

    def delete(self, photo: Photo) -> None:
        """Delete a photograph."""
        self._ask("DELETE", f"/v1/photos/{photo.id}")

    def _ask(
        self, method: str, path: str, patience: int | None = None, **more: Any
    ) -> httpx.Response:
        for left in reversed(range(1 + (self._patience if patience is None else patience))):
            answer = self._http.request(method, path, **more)
            if answer.is_success:
                return answer
            error = ServiceError(answer)
            if error.retry_after is None or not left:
                raise error
            time.sleep(error.retry_after)
        raise AssertionError("unreachable")


def _face(
    seed: int | None, latent: bytes | Path | None, latent_id: str | None, photo: str | None
) -> dict[str, Any]:
    content = latent.read_bytes() if isinstance(latent, Path) else latent
    encoded = None if content is None else base64.b64encode(content).decode()
    given = {"seed": seed, "latent": encoded, "latent_id": latent_id, "photo": photo}
    return {name: value for name, value in given.items() if value is not None}


def _media(path: Path) -> str:
    media, _ = mimetypes.guess_type(path.name)
    return media or "application/octet-stream"


def _picture(answer: httpx.Response) -> Image.Image:
    image = Image.open(io.BytesIO(answer.content))
    image.load()
    return image

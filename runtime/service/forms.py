"""A form (multipart/form-data, RFC 7578) of a photograph and what is to become of it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from fastapi import Request
from pydantic import ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers

from styleclip_rt.runtime.service.photos import UPLOAD, suffix_of
from styleclip_rt.runtime.service.problems import Problem, said
from styleclip_rt.runtime.service.schemas import PhotoEdit

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MEDIA = "multipart/form-data"
PARTS = "send a form of two parts: edit, which is JSON, and photo, the picture."


def is_form(headers: Headers) -> bool:
    """Whether a request's body is one."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() == MEDIA


async def read_form(request: Request, folder: Path, most_json: int, most_photo: int) -> PhotoEdit:
    """The edit of a request's form, whose photograph is written into `folder` as it comes.

    Raises:
        Problem: the form is none, or not of these two parts, or one is too large.
    """
    _, options = parse_options_header(request.headers.get("content-type"))
    form = _Form(folder, most_json, most_photo)
    try:
        parser = form.parser(options.get(b"boundary", b""))
        async for chunk in request.stream():
            await run_in_threadpool(parser.write, chunk)
        parser.finalize()
    except FormParserError:
        raise Problem(422, f"the form cannot be read: {PARTS}") from None
    finally:
        form.close()
    if form.file is None or form.json is None:
        raise Problem(422, PARTS)
    try:
        return PhotoEdit.model_validate_json(bytes(form.json))
    except ValidationError as error:
        raise Problem(422, said(error.errors()[0])) from None


class _Form:
    """What has come of a form."""

    def __init__(self, folder: Path, most_json: int, most_photo: int) -> None:
        self._folder, self._most_json, self._most_photo = folder, most_json, most_photo
        self._headers: dict[bytes, bytes] = {}
        self._name, self._value = bytearray(), bytearray()
        self._take: Callable[[bytes], None] = self._refuse
        self.file: BinaryIO | None = None
        self.json: bytearray | None = None

    def parser(self, boundary: bytes) -> MultipartParser:
        """That tells this form what comes.

        Raises:
            FormParserError: the boundary is none.
        """
        if not boundary:
            raise FormParserError
        told: MultipartCallbacks = {
            "on_part_begin": self._headers.clear,
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header,
            "on_headers_finished": self._part,
            "on_part_data": lambda data, start, end: self._take(data[start:end]),
        }
        return MultipartParser(boundary, told)

    def close(self) -> None:
        """Close the photograph's file."""
        if self.file is not None:
            self.file.close()

    def _header(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _part(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        name = options.get(b"name")
        if name == b"edit" and self.json is None:
            self.json = bytearray()
            self._take = self._take_json
        elif name == b"photo" and self.file is None:
            media = self._headers.get(b"content-type", b"application/octet-stream")
            self.file = (self._folder / f"{UPLOAD}{suffix_of(media.decode('latin-1'))}").open("wb")
            self._take = self._take_photo
        else:
            self._refuse()

    def _refuse(self, data: bytes = b"") -> None:
        raise Problem(422, PARTS)

    def _take_json(self, data: bytes) -> None:
        assert self.json is not None
        self.json += data
        if len(self.json) > self._most_json:
            raise Problem(413, f"the edit is too large: send at most {self._most_json} bytes.")

    def _take_photo(self, data: bytes) -> None:
        assert self.file is not None
        self.file.write(data)
        if self.file.tell() > self._most_photo:
            raise Problem(413, f"the picture is too large: send at most {self._most_photo} bytes.")

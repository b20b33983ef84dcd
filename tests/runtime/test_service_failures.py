"""What a service meets in a long life: full disks, vanishing clients, kills, hostile requests."""

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_settings")
pytest.importorskip("prometheus_client")
pytest.importorskip("uvicorn")
pytest.importorskip("httpx")
pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from styleclip_rt.checkpoints import mapper_file
from styleclip_rt.models.generator import fingerprint
from styleclip_rt.runtime import inversion
from styleclip_rt.runtime.mapper import MapperRuntime
from styleclip_rt.runtime.service import create_app
from styleclip_rt.runtime.service.settings import ServiceSettings
from tests.runtime.test_service_live import serving
from tests.tiny import tiny_bundle, tiny_prompt_mapper

ROOT = Path(__file__).parents[2]
PORTRAIT = ROOT / "tests" / "golden" / "photos" / "official.jpg"
JPEG = {"content-type": "image/jpeg"}
FUZZED = int(os.environ.get("STYLECLIP_RT_FUZZED", "300"))


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MapperRuntime:
    monkeypatch.setitem(inversion.QUALITIES, "fast", 2)
    bundle, path = tiny_bundle(), tmp_path / "hair.safetensors"
    origin = mapper_file.Origin("tiny", fingerprint(bundle.generator))
    mapper_file.save(tiny_prompt_mapper(bundle, ("old",)), path, origin)
    return MapperRuntime(bundle, {"hair": path})


def client_of(runtime: MapperRuntime, store: Path, **settings: Any) -> TestClient:
    return TestClient(create_app(runtime, settings=ServiceSettings(store=store, **settings)))


def form() -> dict[str, Any]:
    photo = ("me.jpg", PORTRAIT.read_bytes(), "image/jpeg")
    return {"edit": (None, '{"moves": [{"look": "old"}]}'), "photo": photo}


def whole(store: Path) -> bool:
    """Whether a store holds whole entries alone."""
    return all(path.name.startswith(("photo-", "latent-", "result-")) for path in store.iterdir())


def test_a_full_disk_is_said_and_leaves_nothing_half(
    runtime: MapperRuntime, tmp_path: Path
) -> None:
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("needs to mount a small disk")
    store, size = tmp_path / "store", PORTRAIT.stat().st_size
    store.mkdir()
    # Room for one upload and not for what is made of it.
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size + 20_000}", "tmpfs", str(store)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("may not mount a small disk")
    try:
        with client_of(runtime, store) as client:
            sent = client.post("/v1/photos", content=PORTRAIT.read_bytes(), headers=JPEG)
            assert sent.status_code == 202
            again = client.post("/v1/photos", content=PORTRAIT.read_bytes(), headers=JPEG)
            assert again.status_code == 503 and "full" in again.json()["detail"]
            assert client.post("/v1/edits", files=form()).status_code == 503
            for _ in range(2000):
                job = client.get(f"/v1/jobs/{sent.json()['job']}").json()
                if job["state"] not in ("queued", "running"):
                    break
                time.sleep(0.01)
            assert job["state"] == "failed" and "full" in job["detail"]
            assert client.post("/v1/edits", json={"seed": 3}).status_code == 200
            assert client.delete(f"/v1/photos/{sent.json()['id']}").status_code == 204
            assert not list(store.iterdir())
            kept = client.post("/v1/edits", json={"seed": 3}, headers={"prefer": "respond-async"})
            assert kept.status_code == 202
    finally:
        subprocess.run(["umount", "-l", str(store)], check=True)


def test_a_kill_leaves_a_store_that_the_next_service_reads(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with serving(tmp_path, steps=5000) as served:
        sent = served.client.post("/v1/photos", content=PORTRAIT.read_bytes(), headers=JPEG).json()
        wanted = {"photo": sent["id"], "size": "draft"}
        while served.client.post("/v1/edits", json=wanted).status_code == 429:
            time.sleep(0.1)
        long = {"seed": 3, "prompt": "old", "optimiser": {"steps": 5000}}
        assert served.client.post("/v1/edits", json=long).status_code == 202
        late = served.client.post("/v1/photos", content=PORTRAIT.read_bytes(), headers=JPEG).json()
        with served.connect() as half:
            head = "POST /v1/photos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n"
            half.sendall(f"{head}Content-Type: image/jpeg\r\n\r\nhalf".encode())
            while whole(store):
                time.sleep(0.01)
            served.process.kill()
            served.process.wait()
    left = {path.name for path in store.iterdir()}
    assert {f"photo-{sent['id']}", f"photo-{late['id']}"} < left and len(left) == 3
    with serving(tmp_path) as served:
        assert whole(store), "what was half-written is gone"
        known = served.client.get(f"/v1/photos/{sent['id']}").json()
        assert known["state"] == "done" and known["face"]
        assert served.client.post("/v1/edits", json=wanted).status_code == 200
        cut = served.client.get(f"/v1/photos/{late['id']}").json()
        assert cut["state"] == "failed" and "upload it again" in cut["detail"]


def test_clients_that_vanish_or_send_slowly_leave_nothing(tmp_path: Path) -> None:
    body = PORTRAIT.read_bytes()
    edge = (
        b'--e\r\nContent-Disposition: form-data; name="photo"\r\nContent-Type: image/jpeg\r\n\r\n'
    )
    seeded = random.Random(0)
    with serving(tmp_path, body_seconds=1, header_seconds=1, long_queue=64) as served:

        def leave(number: int) -> None:
            head = "POST /v1/edits HTTP/1.1\r\nHost: localhost\r\n"
            head += "Content-Type: multipart/form-data; boundary=e\r\n"
            sent = head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + edge + body
            with served.connect() as gone:
                gone.sendall(sent[: seeded.randrange(len(sent))])
                if number % 4 == 0:
                    time.sleep(1.2)
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(leave, range(40)))
        end = time.monotonic() + 20
        while any((tmp_path / "store").iterdir()) and time.monotonic() < end:
            time.sleep(0.05)
        assert not any((tmp_path / "store").iterdir())
        assert served.client.post("/v1/edits", json={"seed": 3}).status_code == 200
        assert "Traceback" not in served.log.read_text()


def test_hostile_requests_meet_no_defect(tmp_path: Path) -> None:
    """Those that Schemathesis makes of the OpenAPI description, forms among them; as many as
    STYLECLIP_RT_FUZZED says."""
    pytest.importorskip("schemathesis")
    limits = {"body_bytes": 4096, "photo_bytes": 4096, "steps": 2, "header_seconds": 60}
    with serving(tmp_path, **limits, keep_alive_seconds=60) as served:
        url = f"http://127.0.0.1:{served.port}"
        script = "import sys; from schemathesis.cli import schemathesis; schemathesis()"
        options = [
            "--phases=fuzzing",
            "--checks=not_a_server_error,content_type_conformance,status_code_conformance",
            f"--max-examples={max(1, FUZZED // 15)}",
            f"--seed={FUZZED}",
            "--continue-on-failure",
            "--exclude-path=/v1/jobs/{id}/events",
            "--request-timeout=60",
        ]
        done = subprocess.run(
            [sys.executable, "-c", script, "run", f"{url}/v1/openapi.json", *options],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        log = served.log.read_text()
        requests = [json.loads(line) for line in log.splitlines() if '"request"' in line]
        assert len(requests) > FUZZED / 2
        assert all(each["status"] not in (0, 500) for each in requests)
        assert "Traceback" not in log and whole(tmp_path / "store")
        assert served.client.post("/v1/edits", json={"seed": 3}).status_code == 200

"""The Python client and the commands of docs/SERVICE.md, against a live service."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from styleclip_rt.errors import StyleClipError

pytest.importorskip("pydantic_settings")
pytest.importorskip("prometheus_client")
pytest.importorskip("httpx")

from styleclip_rt.checkpoints import mapper_file
from styleclip_rt.models.generator import fingerprint
from styleclip_rt.runtime.moves import Move
from styleclip_rt.runtime.service.client import Client, ServiceError
from tests.runtime.test_service_live import Served, serving
from tests.tiny import tiny_bundle, tiny_prompt_mapper

ROOT = Path(__file__).parents[2]
PORTRAIT = ROOT / "tests" / "golden" / "photos" / "official.jpg"
KEY = "a secret"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    bundle = tiny_bundle()
    origin = mapper_file.Origin("tiny", fingerprint(bundle.generator))
    (folder / "mappers").mkdir()
    for name, prompts in (("smiling", ("smiling",)), ("hair-colour", ("red hair", "blue hair"))):
        path = folder / "mappers" / f"{name}.safetensors"
        mapper_file.save(tiny_prompt_mapper(bundle, prompts), path, origin)
    with serving(folder, api_keys=f'["{KEY}"]') as served:
        yield served


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    with Client(f"http://127.0.0.1:{served.port}", KEY) as client:
        yield client


def test_the_client_edits_faces(client: Client) -> None:
    assert client.about().bundle == "tiny"
    assert [mapper.name for mapper in client.mappers()] == ["hair-colour", "smiling"]
    assert "red hair" in [look.name for look in client.looks()]
    moved = client.edit(seed=7, moves=[Move("smiling", strength=0.8)])
    looked = client.edit(seed=7, looks=[("smiling", 0.8)], wait=30)
    assert moved.size == (64, 64) and moved.tobytes() == looked.tobytes()
    assert client.edit(seed=7, size="draft", media="image/webp").size == (16, 16)


def test_the_client_waits_for_jobs(client: Client) -> None:
    job = client.optimise("red hair", seed=7, steps=6)
    told = list(client.progress(job))
    assert told[-1][0].state == "done" and told[-1][0].step == 6
    assert client.result(job).size == (64, 64)
    again = client.edit(latent=client.latent(job))
    assert again.tobytes() == client.edit(latent_id=job.id).tobytes()
    cancelled = client.optimise("red hair", seed=7, steps=300)
    client.cancel(cancelled)
    with pytest.raises(StyleClipError, match="cancelled"):
        client.wait(cancelled)


def test_the_client_sends_photographs(client: Client) -> None:
    photo = client.photo(PORTRAIT)
    assert photo.face is not None
    edited = client.edit(photo=photo.id, looks=[("red hair", 1.0)])
    assert edited.size == Image.open(PORTRAIT).size
    once = client.edit(image=PORTRAIT, looks=[("red hair", 1.0)], face=1)
    assert once.tobytes() == edited.tobytes()
    client.delete(photo)
    with pytest.raises(ServiceError, match="no such photograph") as error:
        client.edit(photo=photo.id)
    assert error.value.status == 404 and error.value.request_id


def test_the_client_says_what_was_wrong(served: Served) -> None:
    with (
        Client(f"http://127.0.0.1:{served.port}", "wrong") as client,
        pytest.raises(ServiceError, match="X-API-Key"),
    ):
        client.looks()


def test_the_commands_of_the_documents_work(served: Served, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    text = (ROOT / "docs" / "SERVICE.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.S | re.M)
    assert len(blocks) >= 3
    script = "\n".join(blocks).replace("http://127.0.0.1:8000", f"http://127.0.0.1:{served.port}")
    shutil.copy(PORTRAIT, tmp_path / "me.jpg")
    head = f'set -e\ncurl() {{ command curl -sS --fail-with-body -H "X-API-Key: {KEY}" "$@"; }}\n'
    done = subprocess.run(
        ["bash", "-c", head + script], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for path in tmp_path.glob("*.*g"):
        Image.open(path).load()
    assert Image.open(tmp_path / "red.jpg").size == Image.open(PORTRAIT).size

import io
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save

from styleclip_rt.bundle import mappers as mappers_module
from styleclip_rt.checkpoints import mapper_file
from styleclip_rt.models.generator import fingerprint
from styleclip_rt.models.mapper import PromptMapper, PromptMapperConfig
from styleclip_rt.models.tokenizer import tokenize
from styleclip_rt.runtime import torch_networks
from styleclip_rt.runtime.mapper import MapperRuntime
from tests.tiny import tiny_bundle

pytest.importorskip("pydantic_settings")
pytest.importorskip("prometheus_client")
pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")
PROMPTS = ("red hair", "old")
ROOT = Path(__file__).parents[2]

SERVE = """
import sys
from pathlib import Path
from styleclip_rt import bundle, cli
from styleclip_rt.bundle import mappers
from tests.tiny import tiny_bundle
bundle.load_bundle = lambda name: tiny_bundle()
folder = Path(sys.argv.pop(1))
mappers._SHIPPED = folder
cli.main()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mappers as if they shipped: one of the tiny bundle, one of another."""
    folder = tmp_path_factory.mktemp("mappers")
    bundle = tiny_bundle()
    torch.manual_seed(0)
    mapper = PromptMapper(
        PromptMapperConfig(11, (7, 8), PROMPTS, 8, 16, face_dim=4, hidden=8, rank=2)
    )
    with torch.no_grad():
        mapper.directions.normal_()
        mapper.texts.copy_(bundle.clip.encode_text(tokenize(PROMPTS)))
    mine = mapper_file.Origin("tiny", fingerprint(bundle.generator))
    mapper_file.save(mapper, folder / "hair.safetensors", mine)
    foreign = mapper_file.Origin("other", "another generator")
    mapper_file.save(mapper, folder / "foreign.safetensors", foreign)
    return folder


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[Any]:
    """Of a running `styleclip serve`."""
    pytest.importorskip("uvicorn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", SERVE, str(folder), "serve", "--port", str(port)]
    server = subprocess.Popen(command, cwd=ROOT)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
    try:
        for _ in range(600):
            try:
                client.get("/mappers")
                break
            except httpx.ConnectError:
                assert server.poll() is None, "the service ended"
                time.sleep(0.1)
        yield client
    finally:
        server.terminate()
        server.wait()


def picture(answer: Any) -> Image.Image:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return Image.open(io.BytesIO(answer.content))


def test_the_command_serves_what_ships_for_its_bundle(client: Any) -> None:
    assert client.get("/mappers").json() == {"hair": list(PROMPTS)}


def test_edits_come_back_as_pictures(client: Any) -> None:
    request = {"mapper": "hair", "seed": 3}
    red, old = (
        picture(client.post("/edit", params={**request, "prompt": prompt})) for prompt in PROMPTS
    )
    assert red.size == old.size == (64, 64)
    assert red.tobytes() != old.tobytes()
    none = client.post("/edit", params={**request, "prompt": "old", "strength": 0})
    assert picture(none).tobytes() != old.tobytes()


def test_a_saved_latent_can_be_sent(client: Any) -> None:
    runtime = MapperRuntime(tiny_bundle(), {})
    body = save({"latent": runtime.start([3])})
    request = {"mapper": "hair", "prompt": "old"}
    sent = picture(client.post("/edit", params=request, content=body))
    seeded = picture(client.post("/edit", params={**request, "seed": 3}))
    assert sent.tobytes() == seeded.tobytes()


@pytest.mark.parametrize(
    ("request_", "body", "sentence"),
    [
        ({"mapper": "hair", "prompt": "green"}, b"", "choose from red hair, old."),
        ({"mapper": "nose"}, b"", "unknown mapper 'nose': choose from hair."),
        ({"mapper": "foreign", "prompt": "old"}, b"", "generator of the bundle 'other'"),
        ({"mapper": "hair", "prompt": "old", "strength": 9}, b"", "strength must be from 0 to 1.5"),
        (
            {"mapper": "hair", "prompt": "old", "strength": "x"},
            b"",
            "strength must be of the kind float, not 'x'.",
        ),
        ({"prompt": "old"}, b"", "mapper is missing"),
        ({"mapper": "hair", "any_prompt": "x"}, b"", "any_prompt must be of the kind boolean"),
        ({"mapper": "hair", "prompt": "old"}, b"no latent", "readable safetensors file"),
        (
            {"mapper": "hair", "prompt": "old"},
            save({"latent": torch.zeros(1, 18, 512)}),
            "takes [1, 16] or [1, 11, 16]",
        ),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    client: Any, request_: dict[str, object], body: bytes, sentence: str
) -> None:
    answer = client.post("/edit", params=request_, content=body)
    assert answer.status_code == 422
    assert sentence in answer.json()["detail"]


def test_the_example_mounts_the_same_app(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from starlette.testclient import TestClient

    monkeypatch.setattr(torch_networks, "load_bundle", lambda name: tiny_bundle())
    monkeypatch.setattr(mappers_module, "_SHIPPED", folder)
    monkeypatch.setenv("MAPPERS", "hair")
    from examples.mapper_service import app

    with TestClient(app) as client:
        request = {"mapper": "hair", "prompt": "old"}
        assert picture(client.post("/faces/edit", params=request)).size == (64, 64)
        refused = client.post("/faces/edit", params={"mapper": "hair", "prompt": "green"})
        assert refused.status_code == 422


def test_two_mappers_of_one_name_stop_the_command(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from styleclip_rt import bundle, cli

    monkeypatch.setattr(bundle, "load_bundle", lambda name: tiny_bundle())
    twin = shutil.copy(folder / "hair.safetensors", tmp_path)
    files = [str(folder / "hair.safetensors"), str(twin)]
    monkeypatch.setattr("sys.argv", ["styleclip", "serve", *files])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert "two of the mappers have the same name" in capsys.readouterr().err


def test_a_mapper_of_another_bundle_stops_the_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from styleclip_rt import bundle, cli

    monkeypatch.setattr(bundle, "load_bundle", lambda name: tiny_bundle())
    monkeypatch.setattr("sys.argv", ["styleclip", "serve", str(folder / "foreign.safetensors")])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert "generator of the bundle 'other'" in capsys.readouterr().err

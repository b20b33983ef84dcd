"""Looks of the table in the service, on tiny networks."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from styleclip_rt.checkpoints import mapper_file
from styleclip_rt.models.generator import fingerprint
from styleclip_rt.paint import PAINTS
from styleclip_rt.runtime.mapper import MapperRuntime
from tests.tiny import tiny_bundle, tiny_look_mapper, tiny_prompt_mapper

pytest.importorskip("pydantic_settings")
pytest.importorskip("prometheus_client")
pytest.importorskip("httpx")
pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from styleclip_rt.runtime.service import create_app
from styleclip_rt.runtime.service.settings import ServiceSettings


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    bundle, folder = tiny_bundle(), tmp_path_factory.mktemp("mappers")
    mappers = {
        "looks": tiny_look_mapper(bundle, ("full lips", "angry")),
        "smiling": tiny_prompt_mapper(bundle, ("smiling",)),
        "mine": tiny_prompt_mapper(bundle, ("a hat",)),
    }
    files = {name: folder / f"{name}.safetensors" for name in mappers}
    for name, mapper in mappers.items():
        mapper_file.save(
            mapper, files[name], mapper_file.Origin("tiny", fingerprint(bundle.generator))
        )
    settings = ServiceSettings(store=folder / "store")
    with TestClient(create_app(MapperRuntime(bundle, files), settings=settings)) as client:
        yield client


def drawn(client: Any, **move: object) -> bytes:
    answer = client.post("/v1/edits", json={"seed": 3, "moves": [move]})
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content)).tobytes()


def test_looks_are_those_of_the_table_that_can_be_made_and_prompts_beside_it(client: Any) -> None:
    looks = {look["name"]: look for look in client.get("/v1/looks").json()["looks"]}
    assert set(looks) == {"smiling", "full lips", "angry", "a hat", *PAINTS}
    lips = looks["full lips"]
    assert (lips["least"], lips["most"], lips["less"]) == (-1, 1, "thin lips")
    assert "narrow lips" in lips["says_less"] and lips["mapper"] == "looks"
    assert looks["angry"]["less"] is None and looks["angry"]["least"] == 0
    assert (looks["a hat"]["least"], looks["a hat"]["most"]) == (0, 1.5)


def test_less_of_a_look_is_its_other_name(client: Any) -> None:
    thin = drawn(client, look="Thin lips", strength=0.5)
    assert thin == drawn(client, look="full lips", strength=-0.5)
    assert thin != drawn(client, look="full lips", strength=0)
    assert drawn(client, look="a hat") == drawn(client, mapper="mine", prompt="a hat")


def test_a_sentence_that_looks_make_needs_no_optimiser(client: Any) -> None:
    waited = {"Prefer": "wait=60"}
    said = {"seed": 3, "prompt": "a slight smile with thinner lips, please"}
    moves = [{"look": "smiling", "strength": 0.5}, {"look": "thin lips"}]
    asked = {"seed": 3, "moves": moves}
    one, other = (client.post("/v1/edits", json=x, headers=waited) for x in (said, asked))
    assert one.status_code == other.status_code == 200
    assert one.content == other.content


@pytest.mark.parametrize(
    ("move", "sentence"),
    [
        ({"look": "angry", "strength": -0.5}, "strength of 'angry' must be from 0 to 1,"),
        ({"look": "thin lips", "strength": 1.2}, "strength of 'thin lips' must be from -1 to 1,"),
        ({"look": "red hair"}, "unknown look 'red hair': /v1/looks lists them."),
        ({"mapper": "smiling", "strength": -1}, "strength must be from 0 to 1.5, but is -1.0."),
        ({"look": "a hat", "strength": -1}, "strength must be from 0 to 1.5, but is -1.0."),
    ],
)
def test_a_look_keeps_to_its_range(client: Any, move: dict[str, object], sentence: str) -> None:
    answer = client.post("/v1/edits", json={"seed": 3, "moves": [move]})
    assert answer.status_code == 422 and sentence in answer.json()["detail"]

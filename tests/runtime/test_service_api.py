"""The routes under /v1, on tiny networks."""

import base64
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from styleclip_rt.checkpoints import mapper_file
from styleclip_rt.models.generator import fingerprint
from styleclip_rt.paint import PAINTS
from styleclip_rt.runtime import inversion
from styleclip_rt.runtime.mapper import MapperRuntime
from tests.tiny import tiny_bundle, tiny_prompt_mapper

pytest.importorskip("pydantic_settings")
pytest.importorskip("prometheus_client")
pytest.importorskip("httpx")
pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from styleclip_rt.runtime.service import create_app, photos
from styleclip_rt.runtime.service.settings import ServiceSettings

PORTRAIT = Path(__file__).parents[1] / "golden" / "photos" / "official.jpg"
PROMPTS = ("red hair", "old")
OLD = {"seed": 3, "moves": [{"mapper": "hair", "prompt": "old"}]}


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> MapperRuntime:
    bundle = tiny_bundle()
    path = tmp_path_factory.mktemp("mappers") / "hair.safetensors"
    origin = mapper_file.Origin("tiny", fingerprint(bundle.generator))
    mapper_file.save(tiny_prompt_mapper(bundle, PROMPTS), path, origin)
    return MapperRuntime(bundle, {"hair": path})


@pytest.fixture
def client(runtime: MapperRuntime, tmp_path: Path) -> Iterator[Any]:
    with serving(runtime, tmp_path) as client:
        yield client


def serving(runtime: MapperRuntime, store: Path, **settings: Any) -> Any:
    app = create_app(runtime, {"nose": "no."}, ServiceSettings(store=store, **settings))
    return TestClient(app)


def picture(answer: Any, media: str = "image/png") -> Image.Image:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == media
    return Image.open(io.BytesIO(answer.content))


def ended(client: Any, job: str) -> dict[str, Any]:
    for _ in range(2000):
        told: dict[str, Any] = client.get(f"/v1/jobs/{job}").json()
        if told["state"] not in ("queued", "running"):
            return told
        time.sleep(0.01)
    raise AssertionError(told)


def refused(answer: Any, status: int, sentence: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status and problem["title"]
    assert sentence in problem["detail"] and problem["detail"].endswith(".")


def test_it_tells_what_it_can_do(client: Any) -> None:
    about = client.get("/v1/about").json()
    assert (about["resolution"], about["draft_resolution"]) == (64, 16)
    mappers = client.get("/v1/mappers").json()
    assert mappers["mappers"] == [{"name": "hair", "prompts": list(PROMPTS)}]
    assert mappers["refused"] == {"nose": "no."}
    names = [look["name"] for look in client.get("/v1/looks").json()["looks"]]
    assert set(names) == {*PAINTS, *PROMPTS}
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200


def test_the_description_names_every_route_and_its_problems(client: Any) -> None:
    described = client.get("/v1/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    edit = described["paths"]["/v1/edits"]["post"]["responses"]
    assert {"200", "202", "422", "429", "503"} <= edit.keys()
    body = described["paths"]["/v1/edits"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "multipart/form-data"}
    assert set(edit["200"]["content"]) == {"image/png", "image/jpeg", "image/webp"}
    assert "/edit" not in described["paths"]


def test_looks_and_mappers_are_the_same_moves(client: Any) -> None:
    old = picture(client.post("/v1/edits", json=OLD))
    look = picture(client.post("/v1/edits", json={"seed": 3, "moves": [{"look": " Old"}]}))
    plain = picture(client.post("/v1/edits", json={"seed": 3}))
    first = picture(client.post("/edit?mapper=hair&prompt=old&seed=3"))
    assert old.size == (64, 64)
    assert old.tobytes() == look.tobytes() == first.tobytes() != plain.tobytes()
    assert picture(client.post("/v1/edits", json=OLD | {"size": "draft"})).size == (16, 16)


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("image/jpeg", "image/jpeg"),
        ("image/webp,image/png;q=0.5", "image/webp"),
        ("image/png;q=0, image/*", "image/jpeg"),
        ("text/html, */*;q=0.1", "image/png"),
        ("application/json", "image/png"),
    ],
)
def test_pictures_come_as_they_are_wanted(client: Any, accept: str, media: str) -> None:
    picture(client.post("/v1/edits", json=OLD, headers={"accept": accept}), media)


def latent(values: Any) -> str:
    return base64.b64encode(save({"latent": values})).decode()


def test_latents_are_sent_or_named(client: Any, runtime: MapperRuntime) -> None:
    values = runtime.start([3])
    expected = picture(client.post("/v1/edits", json=OLD)).tobytes()
    sent = client.post("/v1/edits", json={"latent": latent(values), "moves": OLD["moves"]})
    assert picture(sent).tobytes() == expected
    kept = client.post("/v1/latents", content=save({"latent": values}))
    assert kept.status_code == 201
    named = {"latent_id": kept.json()["id"], "moves": OLD["moves"]}
    assert picture(client.post("/v1/edits", json=named)).tobytes() == expected
    half = client.post("/v1/edits", json={"latent": latent(values.half()), "moves": OLD["moves"]})
    assert picture(half).size == (64, 64)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seed": 10**20}, "seed: input should be less than"),
        ({"seed": -1}, "seed: input should be greater than"),
        ({"seed": 1.5}, "seed: input should be a valid integer"),
        ({"latent_id": "0" * 32}, "give one of seed, latent, latent_id and photo"),
        ({"seed": None}, "give one of seed"),
        ({"moves": [{"mapper": "hair", "prompt": "green"}]}, "choose from red hair, old."),
        ({"moves": [{"mapper": "nose"}]}, "no."),
        ({"moves": [{"mapper": "x"}]}, "unknown mapper 'x'"),
        ({"moves": [{"look": "x"}]}, "unknown look 'x': /v1/looks lists them."),
        ({"moves": [{"look": "freckles"}]}, "shows no face to paint on: choose another seed."),
        ({"moves": [{}]}, "either a mapper or a look"),
        ({"moves": [{"look": "old", "strength": 1.6}]}, "strength: input should be less"),
        ({"moves": [{"look": "old", "strength": "nan"}]}, "strength: input should be a finite"),
        ({"moves": [{"look": "old"}] * 33}, "moves: list should have at most 32 items"),
        ({"prompt": "old"}, "give moves or a prompt, not both."),
        ({"moves": [], "prompt": " "}, "the prompt is empty"),
        ({"moves": [], "prompt": "old", "optimiser": {"steps": 5000}}, "at most 300 steps"),
        ({"sead": 1}, "sead: extra inputs are not permitted."),
        ({"seed": None, "latent": latent(torch.zeros(1, 16, dtype=torch.int32))}, "holds I32"),
        ({"seed": None, "latent": latent(torch.zeros(0, 11, 16))}, "which is no latent"),
        ({"seed": None, "latent": latent(torch.full((1, 16), torch.inf))}, "not finite"),
        ({"seed": None, "latent": latent(torch.zeros(2, 11, 16))}, "send one latent, not 2"),
        ({"seed": None, "latent": "AAAA"}, "readable safetensors file"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    client: Any, change: dict[str, Any], sentence: str
) -> None:
    wanted = {key: value for key, value in (OLD | change).items() if value is not None}
    refused(client.post("/v1/edits", json=wanted), 422, sentence)


def test_a_batch_draws_what_each_asked_for(runtime: MapperRuntime, tmp_path: Path) -> None:
    wanted = [{"seed": 3}, OLD, {"seed": 4, "moves": [{"look": "red hair"}]}]
    with serving(runtime, tmp_path, batch=4) as client:
        alone = [np.asarray(picture(client.post("/v1/edits", json=each)), int) for each in wanted]
        later = {"prefer": "respond-async"}
        # What runs first keeps the others waiting until they are a batch.
        long = client.post("/v1/edits", json={"seed": 3, "prompt": "old"}).json()["id"]
        jobs = [client.post("/v1/edits", json=each, headers=later).json() for each in wanted]
        for job, expected in zip(jobs, alone, strict=True):
            result = ended(client, job["id"])["result"]
            assert np.abs(np.asarray(picture(client.get(result)), int) - expected).max() <= 1
        assert ended(client, long)["state"] == "done"


def test_other_answers_that_are_no_pictures(client: Any) -> None:
    refused(client.post("/v1/edits", content=b"{"), 422, "send the request as a JSON object")
    refused(client.post("/v1/edits", json=OLD, headers={"accept": "text/html"}), 406, "image/png")
    refused(client.post("/v1/edits", json=OLD, headers={"prefer": "wait=x"}), 422, "wait=")
    refused(client.post("/v1/edits", json={"photo": "0" * 32}), 404, "no such photograph")
    refused(client.get("/v1/jobs/" + "0" * 32), 404, "no such job")
    refused(client.get("/v1/nothing"), 404, "nothing at this path")
    refused(client.get("/v1/edits"), 405, "does not take this method")
    refused(client.post("/v1/edits", content=b"x" * (1 << 21)), 413, "too large")
    refused(client.post("/v1/edits", content=iter([b"x" * (1 << 20)] * 2)), 413, "too large")


def test_a_prompt_becomes_a_job_with_drafts_on_the_way(client: Any) -> None:
    answer = client.post("/v1/edits", json={"seed": 3, "prompt": "old"})
    assert answer.status_code == 202
    job = answer.json()["id"]
    assert answer.headers["location"] == f"/v1/jobs/{job}"
    with client.stream("GET", f"/v1/jobs/{job}/events") as stream:
        lines = list(stream.iter_lines())
    told = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert told[-1]["state"] == "done" and told[-1]["step"] == 3
    done = ended(client, job)
    edited = picture(client.get(done["result"]))
    assert edited.size == (64, 64)
    picture(client.get(done["result"], headers={"accept": "image/jpeg"}), "image/jpeg")
    waited = {"prefer": "wait=30"}
    again = client.post("/v1/edits", json={"seed": 3, "prompt": "old"}, headers=waited)
    assert picture(again).tobytes() == edited.tobytes()
    assert client.get(f"/v1/jobs/{job}/latent").status_code == 200
    picture(client.post("/v1/edits", json={"latent_id": job, "moves": [{"look": "old"}]}))


def test_a_job_can_be_cancelled(client: Any) -> None:
    wanted = {"seed": 3, "prompt": "old", "optimiser": {"steps": 300}}
    job = client.post("/v1/edits", json=wanted).json()["id"]
    refused(client.get(f"/v1/jobs/{job}/result"), 409, "not done yet")
    assert client.delete(f"/v1/jobs/{job}").status_code == 204
    assert ended(client, job)["state"] == "cancelled"
    refused(client.get(f"/v1/jobs/{job}/result"), 410, "cancelled")


def test_an_idempotency_key_makes_one_job(client: Any) -> None:
    headers = {"idempotency-key": "a", "prefer": "respond-async"}
    first, second = (client.post("/v1/edits", json=OLD, headers=headers).json() for _ in range(2))
    assert first["id"] == second["id"]
    assert ended(client, first["id"])["state"] == "done"
    del headers["prefer"]
    picture(client.post("/v1/edits", json=OLD, headers=headers))
    other = client.post("/v1/edits", json={"seed": 4}, headers=headers)
    refused(other, 422, "used for another request")


def test_a_wait_that_is_too_short_is_refused_at_once(client: Any) -> None:
    answer = client.post("/v1/edits", json=OLD, headers={"prefer": "wait=0.0001"})
    refused(answer, 429, "longer than you wait")
    assert int(answer.headers["retry-after"]) >= 1
    headers = {"prefer": "respond-async, wait=30"}
    picture(client.post("/v1/edits", json=OLD, headers=headers))


def test_a_photograph_is_inverted_once_and_edited(
    client: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(inversion.QUALITIES, "fast", 3)
    monkeypatch.setitem(inversion.REFINING, "fast", 1)
    monkeypatch.setattr(photos, "DRAFT_SIDE", 100)
    jpeg = {"content-type": "image/jpeg"}
    answer = client.post("/v1/photos", content=PORTRAIT.read_bytes(), headers=jpeg)
    assert answer.status_code == 202, answer.text
    id = answer.json()["id"]
    # An edit waits for the inversion.
    early = client.post("/v1/edits", json={"photo": id, "moves": [{"look": "old"}]})
    assert ended(client, answer.json()["job"])["result"] == f"/v1/photos/{id}"
    photo = client.get(f"/v1/photos/{id}").json()
    assert photo["state"] == "done" and photo["face"]["left"] > 0
    assert photo["faces"] == [photo["face"]]
    size = Image.open(PORTRAIT).size
    assert (photo["width"], photo["height"]) == size
    wanted = {"photo": id, "moves": [{"look": "old"}]}
    edited, plain = (
        picture(client.post("/v1/edits", json=wanted | change)) for change in ({}, {"moves": []})
    )
    assert edited.size == plain.size == size
    assert np.array_equal(np.asarray(plain), np.asarray(Image.open(PORTRAIT).convert("RGB")))
    assert edited.tobytes() == picture(early).tobytes() != plain.tobytes()
    assert max(picture(client.post("/v1/edits", json=wanted | {"size": "draft"})).size) == 100
    waited = {"prefer": "wait=60"}
    text = client.post("/v1/edits", json={"photo": id, "prompt": "old"}, headers=waited)
    assert picture(text).size == size
    assert client.delete(f"/v1/photos/{id}").status_code == 204
    refused(client.get(f"/v1/photos/{id}"), 404, "no such photograph")
    refused(client.post("/v1/edits", json=wanted), 404, "no such photograph")
    assert not list(tmp_path.iterdir())


def form(edit: object, photo: Any = None, **more: Any) -> dict[str, Any]:
    """A form as httpx sends it."""
    photo = photo or ("me.jpg", PORTRAIT.read_bytes(), "image/jpeg")
    said = edit if isinstance(edit, str) else json.dumps(edit)
    return {"files": {"edit": (None, said), "photo": photo, **more}}


def test_a_photograph_is_edited_in_one_call(
    client: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(inversion.QUALITIES, "fast", 3)
    monkeypatch.setitem(inversion.REFINING, "fast", 2)
    old = {"moves": [{"look": "old"}]}
    edited, none = (picture(client.post("/v1/edits", **form(edit))) for edit in (old, {}))
    assert edited.size == Image.open(PORTRAIT).size and edited.tobytes() != none.tobytes()
    assert not list(tmp_path.iterdir()), "it is not kept"
    job = client.post("/v1/edits", **form({"prompt": "old", "optimiser": {"steps": 4}})).json()
    told = ended(client, job["id"])
    assert told["kind"] == "upload" and told["state"] == "done", told
    assert told["step"] == told["steps"] == 3 + 2 + 4
    assert picture(client.get(told["result"])).size == edited.size
    once = {"idempotency-key": "a"}
    same = [client.post("/v1/edits", headers=once, **form(old)) for _ in range(2)]
    assert picture(same[0]).tobytes() == picture(same[1]).tobytes() == edited.tobytes()
    refused(client.post("/v1/edits", headers=once, **form({})), 422, "used for another request")
    refused(
        client.post("/v1/edits", headers={"prefer": "wait=0.001"}, **form(old)), 429, "than you"
    )
    assert {path.name[:6] for path in tmp_path.iterdir()} == {"result"}


def test_forms_that_cannot_be_edited(runtime: MapperRuntime, tmp_path: Path) -> None:
    with serving(runtime, tmp_path, photo_bytes=40_000, body_bytes=2000) as client:
        small = ("me.png", b"no picture", "image/png")
        for sent, status, sentence in (
            (form({}, small), 415, "no picture that can be"),
            (form({}, ("me.txt", b"text", "text/plain")), 415, "Content-Type that is one of"),
            (form({}, ("me.png", bytes(41_000), "image/png")), 413, "picture is too large"),
            (form("x" * 2001, small), 413, "the edit is too large"),
            (form("{", small), 422, "invalid JSON"),
            (form({"seed": 3}, small), 422, "seed: extra inputs are not permitted."),
            (form({"face": 0}, small), 422, "face"),
            (form({}, small, more=(None, "x")), 422, "a form of two parts"),
            ({"files": {"photo": small}}, 422, "a form of two parts"),
            ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 422, "form"),
        ):
            refused(client.post("/v1/edits", **sent), status, sentence)
        assert not list(tmp_path.iterdir())


def test_pictures_that_cannot_be_edited(runtime: MapperRuntime, tmp_path: Path) -> None:
    with serving(runtime, tmp_path, photo_pixels=10_000, store_bytes=1 << 20) as client:
        client.headers["content-type"] = "image/png"
        refused(client.post("/v1/photos", content=b"no picture"), 415, "no picture that can be")
        text = {"content-type": "text/plain"}
        refused(client.post("/v1/photos", content=b"", headers=text), 415, "Content-Type that is")
        bomb = io.BytesIO()
        Image.new("1", (5000, 5000)).save(bomb, "PNG")
        refused(client.post("/v1/photos", content=bomb.getvalue()), 413, "5000 x 5000 pixels")
        empty = io.BytesIO()
        Image.new("RGB", (90, 90)).save(empty, "PNG")
        answer = client.post("/v1/photos", content=empty.getvalue())
        job = ended(client, answer.json()["job"])
        assert job["state"] == "failed" and "face" in job["detail"]
        assert str(tmp_path) not in job["detail"]
        assert client.get(f"/v1/photos/{answer.json()['id']}").json()["detail"] == job["detail"]
        (tmp_path / "large").write_bytes(b"x" * (1 << 20))
        refused(client.post("/v1/photos", content=empty.getvalue()), 503, "is full")


def test_what_is_kept_is_deleted_in_time(runtime: MapperRuntime, tmp_path: Path) -> None:
    with serving(runtime, tmp_path, store_seconds=0.2) as client:
        kept = client.post("/v1/latents", content=save({"latent": runtime.start([3])})).json()
        time.sleep(0.3)
        refused(client.post("/v1/edits", json={"latent_id": kept["id"]}), 404, "no such latent")
        client.post("/v1/latents", content=save({"latent": runtime.start([3])}))
        assert len(list(tmp_path.iterdir())) == 1


def test_keys_and_rates(runtime: MapperRuntime, tmp_path: Path) -> None:
    limits = {"api_keys": ("first", "second"), "rate": 1, "burst": 2}
    with serving(runtime, tmp_path, **limits) as client:
        refused(client.get("/v1/looks"), 401, "X-API-Key")
        refused(client.post("/edit?mapper=hair&prompt=old"), 401, "X-API-Key")
        assert client.get("/readyz").status_code == 200
        mine, theirs = {"x-api-key": "first"}, {"authorization": "Bearer second"}
        later = mine | {"prefer": "respond-async"}
        job = client.post("/v1/edits", json=OLD, headers=later).json()["id"]
        assert client.get(f"/v1/jobs/{job}", headers=mine).status_code == 200
        refused(client.get(f"/v1/jobs/{job}", headers=theirs), 404, "no such job")
        picture(client.post("/v1/edits", json=OLD, headers=mine))
        answer = client.post("/v1/edits", json=OLD, headers=mine)
        refused(answer, 429, "at most 1 requests a minute")
        assert 50 <= int(answer.headers["retry-after"]) <= 60
        picture(client.post("/v1/edits", json=OLD, headers=theirs))


def test_requests_carry_an_id_and_are_counted(
    client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "styleclip_rt.service"):
        assert (
            client.get("/v1/looks", headers={"x-request-id": "mine-1"}).headers["x-request-id"]
            == "mine-1"
        )
    record = next(r for r in caplog.records if r.message == "request")
    assert vars(record)["path"] == "/v1/looks" and vars(record)["status"] == 200
    assert (
        len(client.get("/v1/looks", headers={"x-request-id": "a b"}).headers["x-request-id"]) == 16
    )
    picture(client.post("/v1/edits", json=OLD))
    text = client.get("/metrics").text
    assert 'styleclip_requests_total{route="/v1/edits",status="200"} 1.0' in text
    assert 'styleclip_queue_jobs{kind="full"} 0.0' in text


def test_other_sites_may_use_it_only_if_they_are_named(
    runtime: MapperRuntime, client: Any, tmp_path: Path
) -> None:
    site = {"origin": "https://example.org"}
    cross = {"sec-fetch-site": "cross-site"}
    refused(client.post("/v1/edits", json=OLD, headers=cross), 403, "other sites")
    neighbour = {"sec-fetch-site": "same-site"}
    refused(client.post("/v1/edits", headers=neighbour, **form({})), 403, "other sites")
    assert "access-control-allow-origin" not in client.get("/v1/looks", headers=site).headers
    with serving(runtime, tmp_path, cors_origins=("https://example.org",)) as open_to_it:
        answer = open_to_it.get("/v1/looks", headers=site)
        assert answer.headers["access-control-allow-origin"] == "https://example.org"

"""Mappers as exported graphs: the same edits, without torch."""

import importlib.metadata
import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from styleclip_rt.checkpoints import mapper_file
from styleclip_rt.errors import ExportError, StyleClipError
from styleclip_rt.export.onnx import export_onnx
from styleclip_rt.export.table import build
from styleclip_rt.models.mapper import (
    LevelsMapper,
    LevelsMapperConfig,
    PromptMapper,
    StyleSpaceMapper,
    StyleSpaceMapperConfig,
)
from styleclip_rt.runtime.mapper import MapperRuntime, Move
from tests.tiny import tiny_bundle, tiny_prompt_mapper

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

ROOT = Path(__file__).parents[2]
BUNDLE = tiny_bundle()
PROMPTS = ("red hair", "old")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mappers, and beside them their exports and those of the bundle."""
    folder = tmp_path_factory.mktemp("mappers")
    torch.manual_seed(0)
    channels = tuple(s.shape[1] for s in BUNDLE.generator.styles(torch.zeros(1, 11, 16)))
    mappers: dict[str, mapper_file.Mapper] = {
        "hair": tiny_prompt_mapper(BUNDLE, PROMPTS),
        "foreign": tiny_prompt_mapper(BUNDLE, ("a nose", "a hat")),
        "levels": LevelsMapper(LevelsMapperConfig((4, 4, 3), ("coarse",), 16)),
        "styles": StyleSpaceMapper(StyleSpaceMapperConfig(channels, (2,))),
    }
    mappers["foreign"].texts.neg_()
    for name in ("mapping", "synthesis", "draft", "clip_text"):
        export_onnx(build(BUNDLE, name), BUNDLE.name, folder / f"{name}.onnx")
    for name, mapper in mappers.items():
        path = folder / f"{name}.safetensors"
        mapper_file.save(mapper.eval().requires_grad_(False), path, mapper_file.Origin())
        networks = ["mapper"]
        if isinstance(mapper, PromptMapper):
            networks.append("mapper_text")
        for network in networks:
            built = build(BUNDLE, network, str(path))
            export_onnx(built, BUNDLE.name, folder / f"{name}.{network}.onnx")
    return folder


def runtime(
    folder: Path, *names: str, engine: str = "onnxruntime", draft: bool = False
) -> MapperRuntime:
    files = {name: folder / f"{name}.safetensors" for name in names}
    return MapperRuntime(BUNDLE, files, engine=engine, exports=folder, draft=draft)


MOVES = [
    [Move("hair", "old", 0.7)],
    [Move("hair", "Red  hair"), Move("levels", strength=0.5), Move("hair", "old", 1.5)],
]


@pytest.mark.parametrize("moves", MOVES)
def test_edits_are_those_of_torch(folder: Path, moves: list[Move]) -> None:
    exported, torches = (
        runtime(folder, "hair", "levels", engine=engine) for engine in ("onnxruntime", "torch")
    )
    assert exported.prompts == torches.prompts == {"hair": PROMPTS, "levels": ()}
    w_plus = exported.start([1, 2])
    np.testing.assert_allclose(w_plus, torches.start([1, 2]), rtol=1e-3, atol=1e-4)
    expected = torches.edit(torch.from_numpy(w_plus), moves)
    for face, other in zip(exported.edit(w_plus, moves), expected, strict=True):
        np.testing.assert_allclose(face.latent, other.latent, rtol=1e-3, atol=1e-4)
        for one, two in ((face.image, other.image), (face.original, other.original)):
            assert np.abs(np.asarray(one, np.int16) - np.asarray(two, np.int16)).max() <= 1


def test_drafts_are_smaller(folder: Path) -> None:
    exported, torches = (
        runtime(folder, "hair", engine=engine, draft=True) for engine in ("onnxruntime", "torch")
    )
    found = exported.draw(exported.start([1]))
    assert found.shape == (1, 3, 16, 16)
    np.testing.assert_allclose(found, torches.draw(torches.start([1])), rtol=1e-3, atol=1e-4)


def test_threads_may_share_it(folder: Path) -> None:
    shared = runtime(folder, "hair")
    w_plus = shared.start(range(8))
    with ThreadPoolExecutor(4) as pool:
        singles = list(pool.map(lambda w: shared.latents(w, MOVES[0]), np.split(w_plus, 8)))
    np.testing.assert_allclose(
        np.concatenate(singles), shared.latents(w_plus, MOVES[0]), rtol=1e-3, atol=1e-4
    )


def test_other_prompts_are_mixed_from_text(folder: Path) -> None:
    exported, torches = (
        runtime(folder, "hair", engine=engine) for engine in ("onnxruntime", "torch")
    )
    w_plus = exported.start([1, 2])
    move = [Move("hair", "ginger")]
    expected = torches.latents(torch.from_numpy(w_plus), move, any_prompt=True)
    np.testing.assert_allclose(
        exported.latents(w_plus, move, any_prompt=True), expected, rtol=1e-3, atol=1e-4
    )
    with pytest.raises(StyleClipError, match="another CLIP"):
        runtime(folder, "foreign").latents(w_plus, [Move("foreign", "ginger")], any_prompt=True)


def test_what_cannot_be_done_says_so(folder: Path) -> None:
    shared = runtime(folder, "hair")
    w_plus = shared.start([1])
    with pytest.raises(StyleClipError, match="choose from red hair, old"):
        shared.latents(w_plus, [Move("hair", "green hair")])
    with pytest.raises(StyleClipError, match=r"takes \[N, 11, 16\]"):
        shared.latents(w_plus[:, 1:], MOVES[0])
    with pytest.raises(StyleClipError, match="'styles' moves in StyleSpace"):
        runtime(folder, "styles")
    with pytest.raises(ExportError, match="'styleclip export onnx --mapper nose --out"):
        runtime(folder, "nose")


def test_a_service_imports_no_torch() -> None:
    pytest.importorskip("pydantic_settings")
    pytest.importorskip("prometheus_client")
    pytest.importorskip("fastapi")
    script = "import styleclip_rt.runtime.service, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_service_of_exports_takes_mappers_alone(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("pydantic_settings")
    pytest.importorskip("prometheus_client")
    pytest.importorskip("fastapi")
    from fastapi.testclient import TestClient

    from styleclip_rt.runtime.service import create_app
    from styleclip_rt.runtime.service.settings import ServiceSettings

    exported = runtime(folder, "hair")
    client = TestClient(create_app(exported, settings=ServiceSettings(store=tmp_path)))
    wanted = {"seed": 3, "moves": [{"look": "old", "strength": 0.7}]}
    edited, draft = (
        Image.open(io.BytesIO(client.post("/v1/edits", json=wanted | {"size": size}).content))
        for size in ("full", "draft")
    )
    expected = exported.edit(exported.start([3]), [Move("hair", "old", 0.7)])[0].image
    assert edited.tobytes() == expected.tobytes()
    assert draft.size == (16, 16)
    assert not client.get("/v1/about").json()["photos"]
    text = client.post("/v1/edits", json={"seed": 3, "prompt": "old"})
    photo = client.post("/v1/photos", headers={"content-type": "image/png"})
    for refused in (text, photo):
        assert refused.status_code == 422 and "engine torch" in refused.json()["detail"]


def test_an_edit_imports_no_torch(folder: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from styleclip_rt.cli import cli; "
        "cli.main(sys.argv[1:], standalone_mode=False); "
        "assert 'torch' not in sys.modules"
    )
    arguments = ["mapper", "apply", "hair", "--prompt=old", "--engine=onnxruntime", "--seed=3"]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments, f"--exports={folder}", f"--out={tmp_path}"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "comparison.png").is_file()


def test_requirements_without_torch_are_enough(folder: Path, tmp_path: Path) -> None:
    wanted = (ROOT / "requirements-without-torch.txt").read_text().splitlines()
    allowed = closure([line for line in wanted if not line.startswith("#")]) | {"styleclip-rt"}
    hidden = [
        name
        for name, packages in importlib.metadata.packages_distributions().items()
        if not {canonicalize_name(package) for package in packages} & allowed
    ]
    assert "torch" in hidden and "numpy" not in hidden
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({hidden!r})); "
        "from styleclip_rt.cli import cli, run; run(cli)"
    )

    def styleclip(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script, *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    common = ["--engine=onnxruntime", "--seed=3", f"--exports={folder}"]
    done = styleclip("mapper", "apply", "hair", "--prompt=old", *common, f"--out={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "comparison.png").is_file()

    assert "engine onnxruntime: yes" in styleclip("info").stdout
    refused = styleclip("edit", "old", f"--out={tmp_path / 'edit'}")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: this needs torch") and refused.stderr.count("\n") == 1


def closure(requirements: list[str]) -> set[str]:
    """The installed packages that requirements lead to."""
    found: set[str] = set()
    pending = [Requirement(each) for each in requirements]
    while pending:
        one = pending.pop()
        name = canonicalize_name(one.name)
        if (one.marker and not one.marker.evaluate({"extra": ""})) or name in found:
            continue
        found.add(name)
        pending += map(Requirement, importlib.metadata.requires(name) or ())
    return found

"""Photographs with exported graphs: the same edits, without torch."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from styleclip_rt import engines
from styleclip_rt.checkpoints import mapper_file
from styleclip_rt.errors import StyleClipError
from styleclip_rt.export.inversion import INVERSION_NETWORKS
from styleclip_rt.export.onnx import export_onnx
from styleclip_rt.export.photos import PHOTO_NETWORKS
from styleclip_rt.export.table import build
from styleclip_rt.photos import find_faces, read_picture
from styleclip_rt.runtime import inversion
from styleclip_rt.runtime.editor import Editor
from styleclip_rt.runtime.exported_edits import GRAPHS
from styleclip_rt.runtime.exported_networks import INVERSION, PHOTOS, ExportedNetworks
from styleclip_rt.runtime.mapper import MapperRuntime, Move
from tests.tiny import tiny_bundle, tiny_prompt_mapper

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

PORTRAIT = Path(__file__).parents[1] / "golden" / "photos" / "official.jpg"
BUNDLE = tiny_bundle()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exports, each verified as it is made, a mapper, and in `me` an inverted photograph."""
    folder = tmp_path_factory.mktemp("exports")
    mapper = folder / "hair.safetensors"
    mapper_file.save(tiny_prompt_mapper(BUNDLE, ("red hair", "old")), mapper, mapper_file.Origin())
    for name in (*GRAPHS, "relevance", *INVERSION_NETWORKS, *PHOTO_NETWORKS):
        export_onnx(build(BUNDLE, name), BUNDLE.name, folder / f"{name}.onnx")
    export_onnx(build(BUNDLE, "mapper", str(mapper)), BUNDLE.name, folder / "hair.mapper.onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(inversion.QUALITIES, "fast", 3)
        patch.setitem(inversion.REFINING, "fast", 1)
        editor = Editor(BUNDLE, device="cpu", precision="fp32")
        me = editor.invert(PORTRAIT)
        me.save(folder / "me", editor.engine.networks.draw(me.latent[None])[0])
    return folder


def test_the_graphs_are_those_that_photographs_need(folder: Path) -> None:
    assert tuple(PHOTO_NETWORKS) == PHOTOS
    assert tuple(sorted(INVERSION_NETWORKS)) == tuple(sorted(INVERSION))
    for name in PHOTOS:
        assert engines.read_info(folder / f"{name}.onnx").network == name


def test_faces_are_found_where_torch_finds_them(folder: Path) -> None:
    picture = read_picture(PORTRAIT)
    (expected,) = find_faces(picture)
    (found,) = find_faces(picture, ExportedNetworks(folder, (), "onnxruntime").photos)
    np.testing.assert_allclose(found.points, expected.points, atol=0.02)


def test_edits_are_those_of_torch(folder: Path) -> None:
    images = []
    for engine, precision in (("torch", "fp32"), ("onnxruntime", "auto")):
        runtime = MapperRuntime(
            BUNDLE, {"hair": folder / "hair.safetensors"}, engine=engine, exports=folder
        )
        editor = Editor(BUNDLE, "cpu", precision, engine, folder)
        # Graphs draw a latent alone.
        found = editor.invert(folder / "me")
        assert (found.residue is None) == (engine == "onnxruntime")
        me = replace(found, residue=None)
        (mapped,) = runtime.edit_starts([me.start], [Move("hair", "old")])
        edited = editor.edit("old", image=me, steps=2)
        assert mapped.original.size == mapped.image.size == edited.image.size
        images.append([np.asarray(face.image, np.int16) for face in (mapped, edited)])
    original = np.asarray(mapped.original, np.int16)
    for torchs, exported in zip(*images, strict=True):
        assert np.abs(torchs - exported).max() <= 2
        assert np.abs(exported - original).max() > 4


def test_a_photograph_is_edited_without_an_import_of_torch(folder: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from styleclip_rt.cli import cli; "
        "cli.main(sys.argv[1:], standalone_mode=False); "
        "assert 'torch' not in sys.modules"
    )
    quick = "import styleclip_rt.runtime.inversion as i; i.QUALITIES['fast'] = 1; "
    engine, me = ["--engine=onnxruntime", f"--exports={folder}"], f"--image={tmp_path / 'me'}"
    for command, made in (
        (["invert", str(PORTRAIT)], "me/photograph.json"),
        (["mapper", "apply", "hair", "--prompt=old", me], "mapped/edited.jpg"),
        (["edit", "old", "--steps=1", me], "edited/edited.jpg"),
    ):
        out = f"--out={(tmp_path / made).parent}"
        whole = [sys.executable, "-c", quick + script, *command, *engine, out]
        done = subprocess.run(whole, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / made).is_file()


def test_the_service_takes_them_without_an_import_of_torch(folder: Path, tmp_path: Path) -> None:
    for needed in ("fastapi", "prometheus_client", "pydantic_settings", "httpx"):
        pytest.importorskip(needed)
    script = """
import io, sys
from pathlib import Path
from fastapi.testclient import TestClient
from PIL import Image
import styleclip_rt.runtime.inversion as inversion
from styleclip_rt.runtime.mapper import MapperRuntime
from styleclip_rt.runtime.service import create_app
from styleclip_rt.runtime.service.settings import ServiceSettings
inversion.QUALITIES["fast"] = 1
portrait, exports, store = sys.argv[1:]
runtime = MapperRuntime("tiny", ("hair",), "cpu", "onnxruntime", exports)
with TestClient(create_app(runtime, settings=ServiceSettings(store=Path(store)))) as client:
    assert client.get("/v1/about").json()["photos"]
    photo = ("me.jpg", open(portrait, "rb"), "image/jpeg")
    sent = {"edit": (None, '{"moves": [{"look": "old"}]}'), "photo": photo}
    answer = client.post("/v1/edits", files=sent)
    assert answer.status_code == 200, answer.text
    original = Image.open(portrait).convert("RGB")
    edited = Image.open(io.BytesIO(answer.content))
    assert edited.size == original.size and edited.tobytes() != original.tobytes()
assert "torch" not in sys.modules
"""
    command = [sys.executable, "-c", script, str(PORTRAIT), str(folder), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_inversions_are_those_of_torch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(inversion.QUALITIES, "best", 4)
    monkeypatch.setitem(inversion.REFINING, "best", 1)

    def inverted(engine: str) -> tuple[np.ndarray, list[float]]:
        totals: list[float] = []
        photograph = Editor(BUNDLE, "cpu", engine=engine, exports=folder).invert(
            PORTRAIT, quality="best", on_step=lambda step, steps, near: totals.append(near.total)
        )
        return photograph.latent, totals

    (latent, totals), (expected, expected_totals) = inverted("onnxruntime"), inverted("torch")
    np.testing.assert_allclose(totals, expected_totals[:4], rtol=1e-3)
    assert np.abs(latent - expected).mean() < 1e-2


def test_an_engine_without_a_file_says_which(folder: Path, tmp_path: Path) -> None:
    for name in GRAPHS:
        (tmp_path / f"{name}.onnx").symlink_to(folder / f"{name}.onnx")
    with pytest.raises(StyleClipError, match=r"face_detector.onnx is missing: make it with"):
        Editor(engine="onnxruntime", exports=tmp_path).invert(PORTRAIT)

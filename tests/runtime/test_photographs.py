"""Photographs as starts, on tiny networks: where pixels go, and what is said."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from styleclip_rt.checkpoints import native
from styleclip_rt.errors import StyleClipError
from styleclip_rt.photos import read_picture
from styleclip_rt.runtime import inversion
from styleclip_rt.runtime.editor import Editor
from styleclip_rt.runtime.mapper import MapperRuntime, Move
from styleclip_rt.runtime.photographs import Photograph, open_photograph
from tests.runtime.test_mapper_runtime import prompt_mapper
from tests.tiny import tiny_bundle

PORTRAIT = Path(__file__).parents[1] / "golden" / "photos" / "official.jpg"
OTHER = PORTRAIT.with_name("sargent.jpg")
BUNDLE = tiny_bundle()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(inversion.QUALITIES, "fast", 6)


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor(BUNDLE, device="cpu", precision="fp32")


@pytest.fixture
def me(editor: Editor) -> Photograph:
    return editor.invert(PORTRAIT)


def test_inversion_comes_nearer_and_repeats(editor: Editor) -> None:
    totals: list[float] = []
    first = editor.invert(PORTRAIT, on_step=lambda step, steps, near: totals.append(near.total))
    assert len(totals) == 6
    assert min(totals[1:]) < totals[0]
    assert np.array_equal(first.latent, editor.invert(PORTRAIT).latent)
    assert first.latent.shape == (11, 16)
    assert first.aligned.shape == (3, 64, 64)


def test_an_edit_of_a_photograph_is_the_photograph_edited(
    editor: Editor, me: Photograph, tmp_path: Path
) -> None:
    result = editor.edit("red hair", image=me)
    original = np.asarray(Image.open(PORTRAIT).convert("RGB"))
    assert np.array_equal(np.asarray(result.original), original)
    changed = (np.asarray(result.image) != original).any(-1)
    assert changed.any()
    rows, columns = me.alignment.window(original.shape[:2])
    changed[rows, columns] = False
    assert not changed.any()
    result.save(tmp_path)
    assert read_picture(tmp_path / "edited.jpg").size == read_picture(PORTRAIT).size
    assert not (tmp_path / "original.png").exists()
    told = Image.open(tmp_path / "edited.jpg").getexif()
    assert "edited: red hair" in told.values()


def test_a_mapper_edits_photographs_and_faces_alike(
    editor: Editor, me: Photograph, tmp_path: Path
) -> None:
    native.save(prompt_mapper(), tmp_path / "hair.safetensors")
    runtime = MapperRuntime(BUNDLE, {"hair": tmp_path / "hair.safetensors"})
    (face,) = runtime.edit_starts([me.start], [Move("hair", "red hair")])
    assert face.image.size == Image.open(PORTRAIT).size
    assert face.image.tobytes() != face.original.tobytes()
    (none,) = runtime.edit_starts([me.start], [Move("hair", "red hair", 0.0)])
    difference = np.abs(np.asarray(none.image, int) - np.asarray(none.original, int))
    assert difference.max() <= 1


def test_a_folder_stands_for_the_photograph(editor: Editor, me: Photograph, tmp_path: Path) -> None:
    me.save(tmp_path / "me", editor.engine.networks.draw(me.latent[None])[0])
    assert (tmp_path / "me" / "comparison.png").is_file()
    again = editor.invert(tmp_path / "me")
    assert np.array_equal(again.latent, me.latent)
    assert np.array_equal(again.face.points, me.face.points)
    one, two = (editor.edit("old", image=each, steps=2) for each in (me, tmp_path / "me"))
    assert one.image.tobytes() == two.image.tobytes()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "photograph.json").write_text("{"), "or not whole"),
        (lambda folder: (folder / "photograph.json").unlink(), "or not whole"),
        (lambda folder: (folder / "points.npy").write_bytes(b"x"), "or not whole"),
        (lambda folder: shutil.copy(OTHER, folder / "photograph.jpg"), "or not whole"),
        (lambda folder: _rename(folder, "../../photograph.jpg"), "or not whole"),
        (lambda folder: _rename(folder, 7), "or not whole"),
        (lambda folder: (folder / "latent.safetensors").write_bytes(b"x"), "latent"),
    ],
)  # fmt: skip
def test_a_damaged_folder_is_one_sentence(
    harm: object, message: str, editor: Editor, me: Photograph, tmp_path: Path
) -> None:
    me.save(tmp_path / "me", editor.engine.networks.draw(me.latent[None])[0])
    harm(tmp_path / "me")  # type: ignore[operator]
    with pytest.raises(StyleClipError, match=message):
        editor.invert(tmp_path / "me")


def _rename(folder: Path, name: object) -> None:
    known = json.loads((folder / "photograph.json").read_text())
    (folder / "photograph.json").write_text(json.dumps(known | {"photograph": name}))


def test_a_photograph_of_another_generator_is_refused(
    editor: Editor, me: Photograph, tmp_path: Path
) -> None:
    me.save(tmp_path / "me", editor.engine.networks.draw(me.latent[None])[0])
    other = tiny_bundle()
    other.generator.affines()[0].bias.data.add_(1)
    with pytest.raises(StyleClipError, match="inverted for another generator"):
        Editor(other, device="cpu", precision="fp32").invert(tmp_path / "me")


def test_what_cannot_be_done_is_one_sentence(editor: Editor, tmp_path: Path) -> None:
    networks = editor.engine.networks
    Image.new("RGB", (200, 200), (10, 120, 40)).save(tmp_path / "grass.png")
    for path, which, quality, message in (
        (tmp_path / "none.jpg", "largest", "fast", "does not exist"),
        (tmp_path / "grass.png", "largest", "fast", "No face"),
        (PORTRAIT, "2", "fast", "no face '2'"),
        (PORTRAIT, "largest", "slow", "unknown quality 'slow'"),
    ):
        with pytest.raises(StyleClipError, match=message):
            open_photograph(networks, path, which, quality)
    with pytest.raises(StyleClipError, match="a start or an image"):
        editor.edit("old", image=PORTRAIT, start=object())  # type: ignore[arg-type]
    with pytest.raises(StyleClipError, match="only one of them"):
        editor.edit("old", image=PORTRAIT, seed=3)
    with pytest.raises(StyleClipError, match="with engine torch"):
        open_photograph(object(), PORTRAIT)

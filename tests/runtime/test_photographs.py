"""Photographs as starts, on tiny networks: where pixels go, and what is said."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from styleclip_rt.checkpoints import native
from styleclip_rt.errors import StyleClipError
from styleclip_rt.photos import read_picture
from styleclip_rt.photos.beyond import wider
from styleclip_rt.pictures import to_pil
from styleclip_rt.runtime import inversion, torch_inversion
from styleclip_rt.runtime.editor import Editor
from styleclip_rt.runtime.mapper import MapperRuntime, Move
from styleclip_rt.runtime.photographs import Photograph, keep_rest, open_photograph
from styleclip_rt.runtime.results import EditedFace
from styleclip_rt.runtime.starts import Start, from_seeds
from tests.runtime.test_mapper_runtime import prompt_mapper
from tests.tiny import tiny_bundle

PORTRAIT = Path(__file__).parents[1] / "golden" / "photos" / "official.jpg"
OTHER = PORTRAIT.with_name("sargent.jpg")
BUNDLE = tiny_bundle()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(inversion.QUALITIES, "fast", 6)
    monkeypatch.setitem(inversion.REFINING, "fast", 4)


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor(BUNDLE, device="cpu", precision="fp32")


@pytest.fixture
def me(editor: Editor) -> Photograph:
    return editor.invert(PORTRAIT)


def test_inversion_comes_nearer_and_repeats(editor: Editor) -> None:
    totals: list[float] = []
    first = editor.invert(PORTRAIT, on_step=lambda step, steps, near: totals.append(near.total))
    assert len(totals) == 10
    assert min(totals[1:6]) < totals[0] and min(totals[7:]) < totals[6]
    again = editor.invert(PORTRAIT)
    assert np.array_equal(first.latent, again.latent)
    assert np.array_equal(first.residue, again.residue)
    assert first.latent.shape == (11, 16)
    assert first.aligned.shape == (3, 64, 64)


def test_a_residue_draws_the_photograph_nearer_whatever_is_done_to_it(
    editor: Editor, me: Photograph, tmp_path: Path
) -> None:
    networks = editor.engine.networks
    assert me.residue is not None and me.residue.shape == networks.residue_shape == (16, 8, 8)
    alone = networks.draw(me.latent[None]).numpy()[0]
    drawn = networks.draw(me.latent[None], residue=me.residue[None])
    assert np.abs(drawn.numpy()[0] - me.aligned).mean() < np.abs(alone - me.aligned).mean()
    native.save(prompt_mapper(), tmp_path / "hair.safetensors")
    runtime = MapperRuntime(BUNDLE, {"hair": tmp_path / "hair.safetensors"})
    bare = replace(me.start, scene=None)
    faces = runtime.edit_starts([replace(bare, residue=None), bare], [Move("hair", "red hair")])
    edited = editor.edit("old", start=bare, steps=2)
    expected = np.asarray(to_pil(drawn[0]))
    for face in (faces[1], edited):
        assert np.array_equal(np.asarray(face.original), expected)
        assert np.asarray(face.image).tobytes() != expected.tobytes()
    assert not np.array_equal(np.asarray(faces[0].original), expected)


def test_an_edit_of_a_photograph_is_the_photograph_edited(
    editor: Editor, me: Photograph, tmp_path: Path
) -> None:
    result = editor.edit("red hair", image=me)
    original = np.asarray(Image.open(PORTRAIT).convert("RGB"))
    assert np.array_equal(np.asarray(result.original), original)
    changed = (np.asarray(result.image) != original).any(-1)
    assert changed.any()
    rows, columns = wider(me.alignment).window(original.shape[:2])
    changed[rows, columns] = False
    assert not changed.any()
    result.save(tmp_path)
    assert read_picture(tmp_path / "edited.jpg").size == read_picture(PORTRAIT).size
    assert not (tmp_path / "original.png").exists()
    told = Image.open(tmp_path / "edited.jpg").getexif()
    assert "edited: red hair" in told.values()


@pytest.mark.parametrize("rows", [slice(0, 3), slice(2, 8), slice(0, 8)])
def test_its_weight_tells_where_it_changes(me: Photograph, rows: slice) -> None:
    before, after = (
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8))
        for seed in (1, 2)
    )
    relevance = np.zeros((8, 8), np.float32)
    relevance[rows] = 1
    changed = (np.asarray(me.put_back(before, after, relevance)) != me.picture.pixels).any(-1)
    assert changed.any()
    assert not changed[me.weight(relevance) == 0].any()


def test_a_mapper_edits_photographs_and_faces_alike(
    editor: Editor, me: Photograph, tmp_path: Path
) -> None:
    native.save(prompt_mapper(), tmp_path / "hair.safetensors")
    runtime = MapperRuntime(BUNDLE, {"hair": tmp_path / "hair.safetensors"})
    (face,) = runtime.edit_starts([me.start], [Move("hair", "red hair")])
    assert face.image.size == Image.open(PORTRAIT).size
    assert face.image.tobytes() != face.original.tobytes()
    weight = me.weight(runtime.relevance([Move("hair", "red hair")]))
    changed = (np.asarray(face.image) != np.asarray(face.original)).any(-1)
    assert 0 < np.count_nonzero(weight) < weight.size
    assert not changed[weight == 0].any()
    (none,) = runtime.edit_starts([me.start], [Move("hair", "red hair", 0.0)])
    difference = np.abs(np.asarray(none.image, int) - np.asarray(none.original, int))
    assert difference.max() <= 1


def test_paints_go_onto_the_photograph_and_leave_the_latent(editor: Editor, me: Photograph) -> None:
    edited = editor.apply(me, [Move("freckles"), Move("sunglasses", 0.8)])
    original = np.asarray(me.original)
    changed = np.abs(np.asarray(edited.image).astype(int) - original).max(-1) > 0
    left, _, right, bottom = me.face.box
    margin = 0.2 * (right - left)
    rows, columns = np.nonzero(changed)
    assert left - margin < columns.min() and rows.max() < bottom + margin
    assert np.array_equal(edited.latent, me.latent)
    with pytest.raises(StyleClipError, match="strength of 'freckles' must be from 0 to 1"):
        editor.apply(me, [Move("freckles", -1)])
    (drawn,) = from_seeds(editor.engine.networks, [3], 0.7)
    with pytest.raises(StyleClipError, match="shows no face to paint on"):
        editor.apply(drawn, [Move("freckles")])


def test_a_folder_stands_for_the_photograph(editor: Editor, me: Photograph, tmp_path: Path) -> None:
    me.save(tmp_path / "me", editor.engine.networks.draw(me.latent[None])[0])
    assert (tmp_path / "me" / "comparison.png").is_file()
    again = editor.invert(tmp_path / "me")
    assert np.array_equal(again.latent, me.latent)
    assert np.array_equal(again.residue, me.residue)
    assert np.array_equal(again.face.points, me.face.points)
    one, two = (editor.edit("old", image=each, steps=2) for each in (me, tmp_path / "me"))
    assert one.image.tobytes() == two.image.tobytes()
    known = json.loads((tmp_path / "me" / "photograph.json").read_text())
    del known["residue"]  # as folders were before there were residues
    (tmp_path / "me" / "photograph.json").write_text(json.dumps(known))
    assert editor.invert(tmp_path / "me").residue is None


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "photograph.json").write_text("{"), "or not whole"),
        (lambda folder: (folder / "photograph.json").unlink(), "or not whole"),
        (lambda folder: (folder / "points.npy").write_bytes(b"x"), "or not whole"),
        (lambda folder: (folder / "residue.npy").write_bytes(b"x"), "or not whole"),
        (lambda folder: (folder / "residue.npy").unlink(), "or not whole"),
        (lambda folder: np.save(folder / "residue.npy", np.zeros((2, 8, 8))), "another generator"),
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


def test_of_a_drawing_stays_what_the_prompt_is_not_about() -> None:
    before = Image.open(PORTRAIT).convert("RGB").crop((32, 0, 287, 255)).resize((256, 256))
    after = Image.fromarray(255 - np.asarray(before))
    where = np.zeros((64, 64), np.float32)
    where[:32] = 1
    start = keep_rest(Start(np.zeros((11, 16), np.float32)))
    face = EditedFace(after, before, start.latent).in_scene(start, where)
    changed = (np.asarray(face.image) != np.asarray(before)).any(-1)
    assert 0.2 < changed.mean() < 0.8  # background and clothes stay
    assert face.original is before and face.scene is None
    grey = Image.new("RGB", (256, 256), (128, 128, 128))
    with pytest.raises(StyleClipError, match="shows no face"):
        EditedFace(grey, grey, start.latent).in_scene(start, where)


def test_a_generated_face_without_a_face_keeps_nothing(editor: Editor) -> None:
    with pytest.raises(StyleClipError, match="leave --keep-rest out"):
        editor.edit("old", seed=1, keep_rest=True, steps=1)


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people, so near each other that their squares overlap."""
    both = Image.new("RGB", (460, 375))
    both.paste(Image.open(PORTRAIT).resize((300, 375)), (0, 0))
    both.paste(Image.open(OTHER).crop((70, 0, 280, 320)).resize((246, 375)), (215, 0))
    path = tmp_path_factory.mktemp("group") / "group.png"
    both.save(path)
    return path


def test_faces_of_one_photograph_are_edited_in_one_picture(editor: Editor, group: Path) -> None:
    one, two = editor.invert_faces(group)
    original = np.asarray(Image.open(group))
    windows = [np.zeros(original.shape[:2], bool) for _ in range(2)]
    for face, window in zip((one, two), windows, strict=True):
        window[wider(face.alignment).window(original.shape[:2])] = True
    assert (windows[0] & windows[1]).any()
    by = [
        np.abs(np.asarray(editor.edit(prompt, image=face).image, int) - original).max(-1)
        for prompt, face in (("old", one), ("red hair", two))
    ]
    alone, clearly = [x > 0 for x in by], [x > 1 for x in by]
    assert not (alone[0] & ~windows[0]).any() and not (alone[1] & ~windows[1]).any()
    result = editor.edit_together(["old", "red hair"], [one, two])
    changed = (np.asarray(result.image) != original).any(-1)
    assert not (changed & ~(windows[0] | windows[1])).any()
    for only, other in zip(clearly, alone[::-1], strict=True):
        assert changed[only & ~other].all()  # less may round to nothing
    assert np.array_equal(np.asarray(result.original), original)
    assert [face.prompt for face in result.faces] == ["old", "red hair"]
    with pytest.raises(StyleClipError, match="gives one face"):
        editor.invert(group, face="all")


def test_mappers_edit_faces_in_one_picture(editor: Editor, group: Path, tmp_path: Path) -> None:
    native.save(prompt_mapper(), tmp_path / "hair.safetensors")
    runtime = MapperRuntime(BUNDLE, {"hair": tmp_path / "hair.safetensors"})
    one, two = (face.start for face in editor.invert_faces(group))
    red = [Move("hair", "red hair")]
    both = runtime.edit_together([one, two], [red, red])
    (first,) = runtime.edit_starts([one], red)
    assert np.array_equal(np.asarray(both.faces[0].image), np.asarray(first.image))
    assert both.image.tobytes() != first.image.tobytes()
    for starts, moves, message in (
        ([one, two], [red], "one list of moves for each of the 2 faces"),
        (runtime_starts(runtime), [red], "only faces of a photograph"),
        ([one, editor.invert(PORTRAIT).start], [red, red], "several photographs"),
    ):
        with pytest.raises(StyleClipError, match=message):
            runtime.edit_together(starts, moves)


def runtime_starts(runtime: MapperRuntime) -> list[Start]:
    return from_seeds(runtime.networks, [1], 0.7)


def test_folders_of_one_photograph_stand_for_it(
    editor: Editor, group: Path, tmp_path: Path
) -> None:
    faces = editor.invert_faces(group)
    for number, face in enumerate(faces, 1):
        face.save(tmp_path / f"face{number}", editor.engine.networks.draw(face.latent[None])[0])
    again = editor.invert_faces(tmp_path)
    assert [x.face.box for x in again] == [x.face.box for x in faces]
    assert [x.others for x in again] == [(faces[1].face.box,), (faces[0].face.box,)]
    assert editor.invert(tmp_path, face=2).face.box == faces[1].face.box
    with pytest.raises(StyleClipError, match="no face '3'"):
        editor.invert(tmp_path, face="3")
    me = editor.invert(PORTRAIT)
    me.save(tmp_path / "face3", editor.engine.networks.draw(me.latent[None])[0])
    with pytest.raises(StyleClipError, match="of several photographs"):
        editor.invert_faces(tmp_path)


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


def test_inversion_stops_when_it_gains_no_more(
    editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(inversion.QUALITIES, "fast", 40)
    monkeypatch.setattr(inversion, "LEARNING_RATE", 0.0)
    seen: list[int] = []
    editor.invert(PORTRAIT, on_step=lambda step, steps, near: seen.append(step))
    halvings = inversion.HALVINGS + 1
    assert seen == [*range(1 + halvings * inversion.PATIENCE), *range(40, 44)]


def test_the_best_goes_on_at_the_draft_of_the_bundle(
    editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(inversion.QUALITIES, "best", 7)
    monkeypatch.setitem(inversion.REFINING, "best", 3)
    seen: list[int] = []
    editor.invert(PORTRAIT, quality="best", on_step=lambda step, steps, near: seen.append(step))
    assert seen == list(range(10))


def test_inversion_starts_where_the_encoder_points(
    editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = editor.invert(PORTRAIT).latent

    class Encoder(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(known)[None]

    monkeypatch.setattr(torch_inversion, "photo_encoder", lambda generator: Encoder())
    monkeypatch.setattr(inversion, "LEARNING_RATE", 0.0)
    assert np.allclose(editor.invert(PORTRAIT).latent, known, atol=1e-4)

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from styleclip_rt.editing.schedule import learning_rate_factor
from styleclip_rt.errors import StyleClipError
from styleclip_rt.pictures import to_pil
from styleclip_rt.runtime.editor import Editor
from styleclip_rt.runtime.starts import from_seeds
from tests.tiny import tiny_bundle


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor(tiny_bundle(), device="cpu", precision="fp32")


def test_same_seed_same_result(editor: Editor) -> None:
    first = editor.edit("red hair", seed=3, views=2)
    second = editor.edit("red hair", seed=3, views=2)
    assert torch.equal(first.latent, second.latent)
    assert first.image.tobytes() == second.image.tobytes()


@pytest.mark.parametrize("space", ["z", "w", "w+", "s"])
def test_every_space_lowers_the_loss(editor: Editor, space: str) -> None:
    result = editor.edit("red hair", seed=1, space=space, steps=12, l2=0.0, id=0.0)
    assert len(result.history) == 12
    assert result.history[-1]["total"] < result.history[0]["total"]
    assert result.original.size == result.image.size == (64, 64)


def test_a_batch_is_the_single_edits(editor: Editor) -> None:
    batch = editor.edit_many(["red hair", "old"], seeds=[1, 2])
    for result, (prompt, seed) in zip(batch, (("red hair", 1), ("old", 2)), strict=True):
        alone = editor.edit(prompt, seed=seed)
        torch.testing.assert_close(result.latent, alone.latent, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("space", ["z", "w+"])
def test_a_face_is_the_same_alone_and_in_any_company(editor: Editor, space: str) -> None:
    how = {"space": space, "steps": 4, "preserve": 1.0}
    prompts, seeds = ["red hair", "old", "red lipstick"], [5, 1, 4]
    alone = [editor.edit(p, seed=s, **how) for p, s in zip(prompts, seeds, strict=True)]
    batches = [editor.edit_many(prompts, seeds=seeds, **how)]
    if space != "z":
        faces = from_seeds(editor.engine.networks, seeds[:2], 0.7)
        latents = np.stack([face.latent for face in faces])
        batches.append(editor.edit_many(prompts[:2], latents=latents, **how))
    for batch in batches:
        for together, expected in zip(batch, alone, strict=False):
            assert torch.equal(together.latent, expected.latent)
            assert together.image.tobytes() == expected.image.tobytes()
            assert together.history == expected.history


def test_as_many_latents_as_prompts(editor: Editor) -> None:
    with pytest.raises(StyleClipError, match="3 faces for 2 prompts"):
        editor.edit_many(["old", "red hair"], latents=torch.zeros(3, 16))
    with pytest.raises(StyleClipError, match="no prompt"):
        editor.edit_many([], seeds=[])


def test_frozen_layers_stay(editor: Editor) -> None:
    result = editor.edit("red hair", seed=1, layers="fine", draft=0)
    generator = tiny_bundle().generator
    w = generator.mapping(torch.randn(1, 16, generator=torch.Generator().manual_seed(1)), 0.7)
    fine = generator.layer_groups["fine"]
    for row in range(generator.n_latent):
        assert torch.allclose(result.latent[0, row], w[0], atol=1e-6) == (row not in fine)


def test_l2_keeps_the_latent_near(editor: Editor) -> None:
    free = editor.edit("red hair", seed=1, steps=10, l2=0.0)
    tied = editor.edit("red hair", seed=1, steps=10, l2=10.0)
    assert tied.history[-1]["l2"] < free.history[-1]["l2"]


def test_generate_ignores_what_ties_to_the_start(editor: Editor) -> None:
    result = editor.edit("red hair", seed=1, mode="generate", l2=1e6)
    assert result.history[0]["total"] == pytest.approx(result.history[0]["clip"])
    assert result.history[-1]["total"] == pytest.approx(result.history[-1]["clip"])


def test_starts_from_a_latent(editor: Editor) -> None:
    latent = editor.edit("red hair", seed=1).latent
    again = editor.edit("old", latent=latent)
    assert again.seed is None
    with pytest.raises(StyleClipError, match=r"\[1, 16\] or \[1, 11, 16\]"):
        editor.edit("old", latent=torch.zeros(1, 5, 16))


def test_interrupt_keeps_the_best_so_far(editor: Editor) -> None:
    def stop(step: int, _: torch.Tensor) -> None:
        if step == 2:
            signal.raise_signal(signal.SIGINT)

    (result,) = editor.edit_many(["red hair"], seeds=[1], steps=50, on_step=stop)
    assert result.interrupted
    assert len(result.history) == 3


def test_plateau_stops_early(editor: Editor) -> None:
    result = editor.edit("red hair", seed=1, steps=60, learning_rate=1e-9, patience=4, views=3)
    assert len(result.history) < 60
    assert not result.interrupted


def test_says_how_well_the_text_is_known(editor: Editor) -> None:
    # 736 and 2225 are "red" and "hair" in CLIP's vocabulary.
    known, unknown = editor.edit_many(["red hair", "red velociraptor"], seeds=[1, 1], steps=1)
    assert known.known_text == 1.0
    assert unknown.known_text == 0.5


def test_saves_everything_and_its_parameters(editor: Editor, tmp_path: Path) -> None:
    result = editor.edit("red hair", seed=5, frames_every=2)
    result.save(tmp_path / "new" / "folder")
    names = {p.name for p in (tmp_path / "new" / "folder").iterdir()}
    assert names == {
        "original.png",
        "edited.png",
        "comparison.png",
        "loss.png",
        "latent.safetensors",
        "edit.json",
        "frames",
    }
    known = json.loads((tmp_path / "new" / "folder" / "edit.json").read_text())
    assert (known["prompt"], known["seed"], known["steps"]) == ("red hair", 5, 3)
    text = Image.open(tmp_path / "new" / "folder" / "edited.png").text["styleclip_rt"]
    assert json.loads(text)["prompt"] == "red hair"
    stored = load_file(tmp_path / "new" / "folder" / "latent.safetensors")["latent"]
    assert torch.equal(stored, result.latent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1"),
        ({"l2": -1.0}, "l2 must not be negative"),
        ({"id": -0.1}, "id must not be negative"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"space": "y"}, "unknown space"),
        ({"layers": "bottom"}, "unknown layer group"),
        ({"clip": "round"}, "unknown clip"),
        ({"mode": "paint"}, "unknown mode"),
        ({"views": 0}, "views must be at least 1"),
        ({"bogus": 1}, "unknown setting 'bogus'"),
        ({"draft": 24}, "no image at 24 px"),
    ],
)
def test_bad_settings_say_what_is_wrong(
    editor: Editor, change: dict[str, object], message: str
) -> None:
    with pytest.raises(StyleClipError, match=message):
        editor.edit("red hair", **change)


@pytest.mark.parametrize(("prompt", "message"), [("  ", "empty"), ("x" * 10_000, "10000")])
def test_bad_prompts_say_what_is_wrong(editor: Editor, prompt: str, message: str) -> None:
    with pytest.raises(StyleClipError, match=message):
        editor.edit(prompt)


@pytest.mark.parametrize(
    "options", [{"device": "abacus"}, {"device": "cuda:99"}, {"precision": "fp7"}]
)
def test_bad_device_or_precision(options: dict[str, str]) -> None:
    with pytest.raises(StyleClipError):
        Editor(tiny_bundle(), **options)


def test_schedule_ramps_up_and_down() -> None:
    factors = [learning_rate_factor(step, 100) for step in range(100)]
    assert factors[0] == pytest.approx(0.2)
    assert factors[4:75] == pytest.approx([1.0] * 71)
    assert factors[75:] == sorted(factors[75:], reverse=True)
    assert factors[-1] < 0.01


def test_a_loss_that_is_no_number_stops_the_edit() -> None:
    bundle = tiny_bundle()
    with torch.no_grad():
        for parameter in bundle.clip.parameters():
            parameter.fill_(float("nan"))
    editor = Editor(bundle, device="cpu", precision="fp32")
    with pytest.raises(StyleClipError, match=r"no longer a finite number at step 1"):
        editor.edit("red hair", seed=1)


def test_a_picture_that_is_no_picture_is_no_success() -> None:
    bundle = tiny_bundle()
    editor = Editor(bundle, device="cpu", precision="fp32")
    with pytest.raises(StyleClipError, match="values that are no numbers"):
        to_pil(editor.engine.networks.draw(torch.full((1, 11, 16), float("nan")))[0])


def test_the_second_face_is_not_begun_after_ctrl_c(editor: Editor) -> None:
    def stop(step: int, _: torch.Tensor) -> None:
        signal.raise_signal(signal.SIGINT)

    results = editor.edit_many(["red hair", "old"], seeds=[1, 2], on_step=stop)
    assert [(result.prompt, result.interrupted) for result in results] == [("red hair", True)]

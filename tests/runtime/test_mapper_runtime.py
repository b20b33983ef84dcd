from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from styleclip_rt.checkpoints import mapper_file, native
from styleclip_rt.errors import StyleClipError
from styleclip_rt.models.generator import fingerprint
from styleclip_rt.models.mapper import (
    LevelsMapper,
    LevelsMapperConfig,
    PromptMapper,
    PromptMapperConfig,
    StyleSpaceMapper,
    StyleSpaceMapperConfig,
)
from styleclip_rt.models.tokenizer import tokenize
from styleclip_rt.runtime.mapper import MapperRuntime, Move
from tests.tiny import tiny_bundle

BUNDLE = tiny_bundle()
PROMPTS = ("red hair", "old")


def prompt_mapper(prompts: tuple[str, ...] = PROMPTS) -> PromptMapper:
    torch.manual_seed(0)
    mapper = PromptMapper(
        PromptMapperConfig(11, (7, 8), prompts, 8, 16, face_dim=4, hidden=8, rank=2)
    )
    with torch.no_grad():
        mapper.face_axes.normal_()
        mapper.directions.normal_()
        mapper.basis.normal_()
        mapper.texts.copy_(BUNDLE.clip.encode_text(tokenize(prompts)))
    return mapper


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("mappers")
    torch.manual_seed(0)
    origin = mapper_file.Origin("tiny", fingerprint(BUNDLE.generator))
    channels = tuple(s.shape[1] for s in BUNDLE.generator.styles(torch.zeros(1, 11, 16)))
    mappers: dict[str, mapper_file.Mapper] = {
        "hair": prompt_mapper(),
        "single": prompt_mapper(("old",)),
        "levels": LevelsMapper(LevelsMapperConfig((4, 4, 3), ("coarse",), 16)),
        "styles": StyleSpaceMapper(StyleSpaceMapperConfig(channels, (2,))),
    }
    for name, mapper in mappers.items():
        mapper_file.save(mapper, folder / f"{name}.safetensors", origin)
    return {name: folder / f"{name}.safetensors" for name in mappers}


@pytest.fixture(scope="module")
def runtime(files: dict[str, Path]) -> MapperRuntime:
    return MapperRuntime(BUNDLE, files)


def test_strength_scales_and_moves_add_up(runtime: MapperRuntime) -> None:
    w_plus = runtime.start([1, 2])
    red, old = Move("hair", "red hair"), Move("single", strength=0.5)

    def offset(*moves: Move) -> torch.Tensor:
        edited = runtime.latents(w_plus, moves)
        assert isinstance(edited, torch.Tensor)
        return edited - w_plus

    assert not offset(replace(red, strength=0.0)).any()
    torch.testing.assert_close(offset(replace(red, strength=1.5)), 1.5 * offset(red))
    torch.testing.assert_close(offset(red, old), offset(red) + offset(old))
    torch.testing.assert_close(offset(old, red), offset(red) + offset(old))


def test_a_mapper_in_style_space_joins_in(runtime: MapperRuntime) -> None:
    w_plus = runtime.start([1])
    both = runtime.latents(w_plus, [Move("levels"), Move("styles")])
    levels = runtime.latents(w_plus, [Move("levels")])
    assert isinstance(both, list) and isinstance(levels, torch.Tensor)
    alone = runtime.latents(w_plus, [Move("styles")])
    before, between = BUNDLE.generator.styles(w_plus), BUNDLE.generator.styles(levels)
    for i, style in enumerate(both):
        torch.testing.assert_close(style - between[i], alone[i] - before[i])
    assert runtime.draw(both).shape == (1, 3, 64, 64)


def test_a_batch_is_the_single_edits_from_any_thread(runtime: MapperRuntime) -> None:
    moves = [Move("hair", "old", 0.7)]
    w_plus = runtime.start(range(8))
    batch = runtime.latents(w_plus, moves)
    with ThreadPoolExecutor(4) as pool:
        singles = list(pool.map(lambda w: runtime.latents(w, moves), w_plus.split(1)))
    torch.testing.assert_close(torch.cat(singles), batch)
    face = runtime.edit(w_plus[:1], moves)[0]
    assert face.image.size == face.original.size == (64, 64)
    assert face.latent.shape == (11, 16)
    assert face.image.tobytes() != face.original.tobytes()


def test_any_prompt_mixes_what_the_mapper_knows(runtime: MapperRuntime) -> None:
    w_plus = runtime.start([1])
    known = runtime.latents(w_plus, [Move("hair", "Red  Hair")])
    torch.testing.assert_close(known, runtime.latents(w_plus, [Move("hair", "red hair")], True))
    mixed = runtime.latents(w_plus, [Move("hair", "ginger")], any_prompt=True)
    assert not torch.equal(mixed, known)


@pytest.mark.parametrize(
    ("move", "message"),
    [
        (Move("hair", "green hair"), "not trained for the prompt 'green hair': choose from red"),
        (Move("hair"), "choose from red hair, old"),
        (Move("nose"), "unknown mapper 'nose': choose from hair, single"),
        (Move("hair", "old", 1.6), r"strength must be from 0 to 1\.5"),
        (Move("hair", "old", -0.1), r"strength must be from 0 to 1\.5"),
        (Move("hair", "old", float("nan")), r"strength must be from 0 to 1\.5"),
    ],
)
def test_bad_moves_say_what_is_wrong(runtime: MapperRuntime, move: Move, message: str) -> None:
    with pytest.raises(StyleClipError, match=message):
        runtime.latents(runtime.start([1]), [move])


def test_a_latent_of_another_shape_is_refused(runtime: MapperRuntime) -> None:
    with pytest.raises(StyleClipError, match=r"takes \[N, 11, 16\]"):
        runtime.latents(torch.zeros(1, 18, 512), [Move("single")])


def test_a_mapper_of_another_bundle_is_refused(files: dict[str, Path]) -> None:
    other = tiny_bundle()
    with torch.no_grad():
        other.generator.affines()[0].bias.add_(1)
    with pytest.raises(StyleClipError, match="generator of the bundle 'tiny'"):
        MapperRuntime(other, files)


@pytest.mark.parametrize(
    "mapper",
    [
        LevelsMapper(LevelsMapperConfig()),
        StyleSpaceMapper(StyleSpaceMapperConfig((4, 4), (0,))),
    ],
    ids=["levels", "styles"],
)
def test_a_mapper_that_does_not_fit_is_refused(
    mapper: LevelsMapper | StyleSpaceMapper, tmp_path: Path
) -> None:
    native.save(mapper, tmp_path / "m.safetensors")
    with pytest.raises(StyleClipError, match="does not fit the latents"):
        MapperRuntime(BUNDLE, {"m": tmp_path / "m.safetensors"})


def test_another_clip_serves_only_the_prompts_of_training(tmp_path: Path) -> None:
    mapper = prompt_mapper()
    with torch.no_grad():
        mapper.texts.neg_()
    native.save(mapper, tmp_path / "m.safetensors")
    runtime = MapperRuntime(BUNDLE, {"m": tmp_path / "m.safetensors"})
    runtime.latents(runtime.start([1]), [Move("m", "old")])
    with pytest.raises(StyleClipError, match="another CLIP"):
        runtime.latents(runtime.start([1]), [Move("m", "ginger")], any_prompt=True)


def test_faces_drawn_together_are_those_drawn_alone(runtime: MapperRuntime) -> None:
    w_plus = runtime.start([1])
    latents = [w_plus, *(runtime.latents(w_plus, [Move(m, "old")]) for m in ("hair", "styles"))]
    for drawing in (runtime, runtime.drafts()):
        together = drawing.engine.draw_together(latents)
        for latent, image in zip(latents, together, strict=True):
            torch.testing.assert_close(image, drawing.draw(latent)[0], rtol=0, atol=1e-5)
    assert runtime.drafts().engine.resolution == BUNDLE.draft_resolution

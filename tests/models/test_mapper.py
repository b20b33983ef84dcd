from pathlib import Path

import pytest
import torch

from styleclip_rt.checkpoints import mapper_file
from styleclip_rt.models.mapper import (
    LEAK,
    LevelsMapper,
    LevelsMapperConfig,
    PromptMapper,
    PromptMapperConfig,
    StyleSpaceMapper,
    StyleSpaceMapperConfig,
)


def prompt_mapper(rows: tuple[int, ...] = (2, 4), prompts: int = 3) -> PromptMapper:
    torch.manual_seed(0)
    names = tuple(f"prompt {i}" for i in range(prompts))
    mapper = PromptMapper(PromptMapperConfig(6, rows, names, 8, 16, face_dim=4, hidden=8, rank=2))
    with torch.no_grad():
        for tensor in (*mapper.parameters(), *mapper.buffers()):
            if tensor.is_floating_point():
                tensor.normal_()
        mapper.texts.copy_(torch.eye(8)[:prompts])
    return mapper.eval().requires_grad_(False)


def test_levels_mapper_moves_only_its_groups() -> None:
    torch.manual_seed(0)
    mapper = LevelsMapper(LevelsMapperConfig((2, 1, 3), ("coarse", "fine"), 16))
    moved = mapper(torch.randn(4, 6, 16)).ne(0).flatten(2).any(2).all(0)
    assert moved.tolist() == [True, True, False, True, True, True]


def test_style_space_mapper_moves_only_its_styles() -> None:
    torch.manual_seed(0)
    mapper = StyleSpaceMapper(StyleSpaceMapperConfig((4, 6, 8), (0, 2)))
    offsets = mapper([torch.randn(2, width) for width in (4, 6, 8)])
    assert [bool(offset.any()) for offset in offsets] == [True, False, True]
    assert [offset.shape for offset in offsets] == [(2, 4), (2, 6), (2, 8)]


def test_prompt_mapper_moves_only_its_rows_and_treats_faces_alone() -> None:
    mapper, w_plus, text = prompt_mapper(), torch.randn(3, 6, 16), torch.eye(8)[:3]
    offset = mapper(w_plus, text)
    assert offset.ne(0).flatten(2).any(2).all(0).tolist() == [
        False,
        False,
        True,
        False,
        True,
        False,
    ]
    alone = torch.cat([mapper(w_plus[i : i + 1], text[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(alone, offset, rtol=1e-5, atol=1e-4)


def test_prompts_of_training_get_their_direction_and_others_a_mixture() -> None:
    mapper = prompt_mapper()
    known = mapper.shares(torch.eye(8)[:3])
    torch.testing.assert_close(known, torch.eye(3), atol=1e-6, rtol=0)
    between = torch.nn.functional.normalize(torch.eye(8)[:1] + torch.eye(8)[1:2])
    torch.testing.assert_close(
        mapper.shares(between), torch.tensor([[0.5, 0.5, 0]]), atol=1e-4, rtol=0
    )


def test_a_mapper_keeps_some_of_its_prompts_as_they_were() -> None:
    mapper, w_plus = prompt_mapper(), torch.randn(2, 6, 16)
    kept = mapper.keeping(["prompt 2", "prompt 0"], [1.0, 1.25])
    assert kept.config.prompts == ("prompt 2", "prompt 0")
    expected = mapper(w_plus, torch.eye(8)[[2, 0]])
    expected[1] *= 1.25
    torch.testing.assert_close(kept(w_plus, torch.eye(8)[[2, 0]]), expected)


def test_a_mapper_learns_more_prompts_and_keeps_its_own() -> None:
    mapper, w_plus, texts = prompt_mapper(), torch.randn(2, 6, 16), torch.eye(8)
    direction, basis, slopes = torch.randn(1, 2, 16), torch.randn(3, 2, 16), torch.randn(1, 3, 4)
    more = mapper.adding(["new"], texts[5:6], direction, basis, slopes)
    assert more.config.prompts == (*mapper.config.prompts, "new")
    torch.testing.assert_close(more(w_plus, texts[[0, 2]]), mapper(w_plus, texts[[0, 2]]))
    offset = more(w_plus, texts[[5, 5]])[:, [2, 4]]
    bent = torch.einsum("nf,rf,rld->nld", mapper.face(w_plus), slopes[0], basis)
    # All but what the network says of no prompt at all.
    told = more.network(torch.cat((mapper.face(w_plus), torch.zeros(2, 3), torch.ones(2, 1)), 1))
    network = torch.einsum("nr,rld->nld", told, more.basis)
    torch.testing.assert_close(offset, direction + bent + network)


def test_a_mapper_that_sees_more_does_the_same_until_it_learns() -> None:
    torch.manual_seed(2)
    mapper, w_plus = prompt_mapper(), torch.randn(2, 6, 16)
    wide = mapper.seeing(torch.randn(5, 16))
    text = mapper.texts[[0, 1]]
    torch.testing.assert_close(wide(w_plus, text), mapper(w_plus, text))
    new, basis = torch.eye(8)[5:6], torch.randn(1, 2, 16)
    flat, slopes = (torch.zeros(1, 1, wide.config.face_dim) for _ in range(2))
    slopes[..., -1] = 1
    still, more = (
        wide.adding(["new"], new, torch.zeros(1, 2, 16), basis, by)(w_plus, new.expand(2, -1))
        for by in (flat, slopes)
    )
    last = wide.face(w_plus)[:, -1, None, None]
    torch.testing.assert_close((more - still)[:, [2, 4]], last * basis)


def test_corrected_prompts_add_what_is_read_and_others_stay() -> None:
    torch.manual_seed(1)
    mapper, w_plus = prompt_mapper(), torch.randn(2, 6, 16)
    before, readers, moves = mapper, [], torch.randn(2, 3, 2, 16)
    for i, name in enumerate(("prompt 1", "prompt 0")):
        leak = torch.nn.LeakyReLU(LEAK)
        readers.append(torch.nn.Sequential(torch.nn.Linear(16, 5), leak, torch.nn.Linear(5, 3)))
        mapper = mapper.correcting(name, moves[i], readers[-1])
    mapper = mapper.seeing(torch.randn(3, 16))
    for i, row in enumerate((1, 0, 2)):
        text = mapper.texts[[row, row]]
        added = (mapper(w_plus, text) - before(w_plus, text))[:, [2, 4]]
        expected = torch.zeros(2, 2, 16)
        if i < 2:
            with torch.no_grad():
                read = readers[i](w_plus.mean(dim=1) - mapper.face_mean)
            expected = torch.einsum("nm,mrd->nrd", read, moves[i])
        torch.testing.assert_close(added, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "mapper",
    [
        prompt_mapper(),
        prompt_mapper().correcting(
            "prompt 0",
            torch.randn(1, 2, 16),
            torch.nn.Sequential(
                torch.nn.Linear(16, 5), torch.nn.LeakyReLU(), torch.nn.Linear(5, 1)
            ),
        ),
        LevelsMapper(LevelsMapperConfig((2, 1, 3), ("coarse", "fine"), 16)),
        StyleSpaceMapper(StyleSpaceMapperConfig((4, 6, 8), (0, 2))),
    ],
    ids=lambda mapper: type(mapper).__name__,
)
def test_a_file_says_what_it_holds_and_for_whom(mapper: mapper_file.Mapper, tmp_path: Path) -> None:
    origin = mapper_file.Origin("ffhq-mobile", "0123456789abcdef")
    mapper_file.save(mapper, tmp_path / "m.safetensors", origin)
    again, where = mapper_file.load(tmp_path / "m.safetensors")
    assert where == origin
    assert again.config == mapper.config
    assert all(
        torch.equal(a, b)
        for a, b in zip(again.state_dict().values(), mapper.state_dict().values(), strict=True)
    )

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from styleclip_rt.checkpoints.latent_file import save_latents
from styleclip_rt.errors import StyleClipError
from styleclip_rt.models.generator import sample_z, to_w_plus
from styleclip_rt.runtime.editor import Editor
from styleclip_rt.runtime.mapper import MapperRuntime
from styleclip_rt.runtime.results import folder_names
from styleclip_rt.runtime.starts import as_float32, from_file, from_seeds, from_values, mean_face
from styleclip_rt.runtime.torch_networks import TorchNetworks
from tests.tiny import tiny_bundle

BUNDLE = tiny_bundle()
NETWORKS = TorchNetworks(BUNDLE, "cpu")
W_PLUS = torch.linspace(-1, 1, 2 * 11 * 16).view(2, 11, 16)


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor(BUNDLE, device="cpu", precision="fp32")


def test_a_seed_is_the_generators_own_face() -> None:
    first, second = from_seeds(NETWORKS, [3, 7], 0.6)
    for seed, start in ((3, first), (7, second)):
        z = sample_z(BUNDLE.generator, [seed])
        expected = to_w_plus(BUNDLE.generator, BUNDLE.generator.mapping(z, 0.6))
        assert torch.equal(torch.from_numpy(start.latent), expected[0])
        assert torch.equal(torch.from_numpy(start.z), z[0])
    assert (first.seed, second.source) == (3, "seed 7")


def test_the_mean_face_and_w_fill_every_row() -> None:
    mean = BUNDLE.generator.mean_latent.numpy()
    assert np.array_equal(mean_face(NETWORKS).latent, np.tile(mean, (11, 1)))
    (start,) = from_values(NETWORKS, W_PLUS[:1, 0])
    assert np.array_equal(start.latent, np.tile(W_PLUS[0, 0].numpy(), (11, 1)))


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]
)
def test_floats_of_any_width_are_latents(dtype: torch.dtype, editor: Editor) -> None:
    given_ = W_PLUS.to(dtype)
    starts = from_values(NETWORKS, given_)
    assert np.array_equal(np.stack([s.latent for s in starts]), given_.float().numpy())
    result = editor.edit("red hair", latent=given_[:1], steps=1)
    assert result.latent.dtype == torch.float32


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.ones(1, 11, 16, dtype=torch.int64), "not torch.int64"),
        (torch.ones(1, 11, 16, dtype=torch.complex64), "not torch.complex64"),
        (torch.ones(1, 11, 16, dtype=torch.bool), "not torch.bool"),
        (np.ones((1, 11, 16), np.int32), "not int32"),
        (np.full((1, 11, 16), "x"), "of floats, not <U1"),
        (np.array([None]), "not object"),
        ([[0.0] * 16], "not list"),
        (torch.full((1, 16), float("nan")), "not finite"),
        (np.full((1, 16), np.inf), "not finite"),
        (np.full((1, 16), 1e300), "not finite"),
        (torch.zeros(0, 16), r"shape \[0, 16\]"),
        (torch.zeros(16), r"shape \[16\]"),
        (torch.tensor(1.0), r"shape \[\]"),
        (torch.zeros(1, 18, 512), r"takes \[1, 16\] or \[1, 11, 16\], or its styles \[1, "),
    ],
)
def test_what_is_no_latent_is_refused_at_every_door(
    values: object, message: str, editor: Editor
) -> None:
    with pytest.raises(StyleClipError, match=message):
        from_values(NETWORKS, values)  # type: ignore[arg-type]
    with pytest.raises(StyleClipError, match=message):
        editor.edit("red hair", latent=values)  # type: ignore[arg-type]


@given(st.binary(min_size=32, max_size=32))
def test_bits_of_any_kind_are_cast_or_refused(bits: bytes) -> None:
    values = np.frombuffer(bits, np.float16)[None]
    if np.isfinite(values).all():
        assert np.array_equal(from_values(NETWORKS, values)[0].latent[0], values[0])
    else:
        with pytest.raises(StyleClipError, match="not finite"):
            as_float32(values)


def test_latents_of_another_generator_are_told(tmp_path) -> None:
    save_latents(tmp_path / "l.safetensors", W_PLUS.numpy(), "w+", NETWORKS.fingerprint)
    assert len(from_file(NETWORKS, tmp_path / "l.safetensors")) == 2
    save_latents(tmp_path / "l.safetensors", W_PLUS.numpy(), "w+", "another")
    with pytest.raises(StyleClipError, match="of another generator"):
        from_file(NETWORKS, tmp_path / "l.safetensors")


def test_an_edit_in_style_space_goes_on_in_style_space(editor: Editor, tmp_path) -> None:
    first = editor.edit("red hair", seed=1, space="s")
    first.save(tmp_path)
    (start,) = from_file(editor.engine.networks, tmp_path / "latent.safetensors")
    again = editor.edit("old", start=start, space="s")
    # The draft of the start is the picture that the first edit ended with.
    assert again.original.tobytes() == first.image.tobytes()
    assert again.latent.shape == first.latent.shape
    with pytest.raises(StyleClipError, match="goes on in space s, not in w"):
        editor.edit("old", start=start, space="w+")
    with pytest.raises(StyleClipError, match="saved in StyleSpace"):
        MapperRuntime(BUNDLE, {}).w_plus([start])


def test_faces_of_every_kind_share_a_batch(editor: Editor) -> None:
    starts = [
        *from_seeds(NETWORKS, [1], 0.7),
        mean_face(NETWORKS),
        *from_values(NETWORKS, W_PLUS[:1]),
    ]
    results = editor.edit_many(["red hair"] * 3, starts=starts)
    assert [result.seed for result in results] == [1, None, None]
    for result, start in zip(results, starts, strict=True):
        alone = editor.edit("red hair", start=start)
        torch.testing.assert_close(result.latent, alone.latent, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "given_", [{}, {"seeds": [1], "latents": W_PLUS[:1]}, {"seeds": [1, 2]}, {"starts": []}]
)
def test_faces_are_given_in_one_way_and_one_a_prompt(
    given_: dict[str, object], editor: Editor
) -> None:
    with pytest.raises(StyleClipError, match="give "):
        editor.edit_many(["red hair"], **given_)


def test_an_editor_and_a_mapper_runtime_do_not_move_each_others_networks() -> None:
    bundle = tiny_bundle()
    before = {name: value.device for name, value in bundle.generator.state_dict().items()}
    elsewhere = TorchNetworks(bundle, "cpu")
    elsewhere.device = torch.device("meta")
    assert elsewhere.generator.mean_latent.device.type == "meta"
    assert {n: v.device for n, v in bundle.generator.state_dict().items()} == before


@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=90), st.sampled_from(["", "seed1", "face2"])),
        max_size=8,
    )
)
def test_no_two_edits_share_a_folder(jobs: list[tuple[str, str]]) -> None:
    names = folder_names(jobs)
    assert len({name.casefold() for name in names}) == len(jobs)
    for name in names:
        assert len(name.encode()) < 256
        assert name not in ("", ".", "..") and not set(name) & set('/\\\0:*?"<>|')


def test_folder_names_say_the_prompt_in_any_script() -> None:
    jobs = [("红色头发", "seed1"), ("金发", "seed1"), ("red hair", ""), ("Red-hair!", "")]
    assert folder_names(jobs) == ["红色头发-seed1", "金发-seed1", "red-hair", "red-hair-2"]

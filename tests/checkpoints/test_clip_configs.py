"""The config beside a CLIP's weights is obeyed key by key, or refused by the key's name."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from styleclip_rt.checkpoints import load_clip
from styleclip_rt.errors import CheckpointError, StyleClipError
from styleclip_rt.models.clip import CLIP, CLIPConfig, TextConfig, VisionTransformerConfig

from .conftest import GOLDEN
from .test_clip_files import PIXELS, TOKENS, agrees

State = Callable[[str], dict[str, Tensor]]
Output = Callable[[str, str], Tensor]

OPEN_CLIP = json.loads((GOLDEN / "clip_open_clip" / "open_clip_config.json").read_text())
TRANSFORMERS = json.loads((GOLDEN / "clip_transformers" / "config.json").read_text())


def changed(content: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    """A deep copy of `content` with the value at a dotted key."""
    copy: dict[str, Any] = json.loads(json.dumps(content))
    *sections, last = key.split(".")
    section = copy
    for name in sections:
        section = section.setdefault(name, {})
    section[last] = value
    return copy


def open_clip(folder: Path, state: dict[str, Tensor], config: dict[str, Any]) -> Path:
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    save_file(state, folder / "open_clip_model.safetensors")
    return folder / "open_clip_model.safetensors"


def transformers(folder: Path, state: dict[str, Tensor], config: dict[str, Any]) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    save_file(state, folder / "model.safetensors")
    return folder / "model.safetensors"


@pytest.mark.parametrize("name", ["open_clip_config.json", "config.json"])
@pytest.mark.parametrize("form", ["model_cfg", "bare"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_torch_file_of_open_clip_is_what_its_config_says(
    name: str, form: str, wrapped: bool, upstream_state: State, upstream_output: Output,
    tmp_path: Path,
) -> None:  # fmt: skip
    content = OPEN_CLIP if form == "model_cfg" else OPEN_CLIP["model_cfg"]
    (tmp_path / name).write_text(json.dumps(content))
    state: dict[str, Any] = dict(upstream_state("clip_open_clip"))
    if wrapped:
        state = {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}
    torch.save(state, tmp_path / "weights.bin")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = load_clip(tmp_path / "weights.bin")
    assert agrees(model.vision(PIXELS), upstream_output("clip_open_clip", "image"))
    assert agrees(model.encode_text(TOKENS), upstream_output("clip_open_clip", "text"))


def test_a_torch_file_of_transformers_is_read_too(
    upstream_state: State, upstream_output: Output, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(TRANSFORMERS))
    torch.save(upstream_state("clip_transformers"), tmp_path / "pytorch_model.bin")
    model = load_clip(tmp_path)
    assert agrees(model.vision(PIXELS), upstream_output("clip_transformers", "image"))
    assert agrees(model.encode_text(TOKENS), upstream_output("clip_transformers", "text"))


def test_weights_of_one_layout_take_the_config_of_the_other(
    upstream_state: State, tmp_path: Path
) -> None:
    state = {k: v for k, v in upstream_state("clip_open_clip").items() if k != "logit_bias"}
    save_file(state, tmp_path / "weights")
    (tmp_path / "config.json").write_text(json.dumps(TRANSFORMERS))
    config = load_clip(tmp_path / "weights").config
    assert (config.vision.activation, config.vision.heads) == ("gelu", 3)
    assert (config.text.activation, config.text.heads) == ("quick_gelu", 4)


def test_what_a_state_dict_cannot_tell_is_said(upstream_state: State, tmp_path: Path) -> None:
    state = upstream_state("clip_openai")
    torch.save(state, tmp_path / "clip.pt")
    with pytest.warns(UserWarning, match=r"clip\.pt does not say its activation"):
        model = load_clip(tmp_path / "clip.pt")
    assert model.config.vision.activation == "quick_gelu"
    numbers = {"input_resolution": 32, "context_length": 8, "vocab_size": 64}
    torch.save(state | {k: torch.tensor(v) for k, v in numbers.items()}, tmp_path / "jit.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_clip(tmp_path / "jit.pt")


def test_a_state_dict_that_lists_the_modules_of_open_clip_needs_its_config(
    upstream_state: State, tmp_path: Path
) -> None:
    module = torch.nn.Module()
    module.visual = torch.nn.Module()
    module.visual.patch_dropout = torch.nn.Identity()
    state = module.state_dict()
    state.update(upstream_state("clip_open_clip"))
    torch.save(state, tmp_path / "clip.pt")
    with pytest.raises(CheckpointError, match=r"needs the open_clip_config\.json"):
        load_clip(tmp_path / "clip.pt")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_cfg.embed_dim", 32),
        ("model_cfg.custom_text", True),
        ("model_cfg.multimodal_cfg", {"width": 8}),
        ("model_cfg.nonscalar_logit_scale", True),
        ("model_cfg.audio_cfg", {}),
        ("model_cfg.quick_gelu", "yes"),
        ("model_cfg.vision_cfg.image_size", 64),
        ("model_cfg.vision_cfg.image_size", [32, 64]),
        ("model_cfg.vision_cfg.layers", [3, 4, 6, 3]),
        ("model_cfg.vision_cfg.width", 64),
        ("model_cfg.vision_cfg.patch_size", 8),
        ("model_cfg.vision_cfg.mlp_ratio", 4.3637),
        ("model_cfg.vision_cfg.head_width", 0),
        ("model_cfg.vision_cfg.head_width", "16"),
        ("model_cfg.vision_cfg.head_width", 36),
        ("model_cfg.vision_cfg.ls_init_value", 1e-5),
        ("model_cfg.vision_cfg.pool_type", "avg"),
        ("model_cfg.vision_cfg.attentional_pool", "parallel"),
        ("model_cfg.vision_cfg.no_ln_pre", True),
        ("model_cfg.vision_cfg.pos_embed_type", "sin_cos_2d"),
        ("model_cfg.vision_cfg.timm_model_name", "vit_base_patch16_siglip_224"),
        ("model_cfg.vision_cfg.norm_kwargs", {"eps": 1e-6}),
        ("model_cfg.vision_cfg.act_kwargs", {"approximate": "tanh"}),
        ("model_cfg.vision_cfg.qk_norm", True),
        ("model_cfg.vision_cfg.unheard_of", False),
        ("model_cfg.text_cfg.context_length", 77),
        ("model_cfg.text_cfg.vocab_size", 49408),
        ("model_cfg.text_cfg.width", 512),
        ("model_cfg.text_cfg.layers", 12),
        ("model_cfg.text_cfg.heads", 0),
        ("model_cfg.text_cfg.heads", 2.5),
        ("model_cfg.text_cfg.hf_tokenizer_name", "xlm-roberta-base"),
        ("model_cfg.text_cfg.tokenizer_kwargs", {"clean": "canonicalize"}),
        ("model_cfg.text_cfg.hf_model_name", "roberta-base"),
        ("model_cfg.text_cfg.embed_cls", True),
        ("model_cfg.text_cfg.no_causal_mask", True),
        ("model_cfg.text_cfg.pool_type", "last"),
        ("model_cfg.text_cfg.pool_type", "eos"),
        ("model_cfg.text_cfg.proj_type", "none"),
        ("model_cfg.text_cfg.proj_bias", True),
        ("model_cfg.text_cfg.pad_id", 1),
        ("model_cfg.text_cfg.text_mask", "syntax"),
        ("preprocess_cfg.mode", "L"),
        ("preprocess_cfg.mean", [0.5, 0.5]),
        ("preprocess_cfg.std", [0.5, 0.5, 0]),
        ("preprocess_cfg.gamma", 2.2),
        ("train_cfg", {}),
    ],
)
def test_a_key_of_open_clip_that_is_not_done_here_is_refused_by_name(
    key: str, value: object, upstream_state: State, tmp_path: Path
) -> None:
    config = changed(OPEN_CLIP, key, value)
    path = open_clip(tmp_path, upstream_state("clip_open_clip"), config)
    with pytest.raises(CheckpointError, match=rf"{key.split('.')[-1]}\b.*\.$"):
        load_clip(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_cfg.quick_gelu", None),
        ("model_cfg.init_logit_bias", -10),
        ("model_cfg.vision_cfg.image_size", [32, 32]),
        ("model_cfg.vision_cfg.timm_model_name", None),
        ("model_cfg.vision_cfg.timm_pool", "avg"),
        ("model_cfg.vision_cfg.patch_dropout", 0.5),
        ("model_cfg.vision_cfg.attentional_pool", False),
        ("model_cfg.vision_cfg.pool_type", "tok"),
        ("model_cfg.vision_cfg.mlp_ratio", 4.0),
        ("model_cfg.vision_cfg.ls_init_value", None),
        ("model_cfg.text_cfg.hf_tokenizer_name", ""),
        ("model_cfg.text_cfg.hf_tokenizer_name", "openai/clip-vit-large-patch14"),
        ("model_cfg.text_cfg.pool_type", "argmax"),
        ("model_cfg.text_cfg.no_causal_mask", False),
        ("model_cfg.text_cfg.norm_kwargs", {}),
        ("preprocess_cfg.resize_mode", "squash"),
        ("preprocess_cfg.interpolation", "bicubic"),
    ],
)
def test_a_key_that_is_set_to_what_is_done_anyway_changes_nothing(
    key: str, value: object, upstream_state: State, upstream_output: Output, tmp_path: Path
) -> None:
    config = changed(OPEN_CLIP, key, value)
    model = load_clip(open_clip(tmp_path, upstream_state("clip_open_clip"), config))
    assert agrees(model.vision(PIXELS), upstream_output("clip_open_clip", "image"))
    assert agrees(model.encode_text(TOKENS), upstream_output("clip_open_clip", "text"))


def test_pooling_at_the_end_mark_is_what_argmax_does(upstream_state: State, tmp_path: Path) -> None:
    config = changed(OPEN_CLIP, "model_cfg.text_cfg.pool_type", "eos")
    for eos, known in ((63, True), (2, False)):
        config = changed(config, "model_cfg.text_cfg.eos_id", eos)
        path = open_clip(tmp_path, upstream_state("clip_open_clip"), config)
        if known:
            load_clip(path)
        else:
            with pytest.raises(CheckpointError, match="pool_type"):
                load_clip(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_type", "siglip"),
        ("model_type", "chinese_clip"),
        ("projection_dim", 512),
        ("quantization_config", {"bits": 4}),
        ("vision_config.model_type", "siglip_vision_model"),
        ("vision_config.hidden_act", "relu"),
        ("vision_config.hidden_size", 768),
        ("vision_config.intermediate_size", 100),
        ("vision_config.layer_norm_eps", 1e-6),
        ("vision_config.num_channels", 1),
        ("vision_config.image_size", 64),
        ("vision_config.num_attention_heads", 5),
        ("vision_config.num_attention_heads", None),
        ("vision_config.vision_use_head", True),
        ("text_config.hidden_act", "gelu_new"),
        ("text_config.eos_token_id", 5),
        ("text_config.vocab_size", 49408),
        ("text_config.max_position_embeddings", 77),
        ("text_config.is_decoder", True),
        ("text_config.tokenizer_class", "BertTokenizer"),
        ("text_config.pruned_heads", {"1": [0]}),
        ("text_config.rope_theta", 10000),
    ],
)
def test_a_key_of_transformers_that_is_not_done_here_is_refused_by_name(
    key: str, value: object, upstream_state: State, tmp_path: Path
) -> None:
    config = changed(TRANSFORMERS, key, value)
    path = transformers(tmp_path, upstream_state("clip_transformers"), config)
    name = "heads" if key.endswith("heads") and value == 5 else key.split(".")[-1]
    with pytest.raises(CheckpointError, match=rf"{name}\b.*\.$"):
        load_clip(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("text_config_dict", None),
        ("text_config.eos_token_id", 2),
        ("text_config.top_k", 50),
        ("text_config.pruned_heads", {}),
        ("text_config.tokenizer_class", None),
        ("vision_config.id2label", {"0": "LABEL_0"}),
        ("torch_dtype", "float16"),
        ("_commit_hash", "abc"),
    ],
)
def test_what_transformers_writes_for_any_model_changes_nothing(
    key: str, value: object, upstream_state: State, upstream_output: Output, tmp_path: Path
) -> None:
    config = changed(TRANSFORMERS, key, value)
    model = load_clip(transformers(tmp_path, upstream_state("clip_transformers"), config))
    assert agrees(model.encode_text(TOKENS), upstream_output("clip_transformers", "text"))


def test_the_older_spelling_of_a_section_wins_as_in_transformers(
    upstream_state: State, tmp_path: Path
) -> None:
    config = changed(TRANSFORMERS, "vision_config_dict", {"hidden_act": "quick_gelu"})
    path = transformers(tmp_path, upstream_state("clip_transformers"), config)
    assert load_clip(path).config.vision.activation == "quick_gelu"


@pytest.mark.parametrize(
    ("key", "value"), [("do_normalize", False), ("rescale_factor", 1.0), ("do_invert", True)]
)
def test_other_preprocessing_is_refused_by_name(
    key: str, value: object, upstream_state: State, tmp_path: Path
) -> None:
    path = transformers(tmp_path, upstream_state("clip_transformers"), TRANSFORMERS)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({key: value}))
    with pytest.raises(CheckpointError, match=key):
        load_clip(path)


def test_a_config_of_another_program_beside_a_state_dict_is_none_of_its(
    upstream_state: State, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text('{"_class_name": "AutoencoderKL"}')
    torch.save(upstream_state("clip_openai"), tmp_path / "clip.pt")
    with pytest.warns(UserWarning, match="OpenAI"):
        load_clip(tmp_path / "clip.pt")


def tiny(vocabulary: int, context: int) -> CLIP:
    vision = VisionTransformerConfig(patch_size=8, width=16, layers=1, heads=1)
    text = TextConfig(16, 1, 1, vocabulary_size=vocabulary, context_length=context)
    return CLIP(CLIPConfig(8, 16, vision, text))


def test_text_is_cut_to_the_context_of_the_model() -> None:
    clip = tiny(49408, 8)
    long, short = clip.tokenize(["a face with a very wide smile and red hair", "a face"])
    assert long.shape == short.shape == (8,)
    assert long[7] == 49407 and short[3] == 49407 and not short[4:].any()
    assert clip.encode_text(torch.stack([long, short])).isfinite().all()
    with pytest.raises(StyleClipError, match="reads 8 tokens"):
        clip.encode_text(torch.zeros(1, 77, dtype=torch.int64))


@pytest.mark.parametrize("vocabulary", [32000, 49407, 60000])
def test_another_vocabulary_is_never_given_our_tokens(vocabulary: int) -> None:
    with pytest.raises(StyleClipError, match=f"vocabulary of {vocabulary}"):
        tiny(vocabulary, 77).tokenize(["a face"])

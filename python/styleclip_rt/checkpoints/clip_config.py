"""What the config beside a CLIP's weights says: open_clip's or transformers'.

The tensors tell the sizes; activation, heads and pixel statistics only the config does. Every key
is looked at: sizes have to be the tensors', what this package's CLIP does in one way only has to be
set to that, and a key that is not known here may mean anything, so that it is refused by name.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from styleclip_rt.errors import CheckpointError
from styleclip_rt.models.clip import CLIPConfig, VisionTransformerConfig

OPEN_CLIP, TRANSFORMERS = "open_clip_config.json", "config.json"

_ANY: tuple[object, ...] = ()
"""Allowed values of a key that changes nothing here: it is for training, or for another key that
has to be off."""

_OFF: tuple[object, ...] = (None, False, 0, "", [], {})
_EPSILON = 1e-5
"""Of every layer norm."""

_HEAD_WIDTH = 64
_GELUS = {"gelu": "gelu", "quick_gelu": "quick_gelu"}

_SAME_TOKENIZERS = (
    None,
    "",
    "openai/clip-vit-base-patch32",
    "openai/clip-vit-base-patch16",
    "openai/clip-vit-large-patch14",
    "openai/clip-vit-large-patch14-336",
)

Rules = dict[str, tuple[object, ...]]

# open_clip's CLIPVisionCfg, CLIPTextCfg and what both have.
_BOTH_TOWERS: Rules = {
    "mlp_ratio": (4,),
    "ls_init_value": (None,),
    "final_ln_after_pool": (False, True),  # the same for the one token that is pooled
    "output_tokens": (False, True),
    "act_kwargs": (*_OFF, {"approximate": "none"}),
    "norm_kwargs": (*_OFF, {"eps": _EPSILON}),
    "block_type": (None, "default"),
    "qk_norm": _OFF,
    "scaled_cosine_attn": _OFF,
    "scale_heads": _OFF,
    "scale_attn_inner": _OFF,
    "scale_attn": _OFF,
    "scale_fc": _OFF,
}
_VISION_TOWER: Rules = {
    **_BOTH_TOWERS,
    "head_width": _ANY,  # read
    "in_chans": (3,),
    "patch_dropout": _ANY,
    "attentional_pool": _OFF,
    "attn_pooler_queries": _ANY,
    "attn_pooler_heads": _ANY,
    "no_ln_pre": _OFF,
    "input_patchnorm": _OFF,
    "global_average_pool": _OFF,
    "pos_embed_type": ("learnable",),
    "pool_type": ("tok",),
    "timm_model_name": _OFF,
    "timm_model_pretrained": _ANY,
    "timm_pool": _ANY,
    "timm_proj": _ANY,
    "timm_proj_bias": _ANY,
    "timm_drop": _ANY,
    "timm_drop_path": _ANY,
}
_TEXT_TOWER: Rules = {
    **_BOTH_TOWERS,
    "heads": _ANY,  # read
    "hf_tokenizer_name": _SAME_TOKENIZERS,
    "tokenizer_kwargs": _OFF,
    "embed_cls": _OFF,
    "ln_post_emb": _OFF,
    "pad_id": (0,),
    "no_causal_mask": _OFF,
    "pool_type": ("argmax",),
    "eos_id": _ANY,
    "proj_bias": _OFF,
    "proj_type": ("linear",),
    "hf_model_name": _OFF,
    "hf_model_pretrained": _ANY,
    "hf_proj_type": _ANY,
    "hf_pooler_type": _ANY,
}
_OPEN_CLIP_MODEL: Rules = {
    "vision_cfg": _ANY,
    "text_cfg": _ANY,
    "quick_gelu": (None, False, True),
    "custom_text": _OFF,
    "multimodal_cfg": (None,),
    "nonscalar_logit_scale": _OFF,
    "init_logit_scale": _ANY,
    "init_logit_bias": _ANY,
    "cast_dtype": _ANY,
    "output_dict": _ANY,
}
_PREPROCESSING: Rules = {
    "mean": _ANY,  # read
    "std": _ANY,
    "mode": ("RGB",),
    # Pictures of faces are square, and area-averaged whatever is said.
    "interpolation": _ANY,
    "resize_mode": _ANY,
    "fill_color": _ANY,
    "size": _ANY,
}

# What transformers writes for any model: about generating text, training, or itself.
_PRETRAINED: Rules = dict.fromkeys(
    [
        *("_name_or_path", "_commit_hash", "architectures", "dtype", "torch_dtype"),
        *("transformers_version", "initializer_factor", "initializer_range", "attention_dropout"),
        *("dropout", "gradient_checkpointing", "projection_dim", "return_dict", "use_return_dict"),
        *("output_hidden_states", "output_attentions", "torchscript", "use_bfloat16"),
        *("tf_legacy_loss", "tie_word_embeddings", "is_encoder_decoder", "tie_encoder_decoder"),
        *("cross_attention_hidden_size", "max_length", "min_length", "do_sample"),
        *("early_stopping", "num_beams", "num_beam_groups", "diversity_penalty", "temperature"),
        *("top_k", "top_p", "typical_p", "repetition_penalty", "length_penalty"),
        *("no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids"),
        *("num_return_sequences", "chunk_size_feed_forward", "output_scores"),
        *("return_dict_in_generate", "forced_bos_token_id", "forced_eos_token_id"),
        *("remove_invalid_values", "exponential_decay_length_penalty", "suppress_tokens"),
        *("begin_suppress_tokens", "finetuning_task", "id2label", "label2id", "prefix"),
        *("sep_token_id", "decoder_start_token_id", "task_specific_params", "problem_type"),
        *("use_cache", "attn_implementation", "_attn_implementation_autoset"),
    ],
    _ANY,
)
_TRANSFORMERS_TOWER: Rules = {
    **_PRETRAINED,
    "hidden_act": tuple(_GELUS),
    "num_attention_heads": _ANY,  # read
    "layer_norm_eps": (_EPSILON,),
    "is_decoder": _OFF,
    "add_cross_attention": _OFF,
    "pruned_heads": _OFF,
    "tokenizer_class": (None, "CLIPTokenizer", "CLIPTokenizerFast"),
    "bos_token_id": _ANY,
    "pad_token_id": _ANY,
}
_TRANSFORMERS_MODEL: Rules = {
    **_PRETRAINED,
    "model_type": ("clip",),
    "vision_config": _ANY,
    "text_config": _ANY,
    "vision_config_dict": _ANY,  # read
    "text_config_dict": _ANY,
    "logit_scale_init_value": _ANY,
    "tokenizer_class": (None, "CLIPTokenizer", "CLIPTokenizerFast"),
    "is_decoder": _OFF,
    "add_cross_attention": _OFF,
    "pruned_heads": _OFF,
    "bos_token_id": _ANY,
    "pad_token_id": _ANY,
    "eos_token_id": _ANY,
}
_PREPROCESSOR: Rules = {
    "image_mean": _ANY,  # read
    "image_std": _ANY,
    "do_normalize": (True,),
    "do_rescale": (True,),
    "rescale_factor": (1 / 255, 0.00392156862745098),
    **dict.fromkeys(
        [
            *("do_resize", "size", "resample", "do_center_crop", "crop_size", "do_convert_rgb"),
            *("feature_extractor_type", "image_processor_type", "processor_class", "do_pad"),
            *("_valid_processor_keys", "data_format", "device", "input_data_format"),
            *("default_to_square", "disable_grouping", "pad_size", "return_tensors", "do_flip"),
        ],
        _ANY,
    ),
}


def find(path: Path, first: str) -> Path | None:
    """The config of a CLIP beside the weights `path`, if there is one: `first`, if both are."""
    for name in sorted((OPEN_CLIP, TRANSFORMERS), key=lambda name: name != first):
        file = path.parent / name
        if file.is_file():
            content = _json(file)
            if any(key in content for key in ("model_cfg", "vision_cfg", "vision_config")):
                return file
    return None


def complete(config: CLIPConfig, path: Path, first: str) -> CLIPConfig:
    """`config`, which the weights `path` told, with what only the config beside them does.

    Args:
        config: of the tensors; its activations, heads and statistics are replaced.
        path: of the weights.
        first: the name of the config that belongs to their layout.

    Raises CheckpointError if there is no config, it is broken, it does not fit the weights, or it
    asks for what this package's CLIP does not do.
    """
    file = find(path, first)
    if file is None:
        broken = path.parent / first
        if broken.is_file():
            raise CheckpointError(
                f"{broken} is not the config of a CLIP with two towers; fetch it again."
            )
        raise CheckpointError(
            f"{path} needs the {first} of its model beside it: the config says which activation "
            "and how many heads the weights are for."
        )
    content = _json(file)
    if "vision_config" in content:
        return _with_transformers(config, content, file)
    return _with_open_clip(config, content, file)


def _with_open_clip(config: CLIPConfig, content: Mapping[str, Any], file: Path) -> CLIPConfig:
    model = content
    preprocessing: Mapping[str, Any] = {}
    if "model_cfg" in content:
        model = _section(content, "model_cfg", file)
        preprocessing = _section({"preprocess_cfg": {}, **content}, "preprocess_cfg", file)
        _check(content, {"model_cfg": _ANY, "preprocess_cfg": _ANY}, "", file)
    vision, text = _section(model, "vision_cfg", file), _section(model, "text_cfg", file)
    tower = config.vision
    assert isinstance(tower, VisionTransformerConfig)
    sizes: Rules = {
        "image_size": (config.image_resolution,),
        "layers": (tower.layers,),
        "width": (tower.width,),
        "patch_size": (tower.patch_size,),
    }
    text_sizes: Rules = {
        "context_length": (config.text.context_length,),
        "vocab_size": (config.text.vocabulary_size,),
        "width": (config.text.width,),
        "layers": (config.text.layers,),
    }
    if text.get("eos_id") == config.text.vocabulary_size - 1:
        # The end mark has the highest id, which is what "argmax" looks for.
        text_sizes["pool_type"] = ("argmax", "eos")
    _check(model, {**_OPEN_CLIP_MODEL, "embed_dim": (config.embed_dim,)}, "model_cfg", file)
    _check(vision, _VISION_TOWER | sizes, "vision_cfg", file)
    _check(text, _TEXT_TOWER | text_sizes, "text_cfg", file)
    _check(preprocessing, _PREPROCESSING, "preprocess_cfg", file)
    activation = "quick_gelu" if model.get("quick_gelu") else "gelu"
    head_width = _whole(vision.get("head_width", _HEAD_WIDTH), "head_width", file)
    # open_clip's default, which is not that of its tensors' width.
    heads = _whole(text.get("heads", 8), "heads", file)
    return dataclasses.replace(
        config,
        vision=dataclasses.replace(
            tower,
            activation=activation,
            heads=_whole(tower.width / head_width, "head_width", file),
        ),
        text=dataclasses.replace(config.text, activation=activation, heads=heads),
        mean=_triple(preprocessing, "mean", config.mean, file),
        std=_triple(preprocessing, "std", config.std, file),
    )


def _with_transformers(config: CLIPConfig, content: Mapping[str, Any], file: Path) -> CLIPConfig:
    vision, text = _merged(content, "vision_config", file), _merged(content, "text_config", file)
    tower = config.vision
    assert isinstance(tower, VisionTransformerConfig)
    end = config.text.vocabulary_size - 1
    sizes: Rules = {
        "model_type": ("clip_vision_model",),
        "hidden_size": (tower.width,),
        "intermediate_size": (4 * tower.width,),
        "num_hidden_layers": (tower.layers,),
        "patch_size": (tower.patch_size,),
        "image_size": (config.image_resolution,),
        "num_channels": (3,),
        "eos_token_id": _ANY,
    }
    text_sizes: Rules = {
        "model_type": ("clip_text_model",),
        "hidden_size": (config.text.width,),
        "intermediate_size": (4 * config.text.width,),
        "num_hidden_layers": (config.text.layers,),
        "vocab_size": (config.text.vocabulary_size,),
        "max_position_embeddings": (config.text.context_length,),
        # 2 was written by mistake for years, and means the highest id.
        "eos_token_id": (end, 2, None),
    }
    _check(content, {**_TRANSFORMERS_MODEL, "projection_dim": (config.embed_dim,)}, "", file)
    _check(vision, _TRANSFORMERS_TOWER | sizes, "vision_config", file)
    _check(text, _TRANSFORMERS_TOWER | text_sizes, "text_config", file)
    preprocessing: Mapping[str, Any] = {}
    preprocessor = file.parent / "preprocessor_config.json"
    if preprocessor.is_file():
        preprocessing = _json(preprocessor)
        _check(preprocessing, _PREPROCESSOR, "", preprocessor)
    # transformers leaves out what equals its defaults.
    return dataclasses.replace(
        config,
        vision=dataclasses.replace(
            tower,
            activation=vision.get("hidden_act", "quick_gelu"),
            heads=_whole(vision.get("num_attention_heads", 12), "num_attention_heads", file),
        ),
        text=dataclasses.replace(
            config.text,
            activation=text.get("hidden_act", "quick_gelu"),
            heads=_whole(text.get("num_attention_heads", 8), "num_attention_heads", file),
        ),
        mean=_triple(preprocessing, "image_mean", config.mean, preprocessor),
        std=_triple(preprocessing, "image_std", config.std, preprocessor),
    )


def _merged(content: Mapping[str, Any], name: str, file: Path) -> Mapping[str, Any]:
    """A section with what its older spelling, which transformers still prefers, sets."""
    older = content.get(f"{name}_dict")
    section = _section(content, name, file)
    return {**section, **older} if isinstance(older, Mapping) else section


def _check(section: Mapping[str, Any], rules: Rules, name: str, file: Path) -> None:
    """Raise CheckpointError naming the first key that `rules` do not know or allow."""
    for key, value in section.items():
        where = f"{name}.{key}" if name else str(key)
        shown = _shortened(value)
        if key not in rules:
            raise CheckpointError(
                f"{file} sets {ascii(where)[1:-1]} to {shown}, which this package's CLIP does not "
                "have; choose another CLIP."
            )
        allowed = rules[key]
        if allowed and not any(_same(value, each) for each in allowed):
            expected = " or ".join(_shortened(each) for each in _told(allowed))
            raise CheckpointError(
                f"{file} sets {where} to {shown}, where this package's CLIP and its weights have "
                f"{expected}; choose another CLIP, or the config that belongs to the weights."
            )


def _told(allowed: tuple[object, ...]) -> list[object]:
    """Of values that mean the same, as all that are off do, the first."""
    values = [value for value in allowed if value not in _OFF] or list(allowed[:1])
    return values[:2]


def _same(value: object, allowed: object) -> bool:
    if isinstance(value, list) and len(value) == 2 and isinstance(allowed, int):
        return all(_same(side, allowed) for side in value)
    if isinstance(value, float | int) and isinstance(allowed, float | int):
        return abs(value - allowed) <= 1e-6 * abs(allowed)
    return type(value) is type(allowed) and value == allowed


def _shortened(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _json(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > 1 << 20:
            raise CheckpointError(f"{file} is too large for the config of a model; fetch it again.")
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} is not JSON ({error}); fetch it again.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{file} is not the config of a model; fetch it again.")
    return content


def _section(content: Mapping[str, Any], name: str, file: Path) -> Mapping[str, Any]:
    section = content.get(name)
    if not isinstance(section, Mapping):
        raise CheckpointError(f"The config {file} has no {name!r}; fetch it again.")
    return section


def _whole(value: object, name: str, file: Path) -> int:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else 0
    if not 1 <= number <= 1 << 20 or number != int(number):
        raise CheckpointError(f"{file} gives {name} no whole number that fits its weights.")
    return int(number)


def _triple(
    section: Mapping[str, Any], name: str, default: tuple[float, float, float], file: Path
) -> tuple[float, float, float]:
    value = section.get(name, default)
    numbers = list(value) if isinstance(value, list | tuple) else []
    least = 1e-6 if name.endswith("std") else -1e6
    if len(numbers) != 3 or not all(
        isinstance(number, int | float) and least < number < 1e6 for number in numbers
    ):
        raise CheckpointError(f"{file} gives {name} no three numbers; fetch it again.")
    red, green, blue = (float(number) for number in numbers)
    return red, green, blue

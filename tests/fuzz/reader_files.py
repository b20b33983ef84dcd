"""Small valid files of every format that a reader knows, for the fuzzer to spoil."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from styleclip_rt.checkpoints import (
    draft_heads,
    load_clip,
    load_generator,
    load_identity,
    looks,
    mapper_file,
    native,
)
from styleclip_rt.checkpoints.latent_file import read_latents, save_latents
from styleclip_rt.models.arcface import ArcFace
from styleclip_rt.models.clip import CLIP, CLIPConfig, ConvTowerConfig, TextConfig
from styleclip_rt.models.facenet import InceptionResnetV1
from styleclip_rt.models.looks import LookDirections, RegionPrior
from styleclip_rt.models.mapper import (
    LevelsMapper,
    LevelsMapperConfig,
    PromptMapper,
    PromptMapperConfig,
    StyleSpaceMapper,
    StyleSpaceMapperConfig,
)
from styleclip_rt.models.mobile_stylegan import MobileStyleGAN
from styleclip_rt.models.stylegan2 import StyleGAN2, StyleGAN2Config
from tests.checkpoints import nvidia_pickle
from tests.checkpoints.conftest import GOLDEN, filled
from tests.checkpoints.test_clip_files import save_archive
from tests.tiny import tiny_bundle, tiny_generator

Reader = Callable[[Path], object]


def attach(path: Path) -> object:
    return draft_heads.attach(tiny_generator(()), path)


READERS: dict[str, Reader] = {
    "generator": load_generator,
    "clip": load_clip,
    "identity": load_identity,
    "mapper": lambda path: mapper_file.load(path)[0],
    "latent": read_latents,
    "region_prior": looks.load_region_prior,
    "directions": looks.load_directions,
    "draft_heads": attach,
}
"""Each is given files of its own kind, and those of the others."""


def corpus(folder: Path) -> dict[str, tuple[Path, str]]:
    """Write the files; name -> the path to read and the reader whose it is."""
    torch.manual_seed(0)
    found: dict[str, tuple[Path, str]] = {}

    def place(name: str, reader: str) -> Path:
        path = folder / name.replace("/", "-") / "file"
        path.parent.mkdir(parents=True)
        found[name] = (path, reader)
        return path

    _generators(place)
    _clips(place, found)
    _others(place)
    return found


Place = Callable[[str, str], Path]


def _generators(place: Place) -> None:
    content = torch.load(GOLDEN / "stylegan2_rosinality" / "checkpoint.pt", weights_only=True)
    torch.save(content, place("rosinality", "generator"))
    arrays = {k: v.numpy() for k, v in content["g_ema"].items()}
    path = place("rosinality legacy", "generator")
    torch.save({"g_ema": arrays}, path, _use_new_zipfile_serialization=False)
    weights = load_file(GOLDEN / "stylegan2_nvidia" / "weights.safetensors")
    for protocol in (2, 4):
        path = place(f"nvidia {protocol}", "generator")
        nvidia_pickle.write({"G_ema": nvidia_pickle.generator(weights)}, path, protocol)
    native.save(StyleGAN2(StyleGAN2Config((4, 3), 4, 2, 2.0)), place("stylegan2", "generator"))
    native.save(tiny_generator(), place("mobile_stylegan", "generator"))
    openvino(tiny_generator(()), place("openvino", "generator"))


def _clips(place: Place, found: dict[str, tuple[Path, str]]) -> None:
    def state(name: str) -> dict[str, Tensor]:
        layout = json.loads((GOLDEN / name / "layout.json").read_text())
        return {key: filled(key, shape) for key, shape in layout.items()}

    save_archive(state("clip_openai"), place("openai archive", "clip"))
    torch.save(state("clip_openai"), place("openai state", "clip"))
    for name, config in (("open_clip", "open_clip_config.json"), ("transformers", "config.json")):
        for kind in ("safetensors", "torch"):
            path = place(f"{name} {kind}", "clip")
            weights = state(f"clip_{name}")
            save_file(weights, path) if kind == "safetensors" else torch.save(weights, path)
            text = (GOLDEN / f"clip_{name}" / config).read_text()
            (path.parent / config).write_text(text)
    path.with_name("preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5]}')
    conv = ConvTowerConfig(widths=(8, 16), depths=(1, 1))
    text = TextConfig(width=16, layers=1, heads=2, embedding_rank=4, vocabulary_size=64)
    native.save(CLIP(CLIPConfig(8, 16, conv, text)), place("clip", "clip"))


def _others(place: Place) -> None:
    bundle = tiny_bundle()
    native.save(bundle.identity, place("arcface", "identity"))
    # As much as the readers look at before they refuse the rest.
    begun = {"conv2d_1a.conv.weight": (32, 3, 3, 3), "last_linear.weight": (4, 1792)}
    torch.save({k: torch.zeros(v) for k, v in begun.items()}, place("facenet", "identity"))
    begun = {
        "input_layer.0.weight": (4, 3, 3, 3),
        "body.0.res_layer.1.weight": (4, 4, 3, 3),
        "output_layer.3.weight": (4, 16),
        "output_layer.4.running_mean": (4,),
    }
    torch.save({k: torch.zeros(v) for k, v in begun.items()}, place("insightface", "identity"))
    for name in ("levels", "single", "stylespace"):
        golden = GOLDEN / "mapper_styleclip" / f"{name}.pt"
        place(f"styleclip {name}", "mapper").write_bytes(golden.read_bytes())
    mappers: list[nn.Module] = [
        LevelsMapper(LevelsMapperConfig((1, 1, 2), latent_dim=4)),
        StyleSpaceMapper(StyleSpaceMapperConfig((4, 4, 3), (0, 2))),
        PromptMapper(PromptMapperConfig(4, (1, 2), ("old", "red"), 8, 4, 2, 4, 2, 1)),
    ]
    for mapper in mappers:
        native.save(mapper, place(type(mapper).__name__, "mapper"))
    looks.save(RegionPrior(["old", "red"], torch.rand(2, 4, 4)), place("prior", "region_prior"))
    parts = torch.rand(2, 16), torch.rand(2), torch.rand(2, 16)
    looks.save(LookDirections(["old", "red"], *parts), place("directions", "directions"))
    draft_heads.save(tiny_generator(), place("draft heads", "draft_heads"))
    latent = np.random.default_rng(0).standard_normal((2, 4, 8)).astype(np.float32)
    save_latents(place("latent", "latent"), latent, "w+", "0123456789abcdef")
    for name, write in (("npy", np.save), ("npz", np.savez), ("deflated", np.savez_compressed)):
        with place(f"latent {name}", "latent").open("wb") as file:
            write(file, latent)
    torch.save({"latent": torch.from_numpy(latent)}, place("latent torch", "latent"))
    styles = [torch.from_numpy(latent[0]).half(), torch.zeros(4, 3)]
    torch.save(styles, place("latent styles", "latent"), _use_new_zipfile_serialization=False)


def openvino(model: MobileStyleGAN, folder: Path) -> None:
    """Write an IR with what the reader looks for of random-face's: no graph that would run."""
    folder.mkdir()
    mapping: list[tuple[str, str, Tensor]] = []
    for layer in model.mapping_layers:
        mapping += [("MatMul", "", layer.weight), ("Reshape", "", layer.bias)]  # type: ignore[list-item]
    synthesis: list[tuple[str, str, Tensor]] = [
        ("Other", "m.input.input", model.constant),
        *_affine("m.conv1.conv", model.first_affine),
        ("Convolution", "", model.first_conv.weight),
        ("Add", "", model.first_noise),
        ("Other", "m.conv1.bias", model.first_conv.bias),  # type: ignore[list-item]
    ]
    blocks: list[Any] = list(model.blocks)
    for i, block in enumerate(blocks):
        synthesis += _affine(f"m.layers.{i}.up", block.up_affine)
        for j, conv, affine in (
            (1, block.conv1, block.conv1_affine),
            (2, block.conv2, block.conv2_affine),
        ):
            theirs = f"m.layers.{i}.conv{j}"
            synthesis += [
                *_affine(f"{theirs}.conv", affine),
                ("Other", f"{theirs}.conv.weight_dw", conv.depthwise.weight[:, :, None]),
                ("Convolution", "", conv.pointwise.weight),
                ("Add", "", conv.noise),
                ("Other", f"{theirs}.bias", conv.pointwise.bias),
            ]
    last = f"m.layers.{len(blocks) - 1}.to_img"
    synthesis += [
        *_affine(f"{last}.conv", model.image_affine),
        ("Convolution", "", model.to_wavelets.weight),
        ("Other", f"{last}.bias", model.to_wavelets.bias),  # type: ignore[list-item]
    ]
    for name, constants in (("MappingNetwork", mapping), ("SynthesisNetwork", synthesis)):
        layers, edges, blob = "", "", b""
        for i, (kind, label, value) in enumerate(constants):
            data = value.detach().contiguous().numpy().tobytes()
            shape = ",".join(map(str, value.shape))
            layers += (
                f'<layer id="{2 * i}" name="{label}" type="Const"><data element_type="f32" '
                f'offset="{len(blob)}" shape="{shape}" size="{len(data)}"/></layer>'
                f'<layer id="{2 * i + 1}" name="" type="{kind}"/>'
            )
            edges += f'<edge from-layer="{2 * i}" to-layer="{2 * i + 1}" to-port="1"/>'
            blob += data
        text = f"<net><layers>{layers}</layers><edges>{edges}</edges></net>"
        (folder / f"{name}.xml").write_text(text)
        (folder / f"{name}.bin").write_bytes(blob)


def _affine(name: str, layer: nn.Linear) -> list[tuple[str, str, Tensor]]:
    return [
        ("Other", f"{name}.modulation.weight", layer.weight),
        ("Other", f"{name}.modulation.bias", layer.bias),
    ]


@torch.no_grad()
def use(model: object) -> None:
    """Do with what was read what the package does with it."""
    if isinstance(model, StyleGAN2 | MobileStyleGAN):
        if model.resolution <= 64 and model.latent_dim <= 64:
            model.synthesis(model.mapping(torch.ones(1, model.latent_dim)))
    elif isinstance(model, CLIP):
        model.encode_image(torch.ones(1, 3, 16, 16))
        model.encode_text(torch.zeros(1, 3, dtype=torch.int64))
    elif isinstance(model, ArcFace | InceptionResnetV1):
        model.encode(torch.ones(1, 3, 64, 64))
    elif isinstance(model, LevelsMapper):
        model(torch.ones(1, sum(model.config.group_sizes), model.config.latent_dim))
    elif isinstance(model, StyleSpaceMapper):
        model([torch.ones(1, channels) for channels in model.config.channels])
    elif isinstance(model, PromptMapper):
        config = model.config
        model(torch.ones(1, config.n_latent, config.latent_dim), torch.ones(1, config.text_dim))
    elif isinstance(model, RegionPrior):
        model.relevance(torch.ones(1, 4), torch.ones(len(model.phrases), 4))
    elif isinstance(model, LookDirections):
        p = torch.ones(1, model.moves.shape[1])
        model.lead(torch.ones(1, 4), torch.ones(len(model.phrases), 4), p, 1.0)


warnings.simplefilter("ignore")

"""The table of what can be exported: one entry a network, each a module and its ports."""

import copy
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from styleclip_rt.bundle import Bundle
from styleclip_rt.engines.export_info import Port
from styleclip_rt.errors import StyleClipError
from styleclip_rt.models.arcface import ArcFace
from styleclip_rt.models.clip import CLIP
from styleclip_rt.models.facenet import InceptionResnetV1
from styleclip_rt.models.generator import to_w_plus
from styleclip_rt.models.mobile_stylegan import MobileStyleGAN
from styleclip_rt.models.stylegan2 import StyleGAN2

BATCH = "batch"
PHRASES = ("red lipstick", "a man with a beard", "blond hair", "an old woman", "dark skin")

Sample = Callable[[int, torch.Generator], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Network:
    """One network, ready to be exported.

    Attributes:
        name: its key in the table.
        module: tensors in the order of `inputs` -> one tensor, or as many as `outputs`.
        inputs, outputs: what goes in and comes out; BATCH names the free dimension.
        sample: batch size and random numbers -> inputs like those that it will meet.
        weights: SHA-256 of all its weights.
        preprocessing: what it does to its inputs before the network proper.
        settings: of the edit, for the graphs of an edit.
        mapper, prompts: for the networks of a mapper, its name and what it was trained for.
        has_gradient: it takes a gradient inside, which is to become part of the graph.
        multiples: of what the lengths of free dimensions are; where none is named, of 1.
        fp32_only: half precision does not place its pixels.
    """

    name: str
    module: nn.Module
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    sample: Sample
    weights: str
    preprocessing: str = "none"
    settings: Mapping[str, str | float | bool] = field(default_factory=dict)
    mapper: str = ""
    prompts: tuple[str, ...] = ()
    has_gradient: bool = False
    multiples: Mapping[str, int] = field(default_factory=dict)
    fp32_only: bool = False

    def in_precision(self, precision: str) -> "Network":
        """The same with arithmetic in "fp32" or "fp16" between float32 inputs and outputs.

        Raises:
            StyleClipError: it takes a gradient, which float16 would round to zero, or works on
                places in pictures.
        """
        if precision == "fp32":
            return self
        if self.has_gradient:
            raise StyleClipError(
                f"{self.name} takes a gradient, which fp16 rounds to zero: export it in fp32."
            )
        if self.fp32_only:
            raise StyleClipError(
                f"{self.name} works on places in pictures, for which fp16 is too coarse: export it "
                "in fp32."
            )
        return replace(self, module=_InHalf(self.module))


def weights_hash(*modules: nn.Module) -> str:
    """SHA-256 over the names, shapes and values of all weights."""
    digest = hashlib.sha256()
    for module in modules:
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class _InHalf(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = copy.deepcopy(module).half()

    def forward(self, *inputs: Tensor) -> Tensor:
        half = (x.half() if x.is_floating_point() else x for x in inputs)
        output: Tensor = self.module(*half)
        return output.float()


class _Mapping(nn.Module):
    """z, psi -> w; psi is a tensor here, so that it stays an input of the graph."""

    def __init__(self, generator: StyleGAN2 | MobileStyleGAN) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor, psi: Tensor) -> Tensor:
        mean = self.generator.mean_latent
        return mean + psi * (self.generator.mapping(z) - mean)


class _Synthesis(nn.Module):
    def __init__(
        self, generator: StyleGAN2 | MobileStyleGAN, resolution: int | None = None
    ) -> None:
        super().__init__()
        self.generator, self.resolution = generator, resolution

    def forward(self, w_plus: Tensor) -> Tensor:
        return self.generator.synthesis(w_plus, self.resolution)


class _Generator(nn.Module):
    def __init__(self, generator: StyleGAN2 | MobileStyleGAN) -> None:
        super().__init__()
        self.mapping, self.generator = _Mapping(generator), generator

    def forward(self, z: Tensor, psi: Tensor) -> Tensor:
        w = self.mapping(z, psi)
        return self.generator.synthesis(w[:, None].expand(-1, self.generator.n_latent, -1))


class _ImageEncoder(nn.Module):
    def __init__(self, clip: CLIP) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, image: Tensor) -> Tensor:
        return self.clip.encode_image(image)


class _TextEncoder(nn.Module):
    def __init__(self, clip: CLIP) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, tokens: Tensor) -> Tensor:
        return self.clip.encode_text(tokens)


class _Relevance(nn.Module):
    """Text embeddings -> where they may change a face, see `Bundle.relevance`."""

    phrases: Tensor

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self.prior = bundle.region_prior
        if self.prior is not None:
            with torch.no_grad():
                phrases = bundle.clip.encode_text(bundle.clip.tokenize(self.prior.phrases))
            self.register_buffer("phrases", phrases)

    def forward(self, text: Tensor) -> Tensor:
        if self.prior is None:
            return torch.ones_like(text[:, :1])[:, :, None, None]
        return self.prior.relevance(text, self.phrases)


class _IdentityEncoder(nn.Module):
    def __init__(self, identity: ArcFace | InceptionResnetV1) -> None:
        super().__init__()
        self.identity = identity

    def forward(self, image: Tensor) -> Tensor:
        return self.identity.encode(image)


def random_w_plus(
    generator: StyleGAN2 | MobileStyleGAN, count: int, random: torch.Generator
) -> Tensor:
    """w+ [count, n_latent, latent_dim] with rows a little apart, as edits have them."""
    z = torch.randn(count, generator.latent_dim, generator=random)
    with torch.no_grad():
        w = to_w_plus(generator, generator.mapping(z, 0.7))
    return w + 0.05 * torch.randn(w.shape, generator=random)


def random_tokens(clip: CLIP, count: int, random: torch.Generator) -> Tensor:
    """Tokens [count, context_length] of random phrases."""
    chosen = torch.randint(len(PHRASES), (count,), generator=random).tolist()
    return clip.tokenize([PHRASES[i] for i in chosen])


def identity_of(bundle: Bundle) -> ArcFace | InceptionResnetV1:
    """The identity network of a bundle.

    Raises:
        StyleClipError: it has none, so that its edits cannot be exported either.
    """
    if bundle.identity is None:
        raise StyleClipError(
            f"the bundle {bundle.name!r} draws no faces and has no identity network, which an "
            "exported edit needs: export its other networks."
        )
    return bundle.identity


def _mapping(bundle: Bundle) -> Network:
    generator, dim = bundle.generator, bundle.generator.latent_dim
    return Network(
        "mapping",
        _Mapping(generator),
        (Port("z", (BATCH, dim)), Port("psi", ())),
        (Port("w", (BATCH, dim)),),
        lambda n, random: (torch.randn(n, dim, generator=random), torch.tensor(0.7)),
        weights_hash(generator),
    )


def _synthesis(bundle: Bundle) -> Network:
    return _drawing(bundle, "synthesis", bundle.generator.resolution)


def _draft(bundle: Bundle) -> Network:
    if not bundle.draft_resolution:
        raise StyleClipError(f"the bundle {bundle.name!r} has no drafts: export its synthesis.")
    return _drawing(bundle, "draft", bundle.draft_resolution)


def _drawing(bundle: Bundle, name: str, size: int) -> Network:
    generator = bundle.generator
    return Network(
        name,
        _Synthesis(generator, size),
        (Port("w_plus", (BATCH, generator.n_latent, generator.latent_dim)),),
        (Port("image", (BATCH, 3, size, size), kind="image"),),
        lambda n, random: (random_w_plus(generator, n, random),),
        weights_hash(generator),
    )


def _generator(bundle: Bundle) -> Network:
    generator, dim, size = (
        bundle.generator,
        bundle.generator.latent_dim,
        bundle.generator.resolution,
    )
    return Network(
        "generator",
        _Generator(generator),
        (Port("z", (BATCH, dim)), Port("psi", ())),
        (Port("image", (BATCH, 3, size, size), kind="image"),),
        lambda n, random: (torch.randn(n, dim, generator=random), torch.tensor(0.7)),
        weights_hash(generator),
    )


def _random_images(bundle: Bundle) -> Sample:
    """Smooth random images, of the size that the generator draws."""
    size = bundle.generator.resolution

    def sample(count: int, random: torch.Generator) -> tuple[Tensor, ...]:
        small = torch.rand(count, 3, 8, 8, generator=random)
        return (nn.functional.interpolate(small, size, mode="bilinear"),)

    return sample


def _clip_image(bundle: Bundle) -> Network:
    config, size = bundle.clip.config, bundle.generator.resolution
    return Network(
        "clip_image",
        _ImageEncoder(bundle.clip),
        (Port("image", (BATCH, 3, size, size), kind="image"),),
        (Port("embedding", (BATCH, config.embed_dim), kind="embedding"),),
        _random_images(bundle),
        weights_hash(bundle.clip),
        f"RGB in [0, 1], averaged by area to {config.image_resolution} px, less mean "
        f"{list(config.mean)}, by std {list(config.std)}",
    )


def _clip_text(bundle: Bundle) -> Network:
    config = bundle.clip.config
    return Network(
        "clip_text",
        _TextEncoder(bundle.clip),
        (Port("tokens", (BATCH, config.text.context_length), "int64"),),
        (Port("embedding", (BATCH, config.embed_dim), kind="embedding"),),
        lambda n, random: (random_tokens(bundle.clip, n, random),),
        weights_hash(bundle.clip),
        "none; tokens are those of CLIP's byte-pair encoding, zero after the end of text",
    )


def _identity(bundle: Bundle) -> Network:
    identity, size = identity_of(bundle), bundle.generator.resolution
    config = identity.config
    return Network(
        "identity",
        _IdentityEncoder(identity),
        (Port("image", (BATCH, 3, size, size), kind="image"),),
        (Port("embedding", (BATCH, config.embed_dim), kind="embedding"),),
        _random_images(bundle),
        weights_hash(identity),
        f"RGB in [0, 1], cropped to {[round(x, 4) for x in config.crop]} (top, left, bottom, right)"
        f" of an FFHQ-aligned face, averaged by area to {config.input_size} px, to [-1, 1]",
    )


def _relevance(bundle: Bundle) -> Network:
    module, dim = _Relevance(bundle), bundle.clip.config.embed_dim

    def sample(count: int, random: torch.Generator) -> tuple[Tensor, ...]:
        return (nn.functional.normalize(torch.randn(count, dim, generator=random)),)

    with torch.no_grad():
        height, width = module(torch.zeros(1, dim)).shape[2:]
    return Network(
        "relevance",
        module,
        (Port("text", (BATCH, dim), kind="embedding"),),
        (Port("where", (BATCH, 1, height, width)),),
        sample,
        weights_hash(bundle.clip, module),
    )


NETWORKS: dict[str, Callable[[Bundle], Network]] = {
    "mapping": _mapping,
    "synthesis": _synthesis,
    "draft": _draft,
    "generator": _generator,
    "clip_image": _clip_image,
    "clip_text": _clip_text,
    "identity": _identity,
    "relevance": _relevance,
}
"""Name -> what builds it from a bundle."""

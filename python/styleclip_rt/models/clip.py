"""CLIP: one embedding space for images and texts (Radford et al. 2021, arXiv:2103.00020).

One class covers OpenAI's vision transformers (ViT-B/32, B/16, L/14) and small networks with a
convolutional image tower and a factored vocabulary. It knows nothing of files; the readers in
`styleclip_rt.checkpoints` fill it from OpenAI's, open_clip's and transformers' layouts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from styleclip_rt import ops
from styleclip_rt.errors import StyleClipError
from styleclip_rt.models.linear import Linear, unit_vectors
from styleclip_rt.models.tokenizer import tokenize
from styleclip_rt.ops.area_resample import area_resample

VOCABULARY_SIZE = 49408
CONTEXT_LENGTH = 77
LARGEST_IMAGE = 1024


@dataclass(frozen=True)
class VisionTransformerConfig:
    """A vision transformer as in CLIP: class token, norms before and after the blocks."""

    patch_size: int = 32
    width: int = 768
    layers: int = 12
    heads: int = 12
    activation: str = "quick_gelu"

    def __post_init__(self) -> None:
        if min(self.patch_size, self.width, self.layers, self.heads) < 1:
            raise ValueError("a vision transformer's sizes must be positive")


@dataclass(frozen=True)
class ConvTowerConfig:
    """A small ConvNeXt (Liu et al. 2022, arXiv:2201.03545), one entry of `widths` a stage."""

    widths: tuple[int, ...] = (48, 96, 192)
    depths: tuple[int, ...] = (2, 2, 4)
    stem_stride: int = 4
    kernel_size: int = 7
    mlp_ratio: int = 4
    layer_scale: float = 0.1

    def __post_init__(self) -> None:
        if not self.widths or len(self.widths) != len(self.depths):
            raise ValueError("widths and depths need one entry for each stage")
        if min(*self.widths, *self.depths, self.stem_stride, self.mlp_ratio) < 1:
            raise ValueError("a convolutional tower's sizes must be positive")
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ValueError("the kernel of a convolutional tower must be odd")


@dataclass(frozen=True)
class TextConfig:
    """CLIP's causal text transformer.

    `embedding_rank` r factors the vocabulary's embedding into [vocabulary, r] @ [r, width], which
    makes a small network small; None keeps the plain [vocabulary, width] table.
    """

    width: int = 512
    layers: int = 12
    heads: int = 8
    activation: str = "quick_gelu"
    vocabulary_size: int = VOCABULARY_SIZE
    context_length: int = CONTEXT_LENGTH
    embedding_rank: int | None = None

    def __post_init__(self) -> None:
        sizes = (self.width, self.layers, self.heads, self.vocabulary_size, self.context_length)
        if min(*sizes, 1 if self.embedding_rank is None else self.embedding_rank) < 1:
            raise ValueError("a text transformer's sizes must be positive")
        if self.context_length < 3:
            raise ValueError("a context has to hold two marks and a word")


@dataclass(frozen=True)
class CLIPConfig:
    """Shape and preprocessing of a CLIP; the default is OpenAI's ViT-B/32."""

    embed_dim: int = 512
    image_resolution: int = 224
    vision: VisionTransformerConfig | ConvTowerConfig = VisionTransformerConfig()
    text: TextConfig = TextConfig()
    logit_bias: bool = False
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)

    def __post_init__(self) -> None:
        if self.embed_dim < 1 or not 1 <= self.image_resolution <= LARGEST_IMAGE:
            raise ValueError(f"a CLIP's images have 1 to {LARGEST_IMAGE} px a side")
        if not all(abs(mean) < 1e6 for mean in self.mean) or not all(
            1e-6 < std < 1e6 for std in self.std
        ):
            raise ValueError("pixel statistics must be finite, and deviations positive")
        tower = self.vision
        if isinstance(tower, ConvTowerConfig):
            smallest = tower.stem_stride * 2 ** (len(tower.widths) - 1)
            if self.image_resolution < smallest:
                raise ValueError(
                    f"{self.image_resolution} px are too few for {smallest} px strides"
                )


VIT_B_32 = CLIPConfig()
VIT_B_16 = CLIPConfig(vision=VisionTransformerConfig(patch_size=16))
VIT_L_14 = CLIPConfig(
    embed_dim=768,
    vision=VisionTransformerConfig(patch_size=14, width=1024, layers=24, heads=16),
    text=TextConfig(width=768, heads=12),
)


class QuickGELU(nn.Module):
    """The sigmoid approximation of GELU that OpenAI trained with."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x * 1.702)


def _activation(name: str) -> nn.Module:
    if name == "quick_gelu":
        return QuickGELU()
    if name == "gelu":
        return nn.GELU()
    raise ValueError(f"activation {name!r} is neither 'quick_gelu' nor 'gelu'")


class Attention(nn.Module):
    """Multi-head self-attention over [N, T, width], causal for text."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} does not divide into {heads} heads")
        self.heads = heads
        self.causal = causal
        self.qkv = Linear(width, 3 * width)
        self.out = Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = ops.attention(q, k, v, self.causal)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))
        return out


class TransformerBlock(nn.Module):
    """Pre-norm attention and a four times wider MLP, each with a skip connection."""

    def __init__(self, width: int, heads: int, activation: str, causal: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads, causal)
        self.norm2 = nn.LayerNorm(width)
        self.expand = Linear(width, 4 * width)
        self.activation = _activation(activation)
        self.contract = Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        x = x + self.contract(self.activation(self.expand(self.norm2(x))))
        return x


def _transformer(
    width: int, layers: int, heads: int, activation: str, causal: bool
) -> nn.Sequential:
    blocks = nn.Sequential(
        *(TransformerBlock(width, heads, activation, causal) for _ in range(layers))
    )
    # CLIP's initialisation: the residual branches shrink with depth.
    for module in blocks.modules():
        if isinstance(module, TransformerBlock):
            for linear, std in (
                (module.attention.qkv, width**-0.5),
                (module.attention.out, (2 * layers * width) ** -0.5),
                (module.expand, (2 * width) ** -0.5),
                (module.contract, (2 * layers * width) ** -0.5),
            ):
                nn.init.normal_(linear.weight, std=std)
                nn.init.zeros_(linear.bias)
    return blocks


def _patches(pixels: Tensor, size: int) -> Tensor:
    """[N, C, R, R] -> [N, (R / size)^2, C * size^2]: what a convolution of that stride multiplies,
    whose gradient is slow as such."""
    n, channels, height, width = pixels.shape
    x = pixels.reshape(n, channels, height // size, size, width // size, size)
    return x.permute(0, 2, 4, 1, 3, 5).reshape(n, -1, channels * size * size)


class VisionTransformer(nn.Module):
    """Normalised pixels [N, 3, R, R] -> embedding [N, embed_dim] (not unit norm)."""

    def __init__(self, config: VisionTransformerConfig, resolution: int, embed_dim: int) -> None:
        super().__init__()
        if resolution % config.patch_size:
            raise ValueError(f"{resolution} px do not divide into {config.patch_size} px patches")
        width, patch = config.width, config.patch_size
        self.patch_size = patch
        patches = (resolution // patch) ** 2
        self.patch_embedding = nn.Conv2d(3, width, patch, stride=patch, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.position_embedding = nn.Parameter(torch.empty(patches + 1, width))
        nn.init.normal_(self.class_embedding, std=width**-0.5)
        nn.init.normal_(self.position_embedding, std=width**-0.5)
        self.norm_before = nn.LayerNorm(width)
        self.blocks = _transformer(
            width, config.layers, config.heads, config.activation, causal=False
        )
        self.norm_after = nn.LayerNorm(width)
        self.projection = Linear(width, embed_dim, bias=False)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = ops.linear(
            _patches(pixels, self.patch_size), self.patch_embedding.weight.flatten(1)
        )
        class_token = self.class_embedding.expand(patches.shape[0], 1, -1)
        x = torch.cat([class_token, patches], dim=1) + self.position_embedding
        x = self.blocks(self.norm_before(x))
        embedding: Tensor = self.projection(self.norm_after(x[:, 0]))
        return embedding


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of [N, C, H, W], at each pixel."""

    def forward(self, x: Tensor) -> Tensor:
        # With channels-last memory both permutations are views.
        x = x.permute(0, 2, 3, 1)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class ConvBlock(nn.Module):
    """ConvNeXt's block: depthwise convolution, norm, pointwise MLP, layer scale, skip."""

    def __init__(self, width: int, config: ConvTowerConfig) -> None:
        super().__init__()
        kernel = config.kernel_size
        self.depthwise = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = Linear(width, config.mlp_ratio * width)
        self.contract = Linear(config.mlp_ratio * width, width)
        self.scale = nn.Parameter(torch.full((width,), config.layer_scale))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.contract(F.gelu(self.expand(y))) * self.scale
        x = x + y.permute(0, 3, 1, 2)
        return x


class ConvTower(nn.Module):
    """Normalised pixels [N, 3, R, R] -> embedding [N, embed_dim] (not unit norm)."""

    def __init__(self, config: ConvTowerConfig, embed_dim: int) -> None:
        super().__init__()
        widths, stride = config.widths, config.stem_stride
        layers: list[nn.Module] = [
            nn.Conv2d(3, widths[0], stride, stride=stride),
            ChannelNorm(widths[0]),
        ]
        for stage, (width, depth) in enumerate(zip(widths, config.depths, strict=True)):
            if stage > 0:
                layers += [ChannelNorm(widths[stage - 1])]
                layers += [nn.Conv2d(widths[stage - 1], width, 2, stride=2)]
            layers += [ConvBlock(width, config) for _ in range(depth)]
        self.layers = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(widths[-1])
        self.projection = Linear(widths[-1], embed_dim, bias=False)

    def forward(self, pixels: Tensor) -> Tensor:
        embedding: Tensor = self.projection(self.norm(self.layers(pixels).mean(dim=(2, 3))))
        return embedding


class TextTransformer(nn.Module):
    """Tokens [N, T] (T <= context_length) -> embedding [N, embed_dim] (not unit norm)."""

    def __init__(self, config: TextConfig, embed_dim: int) -> None:
        super().__init__()
        width, rank = config.width, config.embedding_rank
        self.token_embedding = nn.Embedding(config.vocabulary_size, rank or width)
        self.token_expansion: nn.Module = nn.Identity()
        if rank:
            # The expansion keeps the variance, so that both forms start alike.
            expansion = Linear(rank, width, bias=False)
            nn.init.normal_(expansion.weight, std=rank**-0.5)
            self.token_expansion = expansion
        self.position_embedding = nn.Parameter(torch.empty(config.context_length, width))
        nn.init.normal_(self.position_embedding, std=0.01)
        self.blocks = _transformer(
            width, config.layers, config.heads, config.activation, causal=True
        )
        self.norm = nn.LayerNorm(width)
        self.projection = Linear(width, embed_dim, bias=False)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.projection.weight, std=width**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.token_expansion(self.token_embedding(tokens))
        x = self.norm(self.blocks(x + self.position_embedding[: tokens.shape[1]]))
        # End-of-text has the highest id of the vocabulary, and argmax finds its first occurrence.
        rows = torch.arange(tokens.shape[0], device=tokens.device)
        embedding: Tensor = self.projection(x[rows, tokens.argmax(dim=1)])
        return embedding


class CLIP(nn.Module):
    """Images and texts as unit vectors whose cosine says how well they belong together."""

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        self.config = config
        self.image_resolution = config.image_resolution
        if isinstance(config.vision, VisionTransformerConfig):
            self.vision: nn.Module = VisionTransformer(
                config.vision, config.image_resolution, config.embed_dim
            )
        else:
            self.vision = ConvTower(config.vision, config.embed_dim)
        self.text = TextTransformer(config.text, config.embed_dim)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.logit_bias = nn.Parameter(torch.zeros(())) if config.logit_bias else None

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Pixels [N, 3, H, W] in [0, 1], any size -> [N, embed_dim], unit norm.

        The whole image is averaged down to `image_resolution` by area and normalised.
        """
        config = self.config
        pixels = area_resample(pixels, config.image_resolution, mean=config.mean, std=config.std)
        return unit_vectors(self.vision(pixels))

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Texts -> tokens [N, context_length] int64, as `encode_text` reads them.

        Raises StyleClipError if a text is empty, or this CLIP was trained with another tokenizer.
        """
        config = self.config.text
        if config.vocabulary_size != VOCABULARY_SIZE:
            raise StyleClipError(
                f"This CLIP has a vocabulary of {config.vocabulary_size} where the tokenizer has "
                f"{VOCABULARY_SIZE}: it was trained with another tokenizer; choose another CLIP."
            )
        return tokenize(list(texts), config.context_length)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Tokens [N, T] int64, T <= context_length -> [N, embed_dim], unit norm.

        Raises StyleClipError if T is more than the context.
        """
        if tokens.shape[1] > self.config.text.context_length:
            raise StyleClipError(
                f"This CLIP reads {self.config.text.context_length} tokens a text and not "
                f"{tokens.shape[1]}; take those of its tokenize()."
            )
        return F.normalize(self.text(tokens), dim=1)

    def forward(self, pixels: Tensor, tokens: Tensor) -> Tensor:
        """Pixels [N, 3, H, W] and tokens [M, T] -> logits [N, M]: scaled cosines (plus bias)."""
        cosine = self.encode_image(pixels) @ self.encode_text(tokens).t()
        logits = self.logit_scale.exp() * cosine
        if self.logit_bias is not None:
            logits = logits + self.logit_bias
        return logits

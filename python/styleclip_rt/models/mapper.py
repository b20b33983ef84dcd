"""Latent mappers (Patashnik et al. 2021, section 5): networks that make an edit in one pass.

Every mapper is a `styleclip_rt.models.moves.LatentMove`.

Weights are held *effective*: the run-time scales of the equalised learning rate are folded in.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from styleclip_rt.models.moves import FORWARD, Latent

LEAK = 0.2
OFFSET_SCALE = 0.1
DEPTH = 4
MOST_ROWS, MOST_CHANNELS = 64, 1 << 16
SHARPNESS = 20.0


class MapperNet(nn.Module):
    """Pixel norm, then equalised fully connected layers with leaky ReLU.

    The norm runs over dimension 1, as in StyleCLIP: over channels for a style [N, C], but over
    *rows* for a group of w+ [N, rows, D].
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(DEPTH))
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            nn.init.normal_(layer.weight, std=1 / math.sqrt(width))
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[N, width] or [N, rows, width] -> the same shape."""
        # In float32: squares of a half would vanish.
        square = x.float().square().mean(dim=1, keepdim=True)
        x = x * torch.rsqrt(square + 1e-8).to(x.dtype)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), LEAK) * 2**0.5
        return x


@dataclass(frozen=True)
class LevelsMapperConfig:
    """Shape of a `LevelsMapper`.

    Attributes:
        group_sizes: rows of w+ in the groups coarse, middle and fine, which follow each other.
        groups: those that the mapper moves.
        latent_dim: width of w.
    """

    group_sizes: tuple[int, int, int] = (4, 4, 10)
    groups: tuple[str, ...] = ("coarse", "middle", "fine")
    latent_dim: int = 512

    def __post_init__(self) -> None:
        if min(self.group_sizes) < 0 or not 1 <= sum(self.group_sizes) <= MOST_ROWS:
            raise ValueError(f"a mapper is for 1 to {MOST_ROWS} rows")
        if self.latent_dim < 1:
            raise ValueError("a mapper's latents cannot be empty")
        if not self.groups or not set(self.groups) <= {"coarse", "middle", "fine"}:
            raise ValueError("a mapper's groups are some of coarse, middle and fine")


class LevelsMapper(nn.Module):
    """StyleCLIP's mapper: one network for each group of rows of w+, each optional."""

    space = "w+"
    prompts: tuple[str, ...] = ()
    texts: Tensor | None = None
    regions: Tensor | None = None
    limits = FORWARD

    def __init__(self, config: LevelsMapperConfig) -> None:
        super().__init__()
        self.config = config
        self.shape = (sum(config.group_sizes), config.latent_dim)
        self.nets = nn.ModuleDict({name: MapperNet(config.latent_dim) for name in config.groups})

    def forward(self, w_plus: Tensor) -> Tensor:
        """w+ [N, n_latent, latent_dim] -> its offset, zero in the groups without a network."""
        coarse, middle, fine = torch.split(w_plus, list(self.config.group_sizes), dim=1)
        parts = {"coarse": coarse, "middle": middle, "fine": fine}
        moves = [torch.zeros_like(part) for part in parts.values()]
        for i, (name, part) in enumerate(parts.items()):
            if name in self.config.groups:
                moves[i] = OFFSET_SCALE * self.nets[name](part)
        return torch.cat(moves, dim=1)

    def offset(self, latent: Latent, text: Tensor | None) -> Tensor:
        """See `LatentMove`."""
        assert isinstance(latent, Tensor)
        offset: Tensor = self(latent)
        return offset


@dataclass(frozen=True)
class StyleSpaceMapperConfig:
    """Shape of a `StyleSpaceMapper`.

    Attributes:
        channels: channels of every style of the generator, in order.
        moved: indices of the styles that the mapper moves.
    """

    channels: tuple[int, ...]
    moved: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.channels or min(self.channels) < 1 or max(self.channels) > MOST_CHANNELS:
            raise ValueError(f"every style has 1 to {MOST_CHANNELS} channels")
        if not self.moved or not all(0 <= i < len(self.channels) for i in self.moved):
            raise ValueError(f"a mapper can move the styles 0 to {len(self.channels) - 1}")


class StyleSpaceMapper(nn.Module):
    """StyleCLIP's mapper in StyleSpace: one network for each style."""

    space = "s"
    prompts: tuple[str, ...] = ()
    texts: Tensor | None = None
    regions: Tensor | None = None
    limits = FORWARD

    def __init__(self, config: StyleSpaceMapperConfig) -> None:
        super().__init__()
        self.config = config
        self.shape = config.channels
        self.nets = nn.ModuleDict({str(i): MapperNet(config.channels[i]) for i in config.moved})

    def forward(self, styles: Sequence[Tensor]) -> list[Tensor]:
        """Styles, each [N, channels], -> an offset for each, zero for those without a network."""
        return [
            OFFSET_SCALE * self.nets[str(i)](style)
            if i in self.config.moved
            else torch.zeros_like(style)
            for i, style in enumerate(styles)
        ]

    def offset(self, latent: Latent, text: Tensor | None) -> list[Tensor]:
        """See `LatentMove`."""
        assert not isinstance(latent, Tensor)
        offsets: list[Tensor] = self(latent)
        return offsets


@dataclass(frozen=True)
class PromptMapperConfig:
    """Shape of a `PromptMapper`.

    Attributes:
        n_latent, latent_dim: of the generator's w+.
        rows: rows of w+ that the mapper moves.
        prompts: that it was trained for.
        text_dim: width of a text embedding.
        face_dim: principal components of w by which it sees a face.
        hidden, rank: width of its network, and number of directions that the network mixes.
        readings: units of a layer that reads w for prompts that were corrected
            (`correcting`).
    """

    n_latent: int
    rows: tuple[int, ...]
    prompts: tuple[str, ...]
    text_dim: int = 128
    latent_dim: int = 512
    face_dim: int = 64
    hidden: int = 128
    rank: int = 16
    readings: int = 0

    def __post_init__(self) -> None:
        rows = self.rows
        if not rows or not all(0 <= row < self.n_latent for row in rows):
            raise ValueError(f"a mapper can move the rows 0 to {self.n_latent - 1}")
        if self.n_latent > MOST_ROWS:
            raise ValueError(f"a mapper is for 1 to {MOST_ROWS} rows")
        if len(set(rows)) != len(rows):
            raise ValueError("a mapper moves each row once")
        if not self.prompts or not all(self.prompts) or len(set(self.prompts)) != len(self.prompts):
            raise ValueError("a mapper's prompts differ, and none is empty")
        sizes = (self.text_dim, self.latent_dim, self.face_dim, self.hidden, self.rank)
        if min(sizes) < 1 or self.readings < 0:
            raise ValueError("a mapper's sizes must be positive")


class PromptMapper(nn.Module):
    """One mapper for several prompts, conditioned on the text embedding.

    offset = strength * (sum_i share_i * direction_i + mixture * basis), where
    mixture = network(face, share) + sum_i share_i * slopes_i * seen. The shares say how near the
    text is to each prompt of training; the strength is the mean, by share, of what each prompt
    needs. A prompt of training gets its own direction, and one that was never seen a mixture of
    those that it resembles. A direction for all faces cannot fit one face's accidents, which is how
    an edit in w+ comes to melt; the mixture adds what depends on the face. Its slopes and readings
    are not trained with the rest but fitted (`adding`, `correcting`).
    """

    space = "w+"
    regions: Tensor | None = None
    limits = FORWARD

    def __init__(self, config: PromptMapperConfig) -> None:
        super().__init__()
        self.config = config
        self.shape = (config.n_latent, config.latent_dim)
        self.prompts = config.prompts
        count, rows, dim = len(config.prompts), len(config.rows), config.latent_dim
        self.rows = nn.Buffer(torch.tensor(config.rows), persistent=False)
        self.texts = nn.Buffer(torch.zeros(count, config.text_dim))
        self.strengths = nn.Buffer(torch.ones(count))
        self.face_mean = nn.Buffer(torch.zeros(dim))
        self.face_axes = nn.Buffer(torch.zeros(config.face_dim, dim))
        self.directions = nn.Parameter(torch.zeros(count, rows, dim))
        self.basis = nn.Parameter(torch.zeros(config.rank, rows, dim))
        self.slopes = nn.Buffer(torch.zeros(count, config.rank, config.face_dim + config.readings))
        # Files of mappers without readings do not have these.
        reads = config.readings > 0
        self.reading_axes = nn.Buffer(torch.zeros(config.readings, dim), persistent=reads)
        self.reading_bias = nn.Buffer(torch.zeros(config.readings), persistent=reads)
        self.network = nn.Sequential(
            nn.Linear(config.face_dim + count, config.hidden),
            nn.LeakyReLU(LEAK),
            nn.Linear(config.hidden, config.hidden),
            nn.LeakyReLU(LEAK),
            nn.Linear(config.hidden, config.rank),
        )

    def face(self, w_plus: Tensor) -> Tensor:
        """w+ [N, n_latent, latent_dim] -> what its network sees of the face: [N, face_dim]
        principal components of the mean w, in standard deviations."""
        return self.seen(w_plus)[:, : self.config.face_dim]

    def seen(self, w_plus: Tensor) -> Tensor:
        """w+ [N, n_latent, latent_dim] -> what its slopes depend on: the face, and then the
        readings, [N, face_dim + readings]."""
        apart = w_plus.mean(dim=1) - self.face_mean
        face = apart @ self.face_axes.T
        if self.config.readings == 0:
            return face
        read = apart @ self.reading_axes.T + self.reading_bias
        return torch.cat((face, F.leaky_relu(read, LEAK)), dim=1)

    def shares(self, text: Tensor) -> Tensor:
        """Unit text embeddings [N, text_dim] -> how near each is to each prompt, [N, prompts],
        summing to one."""
        return torch.softmax(SHARPNESS * text @ self.texts.T, dim=1)

    def forward(self, w_plus: Tensor, text: Tensor) -> Tensor:
        """w+ [N, n_latent, latent_dim] and unit text embeddings [N, text_dim] -> offset of w+."""
        share = self.shares(text)
        seen = self.seen(w_plus)
        face = seen[:, : self.config.face_dim]
        slopes = (share @ self.slopes.flatten(1)).view(-1, *self.slopes.shape[1:])
        mixture = self.network(torch.cat((face, share), dim=1)) + (slopes @ seen[..., None])[..., 0]
        strength = (share @ self.strengths)[:, None]
        every = torch.cat((self.directions, self.basis)).flatten(1)
        moves = (strength * torch.cat((share, mixture), dim=1)) @ every
        moves = moves.view(-1, len(self.config.rows), self.config.latent_dim)
        return torch.zeros_like(w_plus).index_copy(1, self.rows, moves)

    def offset(self, latent: Latent, text: Tensor | None) -> Tensor:
        """See `LatentMove`."""
        assert isinstance(latent, Tensor) and text is not None
        offset: Tensor = self(latent, text)
        return offset

    @torch.no_grad()
    def keeping(self, prompts: Sequence[str], strengths: Sequence[float]) -> "PromptMapper":
        """A mapper for some of its prompts, in the given order, that does with each at strength 1
        what this one does at the strength given for it.

        Raises ValueError for a prompt that is not its own.
        """
        kept = [self.config.prompts.index(prompt) for prompt in prompts]
        mapper = PromptMapper(replace(self.config, prompts=tuple(prompts)))
        state = self.state_dict()
        faces = self.config.face_dim
        columns = [*range(faces), *(faces + i for i in kept)]
        state |= {
            "texts": self.texts[kept],
            "strengths": self.strengths[kept] * self.strengths.new_tensor(strengths),
            "directions": self.directions[kept],
            "slopes": self.slopes[kept],
        }
        state["network.0.weight"] = state["network.0.weight"][:, columns]
        mapper.load_state_dict(state)
        return mapper

    @torch.no_grad()
    def seeing(self, axes: Tensor) -> "PromptMapper":
        """A mapper that does the same, and sees more of a face, for moves that it is to learn: the
        additional `axes` [M, latent_dim]."""
        old, more = self.config.face_dim, len(axes)
        mapper = PromptMapper(replace(self.config, face_dim=old + more))
        state = self.state_dict()
        weight = state["network.0.weight"]
        state |= {
            "face_axes": torch.cat((self.face_axes, axes)),
            "slopes": torch.cat(
                (
                    self.slopes[..., :old],
                    self.slopes.new_zeros(*self.slopes.shape[:2], more),
                    self.slopes[..., old:],
                ),
                dim=2,
            ),
            "network.0.weight": torch.cat(
                (weight[:, :old], weight.new_zeros(len(weight), more), weight[:, old:]), 1
            ),
        }
        mapper.load_state_dict(state)
        return mapper

    @torch.no_grad()
    def adding(
        self,
        prompts: Sequence[str],
        texts: Tensor,
        directions: Tensor,
        basis: Tensor,
        slopes: Tensor,
    ) -> "PromptMapper":
        """A mapper that serves more prompts, and its own as before (but for their shares of a text,
        which new prompts take their part of).

        Args:
            prompts: K new ones.
            texts: their unit embeddings [K, text_dim].
            directions: [K, rows, latent_dim].
            basis: [R, rows, latent_dim], of which only the slopes make use.
            slopes: [K, R, face_dim].
        """
        old, new = self.config.rank, basis.shape[0]
        config = replace(
            self.config, prompts=(*self.config.prompts, *prompts), rank=self.config.rank + new
        )
        mapper = PromptMapper(config)
        state = self._grown(mapper)
        known = len(self.config.prompts)
        state["texts"][known:] = texts
        state["strengths"][known:] = 1
        state["directions"][known:] = directions
        state["basis"][old:] = basis
        state["slopes"][known:, old:, : self.config.face_dim] = slopes
        mapper.load_state_dict(state)
        return mapper

    @torch.no_grad()
    def correcting(self, prompt: str, moves: Tensor, reader: nn.Sequential) -> "PromptMapper":
        """A mapper that adds to what one of its prompts does, and serves the others as before.

        Args:
            prompt: one of its own.
            moves: [M, rows, latent_dim].
            reader: says how much of each move a face gets, [N, latent_dim] -> [N, M]: a
                linear layer, LeakyReLU with slope `LEAK`, and another linear layer. What it sees is
                how far w is from `face_mean`.

        Raises ValueError for a prompt that is not its own.
        """
        corrected = self.config.prompts.index(prompt)
        first, last = reader[0], reader[-1]
        assert isinstance(first, nn.Linear)
        assert isinstance(last, nn.Linear)
        old_rank, old_readings = self.config.rank, self.config.readings
        config = replace(
            self.config,
            rank=old_rank + len(moves),
            readings=old_readings + first.out_features,
        )
        mapper = PromptMapper(config)
        state = self._grown(mapper)
        strength = self.strengths[corrected]
        direction = torch.einsum("m,mrd->rd", last.bias, moves)
        state["directions"][corrected] += direction / strength
        state["basis"][old_rank:] = moves / strength
        state["slopes"][corrected, old_rank:, self.config.face_dim + old_readings :] = last.weight
        state["reading_axes"][old_readings:] = first.weight
        state["reading_bias"][old_readings:] = first.bias
        mapper.load_state_dict(state)
        return mapper

    def _grown(self, larger: "PromptMapper") -> dict[str, Tensor]:
        """Its state in the shapes of a larger mapper, the rest 0."""
        state = {name: torch.zeros_like(value) for name, value in larger.state_dict().items()}
        for name, value in self.state_dict().items():
            state[name][tuple(slice(size) for size in value.shape)] = value
        return state

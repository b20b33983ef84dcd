"""Where an edit moves: z, w, w+ and StyleSpace, and the layer groups of w+.

Every space is an *offset* from a start, zero at first, so that one optimiser and one distance serve
all. In whitened form a unit of the offset is one standard deviation of the generator's own latents;
without it an edit soon leaves the region in which the generator draws faces.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from styleclip_rt.errors import StyleClipError
from styleclip_rt.models.generator import Generator, fold, sample_z, unfold

SPACES = ("z", "w", "w+", "s")
LAYER_GROUPS = ("coarse", "middle", "fine")
STATISTICS_SAMPLES = 8192
ROW_FREEDOM = 0.4
STYLE_NOISE = 0.01
"""Of the variance of styles, what is no latent's doing."""


def rows_of(generator: Generator, layers: str) -> list[int]:
    """Rows of w+ that a comma-separated list of layer groups names, e.g. "middle,fine".

    Raises:
        StyleClipError: an unknown group, or none.
    """
    names = [name.strip() for name in layers.split(",") if name.strip()]
    unknown = [name for name in names if name not in LAYER_GROUPS]
    if unknown or not names:
        what = f"unknown layer group {unknown[0]!r}" if unknown else "no layer group given"
        raise StyleClipError(f"{what}: choose from {', '.join(LAYER_GROUPS)}.")
    return sorted({row for name in names for row in generator.layer_groups[name]})


class Whitening:
    """Zhu et al. 2020 ("Improved StyleGAN Embedding", section 3.2): undo the mapping network's last
    leaky ReLU, then PCA to unit variance.

    `axes` [latent_dim, latent_dim]: row i is principal axis i times its standard deviation;
    `inverse`: of that matrix.
    """

    def __init__(self, generator: Generator) -> None:
        random = torch.Generator().manual_seed(0)
        z = torch.randn(STATISTICS_SAMPLES, generator.latent_dim, generator=random)
        with torch.no_grad():
            w = generator.mapping(z.to(generator.mean_latent.device))
            p = unfold(w.double())
            covariance = torch.cov(p.T)
            variance, vectors = torch.linalg.eigh(covariance)
        deviation = variance.clamp_min(1e-12).sqrt()
        self.axes = (vectors * deviation).T.float().flip(0)
        self.inverse = (vectors / deviation).float().flip(1)

    @classmethod
    def of(cls, axes: Tensor, inverse: Tensor) -> "Whitening":
        """One that was measured before."""
        whitening = cls.__new__(cls)
        whitening.axes, whitening.inverse = axes, inverse
        return whitening


class NearestLatents:
    """Finds the w+ whose styles are near given ones, for what moves latents in w+.

    A row is the most likely one, its prior the generator's own latents; styles are linear in it.

    Args:
        generator: whose styles.
    """

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        random = torch.Generator().manual_seed(0)
        z = torch.randn(STATISTICS_SAMPLES, generator.latent_dim, generator=random)
        with torch.no_grad():
            w = generator.mapping(z.to(generator.mean_latent.device))
            covariance = torch.cov(w.T)
            self._gains = [self._gain(row, covariance) for row in range(generator.n_latent)]

    def _styles_of(self, row: int) -> list[int]:
        return [i for i, fed in enumerate(self._generator.style_rows) if fed == row]

    def _gain(self, row: int, covariance: Tensor) -> Tensor:
        affines = self._generator.affines()
        # A layer may hold its weight unscaled: what it makes of the axes is what counts.
        origin = covariance.new_zeros(1, covariance.shape[0])
        axes = torch.eye(covariance.shape[0], device=covariance.device)
        weight = torch.cat([affines[i](axes) - affines[i](origin) for i in self._styles_of(row)], 1)
        across = covariance @ weight
        within = weight.T @ across
        noise = STYLE_NOISE * within.diagonal().mean()
        eye = torch.eye(len(within), device=within.device)
        gain: Tensor = torch.linalg.solve(within + noise * eye, across.T)
        return gain

    @torch.no_grad()
    def __call__(self, styles: Sequence[Tensor]) -> Tensor:
        """One [N, channels] for each style -> w+ [N, n_latent, latent_dim]."""
        mean = self._generator.mean_latent[None]
        affines, rows = self._generator.affines(), []
        for row, gain in enumerate(self._gains):
            off = [styles[i] - affines[i](mean) for i in self._styles_of(row)]
            rows.append(mean + torch.cat(off, dim=1) @ gain)
        return torch.stack(rows, dim=1)


class Space:
    """A start in w+ [N, n_latent, latent_dim] and how an offset from it becomes a latent.

    Args:
        generator: whose latents.
        name: one of SPACES.
        start: w+ [N, n_latent, latent_dim]; or styles, [N, channels] each, for space s alone.
        z: the start in z [N, latent_dim], only for space z.
        rows: rows of w+ that may move.
        whitening: measure w, w+ and s offsets in standard deviations; None for plain offsets.

    Raises:
        StyleClipError: an unknown space, z without a z to start from, or styles in another space
            than s.
    """

    def __init__(
        self,
        generator: Generator,
        name: str,
        start: Tensor | list[Tensor],
        rows: Sequence[int],
        z: Tensor | None = None,
        whitening: Whitening | None = None,
    ) -> None:
        if name not in SPACES:
            raise StyleClipError(f"unknown space {name!r}: choose from {', '.join(SPACES)}.")
        if name == "z" and z is None:
            raise StyleClipError("space z can only start from a seed; use w+ for a saved latent.")
        if name != "s" and not isinstance(start, Tensor):
            raise StyleClipError(
                f"a latent that was saved in StyleSpace goes on in space s, not in {name}."
            )
        self.generator, self.name = generator, name
        self.rows, self.whitening = list(rows), whitening
        # On the device once: a step that is captured as a CUDA graph may not copy from the host.
        self._row_index = torch.tensor(self.rows, device=generator.mean_latent.device)
        self._moving = [i for i, row in enumerate(generator.style_rows) if row in self.rows]
        self._style_scale: list[Tensor] | None = None
        if name == "s" and whitening is not None:
            with torch.no_grad():
                self._style_scale = self._style_deviation()
        self._begin(start, z)

    def _begin(self, start: Tensor | list[Tensor], z: Tensor | None) -> None:
        self.start, self.z = start, z
        if isinstance(start, Tensor):
            self._w_plus, self._p = start, unfold(start)
        if self.name == "s":
            with torch.no_grad():
                self._styles = (
                    self.generator.styles(start) if isinstance(start, Tensor) else list(start)
                )

    def around(self, start: Tensor | list[Tensor], z: Tensor | None) -> "Space":
        """The same space around another start of the same shape."""
        if start is self.start and z is self.z:
            return self
        space = copy.copy(self)
        space._begin(start, z)
        return space

    def _style_deviation(self) -> list[Tensor]:
        z = sample_z(self.generator, range(512))
        w = self.generator.mapping(z)
        w_plus = w[:, None].expand(-1, self.generator.n_latent, -1)
        return [style.std(dim=0) for style in self.generator.styles(w_plus)]

    def zero(self) -> Tensor:
        """The offset that changes nothing: [N, ...], to be optimised."""
        # Not by len(), which would fix the batch of an exported graph.
        if self.name == "s":
            count = sum(self._styles[i].shape[1] for i in self._moving)
            return self._styles[0].new_zeros(self._styles[0].shape[0], count)
        n, dim = self._w_plus.shape[0], self.generator.latent_dim
        if self.name in ("z", "w"):
            return self._w_plus.new_zeros(n, dim)
        shared = 0 if self.whitening is None else 1
        return self._w_plus.new_zeros(n, shared + len(self.rows), dim)

    def toward(self, move: Tensor) -> Tensor:
        """The offset that moves every unfolded latent by `move` [N, latent_dim]; nowhere in a space
        that has no such offset (z, s, and all that is not whitened)."""
        offset = self.zero()
        if self.whitening is None or self.name not in ("w", "w+"):
            return offset
        whitened = move @ self.whitening.inverse
        return (
            whitened
            if self.name == "w"
            else offset.index_copy(
                1, torch.zeros(1, dtype=torch.long, device=move.device), whitened[:, None]
            )
        )

    def latent(self, offset: Tensor) -> Tensor | list[Tensor]:
        """What `synthesis` draws: w+ [N, n_latent, latent_dim], or styles for space s."""
        if self.name == "s":
            return self._moved_styles(offset)
        moved = self._moved_rows(offset)
        if len(self.rows) == self.generator.n_latent:
            return moved
        return self._w_plus.index_copy(1, self._row_index, moved)

    def w_plus(self, offset: Tensor) -> Tensor:
        """The latent to save, [N, n_latent, latent_dim] in w+; [N, sum of channels] in s."""
        latent = self.latent(offset)
        return latent if isinstance(latent, Tensor) else torch.cat(latent, dim=1)

    def _moved_rows(self, offset: Tensor) -> Tensor:
        if self.name == "z":
            assert self.z is not None
            # The start may be truncated, so the move in w is added to it.
            move = self.generator.mapping(self.z + offset) - self.generator.mapping(self.z)
            return self._w_plus.index_select(1, self._row_index) + move[:, None]
        if offset.dim() == 2:
            offset = offset[:, None]
        if self.whitening is None:
            return self._w_plus.index_select(1, self._row_index) + offset
        if self.name == "w+":
            # The first row moves all rows alike. The generator was trained on equal rows, so a
            # shared move draws natural faces; rows moved apart soon draw what only fools CLIP.
            offset = offset[:, :1] + ROW_FREEDOM * offset[:, 1:]
        return fold(self._p.index_select(1, self._row_index) + offset @ self.whitening.axes)

    def _moved_styles(self, offset: Tensor) -> list[Tensor]:
        styles = list(self._styles)
        widths = [self._styles[i].shape[1] for i in self._moving]
        for i, part in zip(self._moving, torch.split(offset, widths, dim=1), strict=True):
            scale = 1.0 if self._style_scale is None else self._style_scale[i]
            styles[i] = styles[i] + part * scale
        return styles

"""The graphs of an inversion: where it starts, what it aims at, how far a draft is from that, and
the latent that it ends at."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from styleclip_rt.bundle import Bundle
from styleclip_rt.editing.reconstruction import (
    COARSE,
    LIGHT,
    Goal,
    Reconstruction,
    draft_sizes,
)
from styleclip_rt.editing.spaces import Whitening
from styleclip_rt.engines.export_info import Port
from styleclip_rt.export.networks import Network, Sample, identity_of, weights_hash
from styleclip_rt.models.generator import fingerprint
from styleclip_rt.photos.encoder import photo_encoder


class _Inversion(nn.Module):
    """The networks as submodules of a graph; `fine` with the bundle's own drafts."""

    def __init__(self, bundle: Bundle, fine: bool = False) -> None:
        super().__init__()
        self.generator, self.clip = bundle.generator, bundle.clip
        self.identity = identity_of(bundle)
        self.size = draft_sizes(bundle.generator, bundle.draft_resolution)[fine]
        self.reconstruction = Reconstruction(
            self.generator, self.clip, self.identity, Whitening(self.generator), self.size
        )


class _Start(_Inversion):
    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.encoder = photo_encoder(fingerprint(bundle.generator))

    def forward(self, photograph: Tensor) -> Tensor:
        return self.reconstruction.first(photograph, self.encoder)


class _Goal(_Inversion):
    def forward(self, photograph: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.reconstruction.goal(photograph))


class _Step(_Inversion):
    def forward(self, offset: Tensor, *goal: Tensor) -> tuple[Tensor, ...]:
        return self.reconstruction.judge(Goal(*goal), offset)


class _Latent(_Inversion):
    def forward(self, offset: Tensor) -> Tensor:
        return self.reconstruction.space.w_plus(offset)


def _photograph(bundle: Bundle) -> Port:
    size = bundle.generator.resolution
    return Port("photograph", (1, 3, size, size), kind="image")


def _offset(module: _Inversion) -> tuple[int, ...]:
    return tuple(module.reconstruction.space.zero().shape)


def _goal_ports(module: _Inversion) -> tuple[Port, ...]:
    return (
        Port("pixels", (1, 3, module.size, module.size), kind="image"),
        Port("coarse", (1, 3, COARSE, COARSE)),
        Port("gradients", (1, 2, LIGHT - 1, LIGHT - 1)),
        Port("person", (1, module.identity.config.embed_dim), kind="embedding"),
        Port("content", (1, module.clip.config.embed_dim), kind="embedding"),
    )


def _some_photograph(bundle: Bundle) -> Sample:
    size = bundle.generator.resolution

    def sample(_: int, random: torch.Generator) -> tuple[Tensor, ...]:
        small = torch.rand(1, 3, 8, 8, generator=random)
        return (nn.functional.interpolate(small, size, mode="bilinear"),)

    return sample


def _network(
    name: str,
    module: _Inversion,
    inputs: tuple[Port, ...],
    outputs: tuple[Port, ...],
    sample: Sample,
    has_gradient: bool = False,
) -> Network:
    weights = weights_hash(module)
    return Network(
        name, module, inputs, outputs, sample, weights, has_gradient=has_gradient, fp32_only=True
    )


def _start(bundle: Bundle) -> Network:
    module = _Start(bundle)
    outputs = (Port("offset", _offset(module)),)
    sample = _some_photograph(bundle)
    return _network("invert_start", module, (_photograph(bundle),), outputs, sample)


def _goal(name: str, fine: bool, bundle: Bundle) -> Network:
    module = _Goal(bundle, fine)
    outputs = _goal_ports(module)
    return _network(name, module, (_photograph(bundle),), outputs, _some_photograph(bundle))


def _step(name: str, fine: bool, bundle: Bundle) -> Network:
    module, photographs = _Step(bundle, fine), _some_photograph(bundle)
    shape = _offset(module)

    def sample(count: int, random: torch.Generator) -> tuple[Tensor, ...]:
        goal = module.reconstruction.goal(*photographs(count, random))
        return 0.1 * torch.randn(shape, generator=random), *goal

    return _network(
        name,
        module,
        (Port("offset", shape), *_goal_ports(module)),
        (
            Port("total", ()),
            Port("cosine", ()),
            Port("gradient", shape, kind="gradient"),
        ),
        sample,
        has_gradient=True,
    )


def _latent(bundle: Bundle) -> Network:
    module = _Latent(bundle)
    shape, generator = _offset(module), bundle.generator
    return _network(
        "invert_latent",
        module,
        (Port("offset", shape),),
        (Port("w_plus", (1, generator.n_latent, generator.latent_dim)),),
        lambda _, random: (torch.randn(shape, generator=random),),
    )


INVERSION_NETWORKS: dict[str, Callable[[Bundle], Network]] = {
    "invert_start": _start,
    "invert_goal_small": partial(_goal, "invert_goal_small", False),
    "invert_step_small": partial(_step, "invert_step_small", False),
    "invert_goal_own": partial(_goal, "invert_goal_own", True),
    "invert_step_own": partial(_step, "invert_step_own", True),
    "invert_latent": _latent,
}
"""Name -> what builds it from a bundle."""

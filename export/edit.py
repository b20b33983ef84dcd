"""The graphs of a whole edit: what it starts from, its step, and the latent that it ends at."""

from collections.abc import Callable
from dataclasses import asdict, replace

import torch
from torch import Tensor, nn

from styleclip_rt.bundle import Bundle
from styleclip_rt.editing.losses import LIGHT, PIXELS, Preservation
from styleclip_rt.editing.schedule import LOSSES, NEUTRAL_PROMPT, adam_schedule, loss_weights
from styleclip_rt.editing.spaces import Space, Whitening, rows_of
from styleclip_rt.editing.step import EditStep, StepState, Targets
from styleclip_rt.editing.views import PARAMETERS, random_views
from styleclip_rt.engines.export_info import Port
from styleclip_rt.errors import StyleClipError
from styleclip_rt.export.networks import (
    BATCH,
    Network,
    Sample,
    identity_of,
    random_tokens,
    random_w_plus,
    weights_hash,
)
from styleclip_rt.models.generator import unfold
from styleclip_rt.settings import EditSettings

STEPS = "steps"
"""Names the free dimension: the number of steps of an edit."""


class _Edit(nn.Module):
    """The networks and constants of edits of one kind, as submodules and buffers of a graph."""

    def __init__(self, bundle: Bundle, settings: EditSettings) -> None:
        super().__init__()
        self.generator, self.clip = bundle.generator, bundle.clip
        self.identity = identity_of(bundle)
        self.settings = settings
        self.step = EditStep(self.generator, self.clip, self.identity, settings)
        self.rows = rows_of(self.generator, settings.layers)
        self.whitening = Whitening(self.generator) if settings.whiten else None
        self.prior, self.directions = bundle.region_prior, bundle.look_directions
        for name, reference in (("prior_phrases", self.prior), ("looks", self.directions)):
            if reference is not None:
                with torch.no_grad():
                    phrases = self.clip.encode_text(self.clip.tokenize(reference.phrases))
                self.register_buffer(name, phrases)

    def space(self, start: Tensor) -> Space:
        return Space(
            self.generator, self.settings.space, start, self.rows, whitening=self.whitening
        )


class EditStart(_Edit):
    """Where an edit starts (`Bundle.lead`) and `EditStep.targets`."""

    prior_phrases: Tensor
    looks: Tensor

    def forward(self, start: Tensor, text: Tensor, neutral: Tensor) -> tuple[Tensor, ...]:
        relevance = text.new_ones(text.shape[0], 1, 1, 1)
        if self.prior is not None:
            relevance = self.prior.relevance(text, self.prior_phrases)
        space = self.space(start)
        offset = space.zero()
        if self.directions is not None and self.settings.lead > 0:
            p = (unfold(start) - unfold(self.generator.mean_latent)).mean(dim=1)
            lead = self.directions.lead(text, self.looks, p, self.settings.lead)
            offset = space.toward(lead)
        targets = self.step.targets(start, text, neutral, relevance)
        return (
            offset,
            targets.direction,
            targets.embedding,
            targets.identity,
            *targets.preservation,
        )


class EditStepGraph(_Edit):
    """`EditStep`, gradient and optimiser included, with the tables of all steps as inputs."""

    def forward(
        self,
        start: Tensor,
        offset: Tensor,
        mean: Tensor,
        square: Tensor,
        step: Tensor,
        text: Tensor,
        direction: Tensor,
        embedding: Tensor,
        identity: Tensor,
        low: Tensor,
        gradients: Tensor,
        low_weight: Tensor,
        gradient_weight: Tensor,
        weights: Tensor,
        schedule: Tensor,
        views: Tensor,
    ) -> tuple[Tensor, ...]:
        preservation = Preservation(low, gradients, low_weight, gradient_weight)
        state, losses, image = self.step(
            self.space(start),
            StepState(offset, mean, square),
            Targets(text, direction, embedding, identity, preservation),
            weights,
            schedule.index_select(0, step.view(1)).squeeze(0),
            views.index_select(0, step.view(1)).squeeze(0),
        )
        return (*state, torch.stack([losses[name] for name in LOSSES]), image)


class EditLatent(_Edit):
    """Start and offset -> the w+ that is drawn and saved."""

    def forward(self, start: Tensor, offset: Tensor) -> Tensor:
        return self.space(start).w_plus(offset)


def edit_settings(bundle: Bundle) -> EditSettings:
    """The bundle's own settings.

    Raises:
        StyleClipError: they move in z or s, whose starts are not a plain w+.
    """
    settings = bundle.settings
    if settings.space not in ("w", "w+"):
        raise StyleClipError(
            f"an edit in space {settings.space} cannot be exported: choose w or w+."
        )
    return settings


def _edit_start(bundle: Bundle) -> Network:
    settings = edit_settings(bundle)
    module = EditStart(bundle, settings)
    inputs, constants = _ports(module)
    return _network(
        "edit_start",
        bundle,
        module,
        (inputs["start"], constants["text"], Port("neutral", (1, bundle.clip.config.embed_dim))),
        (inputs["offset"], *(port for name, port in constants.items() if name != "text")),
        lambda n, random: _random_goal(bundle, n, random),
    )


def _edit_step(bundle: Bundle) -> Network:
    settings = edit_settings(bundle)
    module = EditStepGraph(bundle, settings)
    inputs, constants = _ports(module)
    size = module.step.resolution
    start = EditStart(bundle, settings)

    def sample(count: int, random: torch.Generator) -> tuple[Tensor, ...]:
        w_plus, text, neutral = _random_goal(bundle, count, random)
        with torch.no_grad():
            _, *targets = start(w_plus, text, neutral)
        shape = (count, *_offset_shape(module))
        offset, mean, square = torch.randn(3, *shape, generator=random).unbind(0)
        return (
            w_plus,
            0.1 * offset,
            1e-4 * mean,
            1e-8 + 1e-8 * square.square(),
            torch.randint(settings.steps, (), generator=random),
            text,
            *targets,
            torch.tensor(loss_weights(settings)),
            torch.tensor(adam_schedule(settings)),
            torch.from_numpy(random_views(settings.steps, settings.views, settings.view_strength)),
        )

    return _network(
        "edit_step",
        bundle,
        module,
        (
            *inputs.values(),
            Port("step", (), "int64"),
            *constants.values(),
            Port("weights", (5,)),
            Port("schedule", (STEPS, 2)),
            Port("views", (STEPS, settings.views - 1, PARAMETERS)),
        ),
        (
            *(
                replace(inputs[name], name=f"next_{name}", kind="gradient")
                for name in ("offset", "mean", "square")
            ),
            Port("losses", (len(LOSSES), BATCH)),
            Port("image", (BATCH, 3, size, size), kind="image"),
        ),
        sample,
        has_gradient=True,
    )


def _edit_latent(bundle: Bundle) -> Network:
    module = EditLatent(bundle, edit_settings(bundle))
    inputs, _ = _ports(module)
    shape = _offset_shape(module)
    return _network(
        "edit_latent",
        bundle,
        module,
        (inputs["start"], inputs["offset"]),
        (replace(inputs["start"], name="w_plus"),),
        lambda n, random: (
            random_w_plus(bundle.generator, n, random),
            torch.randn(n, *shape, generator=random),
        ),
    )


def _random_goal(
    bundle: Bundle, count: int, random: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    with torch.no_grad():
        text = bundle.clip.encode_text(random_tokens(bundle.clip, count, random))
        neutral = bundle.clip.encode_text(bundle.clip.tokenize([NEUTRAL_PROMPT]))
    return random_w_plus(bundle.generator, count, random), text, neutral


def _offset_shape(module: _Edit) -> tuple[int, ...]:
    """The shape of one face's offset."""
    generator = module.generator
    start = torch.zeros(1, generator.n_latent, generator.latent_dim)
    return tuple(module.space(start).zero().shape[1:])


def _ports(module: _Edit) -> tuple[dict[str, Port], dict[str, Port]]:
    """What moves with the steps (after the start), and what an edit aims at."""
    generator, clip, identity = module.generator, module.clip, module.identity
    moving: tuple[int | str, ...] = (BATCH, *_offset_shape(module))
    embedding = (BATCH, clip.config.embed_dim)
    inputs = {
        "start": Port("start", (BATCH, generator.n_latent, generator.latent_dim)),
        **{name: Port(name, moving) for name in ("offset", "mean", "square")},
    }
    constants = {
        "text": Port("text", embedding, kind="embedding"),
        "direction": Port("direction", embedding, kind="embedding"),
        "embedding": Port("embedding", embedding, kind="embedding"),
        "identity": Port("identity", (BATCH, identity.config.embed_dim), kind="embedding"),
        "low": Port("low", (BATCH, 3, PIXELS, PIXELS)),
        "gradients": Port("gradients", (BATCH, 2, LIGHT - 1, LIGHT - 1)),
        "low_weight": Port("low_weight", (BATCH, 1, PIXELS, PIXELS)),
        "gradient_weight": Port("gradient_weight", (BATCH, 1, LIGHT - 1, LIGHT - 1)),
    }
    return inputs, constants


def _network(
    name: str,
    bundle: Bundle,
    module: _Edit,
    inputs: tuple[Port, ...],
    outputs: tuple[Port, ...],
    sample: Sample,
    has_gradient: bool = False,
) -> Network:
    parts = (bundle.generator, bundle.clip, module.identity, module.prior, module.directions)
    return Network(
        name,
        module,
        inputs,
        outputs,
        sample,
        weights_hash(*(part for part in parts if part is not None)),
        settings=asdict(module.settings),
        has_gradient=has_gradient,
    )


EDIT_NETWORKS: dict[str, Callable[[Bundle], Network]] = {
    "edit_start": _edit_start,
    "edit_step": _edit_step,
    "edit_latent": _edit_latent,
}
"""Name -> what builds it from a bundle."""

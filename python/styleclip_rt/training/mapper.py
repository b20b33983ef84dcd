"""Training of latent mappers: the editor's losses, averaged over faces instead of over steps.

StyleCLIP (Patashnik et al. 2021, section 5). A run is a folder that says everything about itself
and goes on, bit for bit, from wherever it was stopped.
"""

import io
import json
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from tqdm import tqdm

from styleclip_rt.bundle import Bundle
from styleclip_rt.checkpoints import mapper_file
from styleclip_rt.devices import keep_freed_memory
from styleclip_rt.editing.losses import Preservation
from styleclip_rt.editing.schedule import NEUTRAL_PROMPT, learning_rate_factor, loss_weights
from styleclip_rt.editing.spaces import rows_of
from styleclip_rt.editing.step import EditStep, Targets
from styleclip_rt.editing.views import random_views
from styleclip_rt.errors import StyleClipError
from styleclip_rt.files import alone_in, check_writable, replacing
from styleclip_rt.models.generator import Generator, fingerprint, fold, to_w_plus, unfold
from styleclip_rt.models.mapper import PromptMapper, PromptMapperConfig
from styleclip_rt.pictures import contact_sheet, loss_plot, save_png, to_pil
from styleclip_rt.training.latent_dataset import LatentDataset
from styleclip_rt.training.style_units import StyleStatistics, StyleUnits, style_lifts

CHECKPOINT = "checkpoint.pt"
BEST = "best.safetensors"
LAST = "last.safetensors"
LEAD_FACES = 256


class Painted(Protocol):
    """Faces as they would look with what prompts name, face-major."""

    @property
    def pictures(self) -> Tensor:
        """[N, 3, S, S] in [0, 1]."""

    @property
    def where(self) -> Tensor:
        """What was painted over, [N, 1, S, S] in [0, 1]."""

    def distance(self, image: Tensor) -> Tensor:
        """How far pictures [N, 3, H, W] in [0, 1] are from these: [N], differentiable."""


class Painter(Protocol):
    """Paints the prompts of a training onto faces."""

    def __call__(self, generator: Generator, w_plus: Tensor, size: int) -> Painted:
        """Every face of w+ [N, n_latent, latent_dim] with every prompt, at `size` px."""


@dataclass(frozen=True)
class MapperSettings:
    """What a training run is; ``config.json`` beside its results says it.

    Attributes:
        prompts: that the mapper learns.
        layers: layer groups of w+ that it may move, comma-separated.
        steps: optimiser steps; 0 leaves the directions where they start, at the lead.
        faces: faces a step, over all devices; each is drawn with every prompt.
        learning_rate: Adam's peak rate for the directions, in standard deviations of a style.
        network_rate: the same for the network that looks at the face.
        l2: weight of the offset's squared length in standard deviations of the styles.
        lead: reading of a look (`Bundle.lead`) that the directions start at, where the bundle has
            measured one. It helps looks that change the shape of a face, such as a smile; what
            comes with the look in the generator's own faces comes with it at first.
        hold: looks that the lead leaves as they are, by their phrases (`LookDirections.lead`).
        paint: weight of the difference from the look painted on, where the trainer has a painter.
            What is preserved is then the painted picture.
        seed: of the order of the faces and of the network.
        val_every: steps from one validation to the next.
        val_faces: faces of the validation split that it looks at.
        save_every: steps from one checkpoint to the next.
        patience: stop after so many validations without improvement; 0 never.
        loss: fields of `EditSettings` that differ from the bundle's.
    """

    prompts: tuple[str, ...]
    layers: str = "middle,fine"
    steps: int = 300
    faces: int = 2
    learning_rate: float = 0.05
    network_rate: float = 0.002
    l2: float = 0.0003
    lead: float = 0.0
    hold: tuple[str, ...] = ()
    paint: float = 0.0
    seed: int = 0
    val_every: int = 100
    val_faces: int = 16
    save_every: int = 20
    patience: int = 0
    loss: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not self.prompts or not all(prompt.strip() for prompt in self.prompts):
            raise StyleClipError("give at least one prompt, and none that is empty.")
        if len(set(self.prompts)) < len(self.prompts):
            raise StyleClipError("a prompt is given twice: give each once.")
        if self.steps < 0 or (self.steps == 0 and self.lead == 0):
            raise StyleClipError("steps must be at least 1, or 0 with a lead.")
        for name in ("faces", "val_every", "val_faces", "save_every"):
            if getattr(self, name) < 1:
                raise StyleClipError(f"{name} must be at least 1, not {getattr(self, name)}.")
        for name in ("learning_rate", "network_rate"):
            if not getattr(self, name) > 0:
                raise StyleClipError(f"{name} must be positive, not {getattr(self, name)}.")
        for name in ("l2", "paint"):
            if not getattr(self, name) >= 0:
                raise StyleClipError(f"{name} must not be negative, but is {getattr(self, name)}.")


class MapperTrainer:
    """The training loop; `resume` and `run` go on after any interruption.

    Args:
        bundle: whose generator the mapper is for, and whose CLIP and identity network judge.
        latents: folder of a data set of that generator.
        folder: for the run's files.
        settings: what to train.
        precision: "fp32", or "bf16" for drawing.
        accelerator: an `accelerate.Accelerator` where several processes share the work.
        painter: of the settings' prompts, where these ask for painting.

    Raises:
        StyleClipError: the latents are missing or of another generator, the faces of a step cannot
            be shared evenly, or there is painting without a painter.
    """

    def __init__(
        self,
        bundle: Bundle,
        latents: Path,
        folder: Path,
        settings: MapperSettings,
        precision: str = "fp32",
        accelerator: Any = None,
        painter: Painter | None = None,
    ) -> None:
        self.settings, self.folder, self.accelerator = settings, folder, accelerator
        self.device = torch.device("cpu") if accelerator is None else accelerator.device
        if self.device.type == "cpu":
            keep_freed_memory()
        self.rank: int = 0 if accelerator is None else accelerator.process_index
        self.world: int = 1 if accelerator is None else accelerator.num_processes
        if settings.faces % self.world:
            raise StyleClipError(
                f"{settings.faces} faces a step cannot be shared evenly by {self.world} processes: "
                "choose a multiple with --faces."
            )
        if bundle.identity is None:
            raise StyleClipError(
                f"the bundle {bundle.name!r} draws no faces and has no identity network, which "
                "training a mapper needs: choose a bundle of faces."
            )
        self.bundle = bundle
        self.generator = bundle.generator.to(self.device)
        self.train, self.val = (LatentDataset(latents, split) for split in ("train", "val"))
        if self.train.index.generator != fingerprint(self.generator):
            raise StyleClipError(
                f"{latents} holds faces of the bundle {self.train.index.bundle!r}, not of "
                f"{bundle.name!r}: generate a data set with --bundle {bundle.name}."
            )
        self.origin = mapper_file.Origin(bundle.name, self.train.index.generator)
        self.loss = replace(bundle.settings, l2=settings.l2, **dict(settings.loss or {}))
        self.config: dict[str, Any] = {
            **asdict(self.origin),
            "precision": precision,
            "mapper": asdict(settings),
            "loss": asdict(self.loss),
            "latents": asdict(self.train.index),
        }
        clip, identity = bundle.clip.to(self.device), bundle.identity.to(self.device)
        self.edit_step = EditStep(self.generator, clip, identity, self.loss, precision)
        self.weights = torch.tensor(loss_weights(self.loss), device=self.device)
        with torch.no_grad():
            texts = clip.encode_text(
                clip.tokenize([*settings.prompts, NEUTRAL_PROMPT]).to(self.device)
            )
            self.text, self.neutral = texts[:-1], texts[-1:]
            self.relevance = bundle.relevance(self.text)
        if settings.paint > 0 and painter is None:
            raise StyleClipError("the settings ask for painting, and there is no painter.")
        self.painter = painter if settings.paint > 0 else None
        self._statistics = StyleStatistics.of(self.generator)
        self.mapper = self._new_mapper()
        self.optimiser = torch.optim.Adam(self._groups(), betas=(0.9, 0.99))
        self.model: nn.Module = self.mapper
        if accelerator is not None:
            self.model, self.optimiser = accelerator.prepare(self.mapper, self.optimiser)
        self._epoch, self._order = -1, list[int]()
        self.step, self.stale = 0, 0
        self.best = float("inf")
        self.history: list[dict[str, float]] = []

    def _new_mapper(self) -> PromptMapper:
        settings, statistics = self.settings, self._statistics
        rows = rows_of(self.generator, settings.layers)
        dim = self.generator.latent_dim
        config = PromptMapperConfig(
            n_latent=self.generator.n_latent,
            rows=tuple(rows),
            prompts=settings.prompts,
            text_dim=self.text.shape[1],
            latent_dim=dim,
            face_dim=min(PromptMapperConfig.face_dim, dim),
        )
        torch.manual_seed(settings.seed)
        mapper = PromptMapper(config)
        with torch.no_grad():
            mapper.texts.copy_(self.text)
            mapper.face_mean.copy_(statistics.mean)
            mapper.face_axes.copy_(statistics.coordinates[: config.face_dim])
        lifts = style_lifts(self.generator, rows, statistics.deviations)
        units = StyleUnits(statistics.axes, [lift.cpu() for lift in lifts])
        starts = {
            "directions": self._leads(units),
            "basis": torch.randn(config.rank, units.width) * 0.1,
        }
        for name, start in starts.items():
            setattr(mapper, name, nn.Parameter(start))
            parametrize.register_parametrization(mapper, name, units, unsafe=True)
        last = mapper.network[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        return mapper.to(self.device)

    @torch.no_grad()
    def _leads(self, units: StyleUnits) -> Tensor:
        """Where the directions start: the move, mean over faces, that the bundle has measured for
        each prompt (`Bundle.lead`), as a move of all rows; zero where it has measured none."""
        start = torch.zeros(len(self.settings.prompts), units.width)
        w = self.train.w(range(min(LEAD_FACES, len(self.train)))).to(self.device)
        w_plus = self._w_plus(w)
        axes = self._statistics.axes
        power = axes.square().sum(dim=1)
        for i, text in enumerate(self.text):
            texts = text.expand(len(w), -1)
            lead = self.bundle.lead(texts, w_plus, self.settings.lead, self.settings.hold)
            move = (fold(unfold(w) + lead) - w).mean(dim=0).cpu()
            # Axes along which w hardly varies would only amplify noise.
            start[i, : axes.shape[0]] = axes @ move / (power + 1e-4 * power.max())
        return start

    def _groups(self) -> list[dict[str, Any]]:
        parts: Any = self.mapper.parametrizations
        directions = [parts.directions.original]
        rest = [*self.mapper.network.parameters(), parts.basis.original]
        return [
            {"params": directions, "lr": self.settings.learning_rate},
            {"params": rest, "lr": self.settings.network_rate},
        ]

    # --- one step -----------------------------------------------------------------------------

    def _rows(self, step: int) -> list[int]:
        """The faces of a step: each once in every epoch, in an order that the seed decides."""
        count, faces = len(self.train), self.settings.faces
        rows = []
        for position in range(step * faces, (step + 1) * faces):
            epoch, place = divmod(position, count)
            if epoch != self._epoch:
                self._epoch, self._order = epoch, list(range(count))
                random.Random(f"{self.settings.seed}/{epoch}").shuffle(self._order)
            rows.append(self._order[place])
        return rows[self.rank :: self.world]

    def _views(self, step: int) -> Tensor:
        s = self.loss
        views = random_views(1, s.views, s.view_strength, self.settings.seed * 1_000_003 + step)
        # Non-blocking, as a GPU would be waited for in the middle of its step.
        return torch.from_numpy(views[0]).to(self.device, non_blocking=True)

    def _w_plus(self, w: Tensor) -> Tensor:
        return to_w_plus(self.generator, w.to(self.device))

    @torch.no_grad()
    def _targets(self, original: Tensor, painted: Painted | None) -> Targets:
        """For every face and prompt, face-major, of the drafts of the faces."""
        faces, prompts = original.shape[0], len(self.settings.prompts)
        if painted is None:
            each = original.repeat_interleave(prompts, dim=0)
            preservation = Preservation.of(each, (1 - self.relevance).repeat(faces, 1, 1, 1))
        else:
            preservation = Preservation.of(painted.pictures, torch.ones_like(painted.where))
        text = self.text.repeat(faces, 1)
        network = self.edit_step.identity
        person = original.new_zeros(faces, 0) if network is None else network.encode(original)
        return Targets(
            text=text,
            direction=nn.functional.normalize(text - self.neutral, dim=1),
            embedding=self.edit_step.clip.encode_image(original).repeat_interleave(prompts, 0),
            identity=person.repeat_interleave(prompts, 0),
            preservation=preservation,
        )

    def _losses(self, w: Tensor, step: int) -> tuple[dict[str, Tensor], Tensor]:
        """The losses of every face and prompt, and the edited drafts."""
        w_plus = self._w_plus(w)
        with torch.no_grad():
            original = self.edit_step.draw(w_plus)
        painted = None
        if self.painter is not None:
            painted = self.painter(self.generator, w_plus, original.shape[-1])
        targets = self._targets(original, painted)
        start = w_plus.repeat_interleave(len(self.settings.prompts), dim=0)
        offset = self.model(start, targets.text)
        before, after = self.generator.styles(start), self.generator.styles(start + offset)
        units = [
            (new - old) / deviation
            for new, old, deviation in zip(after, before, self._statistics.deviations, strict=True)
        ]
        image = self.edit_step.draw(after)
        losses = self.edit_step.losses(
            image,
            torch.cat(units, dim=1),
            targets,
            self.weights,
            self._views(step),
            self._seen(image, original, painted),
        )
        if painted is not None:
            losses["painted"] = painted.distance(image)
            losses["total"] = losses["total"] + self.settings.paint * losses["painted"]
        return losses, image

    def _seen(self, image: Tensor, original: Tensor, painted: Painted | None) -> Tensor:
        """The edited drafts where their prompts are about, the originals elsewhere.

        FaceCLIP takes reddened lips for green hair, as they set each other off. It has no say in
        what the prompt is not about.
        """
        prompts = len(self.settings.prompts)
        if painted is not None:
            where = painted.where
        else:
            where = nn.functional.interpolate(
                self.relevance, image.shape[-2:], mode="bilinear", align_corners=False
            ).repeat(original.shape[0], 1, 1, 1)
        return torch.lerp(original.repeat_interleave(prompts, dim=0), image, where)

    def train_step(self) -> dict[str, float]:
        """One step; its randomness depends on the seed and the step alone."""
        factor = learning_rate_factor(self.step, self.settings.steps)
        rates = (self.settings.learning_rate, self.settings.network_rate)
        for group, rate in zip(self.optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        losses, _ = self._losses(self.train.w(self._rows(self.step)), self.step)
        loss = losses["total"].mean()
        self.optimiser.zero_grad(set_to_none=True)
        if self.accelerator is None:
            loss.backward()  # type: ignore[no-untyped-call]
        else:
            self.accelerator.backward(loss)
        self.optimiser.step()
        means = torch.stack([loss.detach().mean() for loss in losses.values()])
        if self.accelerator is not None:
            means = self.accelerator.reduce(means, "mean")
        row = {"step": float(self.step), **dict(zip(losses, means.tolist(), strict=True))}
        row["lr"] = self.settings.learning_rate * factor
        self.history.append(row)
        self.step += 1
        return row

    @torch.no_grad()
    def validate(self) -> float:
        """The mean total over validation faces; leaves a grid of pictures."""
        count = min(self.settings.val_faces, len(self.val))
        totals, grid = [], []
        for row in range(count):
            w = self.val.w([row])
            losses, images = self._losses(w, 0)
            totals.append(losses["total"])
            if row < 6:
                original = self.edit_step.draw(self._w_plus(w))
                grid.append([to_pil(image) for image in torch.cat((original, images))])
        if self.rank == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            sheet = contact_sheet(grid, ["original", *self.settings.prompts], tile=160)
            save_png(sheet, self.folder / f"samples-{self.step:06d}.png", {})
        return float(torch.cat(totals).mean())

    # --- the run ------------------------------------------------------------------------------

    def run(self, progress: bool = False) -> float:
        """Train to the end or until validation has not improved for `patience` times; the best
        validation loss.

        Raises:
            StyleClipError: the folder cannot be written, or another process trains in it.
        """
        if self.rank > 0:
            return self._run(progress)
        check_writable(self.folder)
        with alone_in(self.folder):
            text = json.dumps(self.config, indent=2) + "\n"
            with replacing(self.folder / "config.json") as temporary:
                temporary.write_text(text, encoding="utf-8")
            return self._run(progress)

    def _run(self, progress: bool) -> float:
        s = self.settings
        bar = tqdm(
            total=s.steps,
            initial=self.step,
            desc="training the mapper",
            unit="step",
            disable=not progress or self.rank > 0,
        )
        with bar:
            while self.step < s.steps and not 0 < s.patience <= self.stale:
                row = self.train_step()
                bar.set_postfix(
                    {k: f"{row[k]:.3f}" for k in ("total", "clip", "id")}, refresh=False
                )
                bar.update()
                if self.step % s.val_every == 0 or self.step == s.steps:
                    self._judge(self.validate())
                if self.step % s.save_every == 0 or self.step == s.steps:
                    self.save()
        if s.steps == 0:
            self.best = self.validate()
            self._export(BEST)
            self.save()
        elif self.rank == 0:
            save_png(loss_plot(self._weighted_history()), self.folder / "loss.png", {})
        return self.best

    def _weighted_history(self) -> list[dict[str, float]]:
        """Every term of the loss as it adds to the total."""
        terms = {name: getattr(self.loss, name) for name in ("id", "l2", "preserve", "across")}
        terms["painted"] = self.settings.paint
        return [{k: v * terms.get(k, 1.0) for k, v in row.items()} for row in self.history]

    def _judge(self, total: float) -> None:
        self.history[-1]["validation"] = total
        better = total < self.best
        self.stale = 0 if better else self.stale + 1
        if better:
            self.best = total
            self._export(BEST)
        self.save()

    def _export(self, name: str) -> None:
        if self.rank > 0:
            return
        mapper = PromptMapper(self.mapper.config)
        trained = self.mapper.state_dict()
        plain = {k: v for k, v in trained.items() if not k.startswith("parametrizations.")}
        plain |= {k: getattr(self.mapper, k).detach() for k in ("directions", "basis")}
        mapper.load_state_dict(plain)
        mapper_file.save(mapper, self.folder / name, self.origin)

    def save(self) -> None:
        """Write everything that the next step depends on, atomically.

        Raises:
            StyleClipError: it cannot be written.
        """
        if self.rank > 0:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        # Before the checkpoint, which says that the steps until now need not be made again.
        self._export(LAST)
        state = {
            "config": json.dumps(self.config),
            "step": self.step,
            "stale": self.stale,
            "best": self.best,
            "mapper": self.mapper.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "history": self.history,
        }
        # Into memory first: what torch says of a full disk does not say so.
        content = io.BytesIO()
        torch.save(state, content)
        with replacing(self.folder / CHECKPOINT) as temporary:
            temporary.write_bytes(content.getbuffer())

    def resume(self) -> bool:
        """Go on from the folder's checkpoint, if there is one.

        Raises:
            StyleClipError: it is damaged, or of a run with other settings.
        """
        path = self.folder / CHECKPOINT
        if not path.exists():
            return False
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            config = state["config"]
        except Exception:  # A parser of damaged bytes may raise anything.
            raise self._damaged(path) from None
        if config != json.dumps(self.config):
            raise StyleClipError(
                f"{self.folder} holds a run with other settings: repeat its config.json, or choose "
                "another folder with --out."
            )
        try:
            self.step, self.stale = int(state["step"]), int(state["stale"])
            self.best, self.history = float(state["best"]), list(state["history"])
            self.mapper.load_state_dict(state["mapper"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError):
            raise self._damaged(path) from None
        return True

    def _damaged(self, path: Path) -> StyleClipError:
        return StyleClipError(
            f"{path} is damaged: delete it to begin again, or choose another folder with --out."
        )

"""Options that several commands take, each declared once."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from tqdm import tqdm

from styleclip_rt.errors import StyleClipError

if TYPE_CHECKING:
    from styleclip_rt.runtime.inversion import Step
    from styleclip_rt.runtime.networks import Networks
    from styleclip_rt.runtime.photographs import Photograph
    from styleclip_rt.runtime.starts import Start

Command = Callable[..., None]

TURNED = 25
"""Degrees from which a face is drawn too poorly to be moved."""


def _together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def apply(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return apply


bundle_option = click.option(
    "--bundle", "bundle_name", default="ffhq-mobile", show_default=True, help="Name or folder."
)
device_option = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, ..."
)
precision_option = click.option(
    "--precision", default="auto", show_default=True, help="auto, fp32, bf16."
)
networks_options = _together(bundle_option, device_option, precision_option)
"""Which bundle, where to run and how precisely."""

engine_options = _together(
    click.option("--engine", default="torch", show_default=True, help="See styleclip info."),
    click.option("--exports", type=click.Path(path_type=Path), help="Folder of exported files."),
)
"""What computes: torch, or exported files without it."""

loop_options = _together(
    click.option("--steps", type=int, help="Optimiser steps."),
    click.option("--lr", "learning_rate", type=float, help="Adam's peak learning rate."),
    click.option("--l2", type=float, help="Weight of the distance to the start."),
    click.option("--id", type=float, help="Weight of the identity loss."),
    click.option("--preserve", type=float, help="Weight of what the prompt is not about."),
    click.option("--lead", type=float, help="How far the start leads to the look, 0 to 2."),
    click.option("--layers", help="Layer groups that may move: coarse,middle,fine."),
    click.option("--draft", type=int, help="Resolution of the loop in px; 0 for full."),
)
"""The settings of an edit that people change."""

_start_options = _together(
    click.option("--seed", "seeds", type=int, multiple=True, help="Generated face; repeatable."),
    click.option(
        "--latent",
        type=click.Path(path_type=Path),
        help="File of latents: an edit's latent.safetensors, .npy, .npz, .pt.",
    ),
    click.option("--mean", is_flag=True, help="The mean face."),
    click.option(
        "--image",
        type=click.Path(path_type=Path),
        help="A photograph, or the folder that `styleclip invert` made of it.",
    ),
    click.option(
        "--face",
        "which",
        multiple=True,
        help="Of a photograph: largest, all, or 1 for the leftmost; repeatable.",
    ),
    click.option("--quality", help="Of its inversion: fast or best."),
    click.option(
        "--strip-metadata", is_flag=True, help="Write none of the photograph's EXIF into the edit."
    ),
    click.option(
        "--keep-rest",
        is_flag=True,
        help="Of a generated face, too, keep pixel by pixel what the prompt is not about.",
    ),
    click.option("--psi", "truncation_psi", type=float, help="Truncation of generated faces."),
)


class Faces(NamedTuple):
    """The faces that a command line names; that of seed 0, if it names none."""

    seeds: tuple[int, ...]
    latent: Path | None
    mean: bool
    image: Path | None
    which: tuple[str, ...]
    quality: str | None
    truncation_psi: float | None
    strip_metadata: bool = False
    keep_rest: bool = False

    def check(self) -> None:
        """Raises StyleClipError if they are named in more than one way."""
        given = (bool(self.seeds), self.latent is not None, self.mean, self.image is not None)
        if sum(given) > 1:
            raise StyleClipError("give only one of --seed, --latent, --mean and --image.")
        if self.image is None and (self.which or self.quality is not None):
            raise StyleClipError("--face and --quality go with --image: name a photograph.")
        if self.image is None and self.strip_metadata:
            raise StyleClipError("--strip-metadata goes with --image: name a photograph.")
        if len(self.which) > 1 and not all(name.strip().isdecimal() for name in self.which):
            raise StyleClipError(
                "say --face once with largest or all, or with a number each time: "
                f"{' '.join(self.which)!r} is neither."
            )

    @property
    def named(self) -> tuple[str, ...]:
        """The faces that --face names, each once."""
        return tuple(dict.fromkeys(name.strip() for name in self.which))

    def shares(self, count: int, what: str) -> list[list[int]] | None:
        """Which of `count` prompts or mappers are for which of the faces that `named` has, where
        each --face has one; None where all are for all.

        Raises:
            StyleClipError: there are several, but not as many as faces.
        """
        if len(self.which) < 2 or (count == 1 and len(self.named) == len(self.which)):
            return None
        if count != len(self.which):
            raise StyleClipError(
                f"give one {what} for all faces, or one for each --face in order: there are "
                f"{count} for {len(self.which)}."
            )
        names = [name.strip() for name in self.which]
        return [[i for i in range(count) if names[i] == name] for name in self.named]

    def read(self, latents: "Networks", truncation_psi: float) -> "list[Start]":
        """Where edits of them start.

        Args:
            latents: of the generator.
            truncation_psi: if the command line names none.

        Raises:
            StyleClipError: a file that holds no latents of this generator or no face, or a seed out
                of range.
        """
        starts = self._read(latents, truncation_psi)
        if self.keep_rest:
            from styleclip_rt.runtime.photographs import keep_rest

            starts = [keep_rest(start, latents.photos) for start in starts]
        return starts

    def _read(self, latents: "Networks", truncation_psi: float) -> "list[Start]":
        from styleclip_rt.runtime.starts import from_file, from_seeds, mean_face

        if self.image is not None:
            found = self.photographs(latents)
            if self.strip_metadata:
                found = [face.without_metadata() for face in found]
            elif found[0].picture.tells_where:
                click.echo(
                    "note: the photograph says where it was taken, and so will its edit; "
                    "--strip-metadata leaves that out.",
                    err=True,
                )
            return [face.start for face in found]
        if self.latent is not None:
            return from_file(latents, self.latent)
        if self.mean:
            return [mean_face(latents)]
        psi = truncation_psi if self.truncation_psi is None else self.truncation_psi
        return from_seeds(latents, list(dict.fromkeys(self.seeds)) or [0], psi)

    def photographs(self, latents: "Networks") -> "list[Photograph]":
        """The faces of the photograph, inverted under a progress bar; errors as of `read`."""
        from styleclip_rt.runtime.photographs import open_photograph

        assert self.image is not None
        # A folder holds what was inverted before.
        bar = tqdm(desc="inverting", unit="step", disable=self.image.is_dir())

        def on_step(step: int, steps: int, near: "Step") -> None:
            if step == 0:
                bar.reset(total=steps)
            bar.set_postfix(total=f"{near.total:.3f}", id=f"{near.identity:.3f}", refresh=False)
            bar.update()

        with bar:
            found = open_photograph(
                latents,
                self.image,
                self.named or "largest",
                self.quality or "fast",
                on_step=on_step,
            )
        for face in found:
            turned = abs(face.face.yaw)
            if turned > TURNED:
                click.echo(
                    f"note: the face is turned by {turned:.0f} degrees; edits that move it, "
                    "such as a smile, may come out badly.",
                    err=True,
                )
        return found


def start_options(command: Command) -> Command:
    """Which faces to edit; the command gets them as `faces`."""

    @functools.wraps(command)
    def with_faces(**options: Any) -> None:
        faces = Faces(**{name: options.pop(name) for name in Faces._fields})
        faces.check()
        command(faces=faces, **options)

    return _start_options(with_faces)

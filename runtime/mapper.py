"""Edits in milliseconds: trained mappers applied to the latents of one bundle.

Which engine computes them is chosen at the start; nothing here needs torch.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from styleclip_rt.errors import StyleClipError
from styleclip_rt.folders import exports_folder
from styleclip_rt.paint import PAINTS
from styleclip_rt.pictures import to_pil
from styleclip_rt.runtime.moves import TRUNCATION_PSI, CheckedMove, MapperEngine, Move
from styleclip_rt.runtime.networks import Networks
from styleclip_rt.runtime.painting import PAINT, on_face
from styleclip_rt.runtime.prompts import check_prompt
from styleclip_rt.runtime.results import EditedFace, EditedGroup
from styleclip_rt.runtime.starts import Start, as_float32, check_together, from_seeds, residues

if TYPE_CHECKING:
    from styleclip_rt.bundle import Bundle
    from styleclip_rt.runtime.torch_networks import TorchNetworks

__all__ = ["MapperRuntime", "Move"]

FACES_KEPT = 8
"""Drawings of faces as they were, 3 MB each at 1024 px, that a runtime remembers."""


class MapperRuntime:
    """Holds a generator and its mappers; all is loaded in the constructor.

    Calls change nothing in it, so threads may share it. Latents and images are tensors with the
    engine "torch", NumPy arrays with any other.

    Args:
        bundle: whose generator draws: a bundle, its name or folder; or its networks where they are
            to run, for the engine torch.
        mappers: names of `styleclip mapper list`, or files, by the names that moves give them.
            Without any, moves of `PAINT` to one of `styleclip_rt.paint.PAINTS` can be made.
        device: where to run.
        engine: "torch", or one that runs exported files without torch: "onnxruntime".
        exports: folder of the exported files; the bundle's in the cache.
        draft: draw the smaller images that edits are made on, for previews.

    Raises:
        StyleClipError: a mapper is unknown, unreadable, not exported, or was trained for another
            generator; or no such engine.
    """

    def __init__(
        self,
        bundle: "Bundle | TorchNetworks | str",
        mappers: Sequence[str] | Mapping[str, Path],
        device: str = "cpu",
        engine: str = "torch",
        exports: str | Path | None = None,
        draft: bool = False,
    ) -> None:
        self.engine: MapperEngine
        if not isinstance(mappers, Mapping):
            mappers = [name for name in mappers if name != PAINT]
        if engine == "torch":
            from styleclip_rt.runtime.torch_mappers import TorchMappers

            self.engine = TorchMappers(bundle, mappers, device, draft)
        else:
            from styleclip_rt.runtime.exported_mappers import ExportedMappers

            folder = exports_folder(bundle, exports)
            self.engine = ExportedMappers(folder, mappers, engine, device, draft)
        self.networks: Networks = self.engine.networks
        self.latent_shape = self.networks.latent_shape
        # A face is edited again and again, and drawn as it was each time.
        self._unedited = lru_cache(FACES_KEPT)(self._drawn)

    @classmethod
    def from_bundle(
        cls,
        mappers: Sequence[str],
        name: str = "ffhq-mobile",
        device: str = "cpu",
        engine: str = "torch",
        exports: str | Path | None = None,
        draft: bool = False,
    ) -> "MapperRuntime":
        """Load a bundle by name or folder, fetching it on first use where that is possible."""
        return cls(name, mappers, device, engine, exports, draft)

    @property
    def prompts(self) -> dict[str, tuple[str, ...]]:
        """Mapper -> the prompts that it was trained for; none where its file does not say."""
        return dict(self.engine.prompts)

    def latents(self, w_plus: Any, moves: Sequence[Move], any_prompt: bool = False) -> Any:
        """Edit latents [N, n_latent, latent_dim] by all `moves` at once.

        Every mapper looks at the given latent, and their offsets are added. Paints are in no
        latent: `edit` has them.

        Args:
            w_plus: w+ of this bundle's generator, floats of any width.
            moves: what to do; each mapper may serve several times.
            any_prompt: let mappers mix what they know for a prompt that they were not trained for.

        Returns:
            w+ of the same shape; or the styles, where a mapper in StyleSpace is among the moves.

        Raises:
            StyleClipError: another shape, values that are not finite floats, no move, an unknown
                mapper or prompt, a strength out of range.
        """
        w_plus = as_float32(w_plus)
        if w_plus.ndim != 3 or tuple(w_plus.shape[1:]) != self.latent_shape:
            rows, dim = self.latent_shape
            raise StyleClipError(
                f"the latent has shape {list(w_plus.shape)}: this generator takes "
                f"[N, {rows}, {dim}]."
            )
        moved = _of_latents(self.check(moves, any_prompt))
        return self.engine.latents(w_plus, moved) if moved else w_plus

    def check(self, moves: Sequence[Move], any_prompt: bool = False) -> list[CheckedMove]:
        """The moves as the engine takes them; raises StyleClipError as `latents` does."""
        if not moves:
            raise StyleClipError("give at least one move.")
        return [self._checked(move, any_prompt) for move in moves]

    def drafts(self) -> "MapperRuntime":
        """The same networks and mappers, drawing the smaller images that edits are made on.

        Raises:
            StyleClipError: there are none.
        """
        twin = copy.copy(self)
        twin.engine = self.engine.drafts()
        twin.networks = twin.engine.networks
        twin._unedited = lru_cache(FACES_KEPT)(twin._drawn)
        return twin

    def draw(self, latent: Any, residue: NDArray[np.float32] | None = None) -> Any:
        """w+ or styles -> images [N, 3, H, W] in [0, 1]; `starts.residues` of the faces, if they
        have any."""
        return self.engine.draw(latent, residue)

    def start(self, seeds: Sequence[int], truncation_psi: float = TRUNCATION_PSI) -> Any:
        """w+ [len(seeds), n_latent, latent_dim] of generated faces."""
        return self.w_plus(from_seeds(self.networks, seeds, truncation_psi))

    def w_plus(self, starts: Sequence[Start]) -> Any:
        """w+ [N, n_latent, latent_dim] of faces.

        Raises:
            StyleClipError: one was saved in StyleSpace.
        """
        if any(start.in_style_space for start in starts):
            raise StyleClipError(
                "a latent that was saved in StyleSpace has no w+: edit it as a start."
            )
        return self.engine.given(np.stack([start.latent for start in starts]))

    def edit(
        self, w_plus: Any, moves: Sequence[Move], any_prompt: bool = False
    ) -> list[EditedFace]:
        """Edit and draw latents; arguments and errors as for `latents`."""
        return self._faces(w_plus, moves, any_prompt, None)

    def edit_starts(
        self, starts: Sequence[Start], moves: Sequence[Move], any_prompt: bool = False
    ) -> list[EditedFace]:
        """Edit and draw faces; those of photographs come back in them. Moves and errors as for
        `latents`."""
        if not any(start.in_style_space for start in starts):
            return self._faces(self.w_plus(starts), moves, any_prompt, starts)
        where = self.relevance(moves, any_prompt)
        return [
            self.placed(self.moved(start, start.latent, moves, any_prompt), start, moves, where)
            for start in starts
        ]

    def moved(
        self,
        start: Start,
        reached: NDArray[np.float32],
        moves: Sequence[Move],
        any_prompt: bool = False,
    ) -> EditedFace:
        """Drawings of a face as it was and of what an edit reached, moved on by `moves`, without
        their paints.

        Args:
            start: the face as it was; its scene does not matter.
            reached: w+ [n_latent, latent_dim], or all styles joined [channels].

        Raises:
            StyleClipError: as for `latents`; or exported mappers are given styles.
        """
        checked = _of_latents(self.check(moves, any_prompt))
        one = np.ascontiguousarray(reached, np.float32)[None]
        edited = self.engine.given(one)
        if checked:
            styled = one.ndim == 2
            edited = (
                self.engine.latents_from(one, checked)
                if styled
                else self.engine.latents(edited, checked)
            )
        residue = self._residue(start)
        return EditedFace(
            to_pil(self.draw(edited, residue)[0]),
            self._unedited(start.latent.tobytes(), _bytes(residue)).copy(),
            self.engine.saved(edited)[0],
        )

    def placed(
        self,
        face: EditedFace,
        start: Start,
        moves: Sequence[Move],
        where: NDArray[np.float32],
    ) -> EditedFace:
        """A drawn face in the photograph that it is of, if it is, with the paints of `moves`.

        Args:
            where: [h, w] in [0, 1]: where in faces the edit has changed things.
        """
        face = face.in_scene(start, where)
        return face._replace(image=self.paint(face.image, moves, start))

    def edit_together(
        self, starts: Sequence[Start], moves: Sequence[Sequence[Move]], any_prompt: bool = False
    ) -> EditedGroup[EditedFace]:
        """Edit several faces of one photograph into one picture of it.

        Args:
            starts: of the faces, as `Photograph.start` gives them.
            moves: those of each face.

        Raises:
            StyleClipError: as for `latents`; or the faces are not of one photograph.
        """
        check_together(starts, len(moves), "list of moves")
        faces: list[EditedFace] = []
        for start, its in zip(starts, moves, strict=True):
            onto = faces[-1].image if faces else None
            faces += self.edit_starts([replace(start, onto=onto)], its, any_prompt)
        return EditedGroup(faces)

    def relevance(self, moves: Sequence[Move], any_prompt: bool = False) -> NDArray[np.float32]:
        """Where in faces the prompts of `moves` change things, [h, w] in [0, 1]; errors as for
        `latents`."""
        moved = _of_latents(self.check(moves, any_prompt))
        return self.engine.relevance(moved) if moved else np.zeros((1, 1), np.float32)

    def paint(
        self, image: Image.Image, moves: Sequence[Move], start: Start | None = None
    ) -> Image.Image:
        """A drawing with the paints of `moves` on its face; or the photograph, where the start has
        one, with them on the face that it is of.

        Raises:
            StyleClipError: a bad move, or the drawing shows no face.
        """
        names = tuple(PAINTS)
        amounts = {
            names[int(self._checked(move, False).prompt or 0)]: move.strength
            for move in moves
            if move.mapper == PAINT
        }
        return on_face(image, amounts, start, self.networks.photos) if amounts else image

    def _faces(
        self,
        w_plus: Any,
        moves: Sequence[Move],
        any_prompt: bool,
        starts: Sequence[Start] | None,
    ) -> list[EditedFace]:
        only_paints = not _of_latents(self.check(moves, any_prompt))
        edited = self.latents(w_plus, moves, any_prompt)
        saved = self.engine.saved(edited)
        given = as_float32(w_plus)
        given = given if isinstance(given, np.ndarray) else given.cpu().numpy()
        faces = []
        for i, latent in enumerate(given):
            residue = None if starts is None else self._residue(starts[i])
            before = self._unedited(latent.tobytes(), _bytes(residue))
            drawn = before
            if not only_paints:
                drawn = to_pil(self.draw(self.engine.one(edited, i), residue)[0])
            faces.append(EditedFace(drawn.copy(), before.copy(), saved[i]))
        of: Sequence[Start | None] = [None] * len(faces) if starts is None else starts
        if any(start is not None and start.scene is not None for start in of):
            where = self.relevance(moves, any_prompt)
            faces = [
                face if start is None else face.in_scene(start, where)
                for face, start in zip(faces, of, strict=True)
            ]
        return [
            face._replace(image=self.paint(face.image, moves, start))
            for face, start in zip(faces, of, strict=True)
        ]

    def _residue(self, start: Start) -> NDArray[np.float32] | None:
        """[1, C, R, R]; None for a face or an engine that has none."""
        return None if self.networks.residue_shape is None else residues([start])

    def _drawn(self, latent: bytes, residue: bytes) -> Image.Image:
        values = np.frombuffer(latent, np.float32)[None].copy()
        if values.size == math.prod(self.latent_shape):
            values = values.reshape(1, *self.latent_shape)
        added = None
        if residue:
            assert self.networks.residue_shape is not None
            shape = self.networks.residue_shape
            added = np.frombuffer(residue, np.float32).reshape(1, *shape).copy()
        return to_pil(self.draw(self.engine.given(values), added)[0])

    def _checked(self, move: Move, any_prompt: bool) -> CheckedMove:
        painted = move.mapper == PAINT
        known = {PAINT: tuple(PAINTS)} if painted else self.engine.prompts
        if move.mapper not in known:
            names = ", ".join(known) or "none is loaded"
            raise StyleClipError(f"unknown mapper {move.mapper!r}: choose from {names}.")
        least, most = (0.0, 1.0) if painted else self.engine.limits[move.mapper]
        if not least <= move.strength <= most:
            raise StyleClipError(
                f"the strength must be from {least:g} to {most:g}, but is {move.strength}."
            )
        prompts = known[move.mapper]
        if move.prompt:
            check_prompt(move.prompt)
        if not prompts:
            return CheckedMove(move.mapper, None, move.strength)
        wanted = " ".join(move.prompt.lower().split())
        if not wanted and len(prompts) == 1:
            wanted = prompts[0]
        if wanted in prompts:
            return CheckedMove(move.mapper, prompts.index(wanted), move.strength)
        if painted or not any_prompt or not wanted:
            raise StyleClipError(
                f"the mapper {move.mapper!r} was not trained for the prompt {move.prompt!r}: "
                f"choose from {', '.join(prompts)}."
            )
        return CheckedMove(move.mapper, wanted, move.strength)


def _of_latents(moves: Sequence[CheckedMove]) -> list[CheckedMove]:
    return [move for move in moves if move.mapper != PAINT]


def _bytes(residue: NDArray[np.float32] | None) -> bytes:
    return b"" if residue is None else residue.tobytes()

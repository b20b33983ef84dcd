"""How well mappers edit, beside the optimiser, by probes that know nothing of FaceCLIP.

Every edit leaves a row; a study that is run again continues where it stopped.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch
from PIL import Image
from tqdm import tqdm

from styleclip_rt.files import replacing
from styleclip_rt.markdown import table
from styleclip_rt.pictures import contact_sheet, save_png, to_pil
from styleclip_rt.probes.face import Face
from styleclip_rt.probes.judge import has_look, judge
from styleclip_rt.probes.regions import Regions
from styleclip_rt.runtime.editor import Editor
from styleclip_rt.runtime.mapper import MapperRuntime, Move
from styleclip_rt.runtime.results import folder_names
from styleclip_rt.runtime.studies.judged import (
    COLUMNS,
    JudgedEdit,
    cells,
    measured,
    same_study,
    save_csv,
)
from styleclip_rt.training.latent_dataset import LatentDataset

SHEET_FACES = 8
_PICTURE = 256


@dataclass(frozen=True, kw_only=True)
class ValidationEdit(JudgedEdit):
    """One edit of a validation face.

    Attributes:
        face: its row in the validation split.
        method: "mapper" or "optimiser".
        background: mean L*a*b* difference of the background.
        seconds: from the latent to the picture at full size.
    """

    face: int
    method: str
    background: float


class MapperStudy:
    """Edits the same validation faces with mappers and, if an editor is given, with the optimiser.

    For each prompt it takes the first faces that do not have the look already, since a probe asks
    for a rise.

    Args:
        runtime: with the mappers.
        latents: folder of the data set; its validation split is used.
        faces: for each prompt.
        out: for rows, pictures and the report.
        strength: of the mappers.
        editor: to compare with.
    """

    def __init__(
        self,
        runtime: MapperRuntime,
        latents: Path,
        faces: int,
        out: Path,
        strength: float = 1.0,
        editor: Editor | None = None,
    ) -> None:
        self.data = LatentDataset(latents, "val")
        study: dict[str, object] = {
            **runtime.engine.made_with,
            "strength": strength,
            "latents": asdict(self.data.index),
        }
        if editor is not None:
            study |= {"editor": editor.engine.made_with, "settings": asdict(editor.settings)}
        same_study(out, study)
        self.runtime, self.editor, self.out = runtime, editor, out
        self.faces, self.strength = faces, strength
        self.methods = ("mapper",) if editor is None else ("mapper", "optimiser")

    def run(self) -> list[ValidationEdit]:
        """Make what is missing; writes `edits.csv`, `summary.md` and `sheet.png`."""
        moves = self._moves()
        made: dict[Move, list[ValidationEdit]] = {move: [] for move in moves}
        enough = self.faces * len(self.methods)
        with tqdm(total=len(moves) * enough, desc="editing", unit="edit") as bar:
            for face in range(len(self.data)):
                wanted = [move for move in moves if len(made[move]) < enough]
                if not wanted:
                    break
                picture = to_pil(self.runtime.draw(self._w_plus(face))[0])
                original = Regions(Face.read(picture))
                if not original.face.detected:
                    continue
                for move in wanted:
                    if has_look(move.prompt, original):
                        continue
                    for method in self.methods:
                        made[move].append(self._row(move, face, method, original))
                        bar.update()
        rows = [row for move in moves for row in made[move]]
        save_csv(rows, ValidationEdit, self.out / "edits.csv")
        (self.out / "summary.md").write_text(summary(rows), encoding="utf-8")
        save_png(self.sheet(), self.out / "sheet.png", {})
        return rows

    def sheet(self) -> Image.Image:
        """The first validation faces, one a line, with every prompt of every mapper."""
        moves = self._moves()
        lines = []
        for face in range(min(SHEET_FACES, len(self.data))):
            w_plus = self._w_plus(face)
            latents = [w_plus, *(self.runtime.latents(w_plus, [move]) for move in moves)]
            lines.append([_small(self.runtime.draw(latent)[0]) for latent in latents])
        return contact_sheet(lines, ["original", *(move.prompt for move in moves)], tile=192)

    def _moves(self) -> list[Move]:
        return [
            Move(name, prompt, self.strength)
            for name, known in self.runtime.prompts.items()
            for prompt in known
        ]

    def _w_plus(self, face: int) -> torch.Tensor:
        return self.data.w([face])[:, None].repeat(1, self.runtime.latent_shape[0], 1)

    def _row(self, move: Move, face: int, method: str, original: Regions) -> ValidationEdit:
        (name,) = folder_names([(move.prompt, move.mapper if method == "mapper" else method)])
        folder = self.out / "edits" / name
        record = folder / f"{face}.json"
        if record.exists():
            return ValidationEdit(**json.loads(record.read_text(encoding="utf-8")))
        folder.mkdir(parents=True, exist_ok=True)
        w_plus = self._w_plus(face)
        started = time.perf_counter()
        if method == "mapper":
            edited = self.runtime.latents(w_plus, [move])
            picture = to_pil(self.runtime.draw(edited)[0])
        else:
            assert self.editor is not None
            picture = self.editor.edit(move.prompt, latent=w_plus, plain=True).image
        seconds = time.perf_counter() - started
        verdict = judge(move.prompt, original, picture)
        row = ValidationEdit(
            **measured(verdict),
            face=face,
            method=method,
            background=round(float(verdict.collateral.background), 2),
            seconds=round(seconds, 4),
        )
        small = picture.resize((_PICTURE, _PICTURE), Image.Resampling.BOX)
        save_png(small, record.with_suffix(".png"), {})
        with replacing(record) as temporary:
            temporary.write_text(json.dumps(asdict(row)), encoding="utf-8")
        return row


def summary(rows: Sequence[ValidationEdit]) -> str:
    """A Markdown table: one line a prompt and method."""
    lines = []
    for prompt, method in dict.fromkeys((row.prompt, row.method) for row in rows):
        here = [row for row in rows if (row.prompt, row.method) == (prompt, method)]
        background = f"{median(row.background for row in here):.1f}"
        seconds = f"{median(row.seconds for row in here):.2f}"
        lines.append([prompt, method, *cells(here), background, seconds])
    return table(["prompt", "method", *COLUMNS, "background", "seconds"], lines)


def _small(image: torch.Tensor) -> Image.Image:
    return to_pil(torch.nn.functional.adaptive_avg_pool2d(image, _PICTURE))

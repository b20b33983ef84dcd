"""Measured studies of edits: how often they succeed, by probes that know nothing of FaceCLIP.

Every edit leaves its pictures and a row; a study that is run again continues where it stopped, so a
long one can be split over several processes.
"""

import itertools
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from PIL import Image

from styleclip_rt.errors import StyleClipError
from styleclip_rt.files import replacing
from styleclip_rt.markdown import table
from styleclip_rt.pictures import contact_sheet, loss_plot, save_png, to_pil
from styleclip_rt.probes.face import Face
from styleclip_rt.probes.judge import judge
from styleclip_rt.runtime.editor import Editor
from styleclip_rt.runtime.results import EditResult, folder_names
from styleclip_rt.runtime.starts import from_seeds
from styleclip_rt.runtime.studies.judged import (
    COLUMNS,
    JudgedEdit,
    cells,
    measured,
    same_study,
    save_csv,
)

REPORT_PROMPTS = (
    "dark skin",
    "freckles",
    "red lipstick",
    "heavy makeup",
    "thick moustache",
    "red hair",
    "big lashes",
    "curly hair",
)
GOAL_PROMPTS = (
    "red lipstick",
    "red hair",
    "blond hair",
    "dark skin",
    "smiling",
    "old",
    "thick moustache",
)
_TILE = 192


@dataclass(frozen=True, kw_only=True)
class SeedEdit(JudgedEdit):
    """One edit of a generated face.

    Attributes:
        identity_distance: by dlib's face embedding.
        steps_to_90: steps until 90 % of the final fall of the CLIP loss.
    """

    space: str
    seed: int
    identity_distance: float
    steps_to_90: int


def steps_to_90(history: Sequence[dict[str, float]]) -> int:
    """Steps until 90 % of the final fall of the CLIP loss was reached."""
    losses = [row["clip"] for row in history]
    goal = losses[0] - 0.9 * (losses[0] - min(losses))
    return next(i for i, loss in enumerate(losses) if loss <= goal)


def seeds_without(editor: Editor, prompt: str, count: int, first: int = 0) -> list[int]:
    """The first `count` seeds from `first` on whose face does not have the prompted look already.

    A probe asks for a rise, which a face that smiles already cannot show.
    """
    chosen: list[int] = []
    seed = first
    while len(chosen) < count:
        face = _original(editor, seed)
        if not judge(prompt, face, face).already:
            chosen.append(seed)
        seed += 1
        if seed > first + 50 * count:
            raise StyleClipError(f"nearly every face has {prompt!r} already: nothing to study.")
    return chosen


_originals: dict[int, Face] = {}


def _original(editor: Editor, seed: int) -> Face:
    if seed not in _originals:
        networks = editor.engine.networks
        (start,) = from_seeds(networks, [seed], editor.settings.truncation_psi)
        _originals[seed] = Face.read(to_pil(networks.draw(start.latent[None])[0]))
    return _originals[seed]


def run_edit(editor: Editor, prompt: str, space: str, seed: int, folder: Path) -> SeedEdit:
    """Make and judge one edit, unless `folder` holds it already."""
    record = folder / "row.json"
    if record.exists():
        return SeedEdit(**json.loads(record.read_text(encoding="utf-8")))
    started = time.perf_counter()
    result = editor.edit(prompt, seed=seed, plain=True, space=space, progress=True)
    seconds = time.perf_counter() - started
    row = _judged(result, prompt, space, seed, seconds)
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in (("original", result.original), ("edited", result.image)):
        save_png(image.resize((512, 512), Image.Resampling.BOX), folder / f"{name}.png", {})
    save_png(loss_plot(result.history), folder / "loss.png", {})
    with replacing(record) as temporary:
        temporary.write_text(json.dumps(asdict(row)), encoding="utf-8")
    return row


def _judged(result: EditResult, prompt: str, space: str, seed: int, seconds: float) -> SeedEdit:
    verdict = judge(prompt, result.original, result.image)
    return SeedEdit(
        **measured(verdict),
        space=space,
        seed=seed,
        identity_distance=round(float(verdict.identity_distance), 4),
        steps_to_90=steps_to_90(result.history),
        seconds=round(seconds, 2),
    )


def run_study(
    editor: Editor,
    prompts: Sequence[str],
    spaces: Sequence[str],
    seeds: int,
    out: Path,
    fresh_faces: bool = True,
) -> list[SeedEdit]:
    """Edit `seeds` faces with every prompt in every space.

    Args:
        fresh_faces: for each prompt take only faces that lack the look; otherwise seeds 0, 1, ...

    Writes `edits.csv`, `summary.md` and `sheet-SPACE.png` (and one with loss curves) to `out`.
    """
    settings = asdict(editor.settings)
    same_study(out, {**editor.engine.made_with, "settings": settings, "fresh_faces": fresh_faces})
    rows = []
    for prompt in prompts:
        chosen = seeds_without(editor, prompt, seeds) if fresh_faces else list(range(seeds))
        for space in spaces:
            for seed in chosen:
                rows.append(
                    run_edit(editor, prompt, space, seed, _folder(out, prompt, space, seed))
                )
    write_report(rows, out)
    return rows


def _folder(out: Path, prompt: str, space: str, seed: int) -> Path:
    (name,) = folder_names([(prompt, f"{space.replace('+', 'plus')}-{seed}")])
    return out / "edits" / name


def write_report(rows: Sequence[SeedEdit], out: Path) -> None:
    """`edits.csv`, `summary.md` and the contact sheets of a study."""
    save_csv(rows, SeedEdit, out / "edits.csv")
    (out / "summary.md").write_text(summary(rows), encoding="utf-8")
    for space in _unique(row.space for row in rows):
        here = [row for row in rows if row.space == space]
        name = space.replace("+", "plus")
        save_png(_sheet(here, out, "edited"), out / f"sheet-{name}.png", {})
        save_png(_sheet(here, out, "loss"), out / f"loss-{name}.png", {})


def summary(rows: Sequence[SeedEdit]) -> str:
    """A Markdown table: one line a prompt and space."""
    lines = []
    for prompt, space in itertools.product(
        _unique(row.prompt for row in rows), _unique(row.space for row in rows)
    ):
        here = [row for row in rows if row.prompt == prompt and row.space == space]
        if here:
            steps = f"{median(row.steps_to_90 for row in here):.0f}"
            seconds = f"{median(row.seconds for row in here):.1f}"
            lines.append([prompt, space, *cells(here), steps, seconds])
    return table(["prompt", "space", *COLUMNS, "steps to 90 %", "seconds"], lines)


def _sheet(rows: Sequence[SeedEdit], out: Path, picture: str) -> Image.Image:
    """One line a prompt, one column a face: the original above what `picture` names."""
    prompts = _unique(row.prompt for row in rows)
    lines: list[list[Image.Image]] = []
    titles: list[str] = []
    for prompt in prompts:
        here = [row for row in rows if row.prompt == prompt]
        for name in ("original", picture):
            folders = [_folder(out, prompt, row.space, row.seed) for row in here]
            lines.append([Image.open(folder / f"{name}.png") for folder in folders])
            titles.append(prompt if name != "original" else "")
    return contact_sheet(lines, row_titles=titles, tile=_TILE)


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))

"""How well photographs are edited, by measures that share nothing with what was optimised.

Every picture of a folder is inverted once and edited by every prompt of the mappers that its face
lacks. Each edit leaves a row; a study that is run again continues where it stopped.
"""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from styleclip_rt import photos
from styleclip_rt.errors import StyleClipError
from styleclip_rt.files import replacing, sha256_of
from styleclip_rt.markdown import table
from styleclip_rt.photos.picture import Pixels
from styleclip_rt.pictures import contact_sheet, save_png, to_pil
from styleclip_rt.probes.face import SAME_PERSON_DISTANCE, SIZE, Face, likeness
from styleclip_rt.probes.judge import has_look, judge
from styleclip_rt.probes.regions import Regions
from styleclip_rt.runtime.inversion import QUALITIES
from styleclip_rt.runtime.mapper import MapperRuntime, Move
from styleclip_rt.runtime.photographs import Photograph, open_photograph
from styleclip_rt.runtime.results import folder_names
from styleclip_rt.runtime.starts import residues
from styleclip_rt.runtime.studies.judged import JudgedEdit, measured, same_study, save_csv

SHAPE_PROMPTS = ("smiling", "old")
"""Prompts that move a face's parts; all others change its colours."""

PLATEAU = 0.9
"""Of a mask's most: what is below it is its rim."""

_COMPARED = 256
"""Side in px at which a drawing's colours are compared with the photograph's."""
_FEWEST = 100
"""Pixels of a rim, of the square at `SIZE`, below which it has no gradient worth the name."""
_TILE = 224


@dataclass(frozen=True, kw_only=True)
class InvertedPicture:
    """One picture, and how near the drawing of its largest face comes.

    Attributes:
        skipped: why nothing of it was edited; "" where something was, and all else is None where
            nothing was.
        face: pixels across.
        yaw: degrees by which it is turned.
        judged: whether dlib finds the face too; success is not judged on a face that it does not.
        identity_distance: by dlib's embedding, photograph to drawing.
        l1: mean difference of colours in [0, 1], at 256 px.
        find_seconds: for finding and aligning the face, once more than needed.
        invert_seconds: from the file to the latent.
    """

    picture: str
    skipped: str
    width: int | None = None
    height: int | None = None
    face: int | None = None
    yaw: float | None = None
    judged: bool | None = None
    identity_distance: float | None = None
    l1: float | None = None
    find_seconds: float | None = None
    invert_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class PhotographEdit(JudgedEdit):
    """One edit of a photograph.

    Attributes:
        picture: the file's name.
        identity_distance: by dlib's embedding, from the photograph to the edited photograph, in
            which the face is found and aligned anew; infinite where none is found.
        outside: pixels that differ although the mask is 0 there.
        seam: `seam` on the mask's rim; None where the mask has none.
    """

    picture: str
    identity_distance: float
    outside: int
    seam: float | None


class PhotographStudy:
    """Edits every picture of a folder with every prompt that its face lacks, at full strength.

    Args:
        runtime: with the mappers.
        images: folder of the pictures; files of no format that Pillow knows are passed over.
        out: for rows, pictures and the report.
        quality: of the inversions.
        prompts: to take of those that the mappers have; all, if empty.

    Raises:
        StyleClipError: no picture, no such quality or prompt, or a folder that holds another study.
    """

    def __init__(
        self,
        runtime: MapperRuntime,
        images: Path,
        out: Path,
        quality: str = "fast",
        prompts: Sequence[str] = (),
    ) -> None:
        if quality not in QUALITIES:
            raise StyleClipError(
                f"unknown quality {quality!r}: choose from {', '.join(QUALITIES)}."
            )
        self.paths = _pictures(images)
        self.moves = _moves(runtime, prompts)
        same_study(out, {**runtime.engine.made_with, "quality": quality})
        self.runtime, self.out, self.quality = runtime, out, quality

    def run(self) -> tuple[list[InvertedPicture], list[PhotographEdit]]:
        """Make what is missing; writes `photographs.csv`, `edits.csv`, `summary.md` and
        `sheet.png`."""
        pictures: list[InvertedPicture] = []
        edits: list[PhotographEdit] = []
        for path in tqdm(self.paths, desc="photographs", unit="picture"):
            folder = self._folder(path)
            folder.mkdir(parents=True, exist_ok=True)
            picture = self._inverted(path, folder)
            pictures.append(picture)
            if not picture.skipped:
                edits += self._edited(path, folder, picture)
        edits.sort(key=lambda row: [move.prompt for move in self.moves].index(row.prompt))
        save_csv(pictures, InvertedPicture, self.out / "photographs.csv")
        save_csv(edits, PhotographEdit, self.out / "edits.csv")
        (self.out / "summary.md").write_text(summary(pictures, edits), encoding="utf-8")
        if edits:
            save_png(self._sheet(pictures), self.out / "sheet.png", {})
        return pictures, edits

    def _folder(self, path: Path) -> Path:
        # By its content: another picture of the same name is another one.
        (name,) = folder_names([(path.stem, sha256_of(path)[:8])])
        return self.out / "edits" / name

    def _inverted(self, path: Path, folder: Path) -> InvertedPicture:
        record = folder / "row.json"
        if record.exists():
            return InvertedPicture(**json.loads(record.read_text(encoding="utf-8")))
        try:
            picture = photos.read_picture(path)
            started = time.perf_counter()
            face = photos.choose_faces(photos.find_faces(picture))[0]
            alignment = photos.Alignment.of(face)
            alignment.crop(picture, self.runtime.networks.resolution)
            find_seconds = time.perf_counter() - started
        except StyleClipError as error:
            row = InvertedPicture(picture=path.name, skipped=str(error))
            _save_row(row, record)
            return row
        started = time.perf_counter()
        (photograph,) = open_photograph(self.runtime.networks, path, quality=self.quality)
        invert_seconds = time.perf_counter() - started
        start = photograph.start
        drawn = self.runtime.draw(self.runtime.w_plus([start]), residues([start]))[0].cpu()
        photograph.save(folder / "inverted", drawn)
        own, drawing = _aligned(picture.pixels, alignment), to_pil(drawn)
        before = Face.read(own)
        row = InvertedPicture(
            picture=path.name,
            skipped="",
            width=picture.size[0],
            height=picture.size[1],
            face=round(face.size),
            yaw=round(face.yaw, 1),
            judged=before.detected,
            identity_distance=round(likeness(before, Face.read(drawing)).distance, 4),
            l1=round(_l1(own, drawing), 4),
            find_seconds=round(find_seconds, 3),
            invert_seconds=round(invert_seconds, 2),
        )
        save_png(own, folder / "photograph.png", {})
        save_png(drawing.resize((SIZE, SIZE), Image.Resampling.BOX), folder / "drawing.png", {})
        _save_row(row, record)
        return row

    def _edited(self, path: Path, folder: Path, picture: InvertedPicture) -> list[PhotographEdit]:
        (photograph,) = open_photograph(self.runtime.networks, folder / "inverted")
        original = Regions(Face.read(_aligned(photograph.picture.pixels, photograph.alignment)))
        rows = []
        for move in self.moves:
            if not has_look(move.prompt, original):
                rows.append(self._edit(path, folder, move, photograph, original, picture))
        return rows

    def _edit(
        self,
        path: Path,
        folder: Path,
        move: Move,
        photograph: Photograph,
        original: Regions,
        picture: InvertedPicture,
    ) -> PhotographEdit:
        record = _record(folder, move)
        if record.exists():
            return PhotographEdit(**json.loads(record.read_text(encoding="utf-8")))
        _ = photograph.regions  # as a further edit finds them
        started = time.perf_counter()
        (edited,) = self.runtime.edit_starts([photograph.start], [move])
        seconds = time.perf_counter() - started
        pixels = np.asarray(edited.image)
        weight = photograph.weight(self.runtime.relevance([move]))
        differs = (pixels != photograph.picture.pixels).any(axis=-1)
        crop = _aligned(pixels, photograph.alignment)
        after = Face.read(crop)
        verdict = measured(judge(move.prompt, original, after))
        if not picture.judged:
            verdict["success"] = None
        anew = _found_anew(pixels, photograph.face)
        alike = None if anew is None else likeness(original.face, anew)
        distance = math.inf if alike is None else alike.distance
        where = photograph.alignment.crop(weight[None], SIZE)[0]
        row = PhotographEdit(
            **verdict
            | {
                "identity_cosine": round(alike.cosine, 4) if alike is not None else -1.0,
                "same_person": distance < SAME_PERSON_DISTANCE,
            },
            picture=path.name,
            identity_distance=round(distance, 4),
            outside=int(np.count_nonzero(differs & (weight == 0))),
            seam=seam(original.face.lab[..., 0], after.lab[..., 0], where),
            seconds=round(seconds, 3),
        )
        save_png(crop, record.with_suffix(".png"), {})
        _save_row(row, record)
        return row

    def _sheet(self, pictures: Sequence[InvertedPicture]) -> Image.Image:
        """One line a picture: the photograph, its drawing, and every edit."""
        lines, names = [], []
        for path, picture in zip(self.paths, pictures, strict=True):
            if not picture.skipped:
                folder = self._folder(path)
                files = [folder / "photograph.png", folder / "drawing.png"]
                files += [_record(folder, move).with_suffix(".png") for move in self.moves]
                lines.append([_opened(file) for file in files])
                names.append(path.stem)
        titles = ["photograph", "drawing", *(move.prompt for move in self.moves)]
        return contact_sheet(lines, titles, names, tile=_TILE)


def seam(
    before: NDArray[np.float32], after: NDArray[np.float32], weight: NDArray[np.float32]
) -> float | None:
    """Mean gradient of lightness on a mask's rim after an edit, in parts of that before it.

    The rim is where the mask rises from 0 to `PLATEAU` of its most. An edge that the photograph has
    there already counts in both, so 1 is no seam.

    Args:
        before, after: lightness [S, S] of the aligned face.
        weight: [S, S] in [0, 1], how much of the edit a place got.
    """
    rim = (weight > 0) & (weight < PLATEAU * weight.max())
    if np.count_nonzero(rim) < _FEWEST:
        return None
    one, other = (float(np.hypot(*np.gradient(light))[rim].mean()) for light in (before, after))
    return round(other / max(one, 1e-6), 3)


def summary(pictures: Sequence[InvertedPicture], edits: Sequence[PhotographEdit]) -> str:
    """Markdown: what was measured over all pictures, a line a prompt, and what was skipped."""
    inverted = [row for row in pictures if not row.skipped]
    skipped = "".join(f"- {row.picture}: {row.skipped}\n" for row in pictures if row.skipped)
    parts = [f"{len(inverted)} of {len(pictures)} pictures, {len(edits)} edits.\n"]
    if edits:
        prompts = list(dict.fromkeys(row.prompt for row in edits))
        per_prompt = [
            [prompt, *_cells([row for row in edits if row.prompt == prompt])] for prompt in prompts
        ]
        head = ["prompt", "edits", "success", "same person", "distance median (most)"]
        head += ["seam median", "colour elsewhere", "seconds"]
        parts += [table(["what", "measured"], _measures(inverted, edits)), table(head, per_prompt)]
    if skipped:
        parts.append(f"Skipped:\n\n{skipped}")
    return "\n".join(parts)


def _measures(
    inverted: Sequence[InvertedPicture], edits: Sequence[PhotographEdit]
) -> list[tuple[str, str]]:
    shape = [row for row in edits if row.prompt in SHAPE_PROMPTS]
    appearance = [row for row in edits if row.prompt not in SHAPE_PROMPTS]
    judged = [row.success for row in edits if row.success is not None]
    distances = [row.identity_distance for row in inverted if row.identity_distance is not None]
    away = [row.l1 for row in inverted if row.l1 is not None]
    touched = sum(row.outside > 0 for row in edits)
    return [
        ("same person after an appearance edit; distance", _persons(appearance)),
        ("same person after a shape edit; distance", _persons(shape)),
        ("success", _share(judged)),
        (
            "pixels outside the mask",
            "identical in every edit" if not touched else f"differ in {touched} edits",
        ),
        ("seam, median", _median([row.seam for row in edits if row.seam is not None])),
        (
            "reconstruction: distance, median (least to most); L1",
            f"{median(distances):.2f} ({min(distances):.2f} to {max(distances):.2f}); "
            f"{median(away):.3f}",
        ),
        ("find and align, s", _spread([row.find_seconds for row in inverted])),
        ("invert, s", _spread([row.invert_seconds for row in inverted])),
        ("each further edit, s", _spread([row.seconds for row in edits])),
    ]


def _cells(edits: Sequence[PhotographEdit]) -> tuple[str, ...]:
    distances = [row.identity_distance for row in edits]
    return (
        str(len(edits)),
        _share([row.success for row in edits if row.success is not None]),
        f"{sum(row.same_person for row in edits)}/{len(edits)}",
        f"{median(distances):.2f} ({max(distances):.2f})",
        _median([row.seam for row in edits if row.seam is not None]),
        f"{median(row.colour_elsewhere for row in edits):.1f}",
        f"{median(row.seconds for row in edits):.2f}",
    )


def _persons(edits: Sequence[PhotographEdit]) -> str:
    if not edits:
        return "none"
    distances = [row.identity_distance for row in edits]
    return (
        f"{_share([row.same_person for row in edits])}; median {median(distances):.2f}, "
        f"most {max(distances):.2f}"
    )


def _share(verdicts: Sequence[bool]) -> str:
    if not verdicts:
        return "no probe"
    return f"{sum(verdicts)}/{len(verdicts)} ({100 * sum(verdicts) / len(verdicts):.0f} %)"


def _median(values: Sequence[float]) -> str:
    return f"{median(values):.2f}" if values else "no rim"


def _spread(values: Sequence[float | None]) -> str:
    """Minimum, median and maximum."""
    known = [value for value in values if value is not None]
    return f"{min(known):.2f} / {median(known):.2f} / {max(known):.2f}"


def _pictures(folder: Path) -> list[Path]:
    known = {*Image.registered_extensions(), ".heic", ".heif"}
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() in known)
    except OSError as error:
        raise StyleClipError(
            f"cannot read {folder} ({error.strerror}): name a folder of pictures."
        ) from None
    if not found:
        raise StyleClipError(f"{folder} has no pictures: name a folder that does.")
    return found


def _moves(runtime: MapperRuntime, prompts: Sequence[str]) -> list[Move]:
    known = [
        Move(name, prompt) for name, all_of_it in runtime.prompts.items() for prompt in all_of_it
    ]
    for prompt in prompts:
        if prompt not in [move.prompt for move in known]:
            raise StyleClipError(
                f"no mapper was trained for {prompt!r}: choose from "
                f"{', '.join(move.prompt for move in known)}."
            )
    return [move for move in known if not prompts or move.prompt in prompts]


def _record(folder: Path, move: Move) -> Path:
    (name,) = folder_names([(move.prompt, move.mapper)])
    return folder / f"{name}.json"


def _save_row(row: InvertedPicture | PhotographEdit, record: Path) -> None:
    with replacing(record) as temporary:
        temporary.write_text(json.dumps(asdict(row)), encoding="utf-8")


def _opened(file: Path) -> Image.Image | None:
    return Image.open(file) if file.exists() else None


def _aligned(pixels: Pixels, alignment: photos.Alignment) -> Image.Image:
    return to_pil(alignment.crop(pixels, SIZE))


def _found_anew(pixels: Pixels, face: photos.Face) -> Face | None:
    """The face of an edited picture that lies where one lay before, if there is one."""
    try:
        faces = photos.find_faces(pixels)
    except StyleClipError:
        return None
    left, top, right, bottom = face.box
    here = [other for other in faces if other.covers((left + right) / 2, (top + bottom) / 2)]
    if not here:
        return None
    return Face.read(_aligned(pixels, photos.Alignment.of(here[0])))


def _l1(one: Image.Image, other: Image.Image) -> float:
    size = (_COMPARED, _COMPARED)
    a, b = (np.asarray(p.resize(size, Image.Resampling.BOX), np.float32) for p in (one, other))
    return float(np.abs(a - b).mean()) / 255

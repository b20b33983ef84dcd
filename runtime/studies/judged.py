"""Edits judged by the probes: a row each, and what many rows say together."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from styleclip_rt.errors import StyleClipError
from styleclip_rt.files import check_writable, replacing
from styleclip_rt.probes.judge import Judgement

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

COLUMNS = ("faces", "success", "same person", "identity cosine median (min)", "colour elsewhere")


@dataclass(frozen=True, kw_only=True)
class JudgedEdit:
    """One edit, judged.

    Attributes:
        success: by the probe of that prompt; None where no probe knows it.
        before, after: the probe's measure.
        identity_cosine, same_person: by dlib's face embedding.
        colour_elsewhere: mean L*a*b* difference outside the regions that the prompt is about.
        seconds: that the edit took, without loading and judging.
    """

    prompt: str
    success: bool | None
    before: float
    after: float
    identity_cosine: float
    same_person: bool
    colour_elsewhere: float
    seconds: float


def same_study(folder: Path, made_with: Mapping[str, object]) -> None:
    """Note in `folder` what its edits are made with, or be sure that they are made with the same: a
    study that goes on takes the rows that are there.

    Raises:
        StyleClipError: the rows are of another study, or the folder cannot be written.
    """
    path, wanted = folder / "study.json", json.loads(json.dumps(made_with))
    check_writable(folder)
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = None
    else:
        found = None if (folder / "edits").is_dir() else {}
    if not isinstance(found, dict):
        raise StyleClipError(
            f"{folder} does not say what its edits were made with: choose another folder with "
            "--out, or delete this one."
        )
    if other := [name for name in wanted if found.get(name, wanted[name]) != wanted[name]]:
        raise StyleClipError(
            f"{folder} holds edits that were made otherwise (other {', '.join(other)}): choose "
            "another folder with --out, or delete this one."
        )
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(found | wanted, indent=2) + "\n", encoding="utf-8")


def measured(verdict: Judgement) -> dict[str, Any]:
    """The fields of a `JudgedEdit` that a verdict fills, as plain numbers."""
    return {
        "prompt": verdict.prompt,
        "success": None if verdict.success is None else bool(verdict.success),
        "before": round(float(verdict.before), 3),
        "after": round(float(verdict.after), 3),
        "identity_cosine": round(float(verdict.identity_cosine), 4),
        "same_person": bool(verdict.same_person),
        "colour_elsewhere": round(float(verdict.collateral.colour), 2),
    }


def cells(edits: Sequence[JudgedEdit]) -> tuple[str, ...]:
    """COLUMNS of a Markdown table, for some edits."""
    judged = [edit.success for edit in edits if edit.success is not None]
    cosines = [edit.identity_cosine for edit in edits]
    return (
        str(len(edits)),
        f"{sum(judged)}/{len(judged)}" if judged else "no probe",
        f"{sum(edit.same_person for edit in edits)}/{len(edits)}",
        f"{median(cosines):.3f} ({min(cosines):.3f})",
        f"{median(edit.colour_elsewhere for edit in edits):.1f}",
    )


def save_csv(
    rows: "Sequence[DataclassInstance]", kind: "type[DataclassInstance]", path: Path
) -> None:
    """One line a row, one column a field of their `kind`."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(kind)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)

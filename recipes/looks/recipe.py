"""`python -m recipes looks`: directions of looks, and the table of what they are called.

Faces are drawn as drafts. For each, the gradients of its measures with respect to the styles are
taken once and kept; every look is then solved for in a second (`directions`).
"""

import json
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from recipes import options
from recipes.inputs import label_models
from recipes.labels.regions import to_oklab
from recipes.looks.directions import Gradients, Solver
from recipes.looks.measures import Frame, Measurer
from recipes.looks.table import PAINTED, TRAINED, WANTED
from recipes.report import Report
from styleclip_rt.bundle import Bundle, load_bundle
from styleclip_rt.checkpoints import mapper_file
from styleclip_rt.files import replacing
from styleclip_rt.models.generator import fingerprint, style_channels, to_w_plus
from styleclip_rt.models.looks import StyleDirections, StyleDirectionsConfig
from styleclip_rt.training.style_units import StyleStatistics

TRUNCATION = 0.75
COLOURS, EXPRESSIONS, LIKENESSES = 14, 2, 2
"""How many of each kind of measure are taken of one face: all, over the faces, often enough."""
REGION = 32
RIDGE = 1e-2
# What is held although no look raises it: random sums of pixels and of what identity networks say,
# so that the squared change is that of all of them (Hutchinson 1989). Their spreads are what is
# seen: some 0.03 of Oklab everywhere.
SKETCHES = {"pix_background": 0.5, "pix_hair": 1.0, "pix_skin": 1.0, "edges": 1.0}
IDENTITIES = ("id0", "id1", "id2")
_LIKE = ("beard", "makeup", "lashes", "hair_curly", "hair_long", "bald")
_FELT = ("angry", "fear", "sad", "surprise", "happy")
_UNUSED = {"nose_depth", "roll", "brows_l", "cheeks_l", "cheeks_a", "cheeks_b", "under_eyes_l"}
_UNUSED |= {f"{name}_{axis}" for name in ("moustache", "beard", "lashes") for axis in "lab"}
_UNUSED |= {"under_eyes_a", "under_eyes_b"}


@click.command("looks")
@options.out("looks")
@click.option("--faces", type=click.IntRange(2), default=70, show_default=True)
def recipe(out: Path, faces: int) -> None:
    """Solve for the direction of every look (fetches label models by npm once).

    Gradients that were taken are kept in --out, and another call goes on from there.
    """
    report = Report()
    bundle = load_bundle()
    measurer = Measurer(bundle, label_models())
    deviations = torch.cat(StyleStatistics.of(bundle.generator).deviations)
    gradients = take_gradients(bundle, measurer, deviations, faces, out)
    moves = solve(bundle, gradients, deviations)
    path = out / "looks.safetensors"
    origin = mapper_file.Origin(bundle.name, fingerprint(bundle.generator))
    mapper_file.save(moves.half(), path, origin)
    table = out / "looks.json"
    with replacing(table) as temporary:
        temporary.write_text(json.dumps(rows(), indent=1) + "\n", encoding="utf-8")
    report.made(
        path,
        source=f"gradients of {faces} random faces of ffhq-mobile, drawn as drafts",
        figures={"directions": len(moves.prompts), "gradients": len(gradients.names)},
    )


def rows() -> list[dict[str, object]]:
    """The table, ready for JSON."""
    found: list[dict[str, object]] = []
    for mapper, prompts in TRAINED.items():
        for name, says in prompts.items():
            look = {"name": name, "says": says, "mapper": mapper, "least": 0, "most": 1.5}
            found.append(look)
    for name, wanted in WANTED.items():
        kept = [each for each in ("age", "male", "clip_glasses") if each not in wanted.raises]
        other = {"prompt": name} if wanted.name else {}
        found.append(
            {
                "name": wanted.name or name,
                **other,
                "says": wanted.says,
                "less": wanted.less,
                "measure": " ".join(wanted.raises),
                "keeps": kept,
                "least": wanted.least,
                "most": 1.0,
            }
        )
    for name, says in PAINTED.items():
        found.append({"name": name, "says": says, "mapper": "paint", "least": 0, "most": 1})
    return found


def take_gradients(
    bundle: Bundle, measurer: Measurer, deviations: Tensor, faces: int, folder: Path
) -> Gradients:
    """Gradients of the measures of random faces; one file a face stays in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = bundle.generator
    random = torch.Generator().manual_seed(1800)
    z = torch.randn(2000, generator.latent_dim, generator=random)[:faces]
    with torch.no_grad():
        styles = generator.styles(to_w_plus(generator, generator.mapping(z, TRUNCATION)))
    names: list[str] = []
    parts, values = [], []
    for face in tqdm(range(faces), desc="taking gradients", unit="face"):
        path = folder / f"{face:04d}.npz"
        if not path.exists():
            mine = [style[face : face + 1].clone().requires_grad_() for style in styles]
            taken = _of_face(bundle, measurer, deviations, mine, face)
            with replacing(path) as temporary, temporary.open("wb") as file:
                np.savez(file, **taken)  # type: ignore[arg-type]
        with np.load(path) as kept:
            names += kept["names"].tolist()
            parts.append(torch.from_numpy(kept["rows"]))
            values.append(torch.from_numpy(kept["values"]))
    return Gradients(tuple(names), torch.cat(parts).float(), torch.cat(values).float())


def _of_face(
    bundle: Bundle, measurer: Measurer, deviations: Tensor, styles: list[Tensor], face: int
) -> dict[str, np.ndarray]:
    small, large = (bundle.generator.synthesis(styles, size) * 0.5 + 0.5 for size in (128, 256))
    names, rows, values = [], [], []
    # Shapes are drawn by layers that the smaller draft has too, at half the cost.
    for drawn, measure in ((small, _small_measures), (large, _large_measures)):
        image = drawn.detach().requires_grad_()
        frame = measurer.frame(large.detach())
        for name, value in measure(measurer, image, frame, face).items():
            (seen,) = torch.autograd.grad(value, image, retain_graph=True)
            moved = torch.autograd.grad(drawn, styles, seen, retain_graph=True, allow_unused=True)
            whole = [
                torch.zeros_like(s) if m is None else m for m, s in zip(moved, styles, strict=True)
            ]
            names.append(name)
            rows.append(torch.cat(whole, dim=1)[0] * deviations)
            values.append(value.detach())
    return {
        "names": np.array(names),
        "rows": torch.stack(rows).numpy(),
        "values": torch.stack(values).numpy(),
    }


def _small_measures(
    measurer: Measurer, image: Tensor, frame: Frame, face: int
) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(face)
    found = measurer.shape(image, frame)
    lab = F.avg_pool2d(to_oklab(image), 4)
    masks = {"background": 1 - frame.person, "hair": frame.masks["hair"]}
    for name, mask in (masks | {"skin": frame.masks["skin"]}).items():
        signs = torch.randn(lab.shape, generator=random)
        found[f"pix_{name}"] = (lab * F.avg_pool2d(mask[None, None], 8) * signs).sum()
    light = F.avg_pool2d(to_oklab(image)[:, :1], 2)
    steps = light.diff(dim=3), light.diff(dim=2)
    signed = [(step * torch.randn(step.shape, generator=random)).sum() for step in steps]
    found["edges"] = signed[0] + signed[1]
    return {name: value for name, value in found.items() if name not in _UNUSED}


def _large_measures(
    measurer: Measurer, image: Tensor, frame: Frame, face: int
) -> dict[str, Tensor]:
    random, signs = np.random.default_rng(face), torch.Generator().manual_seed(face)
    colours = measurer.colours(image, frame)
    likeness, seen = measurer.likeness(image, frame), measurer.seen(image)

    def some(names: list[str], count: int) -> list[str]:
        return [names[i] for i in random.choice(len(names), count, replace=False)]

    found = {name: colours[name] for name in some(sorted(colours.keys() - _UNUSED), COLOURS)}
    felt = some([f"emotion_{name}" for name in _FELT], EXPRESSIONS)
    found |= {name: likeness[name] for name in (*felt, "age", "male")}
    like = some([f"clip_{name}" for name in _LIKE], LIKENESSES)
    found |= {name: seen[name] for name in ("clip_glasses", *like)}
    for name in IDENTITIES:
        found[name] = seen["identity"] @ torch.randn(len(seen["identity"]), generator=signs)
    descriptor = likeness["descriptor"]
    found["desc0"] = descriptor @ torch.randn(len(descriptor), generator=signs)
    return found


def solve(bundle: Bundle, gradients: Gradients, deviations: Tensor) -> StyleDirections:
    """The direction and region of every look."""
    generator = bundle.generator
    spread = {name: SKETCHES.get(name) or gradients.spread(name) for name in set(gradients.names)}
    # Half of what strangers differ by is as much as an edit may.
    strangers = sum(spread[name] for name in IDENTITIES) / len(IDENTITIES)
    spread |= dict.fromkeys(IDENTITIES, strangers / 2)
    axes = StyleStatistics.of(generator).axes
    with torch.no_grad():
        origin = torch.cat(generator.styles(to_w_plus(generator, torch.zeros_like(axes[:1]))), 1)
        along = torch.cat(generator.styles(to_w_plus(generator, axes)), 1) - origin
    natural = (along / deviations).T.contiguous()
    solvers: dict[float, Solver] = {}
    config = StyleDirectionsConfig(style_channels(generator), tuple(WANTED), REGION)
    moves = StyleDirections(config)
    for i, wanted in enumerate(WANTED.values()):
        if wanted.natural not in solvers:
            solvers[wanted.natural] = Solver(gradients, spread, natural, wanted.natural, RIDGE)
        solver = solvers[wanted.natural]
        direction = solver.solve(wanted.raises, wanted.free, wanted.hold) * wanted.amount
        moves.directions[i] = direction * deviations
        moves.regions[i] = region_of(bundle, moves, i)
    return moves


@torch.no_grad()
def region_of(bundle: Bundle, moves: StyleDirections, look: int) -> Tensor:
    """Where a look changes faces, [REGION, REGION] in [0, 1]: the mean of three."""
    generator = bundle.generator
    random = torch.Generator().manual_seed(500)
    z = torch.randn(3, generator.latent_dim, generator=random)
    styles = generator.styles(to_w_plus(generator, generator.mapping(z, TRUNCATION)))
    moved = [s + m for s, m in zip(styles, moves(moves.texts[look : look + 1]), strict=True)]
    before, after = (
        F.avg_pool2d(to_oklab(generator.synthesis(each, 256) * 0.5 + 0.5), 256 // REGION)
        for each in (styles, moved)
    )
    change = (after - before).norm(dim=1).mean(0)[None, None]
    smooth = F.avg_pool2d(F.pad(change, (1, 1, 1, 1), mode="replicate"), 3, 1)[0, 0]
    least, most = 0.15 * smooth.max(), 0.6 * smooth.max()
    return ((smooth - least) / most).clamp(0, 1)

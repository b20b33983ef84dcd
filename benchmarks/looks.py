"""Every look, each way, on faces that no look was fitted to, judged by the independent probes.

`python -m benchmarks.looks --seeds 4 [LOOK...]` (extra: probes) prints a table, of all looks if
none is named: how many are the same person to dlib, the median distance (strangers have 0.76), the
colour elsewhere where a probe knows the look, and how often that probe says that it is there, of
the faces that lacked it.
"""

from statistics import median

import click
import numpy as np

from styleclip_rt.looks import looks
from styleclip_rt.markdown import line
from styleclip_rt.pictures import to_pil
from styleclip_rt.probes.face import Face
from styleclip_rt.probes.judge import Judgement, canonical, judge
from styleclip_rt.probes.regions import Regions
from styleclip_rt.runtime.looks import mappers_for
from styleclip_rt.runtime.mapper import MapperRuntime
from styleclip_rt.runtime.moves import Move

FIRST = 9000


def judged(runtime: MapperRuntime, originals: dict[int, Regions], move: Move, name: str) -> str:
    """One row of the table."""
    found: list[Judgement] = []
    for seed, original in originals.items():
        (face,) = runtime.edit(runtime.start([seed]), [move])
        found.append(judge(name, original, np.asarray(face.image)))
    lacked = [each for each in found if not each.already]
    known = canonical(name) is not None
    right = sum(bool(each.success) for each in lacked)
    return line(
        (
            name,
            f"{sum(each.same_person for each in found)}/{len(found)}",
            f"{median(each.identity_distance for each in found):.2f}",
            f"{median(each.collateral.colour for each in found):.1f}" if known else "",
            f"{right}/{len(lacked)}" if known else "",
        )
    )


@click.command()
@click.argument("names", nargs=-1, metavar="LOOK...")
@click.option("--seeds", type=int, default=4, show_default=True, help="How many faces.")
@click.option("--first", type=int, default=FIRST, show_default=True, help="Seed of the first.")
def main(names: tuple[str, ...], seeds: int, first: int) -> None:
    """Print the table, of all looks if none is named."""
    chosen = [look for look in looks() if not names or look.name in names]
    runtime = MapperRuntime.from_bundle(
        mappers_for([Move(look.mapper, look.prompt) for look in looks()])
    )
    originals = {
        seed: Regions(Face.read(np.asarray(to_pil(runtime.draw(runtime.start([seed]))[0]))))
        for seed in range(first, first + seeds)
    }
    click.echo(line(("look", "same person", "dlib distance", "colour elsewhere", "success")))
    click.echo(line(["---"] * 5))
    for look in chosen:
        ends = [(look.name, 1.0)] + ([(look.less[0], -1.0)] if look.less else [])
        for name, strength in ends:
            move = Move(look.mapper, look.prompt, strength)
            click.echo(judged(runtime, originals, move, name))


if __name__ == "__main__":
    main()

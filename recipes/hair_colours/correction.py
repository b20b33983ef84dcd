"""What a fitted hair colour still lacks, read off every face.

What every style channel does to a face takes twenty gradients. A fit by them (`fit`) sees
too few faces to learn all that w tells of the hair, and its edits miss the colour by what it does
not know. How far they miss is seen in one drawing: from thousands of faces a small network learns
to read it off w, and moves that are the same for all faces add it.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from recipes.hair_colours.edits import HAIR, HairEdits, HairFaces
from recipes.hair_colours.fit import ridge
from styleclip_rt.errors import StyleClipError
from styleclip_rt.models.mapper import LEAK, PromptMapper

UNITS = 64
WIDTH, RIDGE = 2.0, 0.03
"""Of the kernel: its squared radius relative to the mean squared length of w, and its ridge."""
STEPS, BATCH, RATE, DECAY = 4000, 256, 2e-3, 1e-2
_LEAST_RESPONSE = 0.01


class MapperCorrection:
    """Corrects hair colours of a mapper, on the device of the generator.

    Args:
        data: the faces.
        mapper: what is to be corrected.
        prompts: hair colours that it has.

    Raises:
        StyleClipError: a prompt is no hair colour, or the mapper does not have it.
    """

    def __init__(self, data: HairFaces, mapper: PromptMapper, prompts: Sequence[str]) -> None:
        if unknown := [prompt for prompt in prompts if prompt not in mapper.config.prompts]:
            raise StyleClipError(f"the mapper does not have the prompt {unknown[0]!r}.")
        self.edits = HairEdits(data, mapper, prompts)

    def run(self, faces: int, drawn: int) -> PromptMapper:
        """The corrected mapper, on the CPU: its moves from gradients of `faces` faces, its reader
        from `drawn` more."""
        edits, found = self.edits, []
        with tqdm(
            total=len(edits.prompts) * (faces + drawn), desc="correcting", unit="face"
        ) as bar:
            for i in range(len(edits.prompts)):
                rows = iter(range(len(edits.latents)))
                moves = edits.lifted(self._moves(i, rows, faces, bar.update)).cpu()
                found.append((moves, self._reader(i, rows, drawn, bar.update)))
        mapper = edits.mapper.cpu()
        for prompt, (moves, read) in zip(edits.prompts, found, strict=True):
            mapper = mapper.correcting(prompt, moves, read)
        return mapper

    def _moves(
        self, prompt: int, rows: Iterator[int], count: int, joins: Callable[[int], object]
    ) -> Tensor:
        """Moves [3, units] that change each channel of the hair's colour by 1, as a mean of all
        faces, and nothing else."""
        found = []
        for few in self.edits.faces(prompt, rows, count):
            found.append(self.edits.effects(few, self.edits.still(few)))
            joins(len(few.w))
        if not found:
            raise StyleClipError("no face of the data set has hair to correct this colour of.")
        effects = torch.cat(found)
        unseen = effects.new_zeros(len(effects), 1)
        channels = torch.eye(effects.shape[1], device=effects.device)[HAIR]
        moves = [ridge(effects, one.expand(len(effects), -1), unseen)[0] for one in channels]
        return normalised(torch.stack(moves), effects[:, HAIR].mean(dim=0))

    def _reader(
        self, prompt: int, rows: Iterator[int], count: int, joins: Callable[[int], object]
    ) -> nn.Sequential:
        """Reads off w what the hair lacks in each channel."""
        lacks, latents = [], []
        for few in self.edits.faces(prompt, rows, count):
            lacks.append(-self.edits.measured(few, self.edits.still(few))[:, HAIR].cpu())
            latents.append(few.w.cpu())
            joins(len(few.w))
        if not lacks:
            raise StyleClipError("the data set has no faces left to read the hair's colour off.")
        middle = self.edits.mapper.face_mean.cpu()
        every = self.edits.latents.w(range(len(self.edits.latents)))
        return reader(torch.cat(latents) - middle, torch.cat(lacks), every - middle)


def normalised(moves: Tensor, effects: Tensor) -> Tensor:
    """Moves [M, units] mixed so that each has effect 1 on its own measure and none on the others,
    and no move where nothing has an effect; effects: of every unit on the measures [M, units]."""
    response = (moves @ effects.T).double()
    mixed: Tensor = torch.linalg.pinv(response, rtol=_LEAST_RESPONSE) @ moves.double()
    return mixed.to(moves.dtype)


def reader(seen: Tensor, told: Tensor, every: Tensor) -> nn.Sequential:
    """A small network that reads off w what is told of some faces.

    Kernel ridge regression needs all of these faces to say it of another; the network is taught to
    say the same of many faces of which nothing is told, which keeps it from learning the few by
    heart.

    Args:
        seen: w of N faces less its mean [N, latent_dim].
        told: of them [N, M].
        every: like `seen`, of other faces [P, latent_dim].
    """
    x, y = seen.double(), told.double()
    mean = y.mean(dim=0)
    size = x.square().sum(dim=1).mean()

    def alike(a: Tensor) -> Tensor:
        return torch.exp(-torch.cdist(a, x).square() / (2 * WIDTH * size))

    kernel = alike(x)
    kernel.diagonal().add_(RIDGE)
    weights = torch.cholesky_solve(y - mean, torch.linalg.cholesky(kernel))
    says = torch.cat([alike(few.double()) @ weights for few in torch.split(every, BATCH)]).float()
    deviation = says.std(dim=0).clamp_min(1e-6)
    scale = (seen.shape[1] / size.float()).sqrt()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Linear(seen.shape[1], UNITS), nn.LeakyReLU(LEAK), nn.Linear(UNITS, told.shape[1])
        )
        optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
        cooling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, STEPS)
        for _ in range(STEPS):
            few = torch.randint(len(every), (BATCH,))
            loss = F.mse_loss(network(every[few] * scale), says[few] / deviation)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            cooling.step()
    first, last = network[0], network[2]
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        first.weight *= scale
        last.weight *= deviation[:, None]
        last.bias.mul_(deviation).add_(mean)
    return network

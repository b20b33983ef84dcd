"""What was measured of looks: where in a face each lies, and which way in latent space."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from styleclip_rt.errors import StyleClipError
from styleclip_rt.models.moves import Latent

SHARPNESS = 20.0
LONGEST_MOVE = 5.0


def phrase_shares(prompts: Tensor, phrases: Tensor) -> Tensor:
    """How much of each prompt each reference phrase says: unit embeddings [N, D] and [P, D], of any
    CLIP -> [N, P], rows of sum 1."""
    return torch.softmax(SHARPNESS * prompts @ phrases.T, dim=1)


class RegionPrior(nn.Module):
    """Where in an aligned face a prompt may change things.

    Faces are aligned, so lips, hair and skin lie nearly always in the same places. For each of some
    reference phrases there is a map of where that look changes a face; a prompt gets the maps of
    the phrases that its embedding is near to.
    """

    def __init__(self, phrases: Sequence[str], maps: Tensor) -> None:
        """maps [len(phrases), h, w] in [0, 1]."""
        super().__init__()
        self.phrases = list(phrases)
        self.maps = nn.Buffer(maps)

    def relevance(self, prompts: Tensor, phrases: Tensor) -> Tensor:
        """Unit embeddings of prompts [N, D] and of the phrases [P, D], in any CLIP's space ->
        [N, 1, h, w] in [0, 1], 1 where the prompt is most likely to change something."""
        share = phrase_shares(prompts, phrases)
        mixed = torch.einsum("np,phw->nhw", share, self.maps)[:, None]
        return (mixed / mixed.amax(dim=(2, 3), keepdim=True).clamp_min(1e-6)).clamp(0, 1)


class LookDirections(nn.Module):
    """For each of some reference phrases a reading of the latent and the move that raises it.

    The latents of faces that have a look and of those that lack it are nearly split by a plane
    (InterFaceGAN, Shen et al. 2020; StyleCLIP's global directions rest on the same fact). An edit
    that starts beyond that plane has a natural face of that kind to refine; one that starts at the
    face itself may find a pattern that only CLIP takes for the look.

    All is in *unfolded* latents p (`latents.unfold`) relative to the generator's mean, so it does
    not depend on a choice of principal axes.

    Args:
        phrases: P texts.
        readers, bias: [P, latent_dim] and [P]; ``p @ reader + bias`` is about 1 for faces that
            have the look and -1 for those that lack it; zero for a phrase without a direction.
        moves: [P, latent_dim], the move that raises the reading most for its length, one standard
            deviation of the generator's latents long; zero for a phrase without a direction.
    """

    def __init__(
        self, phrases: Sequence[str], readers: Tensor, bias: Tensor, moves: Tensor
    ) -> None:
        super().__init__()
        self.phrases = list(phrases)
        self.readers, self.bias, self.moves = nn.Buffer(readers), nn.Buffer(bias), nn.Buffer(moves)

    def lead(
        self,
        prompts: Tensor,
        phrases: Tensor,
        p: Tensor,
        reading: float,
        hold: Sequence[str] = (),
    ) -> Tensor:
        """The move of p [N, latent_dim] after which the prompts read as `reading`.

        Args:
            prompts, phrases: unit embeddings [N, D] and [P, D] of the prompts and of `phrases`; a
                prompt near no phrase that has a direction moves nothing.
            p: unfolded latents relative to the mean, [N, latent_dim].
            reading: 1 is a face that has the look, -1 one that lacks it.
            hold: phrases whose readings the move leaves as they are, such as glasses, which the
                generator's old faces wear (InterFaceGAN's conditional manipulation).

        Returns:
            [N, latent_dim], at most LONGEST_MOVE standard deviations long; zero where the face
            reads so already.

        Raises:
            StyleClipError: no direction is known for a phrase that is to be held.
        """
        share = phrase_shares(prompts, phrases)
        known = (self.moves.square().sum(dim=1) > 0).to(share)
        reader, move = share @ self.readers, share @ self.moves
        if hold:
            held = self._held(hold)
            readers, moves = self.readers[held], self.moves[held]
            move = move - torch.linalg.solve(readers @ moves.T, readers @ move.T).T @ moves
        missing = reading * (share @ known) - share @ self.bias - (p * reader).sum(dim=1)
        slope = (reader * move).sum(dim=1)
        steps = (missing / slope.clamp_min(1e-6)).clamp(0.0, LONGEST_MOVE)
        return torch.where(slope > 1e-3, steps, 0.0)[:, None] * move

    def _held(self, hold: Sequence[str]) -> list[int]:
        known = [p for p, move in zip(self.phrases, self.moves, strict=True) if move.any()]
        if unknown := [phrase for phrase in hold if phrase not in known]:
            raise StyleClipError(
                f"no direction is known for {unknown[0]!r}: hold some of {', '.join(known)}."
            )
        return [self.phrases.index(phrase) for phrase in hold]


@dataclass(frozen=True)
class StyleDirectionsConfig:
    """Shape of `StyleDirections`.

    Attributes:
        channels: of every style of the generator, in order.
        prompts: the looks, in order.
        region: width and height of the map of where a look changes a face.
    """

    channels: tuple[int, ...]
    prompts: tuple[str, ...]
    region: int = 32

    def __post_init__(self) -> None:
        if not self.channels or min(self.channels) < 1 or max(self.channels) > 1 << 16:
            raise ValueError("every style has 1 to 65536 channels")
        if not self.prompts or not all(self.prompts) or len(set(self.prompts)) < len(self.prompts):
            raise ValueError("looks have names, and no two the same")
        if not 1 <= self.region <= 1024 or len(self.channels) > 1024 or len(self.prompts) > 4096:
            raise ValueError("there are too many styles or looks, or their maps are too large")


class StyleDirections(nn.Module):
    """For each of some looks one direction in StyleSpace, the same for every face (Wu et al. 2021).

    A `styleclip_rt.models.moves.LatentMove` whose texts are the rows of the unit matrix, so that
    a sum of them is that of several looks.

    Buffers:
        directions: [looks, all channels], what strength 1 adds.
        regions: [looks, region, region] in [0, 1].
    """

    space = "s"
    limits = (-1.5, 1.5)

    def __init__(self, config: StyleDirectionsConfig) -> None:
        super().__init__()
        self.config = config
        self.shape = config.channels
        self.prompts = config.prompts
        count = len(config.prompts)
        self.directions = nn.Buffer(torch.zeros(count, sum(config.channels)))
        self.regions = nn.Buffer(torch.zeros(count, config.region, config.region))
        self.texts = nn.Buffer(torch.eye(count), persistent=False)

    def forward(self, share: Tensor) -> list[Tensor]:
        """How much of each look, [N, looks] -> what is added to every style."""
        return list(torch.split(share @ self.directions, list(self.shape), dim=1))

    def offset(self, latent: Latent, text: Tensor | None) -> list[Tensor]:
        """See `LatentMove`."""
        assert text is not None
        offsets: list[Tensor] = self(text)
        return offsets

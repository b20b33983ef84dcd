"""StyleCLIP's editing step on this package's models: what `textbook.TextbookStep` is against."""

import torch
from torch import Tensor

from styleclip_rt.models.arcface import ArcFace
from styleclip_rt.models.clip import CLIP
from styleclip_rt.models.stylegan2 import StyleGAN2


class EditingStep:
    """Generator, CLIP, identity, l2 and Adam, with all that is constant computed once.

    ``bf16`` runs the generator as the editor does; the losses stay in float32.
    """

    def __init__(
        self,
        generator: StyleGAN2,
        clip: CLIP,
        identity: ArcFace,
        tokens: Tensor,
        start: Tensor,
        bf16: bool = False,
        l2: float = 0.008,
        id: float = 0.005,
        learning_rate: float = 0.1,
    ) -> None:
        """tokens: [1, T], the prompt; start: w+ [N, L, D]."""
        self.generator, self.clip, self.identity = generator, clip, identity
        self.start, self.bf16, self.l2, self.id = start, bf16, l2, id
        self.latent = start.clone().requires_grad_()
        self.optimiser = torch.optim.Adam([self.latent], lr=learning_rate)
        with torch.no_grad():
            self.text = clip.encode_text(tokens)
            self.original = identity.encode(self._draw(start))

    def _draw(self, latent: Tensor) -> Tensor:
        with torch.autocast(latent.device.type, torch.bfloat16, enabled=self.bf16):
            image = self.generator.synthesis(latent)
        return image.float() * 0.5 + 0.5 if self.bf16 else image * 0.5 + 0.5

    def loss(self) -> Tensor:
        """The total over the batch, a scalar."""
        image = self._draw(self.latent)
        same = (self.identity.encode(image) * self.original).sum(1)
        l2 = (self.latent - self.start).square().sum()
        seen = self.clip.encode_image(image) @ self.text.T
        return (1 - seen).sum() + self.id * (1 - same).sum() + self.l2 * l2

    def step(self) -> None:
        """Forward, backward, Adam."""
        loss = self.loss()
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()

"""The linear layer of the networks that judge an image."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from styleclip_rt import ops


class Linear(nn.Linear):
    """`torch.nn.Linear` by `ops.linear`, which is faster with frozen weights in bfloat16."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.linear(x, self.weight, self.bias)


def unit_vectors(embeddings: Tensor) -> Tensor:
    """[N, D] -> the same of length 1, in float32 at least: half precision would round their length,
    and losses are differences of such vectors."""
    wide = torch.promote_types(embeddings.dtype, torch.float32)
    return F.normalize(embeddings.to(wide), dim=1)

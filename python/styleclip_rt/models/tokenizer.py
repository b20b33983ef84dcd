"""CLIP's text tokenizer: byte-level BPE on lower-cased text (Radford et al. 2021, section 2.4).

The merges are OpenAI's `bpe_simple_vocab_16e6.txt.gz` (MIT licence); of its 262,144 the first
48,894 are in use, which with 512 byte symbols and two marks gives the ids 0 to 49407.
"""

import gzip
import html
from collections.abc import Collection, Mapping
from functools import cache, lru_cache
from heapq import heapify, heappop, heappush
from importlib import resources
from itertools import count, islice, pairwise
from typing import TYPE_CHECKING

import ftfy
import regex

from styleclip_rt.errors import StyleClipError

if TYPE_CHECKING:
    from torch import Tensor

START_OF_TEXT = 49406
END_OF_TEXT = 49407
CONTEXT_LENGTH = 77

_MERGES = 48894
_START_MARK, _END_MARK = "<|startoftext|>", "<|endoftext|>"
_WORD_END = "</w>"

_WORD = regex.compile(
    "|".join(
        [
            regex.escape(_START_MARK),
            regex.escape(_END_MARK),
            "'(?:s|t|re|ve|m|ll|d)",
            r"\p{L}+",
            r"\p{N}",
            r"[^\s\p{L}\p{N}]+",
        ]
    ),
    regex.IGNORECASE,
)


def tokenize(
    texts: list[str], context_length: int = CONTEXT_LENGTH, truncate: bool = True
) -> "Tensor":
    """Texts -> tokens [N, context_length] int64: start mark, words, end mark, zeros.

    A longer text is cut and keeps its end mark; with `truncate=False` it is an error instead.

    Raises StyleClipError if a text is empty or, with `truncate=False`, too long.
    """
    import torch

    rows = token_rows(texts, context_length, truncate)
    return torch.tensor(rows, dtype=torch.int64).view(len(texts), context_length)


def token_rows(
    texts: list[str], context_length: int = CONTEXT_LENGTH, truncate: bool = True
) -> list[list[int]]:
    """`tokenize` without torch: one list of `context_length` ids a text."""
    rows = []
    for text in texts:
        ids = encode(text)
        if not ids:
            raise StyleClipError(f"The text {text!r} is empty; say in words what to show.")
        room = context_length - 2
        if len(ids) > room and not truncate:
            raise StyleClipError(
                f"The text starting {text[:40]!r} has {len(ids)} tokens and CLIP reads {room}; "
                "shorten it."
            )
        ids = [START_OF_TEXT, *ids[:room], END_OF_TEXT]
        rows.append(ids + [0] * (context_length - len(ids)))
    return rows


def encode(text: str) -> list[int]:
    """The ids of `text`, without start and end marks and of any length."""
    return [token for _, ids in words(text) for token in ids]


def words(text: str) -> list[tuple[str, tuple[int, ...]]]:
    """The words and signs of `text` as CLIP reads it, and the ids of each."""
    return [(word, _encode_word(word)) for word in _WORD.findall(clean(text))]


def part_read(text: str, context_length: int = CONTEXT_LENGTH) -> str:
    """The words of `text` that `tokenize` does not cut off, joined by spaces."""
    read, room = [], context_length - 2
    for word, ids in words(text):
        room -= len(ids)
        if room < 0:
            break
        read.append(word)
    return " ".join(read)


def share_known(text: str, known: Collection[int], context_length: int = CONTEXT_LENGTH) -> float:
    """Of the words of `text` that are read, the share whose ids are all among `known`; signs do not
    count."""
    read = words(part_read(text, context_length))
    told = [ids for word, ids in read if any(char.isalnum() for char in word)]
    return sum(all(token in known for token in ids) for ids in told) / max(1, len(told))


def clean(text: str) -> str:
    """`text` as CLIP reads it: repaired Unicode, no HTML entities, single spaces, lower case."""
    # Twice, as CLIP does, because captions from the web are often escaped twice.
    text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return str(regex.sub(r"\s+", " ", text.strip())).strip().lower()


@lru_cache(maxsize=4096)
def _encode_word(word: str) -> tuple[int, ...]:
    vocabulary, ranks = _vocabulary()
    if word in (_START_MARK, _END_MARK):
        return (vocabulary[word],)
    symbols = _byte_symbols()
    parts = [symbols[byte] for byte in word.encode("utf-8")]
    parts[-1] += _WORD_END
    return tuple(vocabulary[part] for part in _merged(parts, ranks))


def _merged(parts: list[str], ranks: Mapping[str, int]) -> list[str]:
    """Byte-pair merges (Sennrich et al. 2016), the lowest rank first and from left to right, in
    O(n log n): a heap of the pairs, and links to the neighbours that are left."""
    after = [*range(1, len(parts)), -1]
    before = [-1, *range(len(parts) - 1)]
    pairs = [
        (ranks[f"{first} {second}"], i, first, second)
        for i, (first, second) in enumerate(pairwise(parts))
        if f"{first} {second}" in ranks
    ]
    heapify(pairs)
    while pairs:
        _, i, first, second = heappop(pairs)
        j = after[i]
        # Either side may have gone into another merge since.
        if j < 0 or parts[i] != first or parts[j] != second:
            continue
        parts[i], parts[j] = first + second, ""
        after[i] = after[j]
        if after[j] >= 0:
            before[after[j]] = i
        for left, right in ((before[i], i), (i, after[i])):
            pair = f"{parts[left]} {parts[right]}"
            if left >= 0 and right >= 0 and pair in ranks:
                heappush(pairs, (ranks[pair], left, parts[left], parts[right]))
    return [part for part in parts if part]


@cache
def _byte_symbols() -> dict[int, str]:
    """Each byte as one printable character, in the order of the vocabulary."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {
        byte: chr(256 + index) for index, byte in enumerate(others)
    }


@cache
def _vocabulary() -> tuple[dict[str, int], dict[str, int]]:
    """Symbol -> id, and two symbols with a space between them -> rank of their merge.

    A merge's line in the file is that key, so that 48,894 lines are read in a fiftieth of a second.
    """
    file = resources.files(__package__).joinpath("bpe_simple_vocab_16e6.txt.gz")
    with file.open("rb") as packed, gzip.open(packed, "rt", encoding="utf-8") as lines:
        merges = "".join(islice(lines, 1, 1 + _MERGES)).removesuffix("\n")
    symbols = list(_byte_symbols().values())
    symbols += [symbol + _WORD_END for symbol in symbols]
    symbols += merges.replace(" ", "").split("\n")
    symbols += [_START_MARK, _END_MARK]
    ranks = dict(zip(merges.split("\n"), count()))
    return dict(zip(symbols, count())), ranks

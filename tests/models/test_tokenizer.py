"""The tokenizer against OpenAI's own output (tests/golden/clip_tokens/RECIPE.md)."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from styleclip_rt.errors import StyleClipError
from styleclip_rt.models import tokenizer
from styleclip_rt.models.tokenizer import (
    CONTEXT_LENGTH,
    END_OF_TEXT,
    START_OF_TEXT,
    clean,
    encode,
    part_read,
    share_known,
    tokenize,
    words,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "clip_tokens" / "tokens.json"
UPSTREAM: dict[str, list[int]] = json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("text", UPSTREAM, ids=ascii)
def test_ids_equal_upstream(text: str) -> None:
    assert encode(text) == UPSTREAM[text]


def test_row_is_start_words_end_zeros() -> None:
    tokens = tokenize(["red lipstick", "a"])
    assert tokens.shape == (2, CONTEXT_LENGTH) and tokens.dtype == torch.int64
    words = UPSTREAM["red lipstick"]
    expected = [START_OF_TEXT, *words, END_OF_TEXT]
    assert tokens[0].tolist() == expected + [0] * (CONTEXT_LENGTH - len(expected))


def test_too_long_text_is_cut_and_keeps_its_end_mark() -> None:
    text = "red " * 200
    row = tokenize([text])[0].tolist()
    assert row[0] == START_OF_TEXT and row[-1] == END_OF_TEXT
    assert row[1:-1] == encode(text)[: CONTEXT_LENGTH - 2]


def test_longest_text_that_fits_is_not_too_long() -> None:
    text = "red " * (CONTEXT_LENGTH - 2)
    assert torch.equal(tokenize([text], truncate=False), tokenize([text]))


def test_too_long_text_is_an_error_when_it_must_not_be_cut() -> None:
    with pytest.raises(StyleClipError, match="has 76 tokens and CLIP reads 75"):
        tokenize(["red " * (CONTEXT_LENGTH - 1)], truncate=False)


@pytest.mark.parametrize("text", ["", " \t\n", "\u00a0", "&nbsp;"])
def test_empty_text_is_an_error(text: str) -> None:
    with pytest.raises(StyleClipError, match="empty"):
        tokenize(["red hair", text])


def test_no_texts_give_no_rows() -> None:
    assert tokenize([]).shape == (0, CONTEXT_LENGTH)


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_text_has_ids_in_the_vocabulary(text: str) -> None:
    ids = encode(text)
    assert all(0 <= token <= END_OF_TEXT for token in ids)
    assert bool(ids) == bool(clean(text))


@settings(deadline=None)
@given(st.lists(st.sampled_from(["red", "hair", "thick", "Moustache", "freckles,"]), min_size=1))
def test_words_are_encoded_one_by_one(words: list[str]) -> None:
    assert encode("  ".join(words)) == [token for word in words for token in encode(word)]


def naive(word: str) -> list[int]:
    """Byte-pair merges as the paper has them: the best pair, everywhere, until there is none."""
    vocabulary, ranks = tokenizer._vocabulary()
    parts = [tokenizer._byte_symbols()[byte] for byte in word.encode()]
    parts[-1] += "</w>"
    while known := [pair for pair in pairwise(parts) if " ".join(pair) in ranks]:
        best, merged = min(known, key=lambda pair: ranks[" ".join(pair)]), []
        while parts:
            size = 2 if tuple(parts[:2]) == best else 1
            merged.append("".join(parts[:size]))
            parts = parts[size:]
        parts = merged
    return [vocabulary[part] for part in parts]


@given(st.text("abelnorst\xe9\u7ea2", min_size=1, max_size=60))
def test_merges_are_those_of_the_paper(word: str) -> None:
    assert encode(word) == [token for part, _ in words(word) for token in naive(part)]


def test_a_word_without_end_is_read_soon() -> None:
    # Quadratic time would take minutes.
    assert len(encode("abcdefgh" * 20_000)) > 20_000


def test_what_is_read_of_a_text() -> None:
    assert part_read("red hair, and a smile", context_length=6) == "red hair , and"
    assert part_read("Red  Hair") == "red hair"
    known = {token for word in ("red", "hair") for token in encode(word)}
    assert share_known("red, hair!", known) == 1
    assert share_known("red velociraptor", known) == 0.5
    assert share_known("\u7ea2\u8272\u5934\u53d1", known) == 0
    assert share_known("red hair", known, context_length=3) == 1

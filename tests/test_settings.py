"""What an edit's settings may be."""

import json
import math
from dataclasses import asdict, fields
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from styleclip_rt.editing.schedule import check_losses
from styleclip_rt.errors import StyleClipError
from styleclip_rt.settings import EditSettings

OF_KIND = {kind: [f.name for f in fields(EditSettings) if f.type is kind] for kind in
           (int, float, bool, str)}  # fmt: skip
NUMBERS = OF_KIND[int] + OF_KIND[float]
NO_NUMBER = (math.nan, math.inf, -math.inf, np.float32("nan"), True, np.True_, "3", None, [1], 1j)


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_finite_numbers_within_bounds(name: str) -> None:
    for value in (*NO_NUMBER, 10**400, 10**5000, -(10**400), 1e300, -1e300):
        with pytest.raises(StyleClipError, match=name) as refused:
            EditSettings(**{name: value})
        assert len(str(refused.value)) < 160


@pytest.mark.parametrize("name", OF_KIND[int])
def test_whole_numbers_are_whole(name: str) -> None:
    with pytest.raises(StyleClipError, match=f"{name} must be a whole number"):
        EditSettings(**{name: 2.5})


@pytest.mark.parametrize(
    ("kind", "values"), [(bool, (1, 0.0, "true", None)), (str, (1, None, b"w"))]
)
def test_switches_and_words_are_what_they_are(kind: type, values: tuple[object, ...]) -> None:
    for name in OF_KIND[kind]:
        for value in values:
            with pytest.raises(StyleClipError, match=name):
                EditSettings(**{name: value})


@given(
    steps=st.integers(1, 1000),
    l2=st.one_of(st.floats(0, 1e6), st.integers(0, 100), st.fractions(0, 9)),
    lead=st.floats(0, 2, width=32).map(np.float32),
    views=st.integers(1, 64).map(np.int64),
    whiten=st.booleans().map(np.bool_),
)
def test_what_fits_is_kept_as_json_knows_it(
    steps: int, l2: float | Fraction, lead: np.float32, views: np.int64, whiten: np.bool_
) -> None:
    given = {"steps": steps, "l2": l2, "lead": lead, "views": views, "whiten": whiten}
    settings = EditSettings(**given)
    assert EditSettings(**json.loads(json.dumps(asdict(settings)))) == settings
    for name, value in given.items():
        assert getattr(settings, name) == (float(value) if name == "l2" else value)


def test_a_loss_that_is_not_finite_ends_the_edit() -> None:
    fine = {"total": np.ones(2, np.float32), "id": np.zeros(2, np.float32)}
    check_losses(fine, 0)
    for value in (math.nan, math.inf):
        lost = np.array([0, value], np.float32)
        with pytest.raises(StyleClipError, match=r"'id' .* step 3"):
            check_losses({"total": lost, "id": lost}, 2)
        with pytest.raises(StyleClipError, match="'total'"):
            check_losses(fine | {"total": lost}, 2)

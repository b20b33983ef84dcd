"""Independent judgement of edits: nothing here is used in training, or trained by us.

`judge(prompt, original, edited)` says whether a text edit of a face succeeded, whether it
is still the same person, and what else changed. Needs the extra `probes`.
"""

from styleclip_rt.probes.face import Face, Likeness, likeness
from styleclip_rt.probes.judge import Collateral, Judgement, canonical, judge
from styleclip_rt.probes.measures import MEASURES, Measure

__all__ = [
    "MEASURES",
    "Collateral",
    "Face",
    "Judgement",
    "Likeness",
    "Measure",
    "canonical",
    "judge",
    "likeness",
]

"""What a sentence says of a face: looks and how much of each, and what no look is known for.

Rules take a sentence apart; what words mean is `weights/look_words.json`. Needs no torch.
"""

import functools
import gzip
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from styleclip_rt import looks as table
from styleclip_rt.looks import Look

_DIRECTIONS = ("left", "right", "up", "down", "above", "below", "top", "bottom")
_DETERMINERS = ("the", "her", "his", "its", "their")
_SHAVEN = "clean-shaven"
"""The one denial that FaceCLIP was taught as a look of its own."""
_SILENT = ("not", "nothing", "breaks", "worn")
_WORDS = Path(__file__).parent / "weights" / "look_words.json.gz"

SLIGHTLY, VERY = 0.5, 1.2
"""Strengths of "slightly" and "very", where a look goes so far."""

Key = tuple[str, frozenset[str], bool]
"""A noun, or "" for the face as a whole; what is said of it; and whether that is denied."""


@dataclass(frozen=True)
class Reading:
    """What a sentence says.

    Attributes:
        looks: that it names, each once and in order, with the strength; below 0 the other way.
        unseen: of faces, but there is no look for it.
        unknown: parts of the sentence that say nothing that is known of faces.
        absent: those of `unseen` that want something away, as "no glasses"; no CLIP understands
            that, and an optimiser would bring it.
    """

    looks: tuple[tuple[Look, float], ...] = ()
    unseen: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    @property
    def rest(self) -> str:
        """What no look covers, for an optimiser; "" where there is nothing."""
        asked = [each for each in self.unseen if each not in self.absent]
        return " and ".join((*asked, *self.unknown))

    def __str__(self) -> str:
        """ "smiling 0.5, red hair 1"."""
        return ", ".join(
            f"{look.name if strength > 0 or not look.less else look.less[0]} "
            f"{abs(strength) if look.less else strength:g}"
            for look, strength in self.looks
        )


def read(text: str) -> Reading:
    """What a sentence says of a face.

    Synonyms, negation ("no", "without", "less"), degrees ("slightly", "very"), several things in
    one sentence, slips of the pen and words of other subjects are told apart by rule; a word that
    is not known makes what it stands with unknown.
    """
    words = _words(tuple(table.looks()))
    found: dict[str, tuple[Look, float]] = {}
    unseen: dict[str, None] = {}
    unknown: dict[str, None] = {}
    absent: dict[str, None] = {}
    for said in _Sentence(words, text).said():
        for each in words.meant(said):
            if each.look is not None:
                for name in (each.look.name, each.instead):
                    found.pop(name, None)
                found[each.look.name] = each.look, each.strength
            else:
                (unseen if each.of_faces else unknown)[each.text] = None
                if said.denied and each.of_faces and each.text != _SHAVEN:
                    absent[each.text] = None
    if not found and not unseen and not unknown:
        unknown[" ".join(text.split())] = None
    return Reading(tuple(found.values()), tuple(unseen), tuple(unknown), tuple(absent))


@dataclass
class _Said:
    """A noun and what is said of it."""

    noun: str = ""
    qualities: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    denied: bool = False
    degree: float = 1.0
    more: bool = False
    """Whether there is to be more or, where that is denied, less of what has no quality."""
    after: bool = False
    """Whether the qualities came after a pause, and so rather belong to the whole face."""
    whom: str = ""
    """The look that a word for a person names, where nothing else is said."""


@dataclass(frozen=True)
class _Meant:
    text: str
    look: Look | None = None
    strength: float = 1.0
    of_faces: bool = False
    instead: str = ""
    """The look that it takes the place of, if that was named before."""


class _Words:
    """The dictionary, together with the phrases of the table of looks.

    Args:
        rows: of the table.
    """

    def __init__(self, rows: Sequence[Look]) -> None:
        with gzip.open(_WORDS, "rt", encoding="utf-8") as file:
            stored: dict[str, Any] = json.load(file)
        self.parts = _each(stored["parts"])
        self.things = _each(stored["things"])
        self.people = _each(stored["people"])
        self.joined = {tuple(k.split()): v.split() for k, v in stored["joined"].items()}
        self.longest = max(len(words) for words in self.joined)
        self.alike = [line.split() for line in stored["alike"]]
        self.taught: dict[str, str] = stored["taught"]
        self.roles = {
            word: role
            for role in ("nothing", "breaks", "worn", "more", "less", "not")
            for word in stored[role]
        }
        self.slightly, self.very = set(stored["slightly"]), set(stored["very"])
        self.colours, self.shades = set(stored["colours"]), set(stored["shades"])
        self.english = set(stored["english"].split())
        self.looks: dict[Key, tuple[Look, int]] = {}
        self.meanings: dict[Key, str] = {}
        for way in (1, -1):
            for look in rows:
                for phrase in (look.name, *look.says) if way > 0 else look.less:
                    self.looks.setdefault(self.key(phrase), (look, way))
                    self.meanings.setdefault(self.key(phrase), phrase)
        for meaning, others in stored["meanings"].items():
            for phrase in (meaning, *others):
                self.meanings.setdefault(self.key(phrase), meaning)
        self.describing = {word for key in self.meanings for word in key[1]}
        self.describing |= self.colours.union(*self.alike)
        self.degrees = self.slightly | self.very

    @cached_property
    def opposite(self) -> dict[str, str]:
        """Look -> the look of which it is the denial, where that is another one."""
        pairs = (
            (self.looks.get(self.key(meaning)), self.looks.get((noun, qualities, False)))
            for (noun, qualities, denied), meaning in self.meanings.items()
            if denied and meaning
        )
        return {to[0].name: of[0].name for to, of in pairs if to and of and to[0] != of[0]}

    @cached_property
    def correct(self) -> dict[int, list[str]]:
        """Length -> the words that a slip of the pen may have meant."""
        known = {*self.describing, *self.parts, *self.things, *self.people, *self.degrees}
        by_length: dict[int, list[str]] = {}
        for word in sorted(known):
            by_length.setdefault(len(word), []).append(word)
        return {
            n: [word for m in range(n - 2, n + 3) for word in by_length.get(m, ())]
            for n in range(max(by_length) + 3)
        }

    def noun(self, word: str) -> str:
        """The part of a face or the thing on it that a word names, or ""."""
        return self.parts.get(word) or self.things.get(word) or ""

    def is_known(self, word: str) -> bool:
        """Whether a word has a place in sentences about faces."""
        known = self.noun(word) or word in self.people or word in self.roles
        return bool(known) or self.describes(word)

    def key(self, phrase: str) -> Key:
        """Of a phrase of the table or the dictionary."""
        words = list(self.join(_split(phrase)))
        denied = any(self.roles.get(word) == "not" for word in words)
        told = [w for w in words if self.roles.get(w) not in _SILENT]
        nouns = [i for i, word in enumerate(told) if self.noun(word)]
        people = [i for i, word in enumerate(told) if word in self.people and len(told) > 1]
        if not nouns and not people:
            return "", frozenset(told), denied
        at = nouns[-1] if nouns else people[-1]
        if told[at] == "light" and len(nouns) > 1:
            at = nouns[0]  # "light hair", but "warm light"
        rest = frozenset(told[:at] + told[at + 1 :])
        return self.noun(told[at]) or "person", rest, denied

    def join(self, words: Sequence[str]) -> Iterator[str]:
        """Words with those that stand for one taken together."""
        at = 0
        while at < len(words):
            for length in range(min(self.longest, len(words) - at), 0, -1):
                joined = self.joined.get(tuple(words[at : at + length]))
                if joined is not None:
                    yield from joined
                    at += length
                    break
            else:
                yield words[at]
                at += 1

    @functools.lru_cache(4096)  # noqa: B019  there is one of these for a table
    def known_form(self, word: str) -> str:
        """A word as the dictionary has it: without its ending, without a slip; or as it is."""
        for form in _forms(word):
            if self.is_known(form):
                return form
        if word in self.english or len(word) < 4 or not word.isalpha():
            return word
        for form in _forms(word):
            if form in self.english:
                return word
        if len(word) > 6:  # "redhaired"
            for cut in range(3, len(word) - 2):
                if self.noun(word[cut:]) and word[:cut] in self.describing:
                    return f"{word[:cut]} {word[cut:]}"
        reach = 1 if len(word) < 7 else 2
        near = [
            (distance, other in self.degrees, other)
            for other in self.correct.get(len(word), ())
            # Slips seldom happen to the first letter.
            if word[0] == other[0] and (distance := _distance(word, other, reach)) <= reach
        ]
        return min(near)[2] if near else word

    def meaning(self, noun: str, qualities: Iterable[str], denied: bool = False) -> str | None:
        """The phrase that a noun and its qualities mean; None where that is not known."""
        wanted = tuple(qualities)
        for these in self._alike(noun, wanted):
            key = (noun, frozenset(these), denied)
            if key in self.meanings:
                return self.meanings[key]
        if len(wanted) == 1 and not denied and not noun:
            return self.taught.get(wanted[0])
        return None

    def _alike(self, noun: str, qualities: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield qualities
        if len(qualities) != 1:
            return
        (word,) = qualities
        for form in _forms(word):
            yield (form,)
        if noun == "person":
            return
        for line in self.alike:
            if word in line and (noun or word not in self.colours):
                yield from ((other,) for other in line)

    def meant(self, said: _Said) -> Iterator[_Meant]:
        """What one thing that was said means."""
        if said.whom:
            yield self._as_look(said.whom, said.denied, said.degree)
            return
        foreign = [word for word in said.qualities if not self.describes(word)]
        known = [word for word in said.qualities if self.describes(word)]
        text = " ".join(said.text)
        if foreign and (not said.noun or said.noun == "person"):
            yield _Meant(text)
            return
        if foreign and said.noun in self.parts.values():
            yield _Meant(" ".join((*foreign, said.noun)))
        if (
            known
            or self.is_thing(said.noun)
            or (said.noun, frozenset[str](), False) in self.meanings
        ):
            whole = self._whole(said, known)
            if whole is not None:
                yield whole
                return
        degree, own, no = said.degree, False, ("no",) * said.denied
        singles: list[_Meant] = []
        for i, word in enumerate(known):
            following = known[i + 1] if i + 1 < len(known) else ""
            if word in self.shades and following in self.colours:
                continue
            here, alone = self.meaning(said.noun, [word]), self.meaning("", [word])
            counted = here is not None and not (following and word in self.slightly)
            if word in self.degrees and (said.noun or following) and not counted:
                degree = SLIGHTLY if word in self.slightly else VERY
                continue
            own |= here is not None and bool(said.noun)
            best = alone or here if said.after else here or alone
            denial = self.meaning(said.noun, [word], True) or self.meaning("", [word], True)
            if said.denied and denial is not None:
                singles.append(self._as_look(denial, False, degree))
            elif best is not None:
                singles.append(self._as_look(best, said.denied, degree))
            elif self.is_thing(said.noun):
                continue
            elif said.noun and said.noun != "person":
                told = " ".join((*no, word, said.noun))
                singles.append(_Meant(told, of_faces=True))
            else:
                singles.append(_Meant(text))
        yield from singles
        if self.is_thing(said.noun) and not own:
            bare = _Meant(" ".join((*no, said.noun)), of_faces=True)
            meant = self._whole(said, [], degree) or bare
            tinted = any(word in self.colours for word in known) and not said.denied
            yield _Meant(text, of_faces=True) if tinted and meant.look else meant

    def is_thing(self, noun: str) -> bool:
        """Whether it is there or not, whatever its quality."""
        return noun in self.things.values()

    def describes(self, word: str) -> bool:
        """Whether a word says of what quality something is."""
        return word in self.describing or word in self.degrees or word in self.taught

    def _whole(self, said: _Said, qualities: Sequence[str], degree: float = 0.0) -> _Meant | None:
        """What a noun and all of its qualities mean together."""
        degree = degree or said.degree
        if said.denied:
            denial = self.meaning(said.noun, qualities, True)
            if denial is not None:
                return self._as_look(denial, False, degree)
        whole = self.meaning(said.noun, qualities)
        return None if whole is None else self._as_look(whole, said.denied, degree)

    def _as_look(self, phrase: str, denied: bool, degree: float) -> _Meant:
        """A phrase of the dictionary, or its denial, as a look."""
        key = self.key(phrase)
        if denied and self.meanings.get((key[0], key[1], True)):
            key, denied = self.key(self.meanings[key[0], key[1], True]), False
        found = self.looks.get(key)
        text = " ".join(("no",) * denied + (phrase,))
        if found is None:
            return _Meant(text, of_faces=True)
        look, way = found
        strength = (-way if denied else way) * degree
        kept = min(max(strength, look.least), look.most)
        if not kept:
            return _Meant(text, of_faces=True)
        return _Meant(text, look, kept, instead=self.opposite.get(look.name, ""))


class _Sentence:
    """A sentence, taken apart.

    Args:
        words: the dictionary.
        text: the sentence.
    """

    def __init__(self, words: _Words, text: str) -> None:
        self.words = words
        forms = [form for word in _split(text) for form in words.known_form(word).split()]
        self.tokens = [
            form for word in words.join(forms) for form in words.known_form(word).split()
        ]
        self.found: list[_Said] = []
        self.now = _Said()
        self.part = ""  # of which something may still be said
        self._is_open = False  # whether nothing has been said of it
        self.handed: list[str] = []  # what was said of the part before, joined by "and"
        self.paused = False
        self.stranger = ""  # what is spoken of, where that is no face

    def said(self) -> list[_Said]:
        """All that it says."""
        whom: list[str] = []
        for at, word in enumerate(self.tokens):
            role = self.words.roles.get(word, "")
            noun = self.words.noun(word)
            if word == "light" and not self._is_noun(at):
                noun = ""
            if word.isdecimal():
                continue
            if word in ("look", "looks", "looking"):
                nearby = self.tokens[at + 1 : at + 5]
                noun = "gaze" if {*_DIRECTIONS[:4]} & {*nearby} else ""
                role = role or "nothing"
            if word in self.words.people:
                whom.append(self.words.people[word])
                self._person()
            elif noun:
                self._noun(noun)
            elif role in ("breaks", "worn"):
                self._break(word, at)
                self.part = "" if role == "worn" else self.part
            elif role == "not":
                self._deny(at)
            elif role == "less":
                self._deny(at)
                self.now.more |= self.now.denied
                denied = self.now if self.now.denied else self.found[-1]
                denied.degree = SLIGHTLY
            elif role == "more":
                self.now.more = True
            elif role == "nothing":
                continue
            else:
                self.now.qualities.append(word)
                self.now.text.append(word)
                if word in _DIRECTIONS and self.part in ("gaze", "head"):
                    self._say(self.part)  # "looks left in warm light"
                    self._is_open = False
        self._end()
        named = [name for name in whom if name]
        if not self.found and named:
            self.found.append(_Said(whom=named[-1], text=[named[-1]]))
        return self.found

    def _is_noun(self, at: int) -> bool:
        """Whether "light" is what is spoken of, and not a quality of what follows."""
        for word in self.tokens[at + 1 :]:
            if self.words.roles.get(word) == "nothing":
                continue
            return word in _DIRECTIONS or self.words.roles.get(word) in ("breaks", "worn", "not")
        return True

    def _say(self, noun: str, after: bool = False) -> None:
        said = self.now
        said.noun, said.after = noun, after
        if noun and noun != "person":
            said.text.append(noun)
        self.found.append(said)
        self.now = _Said()

    def _person(self) -> None:
        if self.now.qualities:
            self._say("person")
        self.part = "person"

    def _noun(self, noun: str) -> None:
        if self.part and self.part not in ("person", noun) and self.now.qualities and self._is_open:
            # "eyes blue lips red": said of the part before, if that alone makes sense
            qualities = self.now.qualities
            if all(self.words.meaning(noun, [w]) is None for w in qualities) and any(
                self.words.meaning(self.part, [w]) is not None for w in qualities
            ):
                self._say(self.part)
        self._close()
        if self.now.more and not self.now.qualities and not self.words.is_thing(noun):
            self.now.qualities = ["big"]
        if self.now.qualities or self.words.is_thing(noun):
            self.handed = list(self.now.qualities)
            self._say(noun)
            self._is_open = False
        else:
            self._is_open = True
        self.part, self.paused = noun, False

    def _close(self) -> None:
        """A part of which nothing was said has what the one before it had."""
        if self._is_open and self.part and self.part != "person":
            useful = [w for w in self.handed if self.words.meaning(self.part, [w]) is not None]
            if useful or self.words.meaning(self.part, []) is not None:
                kept, self.now = self.now, _Said(qualities=useful, denied=self.now.denied)
                self._say(self.part)
                self.now = kept
        self._is_open = False

    def _break(self, word: str, at: int) -> None:
        foreign = bool(self.now.qualities) and not self.words.describes(self.now.qualities[-1])
        if word in _DETERMINERS and not self.part:
            return  # "narrow the eyes"
        if word in ("is", "are", "has", "have"):
            if foreign:
                self.stranger = "" if self.part else self.now.qualities[-1]
                self._say("")
            if self.part or foreign:
                return
        if self.now.qualities:
            pending = self._wait() or (not self.now.denied and (word != "," or self._fits_next(at)))
            if self.part in ("", "person") and word in ("and", "or", ",") and pending:
                return  # "long, red hair"
            self._say_of(self.part)
        elif self._is_open and word not in ("and", "or"):
            self._close()
        if word in (",", ".", ";", "but", "and") and not self.now.qualities:
            self.now.denied = self.now.more = False
        elif word in ("or", "nor") and self.found and self.found[-1].denied:
            self.now.denied = True
        if word not in ("and", "or"):
            self.handed = []
            self.paused = True
        if word in (".", ";"):
            self.part = self.stranger = ""

    def _fits_next(self, at: int) -> bool:
        """Whether qualities before a comma are of the part named next: "dark, wavy hair"."""
        for word in self.tokens[at + 1 :]:
            if noun := self.words.noun(word):
                fits = (self.words.meaning(noun, [each]) for each in self.now.qualities)
                return not self.words.is_thing(noun) and all(each is not None for each in fits)
            if not self.words.describes(word):
                return False
        return False

    def _wait(self) -> bool:
        """Whether qualities are known, but none of them makes sense alone."""
        return all(
            self.words.describes(word) and self.words.meaning("", [word]) is None
            for word in self.now.qualities
        )

    def _deny(self, at: int) -> None:
        roles = [self.words.roles.get(word, "") for word in self.tokens[at + 1 :]]
        last = next((role for role in roles if role != "nothing"), "breaks") == "breaks"
        if last and self.found and not self.now.qualities:
            self.found[-1].denied = True  # "makeup free"
            return
        if any(word not in self.words.degrees for word in self.now.qualities):
            self._say_of(self.part)
        self.now.denied = True

    def _end(self) -> None:
        if self.now.qualities:
            self._say_of(self.part)
        else:
            self._close()

    def _say_of(self, part: str) -> None:
        """Say what stands after a part: of it, but for what ends in a noun that is not known."""
        foreign = not self.words.describes(self.now.qualities[-1])
        if self.paused and self.words.is_thing(part):
            part = ""
        if self.stranger:
            foreign = True
            self.now.qualities.append(self.stranger)
        self._say("" if foreign else part, after=self.paused or not self._is_open)
        self._is_open = False


@cache
def _words(rows: tuple[Look, ...]) -> _Words:
    return _Words(rows)


def _each(lines: dict[str, list[str]]) -> dict[str, str]:
    return {word: name for name, words in lines.items() for word in words}


def _split(text: str) -> list[str]:
    """Lower-case words and marks; apostrophes within words are left out, hyphens part them."""
    plain = unicodedata.normalize("NFKC", text).lower().replace("\u2019", "'")
    plain = re.sub(r"n't\b", "nt", plain)
    return re.findall(r"[^\W_]+|[.,;:!?/+&]", re.sub(r"[-_']", " ", plain))


def _forms(word: str) -> list[str]:
    """A word, and what it may be a form of."""
    forms = [word]
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) > len(ending) + 2:
            stem = word[: -len(ending)] + instead
            forms.append(stem)
            if ending in ("er", "est", "ed") and len(stem) > 3 and stem[-1] == stem[-2]:
                forms.append(stem[:-1])
    return forms


_ENDINGS = (
    ("s", ""),
    ("es", ""),
    ("ier", "y"),
    ("iest", "y"),
    ("er", ""),
    ("er", "e"),
    ("est", ""),
    ("est", "e"),
    ("ed", ""),
    ("ily", "y"),
    ("ly", ""),
    ("ness", ""),
    ("iness", "y"),
    ("en", ""),
    ("n", ""),
    ("ing", ""),
    ("ing", "e"),
    ("ish", ""),
)


def _distance(a: str, b: str, most: int) -> int:
    """Letters to add, drop, change or swap with the next to make one word of the other; more than
    `most` is not counted out."""
    if abs(len(a) - len(b)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, before, row = before, row, [i]
        for j, y in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return row[-1]

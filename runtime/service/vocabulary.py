"""What edits can be asked for by name: mappers and looks. Whatever moves a face joins in here."""

from collections.abc import Mapping, Sequence

from styleclip_rt.errors import StyleClipError
from styleclip_rt.looks import find
from styleclip_rt.looks import looks as table
from styleclip_rt.reading import read
from styleclip_rt.runtime.looks import moves_of, moves_read
from styleclip_rt.runtime.mapper import MapperRuntime, Move
from styleclip_rt.runtime.painting import PAINT
from styleclip_rt.runtime.service.schemas import Look, MoveRequest

FEW = 12
"""Looks that a sentence can list."""


class Vocabulary:
    """The names that a runtime knows.

    Looks are those of the table whose mapper it holds, in the table's order, and then the prompts
    of mappers that the table does not know.

    Args:
        runtime: with the mappers.
        refused: mappers that it cannot serve, and the sentence that says why.
    """

    def __init__(self, runtime: MapperRuntime, refused: Mapping[str, str]) -> None:
        self._runtime, self.refused = runtime, dict(refused)
        self.mappers = runtime.prompts
        self.looks: dict[str, Look] = {}
        known = set()
        for look in table():
            prompts = () if look.mapper == PAINT else self.mappers.get(look.mapper)
            if prompts is None or (prompts and look.prompt not in prompts):
                continue
            known |= {(look.mapper, look.prompt), (look.mapper, "")}
            less, *says_less = look.less or (None,)
            self.looks[look.name] = Look(
                name=look.name,
                mapper=look.mapper,
                prompt=look.prompt,
                least=look.least,
                most=look.most,
                less=less,
                says=list(look.says),
                says_less=says_less,
                listed=True,
            )
        self._of_prompts: dict[str, Look] = {}
        for mapper, prompts in self.mappers.items():
            least, most = runtime.engine.limits[mapper]
            for prompt in prompts or ("",):
                name = prompt or mapper
                if (mapper, prompt) not in known and name not in self.looks:
                    own = Look(name=name, mapper=mapper, prompt=prompt, least=least, most=most)
                    self._of_prompts[name] = self.looks[name] = own

    def moves(self, wanted: Sequence[MoveRequest], any_prompt: bool) -> list[Move]:
        """Moves that the runtime can make.

        Raises:
            StyleClipError: one is unknown, and which are known; or its strength is out of range.
        """
        moves = [self._move(each) for each in wanted]
        if moves:
            self._runtime.check(moves, any_prompt)
        return moves

    def read(self, prompt: str) -> list[Move]:
        """The moves that make all of what a sentence says; none where they do not."""
        reading = read(prompt)
        own = {name: look.mapper for name, look in self.looks.items()}
        if reading.rest or any(own.get(look.name) != look.mapper for look, _ in reading.looks):
            return []
        return moves_read(reading)

    def _move(self, wanted: MoveRequest) -> Move:
        if wanted.mapper is not None:
            if wanted.mapper in self.refused:
                raise StyleClipError(self.refused[wanted.mapper])
            return Move(wanted.mapper, wanted.prompt, wanted.strength)
        assert wanted.look is not None
        own = self._of_prompts.get(" ".join(wanted.look.lower().split()))
        if own is not None:
            return Move(own.mapper, own.prompt, wanted.strength)
        if not self._in_table(wanted.look):
            listed = ", ".join(self.looks) or "none is loaded"
            known = f"choose from {listed}" if len(self.looks) <= FEW else "/v1/looks lists them"
            raise StyleClipError(f"unknown look {wanted.look!r}: {known}.")
        (move,) = moves_of([Move(wanted.look, wanted.strength)])
        return move

    def _in_table(self, phrase: str) -> bool:
        try:
            look, _ = find(phrase)
        except StyleClipError:
            return False
        return look.name in self.looks

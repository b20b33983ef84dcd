"""Pickles read like data: no name in them is imported, no object of theirs is called.

Python's own unpickler imports what a pickle names and calls what it says. The machine here knows
the opcodes alone (`pickletools` tells them apart); what a name stands for is up to the reader of a
format, and a name that the format has no use for ends the reading. It counts, so that a small file
takes little memory and ends soon.
"""

import pickletools
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

Make = Callable[..., object]

_STEPS, _BYTES_A_STEP = 250_000, 100
"""A pickle may have that many opcodes, and one more for each so many bytes of its file."""

# Text of Python 2 among them, which held the bytes of its arrays, comes as latin-1.
_LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
    *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}


class BrokenPickle(Exception):  # noqa: N818
    """A pickle that cannot be read; the message says why, as part of a sentence."""


class ForeignName(BrokenPickle):
    """A pickle of something else: it names what this format has no use for.

    Attributes:
        name: module and class, joined by a dot.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"it names {ascii(name[:100])[1:-1]}")
        self.name = name


class Name:
    """A module's attribute that a pickle mentions."""

    __slots__ = ("full", "make")

    def __init__(self, full: str, make: Make | None) -> None:
        self.full, self.make = full, make


class Record:
    """An object that a pickle described and that was not made.

    Attributes:
        name: of its class or of the function that would make it.
        arguments: of the call.
        state: what the pickle would have set on it.
    """

    __slots__ = ("arguments", "name", "state")

    def __init__(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.name, self.arguments = name, arguments
        self.state: Any = None

    def set_state(self, state: object) -> None:
        """What BUILD does to it."""
        self.state = state


class _Mark:
    pass


_MARK = _Mark()


class _Bounded:
    """A file of which no read is asked for more than is left."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.left = file, size

    def read(self, size: int) -> bytes:
        data = self.file.read(max(0, min(size, self.left)))
        self.left -= len(data)
        return data

    def readline(self) -> bytes:
        line = self.file.readline(self.left)
        self.left -= len(line)
        return line


def read_pickle(
    file: BinaryIO,
    size: int,
    names: Callable[[str], Make | bool],
    persistent: Make | None = None,
) -> object:
    """The object in a pickle, of plain containers and of what `names` makes.

    Args:
        file: stands behind the pickle's last byte afterwards.
        size: bytes of the file that are left.
        names: what a full name stands for: a function that is called with what the pickle would
            call it with, True for an inert `Record` or False for a name that does not belong here.
        persistent: what makes an object of a persistent id.

    Raises:
        ForeignName: the pickle names something that does not belong here.
        BrokenPickle: it is no pickle, is truncated, or would take more than such a file can.
    """
    machine = _Machine(names, persistent)
    most = _STEPS + size // _BYTES_A_STEP
    try:
        steps = pickletools.genops(_Bounded(file, size))  # type: ignore[arg-type]
        for number, (opcode, argument, _) in enumerate(steps):
            if number > most:
                raise BrokenPickle("it has more parts than such a file can need")
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, argument)
    except BrokenPickle:
        raise
    except Exception as error:  # a parser of hostile bytes may raise anything
        raise BrokenPickle("it is no whole pickle") from error
    raise BrokenPickle("it is no whole pickle")


class _Machine:
    """The pickle machine: a stack, a memo, and a method for each opcode that does something."""

    def __init__(self, names: Callable[[str], Make | bool], persistent: Make | None) -> None:
        self.names, self.persistent = names, persistent
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.known: dict[str, Name] = {}

    def step(self, name: str, argument: Any) -> None:
        if name in _LITERALS:
            self.stack.append(argument)
            return
        act = _ACTS.get(name)
        if act is None:
            raise BrokenPickle(f"it uses the opcode {name}")
        act(self, argument)

    def nothing(self, _: object) -> None:
        pass

    def none(self, _: object) -> None:
        self.stack.append(None)

    def true(self, _: object) -> None:
        self.stack.append(True)

    def false(self, _: object) -> None:
        self.stack.append(False)

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def make_tuple(self, count: int) -> None:
        self.stack.append(self.top(count))

    def pop(self) -> Any:
        if self.marks and self.marks[-1] == len(self.stack):
            raise BrokenPickle("it is no whole pickle")
        return self.stack.pop()

    def top(self, count: int) -> tuple[Any, ...]:
        """The last `count` things, which leave the stack."""
        return tuple(reversed([self.pop() for _ in range(count)]))

    def marked(self) -> list[Any]:
        """What was pushed since the last mark, which leaves the stack."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def mark(self, _: object) -> None:
        self.marks.append(len(self.stack))

    def drop(self, _: object) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.pop()

    def drop_marked(self, _: object) -> None:
        self.marked()

    def double(self, _: object) -> None:
        self.stack.append(self.stack[-1])

    def memoize(self, _: object) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def make_list(self, _: object) -> None:
        self.stack.append([])

    def make_dict(self, _: object) -> None:
        self.stack.append({})

    def make_marked_tuple(self, _: object) -> None:
        self.stack.append(tuple(self.marked()))

    def make_marked_list(self, _: object) -> None:
        self.stack.append(self.marked())

    def make_marked_dict(self, _: object) -> None:
        items = self.marked()
        made: dict[Any, Any] = {}
        self.set_items(made, items)
        self.stack.append(made)

    def append(self, _: object) -> None:
        value = self.pop()
        self.extend([value])

    def append_marked(self, _: object) -> None:
        self.extend(self.marked())

    def extend(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise BrokenPickle("it appends to what is no list")
        self.stack[-1].extend(values)

    def set_item(self, _: object) -> None:
        items = self.top(2)
        self.set_items(self.stack[-1], items)

    def set_marked(self, _: object) -> None:
        items = self.marked()
        self.set_items(self.stack[-1], items)

    @staticmethod
    def set_items(target: Any, items: Any) -> None:
        keys, values = items[::2], items[1::2]
        # The hash of a nested tuple would recurse without an end.
        if not isinstance(target, dict) or not all(
            key is None or isinstance(key, str | int | float | bytes) or _is_flat(key)
            for key in keys
        ):
            raise BrokenPickle("it has a dict with keys that are no plain values")
        target.update(zip(keys, values, strict=True))

    def name(self, argument: Any) -> None:
        self.stack.append(self.named(*argument.split(" ", 1)))

    def stack_name(self, _: object) -> None:
        module, attribute = self.top(2)
        if not isinstance(module, str) or not isinstance(attribute, str):
            raise BrokenPickle("it has a name that is no text")
        self.stack.append(self.named(module, attribute))

    def named(self, module: str, attribute: str) -> Name:
        full = f"{module}.{attribute}"
        if full not in self.known:
            make = self.names(full)
            if make is False:
                raise ForeignName(full)
            self.known[full] = Name(full, None if make is True else make)
        return self.known[full]

    def call(self, what: Any, arguments: Any) -> None:
        if not isinstance(what, Name) or not isinstance(arguments, tuple):
            raise BrokenPickle("it calls what is no name")
        self.stack.append(
            Record(what.full, arguments) if what.make is None else what.make(*arguments)
        )

    def reduce(self, _: object) -> None:
        self.call(*self.top(2))

    def new_with_keywords(self, _: object) -> None:
        what, arguments, keywords = self.top(3)
        if keywords:
            raise BrokenPickle("it calls a name with keywords")
        self.call(what, arguments)

    def new_of_marked(self, _: object) -> None:
        what, *arguments = self.marked()
        self.call(what, tuple(arguments))

    def new_of_named(self, argument: Any) -> None:
        self.call(self.named(*argument.split(" ", 1)), tuple(self.marked()))

    def build(self, _: object) -> None:
        state = self.pop()
        target = self.stack[-1]
        if hasattr(target, "set_state"):
            target.set_state(state)
        elif not isinstance(target, dict):  # what is set on a dict is no item of it
            raise BrokenPickle("it sets a state on what has none")

    def persist(self, argument: Any) -> None:
        if self.persistent is None:
            raise BrokenPickle("it has a persistent id")
        self.stack.append(self.persistent(argument))

    def persist_top(self, _: object) -> None:
        self.persist(self.pop())


def _is_flat(key: object) -> bool:
    return isinstance(key, tuple) and all(
        part is None or isinstance(part, str | int | float | bytes) for part in key
    )


_ACTS: Mapping[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _Machine.nothing,
    "FRAME": _Machine.nothing,
    "NONE": _Machine.none,
    "NEWTRUE": _Machine.true,
    "NEWFALSE": _Machine.false,
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "EMPTY_TUPLE": lambda machine, _: machine.make_tuple(0),
    "TUPLE1": lambda machine, _: machine.make_tuple(1),
    "TUPLE2": lambda machine, _: machine.make_tuple(2),
    "TUPLE3": lambda machine, _: machine.make_tuple(3),
    "MARK": _Machine.mark,
    "POP": _Machine.drop,
    "POP_MARK": _Machine.drop_marked,
    "DUP": _Machine.double,
    "MEMOIZE": _Machine.memoize,
    "EMPTY_LIST": _Machine.make_list,
    "EMPTY_SET": _Machine.make_list,
    "EMPTY_DICT": _Machine.make_dict,
    "TUPLE": _Machine.make_marked_tuple,
    "LIST": _Machine.make_marked_list,
    "FROZENSET": _Machine.make_marked_list,
    "DICT": _Machine.make_marked_dict,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.append_marked,
    "ADDITEMS": _Machine.append_marked,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_marked,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.stack_name,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.reduce,
    "NEWOBJ_EX": _Machine.new_with_keywords,
    "OBJ": _Machine.new_of_marked,
    "INST": _Machine.new_of_named,
    "BUILD": _Machine.build,
    "PERSID": _Machine.persist,
    "BINPERSID": _Machine.persist_top,
}

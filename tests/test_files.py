"""Files and folders that appear whole: what is left after errors, kills and other writers."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from styleclip_rt.errors import CheckpointError, StyleClipError
from styleclip_rt.files import (
    PREFIX,
    appearing_in,
    check_writable,
    locked,
    replacing,
    replacing_folder,
    sweep,
)


def tree(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def killed(folder: Path, script: str, function: str, number: int) -> bool:
    """Run `script` with `folder` as its `f`; kill it before the call of that number of a function
    of os. Whether it came to that."""
    start = f"""
        import os, signal, sys
        from pathlib import Path
        from styleclip_rt.files import *
        f, left, real = Path(sys.argv[1]), [{number}], os.{function}
        def deadly(*arguments, **keywords):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **keywords)
        os.{function} = deadly
        """
    code = textwrap.dedent(start) + textwrap.dedent(script)
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


def every_kill(where: Path, before: dict[str, str], script: str) -> list[Path]:
    """Folders with `before` in them, in each of which `script` was killed at another call."""
    folders = []
    for function in ("rename", "replace", "fsync", "unlink", "mkdir", "rmdir", "chmod", "open"):
        for number in range(100):
            folder = where / f"{function}-{number}"
            for name, text in before.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text)
            if not killed(folder, script, function, number):
                break
            folders.append(folder)
    return folders


def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyError), replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert tree(tmp_path) == {"a.txt": "old"}
    with replacing(path) as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("new")
    assert tree(tmp_path) == {"a.txt": "new"}


def test_what_the_disk_refuses_is_one_sentence(tmp_path: Path) -> None:
    missing = replacing(tmp_path / "missing" / "a.txt", CheckpointError)
    with pytest.raises(CheckpointError, match=r"a\.txt cannot be written \(No such file"), missing:
        raise AssertionError("nothing to write to")
    with pytest.raises(StyleClipError, match="No space left"), replacing(tmp_path / "a") as _:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(errno.ECONNRESET, "reset"),
        FileNotFoundError(errno.ENOENT, "missing", "another file"),
        TimeoutError(),
    ],
)
def test_errors_of_something_else_are_not_called_errors_of_writing(
    tmp_path: Path, error: OSError
) -> None:
    with pytest.raises(type(error)) as raised, replacing(tmp_path / "a"):
        raise error
    assert raised.value is error


def test_a_temporary_file_that_cannot_be_removed_hides_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "no")

    with pytest.raises(KeyError), replacing(tmp_path / "a") as temporary:
        temporary.write_text("half")
        monkeypatch.setattr(Path, "unlink", refused)
        raise KeyError


def test_permissions_are_those_of_the_umask(tmp_path: Path) -> None:
    script = """
        os.umask(0o022)
        with replacing(f / "one") as temporary:
            temporary.write_text("x")
        with appearing_in(f / "many", "last") as work:
            (work / "last").write_text("x")
            (work / "last").chmod(0o600)
        with replacing_folder(f / "whole") as work:
            (work / "file").write_text("x")
        """
    tmp_path.chmod(0o755)
    assert not killed(tmp_path, script, "rename", 99)
    modes = {str(p.relative_to(tmp_path)): p.stat().st_mode & 0o777 for p in tmp_path.rglob("*")}
    assert modes == {
        "one": 0o644,
        "many": 0o755,
        "many/last": 0o644,
        "whole": 0o755,
        "whole/file": 0o644,
    }


def test_a_kill_while_a_file_is_replaced(tmp_path: Path) -> None:
    script = """
        with replacing(f / "a") as temporary:
            temporary.write_text("new")
        """
    folders = every_kill(tmp_path, {"a": "old"}, script)
    assert len(folders) >= 4
    for folder in folders:
        assert (folder / "a").read_text() in ("old", "new")
        sweep(folder)
        assert tree(folder) in ({"a": "old"}, {"a": "new"})


def test_a_kill_while_files_appear_mixes_nothing(tmp_path: Path) -> None:
    old = {"picture": "old", "frames/0": "old", "frames/1": "old", "last": "old", "own": "mine"}
    new = {"picture": "new", "frames/0": "new", "extra/x": "new", "last": "new", "own": "mine"}
    script = """
        with appearing_in(f, "last", ("picture", "frames/*")) as work:
            for name in ("picture", "frames/0", "last", "extra/x"):
                (work / name).parent.mkdir(exist_ok=True)
                (work / name).write_text("new")
        """
    folders = every_kill(tmp_path, old, script)
    assert len(folders) >= 30
    ends = []
    for folder in folders:
        seen = {name: text for name, text in tree(folder).items() if PREFIX not in name}
        assert "last" not in seen or seen in (old, new)
        sweep(folder)
        assert tree(folder) in (old, new)
        ends.append(tree(folder) == new)
    assert any(ends) and not all(ends)


def test_a_kill_while_a_folder_is_replaced_loses_nothing(tmp_path: Path) -> None:
    script = """
        with replacing_folder(f / "b") as work:
            (work / "a").write_text("new")
        """
    folders = every_kill(tmp_path, {"b/a": "old"}, script)
    assert {"rename-0", "rename-1"} <= {folder.name for folder in folders}
    for folder in folders:
        sweep(folder)
        assert tree(folder) in ({"b/a": "old"}, {"b/a": "new"})
        assert os.listdir(folder) == ["b"]


def test_what_living_writers_have_begun_is_left_alone(tmp_path: Path) -> None:
    with replacing(tmp_path / "a") as temporary, appearing_in(tmp_path, "last") as work:
        temporary.write_text("a")
        (work / "last").write_text("b")
        assert not sweep(tmp_path) or (temporary.exists() and work.exists())
        check_writable(tmp_path)
        with replacing(tmp_path / "c") as other:
            other.write_text("c")
    assert tree(tmp_path) == {"a": "a", "last": "b", "c": "c"}


def test_writers_of_one_folder_do_not_mix(tmp_path: Path) -> None:
    def write(number: int) -> None:
        for _ in range(10):
            with appearing_in(tmp_path, "last", ("part-*",)) as work:
                for part in range(number + 1):
                    (work / f"part-{part}").write_text(str(number))
                (work / "last").write_text(str(number))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (number,) = set(tree(tmp_path).values())
    assert len(tree(tmp_path)) == int(number) + 2


def test_one_of_several_makers_of_a_folder_wins(tmp_path: Path) -> None:
    told = []

    def make(number: int) -> None:
        try:
            with replacing_folder(tmp_path / "b", overwrite=False) as work:
                (work / "a").write_text(str(number))
        except FileExistsError:
            told.append(number)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 3
    assert tree(tmp_path) == {"b/a": str(({0, 1, 2, 3} - set(told)).pop())}


def test_files_in_the_way_are_seen_before_anything_moves(tmp_path: Path) -> None:
    (tmp_path / "frames").write_text("a file")
    (tmp_path / "last").write_text("old")
    with pytest.raises(OSError), appearing_in(tmp_path, "last") as work:
        (work / "frames").mkdir()
        (work / "frames" / "0").write_text("new")
        (work / "last").write_text("new")
    assert tree(tmp_path) == {"frames": "a file", "last": "old"}


def test_a_journal_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    work = tmp_path / "out" / f"{PREFIX}committed"
    work.mkdir(parents=True)
    (work / "last").write_text("x")
    (work / f"{PREFIX}journal").write_text('{"last": "last", "gone": ["../precious"]}')
    sweep(tmp_path / "out")
    assert tree(tmp_path) == {"precious": "kept"}


def test_who_waits_for_a_folder_that_is_removed_makes_it_anew(tmp_path: Path) -> None:
    order, inside = [], threading.Event()

    def second() -> None:
        inside.wait()
        with locked(tmp_path / "l"):
            order.append((tmp_path / "l").is_dir())

    thread = threading.Thread(target=second)
    with locked(tmp_path / "l"):
        thread.start()
        inside.set()
        order.append("first")
        (tmp_path / "l").rmdir()
    thread.join()
    assert order == ["first", True]

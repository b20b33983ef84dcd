"""How many threads are taken, on machines that are not this one."""

from pathlib import Path

import pytest

from styleclip_rt import threads

V2 = "30 23 0:26 {top} /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "31 23 0:27 {top} /sys/fs/cgroup/cpu,cpuacct rw shared:5 - cgroup cgroup rw,cpu,cpuacct"
OTHER = "32 23 0:28 / /sys/fs/cgroup/memory rw shared:6 - cgroup cgroup rw,memory"


def machine(root: Path, groups: str, mounts: list[str], files: dict[str, str]) -> Path:
    told = {"proc/self/cgroup": groups, "proc/self/mountinfo": "\n".join(mounts) + "\n"}
    for name, text in (told | {f"sys/fs/cgroup/{k}": v for k, v in files.items()}).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "top", "files", "quota"),
    [
        ("0::/\n", "/", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", "/", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", "/", {}, None),
        ("0::/a/b\n", "/", {"a/b/cpu.max": "max 100000", "a/cpu.max": "400000 100000"}, 4.0),
        ("0::/a/b\n", "/", {"a/b/cpu.max": "50000 100000", "a/cpu.max": "1 1"}, 0.5),
        # The container's own part of the tree is mounted, with and without a namespace.
        ("0::/docker/x\n", "/docker/x", {"cpu.max": "200000 100000"}, 2.0),
        ("0::/../other\n", "/", {"cpu.max": "300000 100000"}, 3.0),
        ("0::/\n", "/", {"cpu.max": "rubbish"}, None),
        ("no lines of that kind", "/", {"cpu.max": "100000 100000"}, None),
    ],
)
def test_quota_of_version_2(
    tmp_path: Path, groups: str, top: str, files: dict[str, str], quota: float | None
) -> None:
    root = machine(tmp_path, groups, [OTHER, V2.format(top=top)], files)
    assert threads.cpu_quota(root) == quota


@pytest.mark.parametrize(("quota", "expected"), [("250000", 2.5), ("-1", None)])
@pytest.mark.parametrize("top", ["/", "/docker/x"])
def test_quota_of_version_1(tmp_path: Path, top: str, quota: str, expected: float | None) -> None:
    folder = "cpu,cpuacct" + ("/docker/x" if top == "/" else "")
    files = {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": "100000"}
    groups = "5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n0::/\n"
    root = machine(tmp_path, groups, ["short line", OTHER, V1.format(top=top)], files)
    assert threads.cpu_quota(root) == expected


def test_no_machine_of_this_kind_has_a_quota(tmp_path: Path) -> None:
    assert threads.cpu_quota(tmp_path) is None


@pytest.mark.parametrize(
    ("cpus", "quota", "wanted", "count", "why"),
    [
        (8, None, None, 8, "CPUs"),
        (8, 2.0, None, 2, "quota of 2"),
        (8, 2.5, None, 3, "quota of 2.5"),
        (8, 0.1, None, 1, "quota of 0.1"),
        (1, 4.0, None, 1, "CPUs"),
        (8, 2.0, "5", 5, "OMP_NUM_THREADS"),
        (8, 2.0, "4,2", 4, "OMP_NUM_THREADS"),
        (8, 2.0, "0", 2, "quota"),
        (8, None, "many", 8, "CPUs"),
    ],
)
def test_what_the_user_says_then_the_quota_then_the_cpus(
    monkeypatch: pytest.MonkeyPatch,
    cpus: int,
    quota: float | None,
    wanted: str | None,
    count: int,
    why: str,
) -> None:
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: set(range(cpus)), raising=False)
    monkeypatch.setattr(threads, "cpu_quota", lambda: quota)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if wanted is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    found = threads.chosen()
    assert found.number == count
    assert why in found.why


@pytest.mark.parametrize("said", [{}, {"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "7"}])
def test_waiting_is_short_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, str]
) -> None:
    environment: dict[str, str] = {}
    monkeypatch.setattr(threads.os, "environ", environment)
    assert threads.how_they_wait() == "as OpenMP does by itself"
    environment |= said
    threads.wait_briefly()
    assert environment == (said if "OMP_WAIT_POLICY" in said else threads.WAITING | said)
    for name, value in said.items():
        assert f"{name}={value}" in threads.how_they_wait()

"""Compilers that half work, first in PATH, and C that is really wrong: who is to blame, by exit code."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_vit import tiny_data, tiny_vit

from mcuformer.cli import invoke
from mcuformer.targets import tool
from mcuformer.targets.toolchain import find_toolchain

GCC = shutil.which("arm-none-eabi-gcc")
pytestmark = pytest.mark.skipif(GCC is None, reason="arm-none-eabi-gcc is not installed")
StandIn = Callable[[str], None]
VERSION = f'case "$*" in --version) exec {GCC} --version;; esac\n'
_OUT = "for last; do :; done\n"  # the argument behind -o
_EMPTY = f"echo > /tmp/none.c\n{GCC} -mcpu=cortex-m7 -mthumb -x c -c /dev/null -o"
BROKEN = {
    "no headers of newlib": 'echo "x.c:1:10: fatal error: stdint.h: No such file or directory" >&2; exit 1',
    "no multilib": f'case "$*" in *-nostdlib*) echo "cannot find -lgcc" >&2; exit 1;; esac; exec {GCC} "$@"',
    "an empty object": _OUT + ': > "$last"',
    "an object of nothing": f'case "$*" in *-nostdlib*) exec {GCC} "$@";; esac\n'
    + _OUT + f'exec {GCC} -mcpu=cortex-m7 -mthumb -mfloat-abi=hard -mfpu=fpv5-sp-d16 -x c -c /dev/null -o "$last"',
    "nothing at all": "exit 0",
    "a crash": 'case "$*" in *mcf_gemm.c*) kill -SEGV $$;; esac; exec ' + f'{GCC} "$@"',
    "an internal error": 'case "$*" in *mcf_gemm.c*) echo "internal compiler error: in foo" >&2; exit 4;; esac; '
    f'exec {GCC} "$@"',
    "it hangs": "exec sleep 30",
}  # fmt: skip


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    folder = tmp_path / "bin"
    folder.mkdir()

    def make(body: str) -> None:
        path = folder / "arm-none-eabi-gcc"
        path.write_text(f"#!/bin/sh\n{VERSION}{body}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=":")
        monkeypatch.setenv("MCUFORMER_CACHE", "")
        find_toolchain.cache_clear()

    yield make
    find_toolchain.cache_clear()


def compiled(tmp_path: Path) -> list[str]:
    model, data = tiny_vit(tmp_path / "m.onnx"), tiny_data(tmp_path / "d.npz")
    words = ["compile", str(model), "--board", "stm32f746", "--calibration", str(data)]
    return [*words, "-o", str(tmp_path / "out")]


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_a_broken_compiler_is_a_tool_that_failed(
    tmp_path: Path, stand_in: StandIn, body: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    stand_in(body)
    if "sleep" in body:
        monkeypatch.setattr(tool, "_LONGEST_S", 0.2)
    assert invoke(compiled(tmp_path)) == 6
    said = capsys.readouterr().err
    assert "hint: mcuformer doctor" in said and "bug" not in said, said
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))


REFUSES = (
    'case "$*" in *mcf_gemm.c*) echo "mcf_gemm.c:7:1: error: unknown type name" >&2; exit 1;; esac\n'
    f'exec {GCC} "$@"'
)


def test_c_of_ours_that_a_sound_compiler_refuses_is_a_bug(
    tmp_path: Path, stand_in: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(REFUSES)
    assert invoke(compiled(tmp_path)) == 1
    said = capsys.readouterr().err
    assert "bug in mcuformer: compiling mcf_gemm.c failed" in said
    assert "unknown type name" in said and "MCUFORMER_DEBUG=1" in said


@pytest.mark.parametrize(
    "name", ["model.c", "weights.c", "runtime/src/mcf_gemm.c", "mcf_weights.h"]
)
@pytest.mark.parametrize("how", ["half", "random"])
def test_a_package_whose_c_was_damaged(
    tmp_path: Path, name: str, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke([*compiled(tmp_path), "--emit-only"]) == 0
    path = tmp_path / "out" / name
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + (b"" if how == "half" else b"\xff\x00(((" * 9))
    words = ["validate", str(tmp_path / "out"), "--data", str(tmp_path / "d.npz")]
    assert invoke([*words, "--emulator", "host"]) == 2
    assert f"{path} is not as mcuformer wrote it" in capsys.readouterr().err

"""run and validate --timeout: a kernel that never ends is exit 5, in every emulator."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mcuformer.cli import invoke

Files = dict[str, Path]
needs_qemu = pytest.mark.skipif(
    shutil.which("qemu-system-arm") is None, reason="qemu-system-arm is not installed"
)
EMULATORS = ["unicorn", "host", pytest.param("qemu", marks=needs_qemu)]
NAMES = {"unicorn": "the firmware in Unicorn", "host": "the host program", "qemu": "QEMU"}


@pytest.fixture(scope="module")
def endless(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny package with a loop in the kernel of its mean; x.npy beside it."""
    folder = tmp_path_factory.mktemp("endless")
    package = Path(shutil.copytree(files["package"], folder / "package"))
    (package / "build" / "firmware.elf").unlink()
    source = package / "runtime" / "src" / "mcf_mean.c"
    loop = r"\g<0>\n    for (volatile int go = 1; go;) {}"
    text, count = re.subn(
        r"^void mcf_mean_partial\([^{]*\{", loop, source.read_text(), flags=re.MULTILINE
    )
    assert count == 1
    source.write_text(text)
    np.save(folder / "x.npy", np.load(files["data"])["x"][:1])
    return package


@pytest.mark.parametrize("emulator", EMULATORS)
def test_run(endless: Path, emulator: str, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["run", str(endless), "--input", str(endless.parent / "x.npy"), "--raw"]
    assert invoke([*args, "--emulator", emulator, "--timeout", "1.5", "--json"]) == 5
    shown = capsys.readouterr()
    assert f"error: {NAMES[emulator]} did not end within 1.5 s" in shown.err
    assert ("it is in mcf_mean" in shown.err) == (emulator == "unicorn")
    error = json.loads(shown.out)["error"]
    assert error["exit_code"] == 5 and "--timeout SECONDS gives it more" in error["hint"]


@pytest.mark.parametrize("emulator", EMULATORS)
def test_validate(
    files: Files, endless: Path, emulator: str, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["validate", str(endless), "--data", str(files["data"]), "--emulator", emulator]
    assert invoke([*args, "--timeout", "1", "--per-layer"]) == 5
    assert f"{NAMES[emulator]} did not end within 1 s" in capsys.readouterr().err


@pytest.mark.parametrize("emulator", EMULATORS)
def test_time_enough(files: Files, emulator: str) -> None:
    args = ["validate", str(files["package"]), "--data", str(files["data"]), "--limit", "2"]
    assert invoke([*args, "--emulator", emulator, "--timeout", "120", "--per-layer"]) == 0


@pytest.mark.parametrize("emulator", EMULATORS)
def test_ctrl_c(endless: Path, tmp_path: Path, emulator: str) -> None:
    """One signal to the command alone ends it, and what it has started."""
    args = ["run", str(endless), "--input", str(endless.parent / "x.npy"), "--raw"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mcuformer", *args, "--emulator", emulator],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        # a shell starts background jobs with SIGINT ignored, and children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # type: ignore[arg-type, return-value]
    )  # fmt: skip
    until = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(2)  # the build is over, most likely; before its end it is ended just so
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and "interrupted" in errors
    assert not list(tmp_path.iterdir()) and not _inside(tmp_path)


def _inside(folder: Path) -> list[str]:
    """Processes that run in `folder`, though it be deleted."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            found += [text for text in [str(link.readlink())] if text.startswith(f"{folder}/")]
    return found


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", " "])
def test_what_is_no_time(files: Files, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["validate", str(files["package"]), "--data", str(files["data"])]
    assert invoke([*args, "--timeout", text]) == 2
    assert "is no number of seconds above 0" in capsys.readouterr().err

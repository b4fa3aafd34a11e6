"""Programs that do not end: a clear error within the time limit, and nothing that runs on."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from small_model import INPUT_BYTES, write_small_model

from mcuformer.targets import host_runner, qemu_runner, renode_runner, unicorn_runner
from mcuformer.targets.board_file import load_board
from mcuformer.targets.faults import FirmwareError
from mcuformer.targets.firmware import build_firmware
from mcuformer.targets.limits import DEFAULT_S, EndlessError, default_limit_s
from mcuformer.util.interrupts import terminate_as_interrupt

F746, HOST = load_board("stm32f746"), load_board("host")
IMAGE = bytes(INPUT_BYTES)
LOOP = "for (volatile int go = 1; go;) {}"
LIMIT_S = 1.0
SLOW_S = 20.0  # that anything may take on a busy machine
needs_qemu = pytest.mark.skipif(
    shutil.which("qemu-system-arm") is None, reason="qemu-system-arm is not on PATH"
)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder whose sources change: objects that stay the same are compiled once."""
    return tmp_path_factory.mktemp("package")


@contextmanager
def soon() -> Iterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < SLOW_S


def gone(numbers: list[int]) -> bool:
    """Soon: a killed process is scheduled once more before it ends."""
    until = time.monotonic() + SLOW_S
    while any(map(runs, numbers)) and time.monotonic() < until:
        time.sleep(0.01)
    return not any(map(runs, numbers))


def runs(pid: int) -> bool:
    """A zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


@contextmanager
def interrupted(ready: Callable[[], bool], number: int) -> Iterator[None]:
    """`number` is sent to this process when `ready`; the block must end with KeyboardInterrupt."""

    def send() -> None:
        until = time.monotonic() + SLOW_S
        while not ready() and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.2)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    with terminate_as_interrupt():
        thread.start()
        with soon(), pytest.raises(KeyboardInterrupt):
            yield
        thread.join()


def forking(folder: Path) -> dict[str, str]:
    """A program of two processes that write their numbers down and loop."""
    note = f'FILE *f = fopen("{folder}/pids", "a"); fprintf(f, "%d\\n", (int)getpid()); fclose(f);'
    extra = f"#include <stdio.h>\n#include <unistd.h>\nstatic void note(void) {{ {note} }}"
    return {"extra": extra, "body": f"if (fork() >= 0) note(); {LOOP}"}


def pids(folder: Path) -> list[int]:
    path = folder / "pids"
    return [int(line) for line in path.read_text().split()] if path.is_file() else []


def test_a_host_program_that_does_not_end(package: Path) -> None:
    program = host_runner.build_host(write_small_model(package, HOST, body=LOOP))
    with soon(), pytest.raises(EndlessError, match=r"the host program did not end within 1 s") as e:
        host_runner.run(program, [IMAGE] * 4, timeout_s=LIMIT_S)
    assert e.value.exit_code == 5 and "--timeout SECONDS" in str(e.value.hint)


def test_no_process_of_the_host_program_is_left(package: Path, tmp_path: Path) -> None:
    choices = forking(tmp_path)
    program = host_runner.build_host(write_small_model(package, HOST, **choices))  # type: ignore[arg-type]
    with pytest.raises(EndlessError):
        host_runner.run(program, [IMAGE] * 2, timeout_s=LIMIT_S, processes=2)
    assert len(pids(tmp_path)) == 4 and gone(pids(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_ends_the_host_program(package: Path, tmp_path: Path, number: int) -> None:
    choices = forking(tmp_path)
    program = host_runner.build_host(write_small_model(package, HOST, **choices))  # type: ignore[arg-type]
    with interrupted(lambda: len(pids(tmp_path)) == 4, number):
        host_runner.run(program, [IMAGE] * 2, processes=2)
    assert gone(pids(tmp_path))


def test_what_a_program_leaves_behind_is_ended(package: Path, tmp_path: Path) -> None:
    choices = forking(tmp_path)
    choices["body"] = (
        choices["body"]
        .replace(LOOP, f"if (!f) {LOOP}")
        .replace("if (fork() >= 0)", "int f = fork(); if (f >= 0)")
    )
    program = host_runner.build_host(write_small_model(package, HOST, **choices))  # type: ignore[arg-type]
    with pytest.raises(EndlessError):  # the child holds the pipe that the parent left
        host_runner.run(program, [IMAGE], timeout_s=LIMIT_S)
    assert len(pids(tmp_path)) == 2 and gone(pids(tmp_path))


@needs_qemu
@pytest.mark.parametrize("place", ["body", "init"])
def test_qemu_that_does_not_end(package: Path, place: str) -> None:
    write_small_model(package, F746, body=LOOP if place == "body" else "")
    source = package / "model.c"
    if place == "init":
        source.write_text(source.read_text().replace("{ (void)arena;", f"{{ (void)arena; {LOOP}"))
    elf = build_firmware(package, F746, qemu=True)
    with soon(), pytest.raises(EndlessError, match="QEMU did not end within 1 s"):
        qemu_runner.run(elf, [IMAGE], core=F746.core, timeout_s=LIMIT_S)


HANG = {  # file of the port, what stands there, what it becomes, what the error says of it
    "start-up": ("startup.c", "    main();", f"    {LOOP} main();", "it is in Reset_Handler"),
    "main": ("core.c", "mcf_caches_enable(void) {", f"mcf_caches_enable(void) {{ {LOOP}", "it is in "),
    "deaf": ("uart.c", "return status & RXNE ? byte : -1;", "return byte - byte - 1;", None),
    "polls": ("uart.c", "int byte = (int)(MCF_REG(RECEIVE) & 0xFFu);", "int byte = -1;", "it is in "),
    "floods": ("uart.c", "int mcf_uart_get(void) {",
               "int mcf_uart_get(void) {\n    for (;;) mcf_uart_put('x');", "it is in mcf_uart_"),
    "babbles": ("uart.c", "int mcf_uart_get(void) {",
                "int mcf_uart_get(void) {\n    mcf_uart_put('x');", "it is in "),
}  # fmt: skip


@pytest.mark.parametrize("place", HANG)
def test_a_port_that_hangs_in_unicorn(package: Path, tmp_path: Path, place: str) -> None:
    name, old, new, where = HANG[place]
    source = write_small_model(package, F746) / "port" / name
    good = source.read_text()
    assert good.count(old) == 1
    try:
        source.write_text(good.replace(old, new))
        elf = build_firmware(package, F746, build=tmp_path)
    finally:
        source.write_text(good)
    said = f"in Unicorn did not end within 1 s, {where}" if where else "does not answer"
    with soon(), pytest.raises(FirmwareError, match=said):
        unicorn_runner.run(elf, F746, [IMAGE], timeout_s=LIMIT_S)


ASK = """
    for (unsigned n = 0;; n++)
        if (read(ctx, lines, n % LINES, 1)) break;
"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (LOOP, "did not end within 1 s, it is in invoke"),
        ('for (;;) __asm volatile("");', "did not end within 1 s, it is in invoke"),
        (ASK, "did not end within 1 s, it is in "),
        ('for (;;) __asm volatile("wfi");', "the device has said nothing for 30 s"),
    ],
    ids=["loop", "empty", "asks", "sleeps"],
)
def test_a_model_that_hangs_in_unicorn(package: Path, body: str, said: str) -> None:
    elf = build_firmware(write_small_model(package, F746, body=body), F746)
    with soon(), pytest.raises(FirmwareError, match=said):
        unicorn_runner.run(elf, F746, [IMAGE], timeout_s=LIMIT_S)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_ends_unicorn_in_a_loop_that_calls_nothing(package: Path, number: int) -> None:
    elf = build_firmware(write_small_model(package, F746, body=LOOP), F746)
    with interrupted(lambda: True, number):
        unicorn_runner.run(elf, F746, [IMAGE])


RENODE = """#!{python}
import os, pathlib, re, socket, time
port = int(re.search(r"CreateServerSocketTerminal (\\d+)", pathlib.Path("run.resc").read_text())[1])
pathlib.Path("{folder}/pids").write_text(str(os.getpid()))
with socket.create_server(("127.0.0.1", port)) as server:
    line, _ = server.accept()
    while True:
        line.sendall(b"x" * 100)
        time.sleep(0.01)
"""


def test_renode_that_only_babbles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a program that stands for it, since Renode is not installed everywhere."""
    fake = tmp_path / "bin" / "renode"
    fake.parent.mkdir()
    fake.write_text(RENODE.format(python=sys.executable, folder=tmp_path))
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent))
    (tmp_path / "firmware.elf").write_bytes(b"")
    with soon(), pytest.raises(EndlessError, match="Renode did not end within 1 s"):
        renode_runner.run(tmp_path / "firmware.elf", F746, [IMAGE], timeout_s=LIMIT_S)
    assert len(pids(tmp_path)) == 1 and gone(pids(tmp_path))


def test_the_limit_grows_with_the_estimate() -> None:
    assert default_limit_s("host", None, 3) == DEFAULT_S
    for emulator in ("host", "qemu", "unicorn", "renode"):
        small, large = (default_limit_s(emulator, 10_000_000, n) for n in (1, 100))
        assert 30 < small < 60 < large


def test_sockets_and_threads_of_a_run_are_gone(firmware: Callable) -> None:
    elf, board = firmware()
    before = threading.active_count(), len([*Path("/proc/self/fd").iterdir()])
    unicorn_runner.run(elf, board, [IMAGE] * 3)
    assert before == (threading.active_count(), len([*Path("/proc/self/fd").iterdir()]))
    assert signal.set_wakeup_fd(-1) == -1

"""mcuformer/cli/failure.py: every exception is one message and one exit code."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from mcuformer import errors
from mcuformer.cli.failure import classify, ended, report_failure


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("x"), 2),
        (errors.UnsupportedModelError("x"), 3),
        (errors.DoesNotFitError("x"), 4),
        (errors.ValidationError("x"), 5),
        (errors.ToolMissingError("x"), 6),
        (errors.FlashError("x"), 7),
        (click.UsageError("x"), 2),
        (click.FileError("x"), 2),
        (KeyboardInterrupt(), 130),
        (OSError(errno.ENOSPC, "x", "f"), 2),
        (PermissionError(errno.EACCES, "x"), 2),
        (MemoryError(), 2),
        (ZeroDivisionError("x"), 1),
        (AssertionError(), 1),
    ],
)
def test_exit_codes(error: BaseException, code: int) -> None:
    assert classify(error).exit_code == code


def test_what_a_library_makes_of_ctrl_c_is_ctrl_c() -> None:
    """optuna's clean-up raised an UnboundLocalError where an interrupt met it."""
    try:
        try:
            raise KeyboardInterrupt
        finally:
            raise UnboundLocalError("updated_state")
    except UnboundLocalError as error:
        assert classify(error).exit_code == 130


def test_full_disk_is_said() -> None:
    failure = classify(OSError(errno.ENOSPC, "No space left on device", "out/model.c"))
    assert failure.message == "out/model.c: the disk is full; nothing was written"


def test_bug_names_itself(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MCUFORMER_DEBUG", raising=False)
    assert report_failure(KeyError("k"), []) == 1
    assert "this is a bug in mcuformer (KeyError: 'k')" in capsys.readouterr().err
    monkeypatch.setenv("MCUFORMER_DEBUG", "1")
    report_failure(KeyError("k"), [])
    assert "Traceback" not in capsys.readouterr().out


def test_json_error_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert report_failure(errors.DoesNotFitError("needs 2", "buy more"), ["analyze", "--json"]) == 4
    printed = capsys.readouterr()
    error = json.loads(printed.out)["error"]
    assert error == {"exit_code": 4, "message": "needs 2", "hint": "buy more"}
    assert printed.err == "error: needs 2\n  hint: buy more\n"


def test_whatever_work_ends_in_is_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(error: BaseException) -> Callable[[], None]:
        def work() -> None:
            raise error

        return work

    assert ended(lambda: None, []) == 0
    assert ended(fail(errors.UsageError("unknown data", "digits")), []) == 2
    assert capsys.readouterr().err == "error: unknown data\n  hint: digits\n"
    assert ended(fail(KeyboardInterrupt()), [], "the same command goes on") == 130
    assert capsys.readouterr().err == (
        "error: interrupted; what was finished is kept\n  hint: the same command goes on\n"
    )


def test_scripts_end_as_commands_do() -> None:
    """A wrong path given to one is a message, no traceback."""
    scripts = (Path(__file__).parents[2] / "scripts").glob("*.py")
    own = [path for path in scripts if "from mcuformer.search" in path.read_text()]
    assert len(own) >= 7
    assert [p.name for p in own if "sys.exit(ended(main, sys.argv[1:]" not in p.read_text()] == []

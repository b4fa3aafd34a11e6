"""mcuformer boards and doctor: what they print."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mcuformer.cli import invoke
from mcuformer.files.paths import BOARDS
from mcuformer.targets.doctor import Finding, missing_essentials


def test_list_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["boards", "list", "--json"]) == 0
    names = {b["name"]: b for b in json.loads(capsys.readouterr().out)}
    assert names["stm32f746g-disco"]["sram_bytes"] == 327_680
    assert invoke(["boards", "show", "stm32f746"]) == 0
    assert "0x90000000" in capsys.readouterr().out
    assert invoke(["boards", "list"]) == 0
    assert "stm32f746g-disco" in capsys.readouterr().out


def test_check_finds_nonsense(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["boards", "check"]) == 0
    text = (BOARDS / "stm32f746g-disco.toml").read_text().replace("0x20000000", "0x08000000")
    (tmp_path / "bad.toml").write_text("colour = 'red'\n" + text)
    assert invoke(["boards", "check", str(tmp_path / "bad.toml")]) == 2
    assert "colour: unknown key" in capsys.readouterr().out
    (tmp_path / "bad.toml").write_text(text)
    assert invoke(["boards", "check", str(tmp_path / "bad.toml"), "--json"]) == 2
    (found,) = json.loads(capsys.readouterr().out)
    assert any("overlap" in problem for problem in found["problems"])


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["doctor", "--json"]) in (0, 6)
    tools = {t["name"]: t for t in json.loads(capsys.readouterr().out)["tools"]}
    assert tools["unicorn"]["hint"] == "pip install 'mcuformer[emulate]'"


def test_essentials() -> None:
    have = [Finding("unicorn", "", None, "", required=True), Finding("ziglang", "", "0.17", "")]
    assert missing_essentials(have) == ["unicorn"]
    assert missing_essentials([]) == ["arm-none-eabi-gcc or ziglang"]

"""A search folder with each of its files cut off or overwritten: one message, or a right result."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")
pytest.importorskip("optuna", reason="the extra `search` (optuna) is not installed")
pytest.importorskip("sklearn", reason="the extra `search` (scikit-learn) is not installed")


from mcuformer.cli import invoke
from mcuformer.search.storage import check_local

SPACE = """
patch = [8, 6]
dim = [16, 24]
depth = [1, 2]
heads = [1, 2]
head_dim = [8]
ratio = [1.0, 2.0]
rank_fc1 = [0.5, 1.0]
"""
_WORDS = (
    "--ram", "8k", "--budget", "small", "--threads", "1", "--supernet-epochs", "1",
    "--finetune-epochs", "1", "--candidates", "4", "--qat", "--study", "--json",
)  # fmt: skip
pytestmark = pytest.mark.long  # a search of all stages comes first

# what `--resume` reads, in the order of the stages; all else is written anew by the last stage
READ = (
    "settings.json", "legal_share.json", "supernet/last.pt", "evolution.json", "space.json",
    "search.db", "finetune-*/last.pt", "qat-*/last.pt", "study.json", "study-0.db",
    "study/*/last.pt",
)  # fmt: skip
WRITTEN = (
    "calibration.npz", "model.onnx", "search.html", "pareto.png", "evolution.png", "build/report.json",
    "build/graph.npz", "build/model.c", "build/weights.c", "build/board.toml",
    "build/build/firmware.elf", "build/runtime/src/mcf_gemm.c", "build/test.npz",
)  # fmt: skip
DAMAGE = ("half", "empty", "random", "zeros")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    (folder / "space.toml").write_text(SPACE)
    words = (*_WORDS, "--space", str(folder / "space.toml"), "-o", str(folder / "o"))
    assert invoke(["search", *words]) == 0
    return folder / "o"


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Iterator[Path]:
    yield Path(shutil.copytree(whole, tmp_path / "o"))
    shutil.rmtree(tmp_path / "o")


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    path.write_bytes(
        {
            "half": content[: len(content) // 2],
            "empty": b"",
            "random": random.Random(how).randbytes(max(100, len(content))),
            "zeros": bytes(len(content)),
        }[how]
    )


def one(folder: Path, pattern: str) -> Path:
    return next(iter(sorted(folder.glob(pattern))))


def without_result(folder: Path) -> None:
    """As if the search had been killed before its last stage."""
    (folder / "search.json").unlink()


def refused(captured: str, code: int, path: Path) -> None:
    assert code == 2 and "Traceback" not in captured, captured
    *_, message, hint = captured.splitlines()  # behind notes
    assert message.startswith(f"error: {path} is ") and hint.startswith("  hint: "), captured


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("pattern", READ)
def test_a_file_that_resume_reads_is_named(
    copied: Path, pattern: str, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    without_result(copied)
    path = one(copied, pattern)
    if pattern.startswith("study"):  # it has to be asked for
        (copied / "study.json").unlink() if "/" in pattern or ".db" in pattern else None
    damage(path, how)
    code = invoke(["search", "--resume", str(copied), "--json"])
    out, err = capfd.readouterr()
    if code == 0:  # an empty database is one without trials
        assert how == "empty" and path.suffix == ".db" and json.loads(out)["bit_exact"]
        return
    refused(err, code, path)
    assert json.loads(out)["error"]["exit_code"] == 2


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_result_is_named(
    copied: Path, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    damage(copied / "search.json", how)
    code = invoke(["search", "--resume", str(copied)])
    refused(capfd.readouterr().err, code, copied / "search.json")
    code = invoke(
        ["train", str(copied / "search.json"), "--data", "digits", "-o", str(copied / "t")]
    )
    refused(capfd.readouterr().err, code, copied / "search.json")


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("name", ["settings.json", "supernet/last.pt"])
def test_a_damaged_supernet_is_not_borrowed(
    copied: Path, name: str, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    damage(copied / name, how)
    words = (*_WORDS, "--space", str(copied.parent / "space.toml"))
    (copied.parent / "space.toml").write_text(SPACE)
    output = copied.parent / "other"
    code = invoke(["search", *words, "--supernet", str(copied), "-o", str(output)])
    refused(capfd.readouterr().err, code, copied / name)


@pytest.mark.parametrize("how", ["half", "random"])
def test_files_that_the_last_stage_writes_are_written_anew(
    copied: Path, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    before = json.loads((copied / "search.json").read_text())
    without_result(copied)
    for pattern in WRITTEN:
        damage(one(copied, pattern), how)
    assert invoke(["search", "--resume", str(copied), "--json"]) == 0, capfd.readouterr().err
    after = json.loads(capfd.readouterr().out)
    assert after["bit_exact"] and after["weights_sha256"] == before["weights_sha256"]


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_list_of_files_is_named(
    copied: Path, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    without_result(copied)
    damage(copied / "build" / ".mcuformer-files", how)
    code = invoke(["search", "--resume", str(copied)])
    refused(capfd.readouterr().err, code, copied / "build" / ".mcuformer-files")


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("name", ["report.json", "graph.npz", "board.toml"])
@pytest.mark.parametrize("command", ["run", "validate"])
def test_a_damaged_package_is_named(
    copied: Path, command: str, name: str, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    build = copied / "build"
    damage(build / name, how)
    words = {
        "run": ["--input", str(build / "test.npz")],
        "validate": ["--data", str(build / "test.npz")],
    }
    code = invoke([command, str(build), *words[command]])
    err = capfd.readouterr().err
    assert code == 2 and name in err and "Traceback" not in err, err


@pytest.mark.parametrize("content", [b"SQLite format 3\0" + bytes(100), b"x" * 2000])
def test_a_database_of_nonsense(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s.db").write_bytes(content)
    with pytest.raises(Exception, match=r"s\.db is damaged"):
        check_local(f"sqlite:///{tmp_path / 's.db'}")


PRODUCTS = ("model.onnx", "calibration.npz", "build/weights.c", "build/test.npz", "pareto.png")


def test_damaged_products_of_a_finished_search_are_made_anew(
    copied: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each is named; what did not change is left alone, and so is the result."""
    before = json.loads((copied / "search.json").read_text())
    kept = [name for name in PRODUCTS if (copied / name).is_file()]
    whole = {name: (copied / name).read_bytes() for name in ("build/weights.c", "search.html")}
    for name in kept:
        damage(copied / name, "random")
    (copied / "build" / "model.c").unlink()
    assert invoke(["search", "--resume", str(copied), "--json"]) == 0
    out, err = capfd.readouterr()
    for name in (*kept, "build/model.c"):
        assert f"{copied / name} is damaged or missing" in err
    after = json.loads(out)
    assert after["weights_sha256"] == before["weights_sha256"] and after["study"] == before["study"]
    assert (copied / "build/weights.c").read_bytes() == whole["build/weights.c"]
    assert invoke(["search", "--resume", str(copied), "--json"]) == 0
    assert "damaged" not in capfd.readouterr().err


def test_the_page_is_written_anew(copied: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("search.html", "search.html"):
        damage(copied / name, "half")
    assert invoke(["search", "--resume", str(copied), "--json"]) == 0
    assert (copied / "search.html").read_text().rstrip().endswith("</html>")
    assert "is damaged" not in capfd.readouterr().err


def test_a_moved_folder_has_new_paths(
    copied: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    moved = copied.rename(tmp_path / "moved")
    try:
        assert invoke(["search", "--resume", str(moved)]) == 0
        out = capfd.readouterr().out
        assert str(moved / "model.onnx") in out and str(moved / "build") in out
        assert str(copied) + "/" not in out
        kept = json.loads((moved / "search.json").read_text())
        assert kept["model"] == str(moved / "model.onnx")
    finally:
        moved.rename(copied)


def test_products_without_the_weights_they_were_made_of(
    copied: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing is trained again without being asked for."""
    shutil.rmtree(copied / "supernet")
    damage(copied / "model.onnx", "half")
    code = invoke(["search", "--resume", str(copied)])
    refused(capfd.readouterr().err, code, copied / "model.onnx")

"""`mcuformer search` from the command line to the emulator; killed and resumed."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")
pytest.importorskip("optuna", reason="the extra `search` (optuna) is not installed")
pytest.importorskip("sklearn", reason="the extra `search` (scikit-learn) is not installed")

from mcuformer.errors import UsageError
from mcuformer.search.space import load_space

SPACE = """
patch = [8, 6]
dim = [16, 24]
depth = [1, 2]
heads = [1, 2]
head_dim = [8]
ratio = [1.0, 2.0]
rank_fc1 = [0.5, 1.0]
"""


@pytest.fixture
def space(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(SPACE)
    return path


def command(*words):
    return [sys.executable, "-m", "mcuformer", "search", *map(str, words)]


def search(*words):
    run = subprocess.run(command(*words), check=False, capture_output=True, text=True)
    return run.returncode, run.stdout, run.stderr


def test_help_does_not_load_torch():
    code = (
        "import sys; from mcuformer.cli import invoke; invoke(['search', '--help']); "
        "sys.exit('torch' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode
        == 0
    )


@pytest.mark.long
def test_a_hopeless_limit_exits_4_at_once_and_names_the_least(tmp_path, space):
    code, _, error = search("--ram", "2k", "--space", space, "-o", tmp_path / "o")
    assert code == 4 and "the smallest network needs" in error


@pytest.mark.long
def test_another_search_is_not_overwritten(tmp_path, space):
    words = ("--space", space, "-o", tmp_path / "o")
    assert search("--ram", "1k", *words)[0] == 4
    code, _, error = search("--ram", "2k", *words)
    assert code == 2 and "holds another search" in error


def test_unknown_objectives_are_refused_before_any_work(tmp_path, space):
    words = ("--space", space, "--objectives", "accuracy,speed", "-o", tmp_path / "o")
    code, _, error = search(*words)
    assert code == 2 and "unknown objectives speed" in error and not (tmp_path / "o").exists()


def test_resume_needs_a_search(tmp_path):
    code, _, error = search("--resume", tmp_path)
    assert code == 2 and "holds no search" in error


def test_resume_of_another_folder_says_what_is_wrong(tmp_path):
    (tmp_path / "settings.json").write_text('{"colour": "red", "objectives": []}')
    code, _, error = search("--resume", tmp_path)
    assert code == 2 and "is not of a search of this version" in error


@pytest.mark.parametrize(
    "words", [("--threads", "1"), ("--ram", "64k"), ("-o", "elsewhere"), ("--qat",)]
)
def test_resume_ignores_no_option_silently(tmp_path, words):
    code, _, error = search("--resume", tmp_path, *words, "--json")
    assert code == 2 and "continued with its own options" in error


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('ratio = ["wide"]', "ratio needs positive numbers"),
        ("image = 5", "image is [height"),
        ("pool = [1]", "stem and pool are texts"),
        ("depth = {", "wrong.toml: Invalid initial character for a key"),
    ],
)
def test_a_wrong_space_file_is_one_message(tmp_path, line, message):
    path = tmp_path / "wrong.toml"
    kept = [row for row in SPACE.splitlines() if not row.startswith(line.split()[0])]
    path.write_text("\n".join([*kept, line]))
    with pytest.raises(UsageError, match=re.escape(message)):
        load_space(str(path))


def limited(size):
    """No file of the child may grow beyond `size`: what a full disk does, without one."""

    def apply():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return apply


@pytest.mark.long
def test_a_full_disk_is_one_message_and_the_search_goes_on_later(tmp_path, space):
    words = ("--ram", "8k", "--space", space, "--budget", "small", "--threads", "1")
    run = subprocess.run(
        command(*words, "-o", tmp_path / "o"),
        check=False,
        capture_output=True,
        text=True,
        preexec_fn=limited(20_000),
    )
    assert run.returncode == 2 and "--resume" in run.stderr, run.stderr
    assert "Traceback" not in run.stderr
    assert not list((tmp_path / "o").rglob("*.pt"))


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(tmp_path, space):
    words = ("--ram", "8k", "--space", space, "--supernet-epochs", "500", "--threads", "1")
    process = subprocess.Popen(
        command(*words, "-o", tmp_path / "o"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    wait_for(tmp_path / "o" / "supernet" / "last.pt", process)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "interrupted; what was finished is kept" in error and "--resume" in error


def wait_for(path, process, seconds=300):
    deadline = time.time() + seconds
    while not path.exists() and process.poll() is None and time.time() < deadline:
        time.sleep(0.05)


@pytest.mark.long
def test_a_small_search_from_space_to_emulator(tmp_path, space):
    """What CI runs of the search: every stage once, the study as well."""
    words = (
        "--ram",
        "8k",
        "--space",
        space,
        "--budget",
        "small",
        "--threads",
        "1",
        "--study",
        "--objectives",
        "accuracy,sram",
        "--qat",
        "--json",
    )
    code, output, error = search(*words, "-o", tmp_path / "o")
    assert code == 0, error
    found = json.loads(output)
    assert found["sram_high_water_bytes"] <= found["sram_total_bytes"] <= 8 * 1024
    assert found["bit_exact"] and found["accuracy"]["nearest_neighbour"] > 95
    front = found["pareto"]
    assert [r["accuracy"] for r in front] == sorted({r["accuracy"] for r in front})
    assert sum(r["compiled"] for r in front) == 1
    assert -1 <= found["study"]["tau"] <= 1 and len(found["study"]["subnets"]) == 4
    page = (tmp_path / "o" / "search.html").read_text()
    assert "Kendall's tau" in page and "data:image/png" in page
    code, output, error = search("--resume", tmp_path / "o")
    assert code == 0 and "study     tau" in output and "compiled" in output


@pytest.mark.long
def test_small_search_killed_and_resumed_equals_an_unbroken_one(tmp_path, space):
    words = (
        "--ram",
        "8k",
        "--space",
        space,
        "--budget",
        "small",
        "--threads",
        "1",
        "--study",
        "--json",
    )
    code, output, error = search(*words, "-o", tmp_path / "whole")
    assert code == 0, error
    whole = json.loads(output)

    killed = tmp_path / "killed"
    process = subprocess.Popen(
        command(*words, "-o", killed), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for sign, wait in (
        ("supernet/last.pt", 0.2),
        ("search.db", 1.0),
        ("model.onnx", 0.1),
        ("study.json", 0.3),
    ):
        wait_for(killed / sign, process)
        time.sleep(wait)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process = subprocess.Popen(
            command("--resume", killed, "--json"), stdout=subprocess.PIPE, text=True
        )
    output, _ = process.communicate()
    resumed = json.loads(output)
    assert {k: v for k, v in resumed.items() if k not in ("model", "build_dir")} == {
        k: v for k, v in whole.items() if k not in ("model", "build_dir")
    }


@pytest.mark.long
def test_both_exporters_of_a_found_network_compile_to_the_same_figures(tmp_path):
    import torch

    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    from mcuformer.compile.options import CompileOptions
    from mcuformer.compile.stages import analyze_model
    from mcuformer.search.data import load
    from mcuformer.search.finish import export
    from mcuformer.search.net import Network, initialise
    from mcuformer.search.space import load_space

    network = Network(load_space("tiny").smallest(pool="cls"))
    initialise(network, torch.Generator().manual_seed(0))
    found = []
    for dynamo in (False, True):
        path = tmp_path / f"{dynamo}.onnx"
        export(network, load("digits"), path, dynamo)
        options = CompileOptions(model=path, board="stm32f746", input_mode="bands")
        report = analyze_model(options, lambda *_: None).report
        found.append((report["memory"]["arena_bytes"], report["flash"]["weights_bytes"]))
    assert found[0] == found[1]

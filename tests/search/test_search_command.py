"""`mcuformer search` from the command line to the emulator; killed and resumed."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")
pytest.importorskip("optuna", reason="the extra `search` (optuna) is not installed")
pytest.importorskip("sklearn", reason="the extra `search` (scikit-learn) is not installed")

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
    run = subprocess.run(command(*words), capture_output=True, text=True)
    return run.returncode, run.stdout, run.stderr


def test_help_does_not_load_torch():
    code = (
        "import sys; from mcuformer.cli import invoke; invoke(['search', '--help']); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_a_hopeless_limit_exits_4_at_once_and_names_the_least(tmp_path, space):
    code, _, error = search("--ram", "2k", "--space", space, "-o", tmp_path / "o")
    assert code == 4 and "the smallest network needs" in error


def test_another_search_is_not_overwritten(tmp_path, space):
    words = ("--space", space, "-o", tmp_path / "o")
    assert search("--ram", "1k", *words)[0] == 4
    code, _, error = search("--ram", "2k", *words)
    assert code == 2 and "holds another search" in error


def test_resume_needs_a_search(tmp_path):
    code, _, error = search("--resume", tmp_path)
    assert code == 2 and "holds no search" in error


@pytest.mark.long
def test_small_search_killed_and_resumed_equals_an_unbroken_one(tmp_path, space):
    words = ("--ram", "8k", "--space", space, "--budget", "small", "--threads", "1", "--json")
    code, output, error = search(*words, "-o", tmp_path / "whole")
    assert code == 0, error
    whole = json.loads(output)
    assert whole["sram_total_bytes"] <= 8 * 1024 and whole["bit_exact"]
    assert (tmp_path / "whole" / "search.html").stat().st_size > 10_000

    killed = tmp_path / "killed"
    process = subprocess.Popen(
        command(*words, "-o", killed), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for sign, wait in (("supernet/last.pt", 0.2), ("search.db", 1.0), ("model.onnx", 0.1)):
        deadline = time.time() + 300
        while not (killed / sign).exists() and process.poll() is None and time.time() < deadline:
            time.sleep(0.05)
        time.sleep(wait)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process = subprocess.Popen(
            command("--resume", killed, "--json"), stdout=subprocess.PIPE, text=True
        )
    output, _ = process.communicate()
    resumed = json.loads(output)
    for name in ("arch", "accuracy", "candidates", "sram_total_bytes", "instructions"):
        assert resumed[name] == whole[name], name


@pytest.mark.long
def test_both_exporters_of_a_found_network_compile_to_the_same_figures(tmp_path):
    import torch

    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    from mcuformer.options import CompileOptions
    from mcuformer.pipeline import analyze_model
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

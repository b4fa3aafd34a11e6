"""Files that change only on purpose: `make golden` writes them anew, git diff shows what changed.

The model is built here, weight by weight, so these files depend on nothing that is drawn or trained.
"""

from __future__ import annotations

import re
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from mcuformer.cli import invoke
from mcuformer.compile.options import CompileOptions
from mcuformer.compile.stages import plan_model
from mcuformer.ir.graph import Graph
from mcuformer.ir.text import print_graph
from mcuformer.plan.text import print_program

sys.path.insert(0, str(Path(__file__).parents[1] / "cli"))

from tiny_vit import tiny_data, tiny_vit

FILES = Path(__file__).parent / "files"
NEAR = 2e-4  # twice the last of the five digits that are printed
NUMBER = r"(\d+\.\d+(?:e-?\d+)?)f?\b|\b(\d{6,})\b"
ZOO = Path(__file__).parents[1] / "data" / "zoo"


def check(name: str, text: str, config: pytest.Config) -> None:
    path = FILES / name
    if config.getoption("--update-golden"):
        path.write_text(text, encoding="utf-8")
    expected = path.read_text(encoding="utf-8")
    (words, wanted), (found_words, found) = numbers(expected), numbers(text)
    assert found_words == words, f"{name} changed; is it meant? make golden"
    assert found == pytest.approx(wanted, rel=NEAR), f"{name} changed; is it meant? make golden"


def numbers(text: str) -> tuple[str, list[float]]:
    """The text without, and apart from it, its fractions and large numbers: the scales come from float
    sums, whose order is each BLAS's own.

    The runtime's version follows every change of a kernel, the package's identity the last bit of a scale.
    """
    text = re.sub(r"MCF_RUNTIME_VERSION != 0x[0-9a-f]{8}u", "MCF_RUNTIME_VERSION != VERSION", text)
    text = re.sub(r"(_id\[16\] = \{\n).*\n", r"\1IDENTITY\n", text)
    found = [next(filter(None, match)) for match in re.findall(NUMBER, text)]
    return re.sub(NUMBER, "NUMBER", text), [float(number) for number in found]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    model, data = tiny_vit(folder / "tiny.onnx"), tiny_data(folder / "data.npz")
    args = ["compile", str(model), "--board", "stm32f746", "--calibration", str(data)]
    assert invoke([*args, "--emit-only", "-o", str(folder / "package")]) == 0
    return folder / "package"


@pytest.mark.parametrize("name", ["model.h", "CMakeLists.txt", "Makefile", "link.ld", "README.md"])
def test_package_files(package: Path, name: str, pytestconfig: pytest.Config) -> None:
    check(name, (package / name).read_text(encoding="utf-8"), pytestconfig)


@pytest.fixture(scope="module", params=["float_vit", "qdq_vit"])
def small(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> CompileOptions:
    """Two models: float in resident mode, and QDQ (its own scales) in bands."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "float_vit":
        model, data = tiny_vit(folder / "float_vit.onnx"), tiny_data(folder / "data.npz")
        return CompileOptions(model=model, board="stm32f746", calibration=data)
    model = folder / "qdq_vit.onnx"
    model.write_bytes((ZOO / "qdq_s8_channel.onnx").read_bytes())
    return CompileOptions(model=model, board="stm32f746", input_mode="bands", optimize="ram")


def test_graph_program_and_c(
    small: CompileOptions, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    name, (graph, program, code) = small.model.stem, with_one_set_of_kernels(small, tmp_path)
    check(f"{name}.graph.txt", graph, pytestconfig)
    check(f"{name}.program.txt", program, pytestconfig)
    check(f"{name}.model.c", code, pytestconfig)


def with_one_set_of_kernels(small: CompileOptions, work: Path) -> tuple[str, str, str]:
    """`texts` by another process whose OpenBLAS takes no kernels of newer processors: these add in another
    order, and a bias may be rounded to the next integer. Other architectures do not know the name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENBLAS_CORETYPE", "Haswell")
        with ProcessPoolExecutor(1, get_context("spawn")) as child:
            return child.submit(texts, small, work).result()


def texts(small: CompileOptions, work: Path) -> tuple[str, str, str]:
    """The integer graph, the program and model.c."""
    figures = plan_model(small, lambda *_: None, needs_data=True)
    args = ["compile", str(small.model), "--board", "stm32f746", "--emit-only"]
    args += ["--input-mode", small.input_mode, "--optimize", small.optimize]
    args += ["--calibration", str(small.calibration)] if small.calibration else []
    assert invoke([*args, "-o", str(work / "package")]) == 0
    code = (work / "package" / "model.c").read_text()
    return graph_text(figures.graph), print_program(figures.program, figures.plan), code


MAP = """<ir_version: 8, opset_import: ["" : 17]>
map (float[1,2,6,8] x) => (float[1,3,12,16] y)
{
  a = Conv <pads = [1, 1, 1, 1]> (x, w)
  r = Relu(a)
  b = Conv <pads = [1, 1, 1, 1]> (r, v)
  y = Resize <mode = "linear"> (b, , s)
}"""


def test_a_map_by_lines(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """What the program does, from the first line that comes to the last one that leaves."""
    model = onnx.parser.parse_model(MAP)
    shapes = {"w": (4, 2, 3, 3), "v": (3, 4, 3, 3)}
    weights = {n: np.sin(np.arange(np.prod(s))).reshape(s) for n, s in shapes.items()}
    for name, data in {**weights, "s": np.array([1, 1, 2, 2])}.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(data.astype(np.float32), name))
    onnx.save(model, tmp_path / "map.onnx")
    np.savez(tmp_path / "x.npz", x=np.cos(np.arange(8 * 2 * 6 * 8)).reshape(8, 2, 6, 8))
    args = ["compile", str(tmp_path / "map.onnx"), "--board", "stm32f746", "--emit-only"]
    args += ["--input-mode", "bands", "--output-mode", "lines", "--optimize", "ram"]
    args += ["--calibration", str(tmp_path / "x.npz"), "-o", str(tmp_path / "package")]
    assert invoke(args) == 0
    text = (tmp_path / "package" / "model.c").read_text()
    check("map.invoke.c", text[text.index("MCF_COLD int map_invoke") :], pytestconfig)


def graph_text(graph: Graph) -> str:
    """Operators, types, attributes and numbers; of long constants the first eight."""
    lines = [
        line for line in print_graph(graph.replace(meta={})).splitlines()
        if not line.startswith("const ")
    ]  # fmt: skip
    for value in graph.values.values():
        if value.data is not None:
            head = np.asarray(value.data).reshape(-1)[:8].tolist()
            lines.append(f"const {value.name}: {value.type} starts {head}")
        elif value.type.qparams is not None:
            scale, zero = (np.asarray(a, float).reshape(-1)[:4].tolist() for a in
                           (value.type.qparams.scale, value.type.qparams.zero_point))  # fmt: skip
            lines.append(f"grid {value.name}: scale {scale} zero {zero}")
    return "\n".join([*lines, ""])


@pytest.mark.parametrize(
    ("name", "args"),
    [("ops.txt", ["ops"]), ("boards.txt", ["boards", "list"]), ("help.txt", ["--help"])],
)
def test_printed_tables(
    name: str, args: list[str], capsys: pytest.CaptureFixture[str], pytestconfig: pytest.Config
) -> None:
    assert invoke(args) == 0
    check(name, capsys.readouterr().out, pytestconfig)

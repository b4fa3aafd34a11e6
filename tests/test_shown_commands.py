"""Every command that a document shows is one that can be typed: it is read from the text and parsed, not run.

Documents are the Markdown files and the docstrings of examples, scripts and measurements. Of `mcuformer` the real
parser is asked: options exist, choices and numbers are valid, and in a block nothing that is required is missing.
Of `make` the target and its variables, of `python FILE` the file and its options have to exist. Words in capitals
stand for something of the reader's, brackets for what may be left away.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from mcuformer.cli import COMMANDS, cli

ROOT = Path(__file__).parents[1]
_FENCED = re.compile(r"^```.*?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^ {4,}\S.*\n?)+", re.MULTILINE)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_BEGINS = re.compile(r"(?:[A-Z_]+=\S+ +)*(?:mcuformer|make|python\d?|torchrun) ")
_PLACEHOLDER = re.compile(r"\.*/?[A-Z][A-Z0-9_]*(?:[./|:=,].*)?|.*\|.*|\$.*|\.\.\.")
_PASS_ON: Mapping[str, str] = {
    "tests/bench/compile_stages.py": "compile"
}  # their options are a command's
_BETWEEN = frozenset({"|", "&&", ";", ">", "2>", "<"})


@dataclass(frozen=True, slots=True)
class Shown:
    """`whole`: of a block, to be typed as it stands."""

    where: str
    text: str
    whole: bool


def documents() -> list[Path]:
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    for folder in ("examples", "scripts", "tests/bench"):
        found += (ROOT / folder).rglob("*.py")
    return sorted(found)


def text_of(path: Path) -> str:
    """Of Python what its docstring says; a change log tells of what was."""
    if path.name == "CHANGELOG.md":
        return ""
    text = path.read_text(encoding="utf-8")
    return text if path.suffix == ".md" else ast.get_docstring(ast.parse(text), clean=False) or ""


def shown_in(path: Path) -> Iterator[Shown]:
    text, where = text_of(path), str(path.relative_to(ROOT))
    prose = text
    for pattern in (_FENCED, _INDENTED):
        for block in pattern.finditer(text):
            joined = re.sub(r"\\\n\s*", " ", block[1] if pattern is _FENCED else block[0])
            for line in joined.splitlines():
                typed = line.strip().removeprefix("$ ").removeprefix("Run: ")
                if _BEGINS.match(typed):
                    yield Shown(where, typed, "..." not in typed)
        prose = pattern.sub("", prose)
    for line in re.sub(r"\\\n\s*", " ", prose).splitlines():
        if path.suffix == ".py" and _BEGINS.match(line.strip().removeprefix("Run: ")):
            yield Shown(where, line.strip().removeprefix("Run: "), whole=True)
    for span in _INLINE.finditer(prose):
        typed = span[1].strip()
        if typed.split()[0] in COMMANDS and " -" in typed:
            typed = f"mcuformer {typed}"
        if _BEGINS.match(typed):
            yield Shown(where, typed, whole=False)


ALL = [shown for path in documents() for shown in shown_in(path)]


def programs(text: str) -> Iterator[list[str]]:
    """The words of each program of a command line; what may be left away is given."""
    bare = re.sub(r"\[(-[^\]]*)\]", r"\1", text)
    words: list[str] = []
    for word in [*shlex.split(bare, comments=True), ";"]:
        if word not in _BETWEEN:
            words.append(word)
            continue
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            del words[0]
        yield words
        words = []


def check_mcuformer(words: list[str], whole: bool) -> None:
    command: click.Command = cli
    context = click.Context(command)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        assert found is not None, f"no command {words[0]}"
        command, words = found, words[1:]
        context = click.Context(command)
    given, left, _ = command.make_parser(context).parse_args(list(words))
    left = [word for word in left if not _PLACEHOLDER.fullmatch(word)]
    assert not left or isinstance(command, click.Group), f"{left} are too many"
    for param in command.params:
        value = given.get(str(param.name))
        values = value if isinstance(value, (list, tuple)) else [value]
        texts = [v for v in values if isinstance(v, str)]
        if whole and param.required:
            assert texts, f"{param.opts[-1]} is missing"
        for text in texts:
            if not isinstance(param.type, click.Path) and not _PLACEHOLDER.fullmatch(text):
                param.type.convert(text, param, context)


def check_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for word in words:
        name, equals, _ = word.partition("=")
        known = rf"\b{name}\b" if equals else rf"^{re.escape(name)}:"
        found = re.search(known, makefile, re.MULTILINE) is not None
        assert found, f"the Makefile knows no {name}"


def check_script(words: list[str]) -> None:
    path = ROOT / words[0]
    if words[0] in _PASS_ON:
        check_mcuformer([_PASS_ON[words[0]], *words[1:]], whole=False)
        return
    assert path.is_file(), f"{words[0]} does not exist"
    text = path.read_text()
    for word in words[1:]:
        option = word.partition("=")[0]
        if re.fullmatch(r"--?[a-z][a-z-]*", option) and option != "--help":
            found = re.search(rf'["\']{option}["\']', text) is not None
            assert found, f"{words[0]} has no {option}"


def check(words: list[str], whole: bool) -> None:
    name, *rest = words
    if name == "mcuformer":
        check_mcuformer(rest, whole)
    elif "-m" in words and "mcuformer" in words:
        check_mcuformer(words[words.index("mcuformer") + 1 :], whole)
    elif name == "make" and whole:
        check_make(rest)
    elif name.startswith("python") and rest and re.fullmatch(r"[a-z].*\.py", rest[0]):
        check_script(rest)


@pytest.mark.parametrize("where", sorted({shown.where for shown in ALL}))
def test_what_is_shown_can_be_typed(where: str) -> None:
    wrong = []
    for shown in ALL:
        if shown.where != where:
            continue
        for words in filter(None, programs(shown.text)):
            try:
                check(words, shown.whole)
            except click.BadOptionUsage as error:
                if shown.whole or "requires an argument" not in error.message:
                    wrong.append(f"{shown.text}\n    {error.message}")
            except (AssertionError, click.ClickException) as error:
                said = error.format_message() if isinstance(error, click.ClickException) else error
                wrong.append(f"{shown.text}\n    {said}")
    assert not wrong, "\n".join(wrong)


def test_commands_are_found_in_all_of_their_forms() -> None:
    """A reader that finds nothing would be content with everything."""
    of = [shown for shown in ALL if "mcuformer" in shown.text]
    assert len(of) > 60 and sum(s.whole for s in of) > 40
    assert {s.where for s in of} >= {"README.md", "docs/search.md", "examples/02_classify.py"}
    seen = {words[1] for s in of for words in programs(s.text) if words[:1] == ["mcuformer"]}
    assert seen >= {*COMMANDS} - {"monitor", "doctor"}


@pytest.mark.parametrize(
    "text",
    [
        "mcuformer trian ARCH.json", "mcuformer train ARCH.json --data digits -o run --epoch-count 3",
        "mcuformer train ARCH.json --data digits -o run --epochs many", "mcuformer compile MODEL.onnx -o out",
        "mcuformer search --budget tiny", "mcuformer boards lists", "mcuformer ops Conv", "make dmeo",
        "make fuzz CUONT=3", "python scripts/none.py", "python scripts/scala_table.py --dta D",
        "torchrun --nproc-per-node 2 -m mcuformer train ARCH.json --data D --optimiser muon -o run",
    ],
)  # fmt: skip
def test_what_cannot_be_typed_is_found(text: str) -> None:
    with pytest.raises((AssertionError, click.ClickException)):
        for words in programs(text):
            check(words, whole=True)

"""Lines of C: no wider than a screen, nothing lost."""

from mcuformer.codegen.lines import WIDTH, call, commented, numbers


def test_a_short_call_is_one_line():
    assert list(call("    ", "f", ["a", "b"])) == ["    f(a, b);"]


def test_a_long_call_goes_on_behind_its_parenthesis():
    args = [f"argument_{i:02}" for i in range(30)]
    lines = list(call("    ", "mcf_linear", args))
    assert len(lines) > 1 and all(len(line) <= WIDTH for line in lines)
    assert lines[0] == "    mcf_linear(" and all(x.startswith(" " * 8) for x in lines[1:])
    assert "".join("".join(lines).split()) == f"mcf_linear({','.join(args)});"


def test_numbers_come_so_many_to_a_line():
    assert list(numbers(map(str, range(5)), 2)) == ["0, 1,", "2, 3,", "4,"]


def test_comments_stand_below_each_other():
    assert list(commented([("a;", "x"), ("long;", "y")])) == [
        "    a;    /* x */",
        "    long; /* y */",
    ]
    assert list(commented([])) == []

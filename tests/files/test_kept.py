"""Files of an earlier command: understood as a whole, or refused by name."""

import errno

import pytest

from mcuformer.errors import UsageError
from mcuformer.files.kept import making_sense_of, read_json


def test_a_whole_document_is_parsed(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"n": 3}')
    assert read_json(path, lambda table: table["n"] + 1, "remove it") == 4


@pytest.mark.parametrize("content", [b"", b'{"n": ', b"\xff\xfe", b'{"other": 1}', b"[]"])
def test_a_damaged_one_is_named_with_what_to_do(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"a\.json is damaged") as raised:
        read_json(path, lambda table: table["n"], "remove it")
    assert raised.value.hint == "remove it"


def test_what_the_system_says_of_the_disk_stays(tmp_path):
    with pytest.raises(OSError, match="full"), making_sense_of(tmp_path, "remove it"):
        raise OSError(errno.ENOSPC, "the disk is full")

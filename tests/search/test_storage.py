from __future__ import annotations

from pathlib import Path

import pytest

from mcuformer.errors import UsageError

pytest.importorskip("optuna")


@pytest.mark.parametrize("url", ["nonsense", "sqlite:///no/such/folder/x.db", "redis://h:1/0"])
def test_a_storage_that_cannot_be_used_is_named(url: str) -> None:
    from mcuformer.search.storage import check_storage

    with pytest.raises(UsageError, match="--storage"):
        check_storage(url)


def test_a_new_database_is_fine(tmp_path: Path) -> None:
    from mcuformer.search.storage import check_storage

    check_storage(f"sqlite:///{tmp_path / 'x.db'}")

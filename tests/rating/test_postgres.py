"""The same promises on a real PostgreSQL, with two servers at one database."""

import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from imagen.rating.server.exporting import answers_of
from imagen.rating.server.store import Store

from .conftest import Made
from .test_killed import free_port

pytestmark = pytest.mark.server
VALUES = {"quality": "left", "alignment": "same"}


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The address of an empty database of a server of its own."""
    pytest.importorskip("psycopg", reason="no psycopg: pip install 'psycopg[binary]'")
    found = [
        *Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        *map(Path, filter(None, [shutil.which("initdb")])),
    ]
    if not found:
        pytest.skip("no PostgreSQL: apt-get install postgresql")
    root = os.geteuid() == 0  # as whom it does not run
    if root and subprocess.run(["id", "postgres"], capture_output=True).returncode:
        pytest.skip("root needs a user postgres to run PostgreSQL as")
    folder, port, who = tempfile.mkdtemp(), free_port(), {"user": "postgres"} if root else {}
    if root:
        shutil.chown(folder, "postgres")
    how: dict[str, Any] = {
        "check": True,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        "cwd": "/",
        **who,
    }
    bin_ = found[0].resolve().parent
    subprocess.run([bin_ / "initdb", "-D", f"{folder}/data", "-U", "rate", "--auth=trust", "-N"], **how)
    settings = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"
    control = [str(bin_ / "pg_ctl"), "-D", f"{folder}/data", "-w"]
    subprocess.run([*control, "-o", settings, "-l", f"{folder}/log", "start"], **how)
    try:
        yield f"postgresql+psycopg://rate@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **how)
        shutil.rmtree(folder, ignore_errors=True)


def test_two_servers_at_one_database(made: Made, database: str, tmp_path: Path) -> None:
    made(8, session={"items": 8, "repeats": 1})
    stores = [Store(tmp_path / "study", database) for _ in range(2)]
    tokens = [token for _, token in stores[0].invite(6, 1.0)]

    def rated(place: int) -> None:
        token = tokens[place]
        for store in stores[:: 1 if place % 2 else -1]:
            rater = store.rater(token)
            assert rater
            store.consent(rater.number, {}).result()
        assert rater
        for entry in range(9):
            tried = [
                store.answer(rater.number, entry, f"key-{entry}-{side}", VALUES, 1.0)
                for side, store in enumerate(stores)
            ]
            assert sorted(one.result() for one in tried) == ["kept", "stale"]
            again = [
                store.answer(rater.number, entry, f"key-{entry}-{side}", VALUES, 1.0)
                for side, store in enumerate(stores)
            ]
            assert sorted(one.result() for one in again) == ["again", "stale"]
        assert stores[0].undo(rater.number, 9).result()
        assert not stores[1].undo(rater.number, 9).result()
        assert stores[1].answer(rater.number, 8, "key-last", VALUES, None).result() == "kept"

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(rated, range(6)))
    rows = stores[1].answers()
    assert Counter((row["rater"], row["entry"]) for row in rows) == {
        (n, e): 1 for n in range(1, 7) for e in range(9)
    }
    assert sorted(row["plan"] for row in stores[0].raters()) == list(range(6))
    assert len(answers_of(stores[0])) == 6 * 9 * 2
    stores[0].revoke("r0001")
    assert stores[1].rater(tokens[0]) is None
    assert stores[1].erase("r0002") == 10
    assert not [row for row in stores[0].answers(undone=True) if row["rater"] == 2]
    for store in stores:
        store.close()


def test_no_such_database(made: Made, tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="no psycopg: pip install 'psycopg[binary]'")
    made(2)
    with pytest.raises(ValueError, match=r"^database=127\.0\.0\.1:1/none: cannot be used") as error:
        Store(tmp_path / "study", "postgresql+psycopg://u:secret@127.0.0.1:1/none")
    assert "secret" not in str(error.value)

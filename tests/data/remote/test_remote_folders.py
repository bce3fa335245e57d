"""Shards at addresses: the same batches as from disk."""

import json
import logging
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from imagen.data.module import Shards
from imagen.data.prepare.embedding import embed
from imagen.data.prepare.estimate import estimate
from imagen.data.prepare.preparing import prepare
from imagen.data.remote import Cache, Lost
from imagen.data.shards import split_of
from imagen.data.sources.img2dataset import Img2dataset
from imagen.data.sources.shapes import Shapes
from imagen.text import HashedWords

ENCODER = HashedWords(8)


def module(train: Any, cache: Cache, **options: Any) -> Shards:
    data = Shards(train, **{"resolution": 8, "batch_size": 4, "encoder": ENCODER, "cache": cache, **options})
    data.setup("fit")
    return data


def batches(data: Shards, count: int = 4) -> list[dict[str, Any]]:
    made: Any = data.train_dataloader().dataset
    return [made.batch(number) for number in range(count)]


def assert_equal(some: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    assert len(some) == len(others) > 0
    for one, other in zip(some, others):
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key]


def test_a_remote_folder_gives_the_batches_of_the_local_one(
    server: Any, pictures: Path, prepared: Path, cache: Cache
) -> None:
    here, there = module(str(prepared), cache), module(f"{server.url}/pictures", cache)
    assert not any("tar" in path or "safetensors" in path for path in server.asked), (
        "nothing but what is needed"
    )
    assert_equal(batches(there), batches(here))
    assert "text_emb" in batches(there)[0]
    assert_equal(list(there.val_dataloader()), list(here.val_dataloader()))
    fetched = {path: n for path, n in server.asked.items() if path.endswith((".tar", ".safetensors"))}
    assert len(fetched) == 8
    assert set(fetched.values()) == {1}
    # by workers, which are forked from a process that has fetched something
    workers = iter(module(f"{server.url}/pictures/", Cache(cache.folder / "2"), workers=2).train_dataloader())
    assert_equal([next(workers) for _ in range(4)], batches(here))


def test_remote_tars_give_the_batches_of_local_ones(
    server: Any, pictures: Path, prepared: Path, cache: Cache, caplog: pytest.LogCaptureFixture
) -> None:
    names = "train-{000000..000002}.tar"
    assert_equal(
        batches(module(f"{server.url}/pictures/{names}", cache)),
        batches(module(f"{prepared}/{names}", cache)),
    )
    shutil.rmtree(pictures / "text")
    with caplog.at_level(logging.WARNING):
        assert "text_emb" not in batches(module(f"{server.url}/pictures/{names}", cache), 1)[0]
    assert "embedded while training" in caplog.text
    assert "key.json: there is no such file (404) (1 try)" in caplog.text


def test_shards_cross_to_other_processes(server: Any, pictures: Path, cache: Cache) -> None:
    shard = split_of(f"{server.url}/pictures", "train", "x", cache)[1]
    assert pickle.loads(pickle.dumps(shard)).read(2)["__key__"] == shard.read(2)["__key__"]


def test_img2dataset_at_addresses(server: Any, pictures: Path, cache: Cache, tmp_path: Path) -> None:
    names = "train-{000000..000002}.tar"
    source = Img2dataset(f"{server.url}/pictures/{names}")
    assert estimate(source, 8).pairs == 30_000
    index = prepare(source, tmp_path / "out", workers=2, cache=cache)
    assert prepare(source, tmp_path / "out", cache=cache) == index
    shards = index["splits"]["train"]["shards"]
    assert [shard["url"] for shard in shards] == [
        f"{server.url}/pictures/train-00000{n}.tar" for n in range(3)
    ]
    embed(tmp_path / "out", [ENCODER], cache=cache)
    prepare(Img2dataset(f"{pictures}/train-*.tar"), tmp_path / "local")
    embed(tmp_path / "local", [ENCODER])
    assert_equal(batches(module(tmp_path / "out", cache)), batches(module(tmp_path / "local", cache)))
    assert {n for path, n in server.asked.items() if path.endswith(".tar")} == {1}
    with pytest.raises(
        ValueError, match=r"source.path=http://x/y: name its tars, such as http://x/y/\{00000"
    ):
        Img2dataset("http://x/y")
    (pictures / "train-000001.tar").unlink()
    with pytest.raises(
        ValueError, match=r"source.path: http.*train-000001.tar: there is no such file \(404\)"
    ):
        prepare(source, tmp_path / "again", cache=Cache(tmp_path / "empty"))


def test_what_was_put_there_since_is_fetched(server: Any, pictures: Path, cache: Cache) -> None:
    before = batches(module(f"{server.url}/pictures", cache))
    shutil.rmtree(pictures)
    prepare(Shapes(count=12, resolution=8, held_out=4, seed=1), pictures, shard_size=4)
    embed(pictures, [ENCODER])
    after = batches(module(f"{server.url}/pictures", cache))
    assert_equal(after, batches(module(pictures, cache)))
    assert not torch.equal(after[0]["image"], before[0]["image"])


def test_a_lost_shard_is_counted_and_left_out(
    server: Any, pictures: Path, cache: Cache, caplog: pytest.LogCaptureFixture
) -> None:
    (pictures / "train-000001.tar").unlink()
    data = module(f"{server.url}/pictures", cache, max_bad=0.5)
    with caplog.at_level(logging.WARNING):
        made: Any = data.train_dataloader().dataset
        found = [key for number in range(6) for key in made.batch(number)["key"]]
    assert not set(found) & {f"train-{row:08d}" for row in range(4, 8)}
    assert len(made.bad) == 4
    assert "missing shard: http" in caplog.text
    assert server.asked["/pictures/train-000001.tar"] == 1, "the others of its pairs do not ask again"
    with pytest.raises(ValueError, match=r"\d pairs cannot be used \(.*\), more than data.max_bad=0.1"):
        list(zip(module(f"{server.url}/pictures", cache).train_dataloader(), range(20)))


def test_lost_embeddings_are_counted_and_left_out(server: Any, pictures: Path, cache: Cache) -> None:
    next(pictures.glob("text/*/train-000001.safetensors")).unlink()
    next(pictures.glob("index/train-000002.json")).unlink()
    made: Any = module(f"{server.url}/pictures", cache, max_bad=1.0).train_dataloader().dataset
    found = [key for number in range(6) for key in made.batch(number)["key"]]
    assert set(found) <= {f"train-{row:08d}" for row in range(4)}


def test_damage_is_told_with_the_address(server: Any, pictures: Path, cache: Cache) -> None:
    (pictures / "index/train-000001.json").write_text("{")
    with pytest.raises(ValueError, match=r"^http.*/index/train-000001.json is damaged .*; delete it"):
        split_of(f"{server.url}/pictures", "train", "x", cache)[1].read(0)
    next(pictures.glob("text/*/train-000000.safetensors")).write_bytes(b"no")
    (pictures / "index/train-000001.json").unlink()
    with pytest.raises(ValueError, match=r"^http.*/train-000000.safetensors is damaged"):
        batches(module(f"{server.url}/pictures", cache, max_bad=1.0))
    (pictures / "index.json").unlink()
    with pytest.raises(
        ValueError, match=r"^data.train=http.*/index.json: there is no such file.*, or give the add"
    ):
        module(f"{server.url}/pictures", cache)
    key = next(pictures.glob("text/*/key.json"))
    key.write_text(json.dumps({**json.loads(key.read_text()), "dim": 9}))
    with pytest.raises(
        ValueError, match="are of another encoder than the one configured: dim is 9 there, 8 here"
    ):
        module(f"{server.url}/pictures/train-000000.tar", cache)


@pytest.mark.parametrize("url", ["pipe:touch /tmp/harm", "/etc/passwd", "../x.tar"])
def test_an_index_from_elsewhere_leads_nowhere_else(
    server: Any, pictures: Path, cache: Cache, url: str
) -> None:
    index = json.loads((pictures / "index.json").read_text())
    index["splits"]["train"]["shards"][0]["url"] = url
    (pictures / "index.json").write_text(json.dumps(index))
    cache.pipes = True
    with pytest.raises(ValueError, match=r"data.train=.*its index.json leads to .*, which is no address"):
        module(f"{server.url}/pictures", cache)


def test_a_pipe_needs_the_flag(prepared: Path, cache: Cache, tmp_path: Path) -> None:
    command = f"pipe:cat {prepared}/train-{{000000..000002}}.tar"
    with pytest.raises(
        ValueError, match=r"^data.train=pipe:cat .*: runs a shell command: give cache.pipes=true"
    ):
        module(command, cache)
    with pytest.raises(ValueError, match="runs a shell command"):
        prepare(Img2dataset(command), tmp_path / "out", cache=cache)
    with pytest.raises(ValueError, match="runs a shell command"):
        cache.local(f"pipe:touch {tmp_path}/harm")
    assert not (tmp_path / "harm").exists()
    cache.pipes = True
    live = module(f"{prepared}/train-*.tar", cache, live=True)
    assert_equal(batches(module(command, cache)), batches(live))
    with pytest.raises(Lost, match=r"pipe:exit 3: the command ended with exit code 3 \(3 tries\)"):
        cache.local("pipe:exit 3")
    cache.timeout = 0.1
    with pytest.raises(Lost, match=r"no byte came for 0.1 s"):
        cache.local("pipe:echo half; sleep 5")
    with pytest.raises(
        ValueError, match=r"data.train=pipe:exit 3: pipe:exit 3: the command ended.*: leave it out"
    ):
        module("pipe:exit 3", cache)


@pytest.mark.parametrize("url", ["ftp://host/a.tar", "file:///a.tar", "HTTPS+x://host/pictures"])
def test_unknown_protocols_are_refused(url: str, cache: Cache, tmp_path: Path) -> None:
    known = r":// is not known: give https://, http://, s3://, gs://, hf:// or pipe:COMMAND"
    with pytest.raises(ValueError, match=rf"^data.train=.*{known}"):
        module(url, cache)
    with pytest.raises(ValueError, match=rf"^source.path=.*{known}"):
        prepare(Img2dataset(f"{url}.tar"), tmp_path / "out", cache=cache)


def test_patterns_that_no_server_can_answer(cache: Cache) -> None:
    with pytest.raises(ValueError, match=r"data.train=http://x/\*.tar: servers do not list .*: give \{00000"):
        module("http://x/*.tar", cache)
    with pytest.raises(ValueError, match="names more than 1000000 shards"):
        module("http://x/{0..99999999}.tar", cache)


@pytest.mark.parametrize(
    ("module_name", "url", "remedy"),
    [
        ("s3fs", "s3://bucket/x", r"needs s3fs: pip install 'imagen-cascade\[remote\]' s3fs"),
        ("gcsfs", "gs://bucket/x", r"needs gcsfs: pip install 'imagen-cascade\[remote\]' gcsfs"),
        ("fsspec", "https://host/x", r"needs fsspec: pip install 'imagen-cascade\[remote\]'$"),
    ],
)
def test_what_must_be_installed_is_said(
    module_name: str, url: str, remedy: str, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module_name, None)
    with pytest.raises(ValueError, match=rf"^data.train={url}: {remedy}"):
        module(url, cache)


def test_a_library_that_lacks_another_is_said(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "gcsfs.py").write_text("import nothing_of_that_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "gcsfs", raising=False)
    words = r"needs gcsfs and what that needs \(No module named 'nothing_of_that_name'\): pip install"
    with pytest.raises(ValueError, match=rf"^data.train=gs://bucket/x: {words}"):
        module("gs://bucket/x", cache)


def test_a_server_that_went_away_is_no_bad_data(server: Any, pictures: Path, cache: Cache) -> None:
    """Nothing is left out for it, so that a run that goes on later goes on with the same pairs."""
    data = module(f"{server.url}/pictures", cache, max_bad=1.0)
    for name in ("train-000000.tar", "train-000001.tar", "train-000002.tar"):
        server.faults[f"/pictures/{name}"] = [503] * 99
    with pytest.raises(
        ValueError, match=r"train-00000\d.tar: the server says 503 .*: the same command goes on when"
    ):
        batches(data)


@pytest.mark.parametrize("url", ["http://", "http://[::1/x.tar", "http://[x/{0..3}.tar", "s3:///x.tar"])
def test_no_address(url: str, cache: Cache, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^data.train=.*: no address: give \w+://HOST_OR_BUCKET/PATH"):
        module(url, cache)

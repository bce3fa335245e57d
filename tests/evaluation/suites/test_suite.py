"""Suites: every known format is read by its content, written ones come back equal, and what is wrong is one clear line."""

import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagen.evaluation.suites.readers import captions_of
from imagen.evaluation.suites.suite import (
    Card,
    Change,
    Prompt,
    Suite,
    number_of,
    read_suite,
    write_suite,
)

TEXTS = st.text(st.characters(blacklist_categories=("Cc", "Cs")), min_size=1, max_size=30).filter(str.strip)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
PROMPTS = st.builds(
    Prompt,
    prompt=TEXTS.map(str.strip),
    category=TEXTS.map(str.strip),
    difficulty=st.none() | st.floats(-9, 9),
    source=st.none() | TEXTS.map(str.strip),
    tags=st.lists(TEXTS.map(str.strip), max_size=3).map(tuple),
    truth=st.none() | st.dictionaries(TEXTS, PLAIN, max_size=3),
)


def saved(folder: Path, name: str, content: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def suite(*prompts: str) -> Suite:
    return Suite(tuple(Prompt(text, "c") for text in prompts), Card("mine", "1.0"))


def test_the_real_suites(shared: Path) -> None:
    folder = shared / "prompts"
    drawbench = read_suite(folder / "drawbench.csv")
    assert (drawbench.card.name, len(drawbench.prompts), len(drawbench.categories)) == ("DrawBench", 200, 11)
    assert drawbench.categories["Gary Marcus et al."] == 10
    assert "Schönhausen" in next(p.prompt for p in drawbench.prompts if "Garfield" in p.prompt)
    parti = read_suite(folder / "partiprompts.tsv")
    assert (parti.card.name, len(parti.prompts)) == ("PartiPrompts", 1632)
    assert parti.prompts[0] == Prompt("bond", "Abstract", tags=("Basic",))
    assert any(prompt.prompt.startswith('"G I G G L E" painted') for prompt in parti.prompts)
    geneval = read_suite(folder / "geneval.jsonl")
    assert (geneval.card.name, len(geneval.prompts), geneval.card.licence) == ("GenEval", 553, "MIT")
    assert geneval.prompts[0].truth == {"include": [{"class": "bench", "count": 1}]}
    assert geneval.categories["counting"] == 80


def test_captions_of_coco_are_a_suite(tmp_path: Path, shared: Path) -> None:
    content = {
        "images": [{"id": 1, "file_name": "1.jpg"}],
        "annotations": [
            {"image_id": 1, "caption": " a cat\n on a mat "},
            {"image_id": 1, "caption": "a cat on a mat"},
            {"image_id": 2, "caption": "a dog"},
        ],
    }
    for indent in (None, 1):
        found = read_suite(saved(tmp_path, "captions_val2014.json", json.dumps(content, indent=indent)))
        assert found.prompts == (Prompt("a cat on a mat", source="1.jpg"), Prompt("a dog", source="2"))
        assert found.card.version == "2014.0"
        assert "1 lines that were empty or repeated" in found.card.leaves_out
    assert len(captions_of(shared / "photos/coco_cc.tsv")) > 400


def test_lists_of_t2i_compbench_go_by_their_names(tmp_path: Path) -> None:
    found = read_suite(
        saved(tmp_path, "color_val.txt", "a red bench, and a bowl\r\na bowl.\r\n\r\na bowl.\r\n")
    )
    assert found.card.name == "T2I-CompBench color_val"
    assert [p.prompt for p in found.prompts] == ["a red bench, and a bowl", "a bowl."]
    assert found.categories == {"color": 2}
    assert read_suite(saved(tmp_path, "mine.txt", "a cat\na dog")).categories == {"all": 2}


def test_empty_columns_of_a_spreadsheet_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('"Prompts","Category","",""\n"A red car.","Colors","",""\n')
    (tmp_path / "b.csv").write_text("prompts,category\nA red car.,Colors\n")
    assert read_suite(tmp_path / "a.csv").sha256 == read_suite(tmp_path / "b.csv").sha256
    (tmp_path / "a.csv").write_text('Prompts,Category,\n"A red car.",Colors,new\n')
    with pytest.raises(ValueError, match="column"):
        read_suite(tmp_path / "a.csv")


def test_a_csv_of_one_column_may_have_commas_and_lines_in_a_cell(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('prompt\n"a cat,\nasleep"\nx\n')
    assert [prompt.prompt for prompt in read_suite(tmp_path / "a.csv").prompts] == ["a cat,\nasleep", "x"]


def test_ones_own_in_every_format_is_the_same_suite(tmp_path: Path) -> None:
    rows = [
        Prompt('a "cat", two dogs', "Pets", 0.5, "me", ("a", "b"), {"include": [{"class": "cat"}]}),
        Prompt("ein Käse", "Food"),
    ]
    header = "prompt{0}category{0}difficulty{0}source{0}tags{0}truth\n"
    truth = '{"include": [{"class": "cat"}]}'
    csv = header.format(",") + '"a ""cat"", two dogs",Pets,0.5,me,a; b,"' + truth.replace('"', '""') + '"\n'
    csv += "ein Käse,Food,,,,\n"
    tsv = header.format("\t") + f'a "cat", two dogs\tPets\t0.5\tme\ta;b\t{truth}\nein Käse\tFood\n'
    jsonl = "\n".join(json.dumps(row.row()) for row in rows)
    files = [
        saved(tmp_path, f"s.{end}", text) for end, text in (("csv", csv), ("tsv", tsv), ("jsonl", jsonl))
    ]
    files.append(saved(tmp_path, "bom.txt", b"\xef\xbb\xbf" + csv.replace("\n", "\r\n").encode()))
    write_suite(read_suite(files[0]), tmp_path / "written")
    hashes = {read_suite(file).sha256 for file in [*files, tmp_path / "written"]}
    assert hashes == {Suite(tuple(rows), Card("x")).sha256}


@settings(max_examples=60, deadline=None)
@given(st.lists(PROMPTS, min_size=1, max_size=5, unique_by=lambda prompt: prompt.prompt))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, prompts: list[Prompt]) -> None:
    log = (Change("1.2", "1", "why", ("a",), ("b",), (("c", "d"),)),)
    before = Suite(tuple(prompts), Card("n", "1.2", "l", "s", "o", "d", log))
    file = tmp_path_factory.mktemp("suite") / "any.name"
    write_suite(before, file)
    after = read_suite(file)
    assert after == before
    assert after.sha256 == before.sha256


def test_the_hash_is_of_the_rows_alone() -> None:
    a = Suite((Prompt("é", "c", 1), Prompt("b", truth={"x": 1, "y": 2})), Card("a"))
    lines = b'{"category":"c","difficulty":1.0,"prompt":"\\u00e9"}\n'
    lines += b'{"category":"all","prompt":"b","truth":{"x":1,"y":2}}\n'
    assert a.sha256 == hashlib.sha256(lines).hexdigest()
    assert a.sha256 == Suite((Prompt("é", "c", 1.0), Prompt("b", truth={"y": 2, "x": 1})), Card("b")).sha256
    assert a.sha256 != Suite(a.prompts[::-1], Card("a")).sha256


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "prompt,category\n,x\n", "line 2: prompt is empty"),
        ("a.csv", "prompt,category\ncat,\n", "line 2: category is empty"),
        ("a.csv", "prompt,category\ncat,x\ndog,x\ncat,y\n", "'cat' is there twice in lines 2 and 4"),
        ("a.csv", "name,category\ncat,x\n", "has no column prompt, only name,category"),
        ("a.csv", "prompt,categroy\ncat,x\n", "column 'categroy' is not known; did you mean category?"),
        ("a.csv", "prompt,prompt\ncat,x\n", "has 2 columns 'prompt'"),
        ("a.csv", "prompt,category\na cat, a dog,x\n", "line 2 has 3 cells, its first line 2"),
        ("a.csv", 'prompt,category\n"a cat,x\n', "cannot be read"),
        ("a.csv", "prompt,category\n", "holds no prompts"),
        ("a.csv", "path,captions\n", "holds no prompts"),
        ("a.csv", "prompt,difficulty\ncat,nan\n", "line 2: difficulty=nan: give a finite number"),
        ("a.csv", "prompt,difficulty\ncat,hard\n", "line 2: difficulty='hard': give a finite number"),
        ("a.csv", "prompt,truth\ncat,[1]\n", "line 2 is not an object"),
        ("a.jsonl", '{"prompt": "cat", "difficulty": NaN}', "line 1: difficulty=nan"),
        ("a.jsonl", '{"prompt": "cat", "difficulty": true}', "line 1: difficulty=True"),
        ("a.jsonl", '{"prompt": "cat", "truth": {"a": NaN}}', "truth cannot be written as JSON"),
        ("a.jsonl", '{"prompt": "cat", "difficulty": 1' + "0" * 400 + "}", "line 1: difficulty=1000"),
        ("a.jsonl", '{"prompt": "cat", "truth": {"a": "\\ud800"}}', "truth cannot be written as JSON"),
        ("a.jsonl", '{"prompt": "cat", "tags": "x"}', "line 1: tags='x': give a list"),
        ("a.jsonl", '{"prompt": 5}', "line 1: prompt=5: give text"),
        ("a.jsonl", '{"prompt": "\\ud800"}', r"holds the control character '\ud800'"),
        ("a.jsonl", '{"prompt": "a\\u001b]0;x"}', r"holds the control character '\x1b'"),
        ("a.jsonl", '{"prompt": "cat"}\n{"promt": "dog"}', "line 2: key 'promt' is not known; did you mean prompt?"),
        ("a.jsonl", '{"category": "cat"}', "key prompt is missing"),
        ("a.jsonl", '{"prompt": "cat"}\n{"prompt": ', "line 2 is not JSON"),
        ("a.jsonl", '{"prompt": "cat"}\n[1]', "line 2 is not an object"),
        ("a.jsonl", '["cat"]', "line 1 is not an object"),
        ("a.jsonl", '{"a": ' + "[" * 100_000, "is not JSON"),
        ("a.jsonl", '{"tag": "t", "include": [], "prompt": "p", "inclde": []}', "GenEval has no key inclde"),
        ("a.json", '{"images": []}', "neither COCO's annotations nor a key prompt"),
        ("a.json", '{"annotations": [{"caption": "x"}]}', "is no captions file of COCO (KeyError"),
        ("a.txt", "", "is empty"),
        ("a.txt", " \n\n", "is empty"),
        ("a.txt", "cat\ndog\ncat\n", "'cat' is there twice in lines 1 and 3"),
        ("a.txt", "x" * 20_000, "prompt has 20000 characters; give at most 10000"),
        ("a.csv", "prompt,category\n" + "x" * (1 << 25) + ",y\n", "line 2 cannot be read (field larger"),
        ("a.txt", "käse".encode("latin-1"), "is not UTF-8 text (byte 1); save it as UTF-8"),
        ("a.txt", "cat".encode("utf-16"), "is not UTF-8 text (byte 0)"),
        ("a.txt", b"cat\0", "holds NUL characters"),
        ("a.txt", "a cat\x1b[31m", r"holds the control character '\x1b'"),
    ],
)  # fmt: skip
def test_bad_files_are_told_in_one_line(tmp_path: Path, name: str, content: str | bytes, words: str) -> None:
    file = saved(tmp_path, name, content)
    with pytest.raises(ValueError, match=r"^[^\x00-\x1f\x7f]{1,500}$") as told:
        read_suite(file)
    assert str(told.value).startswith(f"{file}: ")
    assert words in str(told.value)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, words in {
        "pipe": "is no plain file",
        ".": "is a folder",
        "gone": "there is no such file",
    }.items():
        with pytest.raises(ValueError, match=words):
            read_suite(tmp_path / name)


def test_a_written_suite_that_was_edited_or_cut_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    write_suite(suite("cat", "dog", "cow"), file)
    whole = file.read_text()
    for text, words in {
        whole.replace('"cow"', '"hen"'): r"\(sha256\): it is cut or was edited",
        "\n".join(whole.split("\n")[:-2]): r"\(count\): it is cut or was edited",
        whole.replace('"licence"', '"license"'): "its card: unknown key 'license'",
        whole.replace('"licence": "not stated"', '"licence": null'): "its card: licence=None: give text",
        whole.replace('"1.0"', '"1.x"'): "its card: version='1.x': give numbers",
        whole.replace('"imagen_suite": 1', '"imagen_suite": 2'): "is of format 2",
        whole.replace('"changelog": []', '"changelog": [{"x": 1}]'): "its card: .*unexpected keyword",
    }.items():
        with pytest.raises(ValueError, match=words):
            read_suite(saved(tmp_path, "bad.jsonl", text))


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "new/mine.jsonl"
    write_suite(suite("cat"), file)
    write_suite(suite("cat"), file)
    with pytest.raises(ValueError, match="is there already and holds something else"):
        write_suite(suite("dog"), file)
    assert read_suite(file) == suite("cat")
    write_suite(suite("dog"), file, replace=True)
    assert read_suite(file) == suite("dog")
    with pytest.raises(ValueError, match="is there already"):
        write_suite(suite("dog"), tmp_path / "new")
    assert [path.name for path in file.parent.iterdir()] == ["mine.jsonl"], "nothing half-written"


def test_versions_are_numbers() -> None:
    assert number_of("1.10") > number_of("1.9") > number_of("1.0") == number_of("1")
    for bad in ("1.", "a", "-1", "", 1, "1" * 20, None):
        with pytest.raises(ValueError, match="give numbers with points"):
            number_of(bad)

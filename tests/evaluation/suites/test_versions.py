"""The next version of a suite: what it has and has not, what its card says, and what is refused."""

from pathlib import Path

import pytest

from imagen.evaluation.suites.suite import Card, Change, Prompt, Suite, read_suite, write_suite
from imagen.evaluation.suites.versions import Edits, extend, next_version, read_edits

FIRST = Suite(
    (Prompt("a cat", "Pets"), Prompt("a dog", "Pets"), Prompt("a hat", "Hats")), Card("mine", "1.9")
)


def saved(folder: Path, content: str) -> Path:
    file = folder / "edits.jsonl"
    file.write_text(content)
    return file


def test_added_removed_and_changed_prompts_and_the_changelog(tmp_path: Path) -> None:
    lines = """{"add": {"prompt": "a cow", "category": "Farm"}}
    {"remove": "a dog"}

    {"change": "a hat", "to": {"prompt": "a red hat", "category": "Hats", "tags": ["new"]}}"""
    second = extend(FIRST, read_edits(saved(tmp_path, lines)), "1.10", "more farm")
    assert [p.prompt for p in second.prompts] == ["a cat", "a red hat", "a cow"], "places are kept"
    assert second.card.changelog == (
        Change("1.10", "1.9", "more farm", ("a cow",), ("a dog",), (("a hat", "a red hat"),)),
    )
    third = extend(second, Edits(change=(("a cat", Prompt("a cat", "Cats")),)), "2")
    assert [entry.version for entry in third.card.changelog] == ["1.10", "2"]
    assert third.prompts[0].category == "Cats"
    write_suite(third, tmp_path / "third")
    assert read_suite(tmp_path / "third") == third
    assert FIRST.card.version == "1.9", "what there was is what it was"


def test_a_file_of_prompts_is_added(tmp_path: Path) -> None:
    for content in (
        "a cow\na hen\n",
        'prompt,category\na cow,all\n"a hen",all\n',
        '{"prompt": "a cow"}\n{"prompt": "a hen"}',
    ):
        edits = read_edits(saved(tmp_path, content)) if content[0] == "{" else None
        if edits is None:
            (tmp_path / "list.txt").write_text(content)
            edits = read_edits(tmp_path / "list.txt")
        assert [p.prompt for p in extend(FIRST, edits, "2").prompts][3:] == ["a cow", "a hen"]


def test_a_prompt_may_come_back_under_another_fate(tmp_path: Path) -> None:
    edits = Edits(add=(Prompt("a dog", "Dogs"),), remove=("a dog",))
    assert extend(FIRST, edits, "2").prompts[-1] == Prompt("a dog", "Dogs")


@pytest.mark.parametrize(
    ("edits", "version", "words"),
    [
        (Edits(remove=("a cat",)), "1.9", "version=1.9 is not newer than 1.9"),
        (Edits(remove=("a cat",)), "1.9.0", "is not newer"),
        (Edits(remove=("a cat",)), "1.8", "is not newer"),
        (Edits(remove=("a cat",)), "new", "version='new': give numbers"),
        (Edits(), "2", "nothing is added, removed or changed"),
        (Edits(add=(Prompt("a cat"),)), "2", "add: 'a cat' is there already"),
        (Edits(add=(Prompt("x"), Prompt("x"))), "2", "add: 'x' is there already"),
        (Edits(remove=("a cow",)), "2", "remove: 'a cow' is not in 'mine' 1.9"),
        (Edits(remove=("a cat", "a cat")), "2", "remove: 'a cat' is edited twice"),
        (Edits(remove=("a cat",), change=(("a cat", Prompt("x")),)), "2", "change: 'a cat' is edited twice"),
        (Edits(change=(("a cat", Prompt("a cat", "Pets")),)), "2", "change: 'a cat' stays what it is"),
        (Edits(change=(("a cat", Prompt("a dog")),)), "2", "the prompt 'a dog' is there twice"),
        (Edits(remove=("a cat", "a dog", "a hat")), "2", "needs at least one prompt"),
    ],
)
def test_what_is_refused(edits: Edits, version: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        extend(FIRST, edits, version)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"remove": 5}', "remove: give the text of a prompt"),
        ('{"remove": "a", "add": {}}', "give one of"),
        ('{"remove": "a", "why": 1}', "why is no key of an edit"),
        ('{"add": "a"}', 'give an object with a key "prompt"'),
        ('{"add": {"prompt": ""}}', "prompt is empty"),
        ('{"add": {"prompt": "a", "categroy": "b"}}', "a prompt has no other keys than prompt, category"),
        ('{"change": "a"}', 'give an object with a key "prompt"'),
        ("[" * 100_000, ""),
        ('{"prompt": "a"}', "give one of"),
    ],
)
def test_bad_edits_are_told_with_their_line(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"edits.jsonl: line 2: [^\n]*" + words):
        read_edits(saved(tmp_path, '{"remove": "a cat"}\n' + line))


def test_the_next_version() -> None:
    assert [next_version(v) for v in ("1.0", "1.9", "2", "0")] == ["1.1", "1.10", "3", "1"]

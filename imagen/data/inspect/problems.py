"""What is wrong with a data set, in plain words and with what to do about it, out of an inspection's report."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

SERIOUS, MINOR, NOTE = "serious", "minor", "note"
LEVELS = (SERIOUS, MINOR, NOTE)
HELD_OUT = ("val", "validation", "test")  # what training validates on, or a test is made of
MAX_BAD = 0.1  # the share of unusable pairs at which training stops: data.max_bad
FEW = 1000  # training pairs that a network of any size learns by heart
FEWEST = 64  # pairs: fewer than a usual batch
SMALL_SHARDS = (16, 100)  # at least so many shards, of fewer pairs
LENGTH = (128, 4)  # tokens that are read of a caption; characters a token, about
ALIKE = 8.0  # of 255: a variety below it are pictures of one scene
ENOUGH = 20  # pairs, or captions: of fewer no share is told


@dataclass(frozen=True)
class Problem:
    """`level`: "serious" (training stops, or learns something wrong), "minor" (it costs quality or time), "note" (worth
    knowing: no problem). `what` is wrong, and its `remedy`, in sentences."""

    level: str
    what: str
    remedy: str


def problems(report: dict[str, Any]) -> list[Problem]:
    """All that is wrong, the worst first, by the plain values of `imagen.data.inspect.inspection.inspect`."""
    found = [*_whole(report), *_embeddings(report), *_across(report)]
    for name, split in report["splits"].items():
        told = {problem.remedy for problem in found}
        own = [*_pairs(name, split), *_pictures(name, split, report["resolution"]), *_captions(name, split)]
        # what the splits have in common is told of the first: their remedy is one
        found += [problem for problem in own if problem.remedy not in told]
    found += _remarks(report)
    return sorted(found, key=lambda problem: LEVELS.index(problem.level))


def percent(part: float) -> str:
    """A share, for people: never 0 % of something, or 100 % of less than all."""
    if 0 < part < 0.001:
        return "under 0.1%"
    if 0.99 < part < 1 or 0 < part < 0.01:
        return f"{min(part, 0.999):.1%}"
    return f"{part:.0%}"


def counted(count: int, what: str) -> str:
    """ "1 pair", "2,000 pairs"."""
    return f"{count:,} {what}{'s' * (count != 1)}"


def summary(found: Sequence[Problem]) -> str:
    """How many there are, for people: "2 problems, 1 note", "No problem found"."""
    notes = sum(problem.level == NOTE for problem in found)
    real = len(found) - notes
    words = counted(real, "problem") if real else "No problem found"
    return f"{words}, {counted(notes, 'note')}" if notes else words


def _whole(report: dict[str, Any]) -> Iterator[Problem]:
    splits = report["splits"]
    for name, split in splits.items():
        if split["error"]:
            yield Problem(
                SERIOUS,
                f"{name} cannot be opened: {split['error'].rstrip('.')}.",
                "Nothing trains on it until then.",
            )
    if not report["pairs"]:
        yield Problem(SERIOUS, "There are no pairs.", "Prepare again, and look at what was left out and why.")
        return
    train = splits.get("train", {"pairs": 0})
    if not train["pairs"]:
        yield Problem(
            SERIOUS, "There are no training pairs.", "imagen-train reads the split train: prepare one."
        )


def _across(report: dict[str, Any]) -> Iterator[Problem]:
    """Pictures that two splits have."""
    splits = report["splits"]
    for across in report["across"]:
        a, b = across["splits"]
        part = across["pairs"] / max(splits[b]["pairs"], 1)
        yield Problem(
            SERIOUS if a == "train" and part > 0.01 else MINOR,
            f"{counted(across['pairs'], 'picture')} of {b} ({percent(part)}) also in {a}, byte for byte "
            f"({_first(across['examples'])}): what {b} says is not of pictures never seen.",
            "Take them out of one of the two in the source's split column, and prepare again into another folder.",
        )


def _remarks(report: dict[str, Any]) -> Iterator[Problem]:
    """Of the whole, what is least bad."""
    splits = report["splits"]
    train = splits.get("train", {"pairs": 0})
    if 0 < train["pairs"] < FEW:
        workers = ", and fewer than a usual batch: give data.workers=0 and a smaller data.batch_size"
        yield Problem(
            MINOR,
            f"There are only {train['pairs']:,} training pairs: the network will learn these very pictures by heart"
            + (workers if train["pairs"] < FEWEST else "") + ".",
            "That is right for trying whether it learns at all; to draw anything new, prepare more.",
        )  # fmt: skip
    if report["folder"] and "train" in splits and not set(HELD_OUT) & set(splits):
        what = "There is no validation split, so no loss on pictures never seen."
        yield Problem(NOTE, what, "Give data.val=..., or a split column when preparing.")
    left, rows = sum(part["pairs"] for part in report["left_out"].values()), report["pairs"]
    if left:
        kinds = ", ".join(f"{kind} {part['pairs']:,}" for kind, part in report["left_out"].items())
        part = left / (left + rows)
        what = f"imagen-prepare left out {counted(left, 'pair')} ({percent(part)}): {kinds}."
        yield Problem(
            MINOR if part > 0.5 else NOTE,
            what,
            "If that is not what you wanted: other filters=, or another source.",
        )
    speed = report["speed"]
    if speed and speed["pairs_a_second"] < 20:
        slow = max(speed["shares"], key=lambda part: speed["shares"][part])
        what = f"One process reads only {speed['pairs_a_second']:g} pairs a second; most of it is to {slow}."
        yield Problem(MINOR, what, "Give data.workers=N, data.memory=true if they fit, or smaller pictures.")


def _embeddings(report: dict[str, Any]) -> Iterator[Problem]:
    data, caches = report["data"], report["embeddings"]
    make = f"Make them with imagen-embed data={data} text=..."
    if not caches and report["pairs"]:
        what = "There are no text embeddings: training runs the text encoder at every step."
        yield Problem(
            MINOR if report["folder"] else NOTE, what, make if report["folder"] else f"{make} of a folder."
        )
    for cache in caches:
        name = cache["name"]
        if "error" in cache:
            yield Problem(SERIOUS, f"The embeddings of {name} cannot be used: {cache['error']}.", make)
            continue
        if cache["missing"]["shards"]:
            missing = f"{cache['missing']['shards']:,} of {cache['shards']:,} shards without embeddings"
            yield Problem(
                SERIOUS,
                f"{missing} by {name} ({_first([cache['missing']['examples']])}): training with it stops.",
                f"{make.replace('Make them', 'Finish them')}, or delete text/{name}.",
            )
        if cache["errors"]["shards"]:
            what = (
                f"The embeddings by {name} are of no use for {counted(cache['errors']['shards'], 'shard')}: "
            )
            yield Problem(SERIOUS, f"{what}{cache['errors']['examples'][0]}.", f"Delete these files. {make}")
        if cache["cut"] > 0.01:
            what = f"{percent(cache['cut'])} of the captions are longer than the {cache['max_length']} tokens that {name} reads"
            yield Problem(MINOR, f"{what}: their ends are not heard.", "Shorten them, or text.max_length=...")


def _pairs(name: str, split: dict[str, Any]) -> Iterator[Problem]:
    """Pairs that cannot be used, or are there twice; the shards."""
    bad = sum(part["pairs"] for part in split["bad"].values())
    if bad:
        part = bad / split["read"]
        kinds = "; ".join(
            f"{kind} {found['pairs']:,} ({found['examples'][0]})" for kind, found in split["bad"].items()
        )
        over = f": training stops above data.max_bad={MAX_BAD}" if part > MAX_BAD else ""
        yield Problem(
            SERIOUS if part > MAX_BAD else MINOR,
            f"{percent(part)} of the pairs of {name} that were read cannot be used{over}. {kinds}.",
            "Mend the source, or prepare it with imagen-prepare, which leaves such pairs out and says why.",
        )
    again = split["duplicates"]
    looked = split["pairs"] if split["indexed"] else split["read"]
    if again["pairs"]:
        part = again["pairs"] / max(looked, 1)
        yield Problem(
            SERIOUS if part > 0.2 else MINOR if part > 0.001 else NOTE,
            f"{counted(again['pairs'], 'picture')} of {name} ({percent(part)}) the same as an earlier one, byte for byte "
            f"({_first(again['examples'])}): such are learnt by heart first.",
            "Prepare again with duplicates=false, which leaves them out.",
        )
    least, pairs = SMALL_SHARDS
    shards = split["shards"]
    if shards["count"] >= least and shards["median_pairs"] < pairs:
        what = f"{name} has {shards['count']:,} shards of {shards['median_pairs']:g} pairs: opening files costs more than reading."
        yield Problem(MINOR, what, "Prepare with a larger shard_size=, 2000 by default.")


def _pictures(name: str, split: dict[str, Any], resolution: int) -> Iterator[Problem]:
    if split["read"] >= ENOUGH and split["variety"] is not None and split["variety"] < ALIKE:
        yield Problem(
            SERIOUS,
            f"The pictures of {name} are nearly all the same one (they lie {split['variety']:g} of 255 apart).",
            "Look at sheet.png: is that the right column or folder of pictures?",
        )
    flat = split["one_colour"]
    if flat["share"] > 0.01:
        yield Problem(
            SERIOUS if flat["share"] > 0.2 else MINOR,
            f"{percent(flat['share'])} of the pictures of {name} are of a single colour ({flat['examples'][0]}).",
            "They are often placeholders of pictures that are gone: leave them out of the source.",
        )
    small = split["below"][str(resolution)]
    if small:
        level = SERIOUS if small > 0.5 else MINOR if small > 0.02 else NOTE
        yield Problem(
            level,
            f"{percent(small)} of the pictures of {name} are smaller than {resolution} pixels, the stage's resolution: they "
            "are enlarged, and teach it blur.",
            f"Prepare with filters.min_side={resolution}, train a smaller stage, or find larger pictures.",
        )
    long = split["aspect"]["histogram"]["counts"]
    if sum(long) >= ENOUGH and sum(long[-2:]) > 0.05 * sum(long):
        what = f"{percent(sum(long[-2:]) / sum(long))} of the pictures of {name} are over twice as long as wide: training cuts half of each away."
        yield Problem(NOTE, what, "Prepare with filters.max_aspect=2, or give data.crop=random.")


def _captions(name: str, split: dict[str, Any]) -> Iterator[Problem]:
    said = split["wording"]
    if said["captions"] >= ENOUGH and said["most_common"]:
        text, count = said["most_common"][0]
        most = count / said["captions"]
        if most > 0.02 and said["repeated"] > 0.5:
            yield Problem(
                SERIOUS if most > 0.5 else MINOR,
                f"{percent(most)} of the captions of {name} are {text!r}, and only {said['distinct']:,} of {said['captions']:,} are "
                "distinct: the network can only learn classes.",
                "If that is not what you want, use captions of each picture's own, written by people or a captioning model.",
            )
        elif most > 0.02:
            yield Problem(
                SERIOUS if most > 0.2 else MINOR,
                f"{percent(most)} of the captions of {name} are {text!r}: nothing else is learnt of those pictures.",
                "Caption them, or leave them out if that is no caption but a placeholder.",
            )
    tokens, characters = LENGTH
    lengths = said["characters"]["summary"]
    edges, counts = said["characters"]["histogram"].values()
    long = sum(n for edge, n in zip(edges, counts) if edge >= tokens * characters - 12)
    if lengths and long > 0.01 * said["captions"]:
        yield Problem(
            MINOR,
            f"{percent(long / said['captions'])} of the captions of {name} have 500 characters or more (the longest "
            f"{lengths['max']:,.0f}): text encoders read {tokens} tokens, and what comes after is cut away.",
            "Shorten them: prepare with filters.caption_length=[1,500], or give a larger text.max_length.",
        )
    words = said["words"]["summary"]
    if said["captions"] >= ENOUGH and words["median"] <= 1:
        what = f"Half of the captions of {name} are of one word or none: they bind nothing to anything."
        yield Problem(MINOR, what, "Use sentences that say what is in the picture.")
    if said["sides"]:
        what = f"{percent(said['sides'])} of the captions of {name} say left or right: data.flip=true leaves those unmirrored."
        yield Problem(NOTE, what, "Nothing is to be done.")


def _first(examples: list[list[str]]) -> str:
    return "for one: " + ", ".join(examples[0]) if examples and examples[0] else "no example"

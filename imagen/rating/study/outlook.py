"""What a study will be, in lines: counts, sessions, minutes."""

from collections.abc import Iterator
from math import ceil

from imagen.rating.study.plan import Plans
from imagen.rating.study.study import Study

GLANCE, QUESTION = 0.7, 4.0  # seconds for a picture and for a question, by which minutes are estimated


def outlook(study: Study, pictures: int) -> Iterator[str]:
    """Lines for a terminal: what is shown to how many, for how long, and what was left out. `pictures`: how many are kept."""
    design, blocks = study.design, len(study.blocks)
    categories = len({prompt.category for prompt in study.prompts})
    yield (
        f"{design.name}: {', '.join(design.names)}; {len(study.prompts):,} prompts"
        f"{f' of {categories} categories' if categories > 1 else ''}, {pictures:,} pictures"
    )
    sizes = [(min(design.session.items, len(p) * blocks), len(p) * blocks) for p in study.categories.values()]
    once = sum(ceil(items / size) for size, items in sizes)
    total = sum(items for _, items in sizes)
    what = "the systems of a prompt together" if blocks == 1 else f"{blocks} a prompt, by the systems shown"
    yield f"{counted(total, 'item')} ({what}); each is seen once in {counted(once, 'session')}"
    plans = Plans(study)
    sessions = [plans.session(number) for number in range(min(design.raters, len(study.categories), 20))]
    entries = [entry for session in sessions for entry in session]
    seconds = sum(_seconds(study, entry.prompt, len(entry.item(study).sets)) for entry in entries) / len(
        sessions
    )
    one = f" of one of {len(study.categories)} categories" if len(study.categories) > 1 else ""
    yield (
        f"a session: {len(entries) / len(sessions):.0f} items{one} (repeats and control items among them), about "
        f"{counted(max(1, round(seconds / 60)), 'minute')}"
    )
    yield (
        f"{counted(design.raters, 'rater')} see each item {design.raters / once:.1f} times, in about "
        f"{design.raters * seconds / 3600:.1f} hours in all"
    )
    some = {question.key: question.only for question in design.questions if question.only}
    if some:
        times = {key: sum(only in prompt.tags for prompt in study.prompts) for key, only in some.items()}
        yield f"asked of some prompts only: {', '.join(f'{key} of {count:,}' for key, count in times.items())}"
    if design.session.controls and not study.controls:
        yield "no control item could be made: no prompt is asked a question that has control: other or damaged"
    for line in study.left_out:
        yield f"left out: {line}"


def counted(count: int, what: str) -> str:
    """1 item, 2 items."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _seconds(study: Study, prompt: int, sets: int) -> float:
    pictures = sets * (1 if study.design.best else study.design.show.pictures)
    return GLANCE * pictures + QUESTION * sum(
        sets if q.kind in ("scale", "levels") and q.of == "shown" else 1 for q in study.questions(prompt)
    )

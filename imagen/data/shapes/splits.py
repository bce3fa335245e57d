"""What is held out: which scenes a model may see in training, and which it is asked for.

train            everything but what follows
test             parts that training shows, in a composition that it never does: one in ten, by a hash
unseen           has a color-shape pair that training never shows (it shows both, each with all others)
unseen_relation  two shapes in a relation that training never shows for them (it shows the shapes the other
                 way round, and on the other axis); no pair of "unseen"
"""

from hashlib import blake2b

from imagen.data.shapes.scene import OPPOSITE, Scene

SPLITS = ("train", "test", "unseen", "unseen_relation")
HELD_OUT_PAIRS = frozenset(
    {
        ("green", "circle"),
        ("purple", "square"),
        ("blue", "triangle"),
        ("red", "star"),
    }
)
# (shape, relation, shape), for any colors; only "left of" and "above", as the other two are their reverse.
HELD_OUT_RELATIONS = frozenset(
    {
        ("circle", "left of", "triangle"),
        ("star", "left of", "square"),
        ("star", "above", "circle"),
        ("square", "above", "triangle"),
    }
)
TEST_SHARE = 10  # one composition in so many


def composition(scene: Scene) -> tuple[str | int, ...]:
    """Counts, colors, shapes, relation, but no size, texture, background; "A right of B" is "B left of A"."""
    groups, relation = scene.groups, scene.relation
    if relation in ("right of", "below"):
        groups, relation = groups[::-1], OPPOSITE[relation]
    parts = [part for group in groups for part in (group.count, group.color, group.shape)]
    return (*parts, relation or "alone")


def split_of(scene: Scene) -> str:
    """The one split of SPLITS that the scene belongs to."""
    if any((group.color, group.shape) in HELD_OUT_PAIRS for group in scene.groups):
        return "unseen"
    parts = composition(scene)
    if len(scene.groups) == 2 and (parts[2], parts[-1], parts[5]) in HELD_OUT_RELATIONS:
        return "unseen_relation"
    digest = blake2b(" ".join(map(str, parts)).encode(), digest_size=8).digest()
    return "test" if int.from_bytes(digest, "big") % TEST_SHARE == 0 else "train"

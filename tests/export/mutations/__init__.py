"""Changes of a checkpoint's folder, each a function of the folder and of what is drawn.

    values       keys of JSON files: flipped, removed, of another type, huge
    places       files: missing, empty, cut, in the place of others
    weights      tensors: missing, renamed, of another shape or kind, not finite
    pipelines    modules, poolings, prompts, limits
    vocabularies tokenizers and their special tokens

A mutation changes the folder and says what it did in a few words, or raises Impossible.
"""

from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.export.mutations import pipelines, places, values, vocabularies, weights
from tests.export.mutations.drawing import Impossible

__all__ = ["GROUPS", "Impossible", "Mutation", "mutate"]

Mutation = Callable[[Path, Random], str]

# What a mutation raises over a file that one before has broken.
BROKEN_BEFORE = (OSError, LookupError, TypeError, ValueError, AttributeError)
# One group is drawn, then one of its mutations.
GROUPS: dict[str, tuple[Mutation, ...]] = {
    "values": values.MUTATIONS,
    "places": places.MUTATIONS,
    "weights": weights.MUTATIONS,
    "pipelines": pipelines.MUTATIONS,
    "vocabularies": vocabularies.MUTATIONS,
}


def mutate(folder: Path, draw: Random) -> list[str]:
    """Change a folder in one to three ways; returns what was done."""
    done: list[str] = []
    wanted = draw.choice((1, 1, 2, 3))
    while len(done) < wanted:
        mutation = draw.choice(GROUPS[draw.choice(list(GROUPS))])
        try:
            done.append(mutation(folder, draw))
        except (Impossible, *BROKEN_BEFORE):
            continue
    return done

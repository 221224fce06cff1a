"""Texts of mixed length, the same at every run."""

import random

# fmt: off
WORDS = [
    "the", "of", "and", "to", "in", "bread", "water", "flour", "salt", "oven", "crust", "baker",
    "recipe", "dough", "yeast", "loaf", "warm", "slow", "vector", "query", "index", "token",
    "server", "batch", "length", "memory", "kernel", "cache", "latency", "Käse", "naïve",
    "façade", "面包", "パン", "хлеб", "123", "4.5%", "e-mail", "x = f(y);", "🍞",
    "https://example.org/a?b=c",
]
# fmt: on


def mixed_texts(count: int, longest_words: int = 260) -> list[str]:
    """Unique texts of 1 to `longest_words` words, most of them short, as passages are."""
    rng = random.Random(count)  # noqa: S311 - payloads, not secrets
    lengths = (max(1, round(longest_words * rng.random() ** 3)) for _ in range(count))
    return [f"{number} {' '.join(rng.choices(WORDS, k=k))}" for number, k in enumerate(lengths)]

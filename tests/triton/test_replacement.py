"""A model is replaced under load: no call gets vectors of two editions, or cut to another size."""

from pathlib import Path

import pytest

from tests.triton.replacement import replace_under_load, running

pytestmark = [pytest.mark.triton, pytest.mark.anyio]


async def test_a_model_is_replaced_under_load_and_every_answer_is_of_one_edition(
    tmp_path: Path,
) -> None:
    """Oftener: python -m tests.triton.replacement --times 20."""
    with running(tmp_path) as (world, client):
        await replace_under_load(world, client.base_url, times=3)

    print(f"\n{dict(sorted(world.counts.items()))}")
    assert world.counts["200 of 32 dimensions"]
    assert world.counts["200 of 64 dimensions"]

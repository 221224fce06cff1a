"""What is left of a gateway that is killed: `python -m tests.gateway.usage.kills` does it often."""

from pathlib import Path

from tests.gateway.usage.kills import CALLERS, run


def test_every_answer_that_a_client_got_is_in_the_log(tmp_path: Path) -> None:
    outcome = run(tmp_path, kills=2, seed=1)
    assert outcome.answers > 0
    assert (outcome.missing, outcome.damaged) == (0, 0)
    assert outcome.extra <= 2 * CALLERS

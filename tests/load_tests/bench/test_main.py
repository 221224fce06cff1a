from pathlib import Path

import pytest

from load_tests.bench.__main__ import main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workloads", "bulk mixed"], "no workload 'mixed'; there are single-question single"),
        (["--record", "nowhere.md"], "No such file or directory: 'nowhere.md'"),
        (["--before", "nowhere"], "commit nowhere is not in this clone"),
        (["--record", __file__], "no line '<!-- make bench"),
    ],
)
def test_what_cannot_be_measured_or_kept_is_said_before_anything_starts(
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # which holds no exported model
    assert 1 == main(arguments)
    assert said in capsys.readouterr().err

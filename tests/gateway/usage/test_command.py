"""python -m gateway usage: what a person or a program reads."""

import csv
import json
from pathlib import Path

import pytest

from gateway.__main__ import main as gateway_main
from gateway.usage.command import main
from tests.gateway.usage.logs import files, open_log, use


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    log = open_log(tmp_path)
    for tokens, key in ((1, "beta"), (20, "acme"), (300, "acme")):
        log.write(use(tokens, key=key))
    log.close()
    return tmp_path


def test_a_table_with_its_total(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(folder)])
    out, err = capsys.readouterr()
    assert [line.split() for line in out.splitlines()] == [
        ["key", "model", "calls", "texts", "tokens"],
        ["acme", "org/model", "2", "2", "320"],
        ["beta", "org/model", "1", "1", "1"],
        ["total", "3", "3", "321"],
    ]
    assert err == ""


def test_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--by", "day", "--format", "json", str(folder)])
    body = json.loads(capsys.readouterr().out)
    assert body["rows"] == [{"day": "2026-11-26", "calls": 3, "texts": 3, "tokens": 321}]
    assert body["total"] == {"calls": 3, "texts": 3, "tokens": 321}
    assert (body["damaged_lines"], body["missing_records"]) == (0, 0)


def test_csv(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--by", "key,hour", "--format", "csv", str(folder)])
    rows = list(csv.reader(capsys.readouterr().out.splitlines()))
    assert rows[0] == ["key", "hour", "calls", "texts", "tokens"]
    assert rows[1] == ["acme", "2026-11-26T08:00Z", "2", "2", "320"]


@pytest.mark.parametrize(
    ("since", "calls"),
    [("2026-11-26", 3), ("2026-11-26T08:00:01", 0), ("2026-11-26T10:00+02:00", 3)],
)
def test_times_are_utc_unless_they_name_a_zone(
    folder: Path, capsys: pytest.CaptureFixture[str], since: str, calls: int
) -> None:
    main(["--since", since, "--format", "json", str(folder)])
    assert json.loads(capsys.readouterr().out)["total"]["calls"] == calls


def test_what_a_bill_lacks_is_told_beside_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (file,) = files(folder)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + lines[1][:40] + b"\n" + lines[2])
    main([str(folder)])
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].split() == ["total", "2", "2", "301"]
    assert "1 damaged lines are not counted" in err
    assert f"{file}, line 2" in err
    assert "1 records between others are missing" in err


def test_the_folder_comes_from_the_environment(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_USAGE_LOG", str(folder))
    gateway_main(["usage", "--by", "model"])
    assert "321" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--by", "colour"], 2, "colour is not one of key, digest, model"),
        (["--by", ","], 2, "nothing is not one of"),
        (["--since", "yesterday"], 2, "'yesterday' is no time such as 2026-11-01"),
        (["--format", "xml"], 2, "invalid choice"),
        (["/no/such/folder"], 1, "/no/such/folder is no file and no folder"),
        ([], 1, "name the folder of the log, or set GATEWAY_USAGE_LOG"),
    ],
)
def test_what_is_wrong_is_a_sentence(
    arguments: list[str],
    code: int,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GATEWAY_USAGE_LOG", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    told = capsys.readouterr().err
    if code == 1:  # a sentence, which Python prints
        assert sentence in str(ended.value.code)
    else:
        assert (ended.value.code, sentence in told) == (code, True)

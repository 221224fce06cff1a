"""python -m tests.gateway.usage.kills: every answer that a client got is in the usage log.

A gateway is killed at a random moment while callers ask it, again and again, all on one folder.
What they got whole is compared with what `python -m gateway usage` reads. A record without an
answer is one that was on its way when the gateway died, of each caller one at most.
"""

import argparse
import http.client
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from gateway.usage.report import add_up, find_files
from tests.fakes import MODEL
from tests.gateway.fake_gateway import FakeGateway, run_fake_gateway
from tests.gateway.usage.logs import records

CALLERS = 8
LONGEST_LIFE_SECONDS = 0.5


@dataclass
class Answers:
    """What the callers got whole: tokens by the id of their request."""

    tokens: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """All kills together.

    answers  that callers got whole
    missing  of these in the log, or with other tokens there
    extra    records of calls whose answer nobody got whole
    """

    answers: int
    missing: int
    extra: int
    damaged: int


def call_until_it_dies(gateway: FakeGateway, caller: str, answers: Answers) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    with closing(connection), suppress(OSError, http.client.HTTPException):
        for number in count():
            call_once(connection, f"{caller}.{number}", number % 5 + 1, answers)


def call_once(
    connection: http.client.HTTPConnection, name: str, texts: int, answers: Answers
) -> None:
    """Raises: OSError, HTTPException if the answer does not come whole."""
    body = json.dumps({"model": MODEL, "input": ["a b"] * texts})
    connection.request("POST", "/v1/embeddings", body, {"x-request-id": name})
    with connection.getresponse() as response:
        content = response.read()
        if response.status == 200:
            answers.tokens[name] = json.loads(content)["usage"]["total_tokens"]


def kill_once(folder: Path, logs: Path, name: str, seconds: float, answers: Answers) -> None:
    """One gateway that lives so long once it has answered."""
    with run_fake_gateway(folder, GATEWAY_USAGE_LOG=str(logs)) as gateway:
        before = len(answers.tokens)
        callers = [
            threading.Thread(target=call_until_it_dies, args=(gateway, f"{name}.{n}", answers))
            for n in range(CALLERS)
        ]
        for caller in callers:
            caller.start()
        latest = time.monotonic() + 20
        while len(answers.tokens) == before:
            assert time.monotonic() < latest
            time.sleep(0.001)
        time.sleep(seconds)
        gateway.process.kill()
        for caller in callers:
            caller.join()


def compare(logs: Path, answers: Answers) -> Outcome:
    recorded = {record.request_id: record.tokens for record in records(logs)}
    missing = [name for name, tokens in answers.tokens.items() if recorded.get(name) != tokens]
    report = add_up(find_files([logs]), ["key"])
    assert report.total().calls == len(recorded)
    return Outcome(
        answers=len(answers.tokens),
        missing=len(missing) + report.missing,
        extra=len(recorded.keys() - answers.tokens.keys()),
        damaged=len(report.damaged),
    )


def run(folder: Path, kills: int, seed: int) -> Outcome:
    """Kills so many gateways one after the other."""
    moments, answers = random.Random(seed), Answers()  # noqa: S311
    logs = folder / "usage"
    logs.mkdir()
    for number in range(kills):
        seconds = moments.random() * LONGEST_LIFE_SECONDS
        kill_once(folder, logs, f"{number}", seconds, answers)
    return compare(logs, answers)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.gateway.usage.kills")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=10)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(Path(folder), options.kills, options.seed)
    print(f"{options.kills} kills under {CALLERS} callers: {outcome}")
    return int(outcome.missing > 0)


if __name__ == "__main__":
    sys.exit(main())

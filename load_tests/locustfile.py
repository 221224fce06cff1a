"""Users that call a running service, one class a scenario; see README.md.

Locust patches the process for gevent, so nothing but Locust imports this file.
"""

import csv
import itertools
import os
import time
from pathlib import Path
from typing import Any

from locust import FastHttpUser, constant, constant_throughput, events, task
from locust.env import Environment

from load_tests.payloads import take, texts
from load_tests.scenarios import SCENARIOS, Record, Scenario

RECORDS = Path(os.environ.get("LOAD_RECORDS", "build/load/records.csv"))
MODEL = os.environ.get("MODEL", "")  # the first one that the service lists if empty
SEED = os.environ.get("SEED", "")  # the same texts at every run; another for other texts
API_KEY = os.environ.get("API_KEY", "")


class EmbeddingUser(FastHttpUser):
    """Calls POST /v1/embeddings with texts that nobody sent before."""

    abstract = True
    scenario: Scenario
    network_timeout = 120.0
    numbers = itertools.count()

    def on_start(self) -> None:
        self.texts = texts(self.scenario.lengths, f"{SEED}/{next(self.numbers)}")
        self.headers = {"Authorization": f"Bearer {API_KEY}"}
        models = self.client.get("/v1/models", headers=self.headers, name="models").json()
        self.model = MODEL or models["data"][0]["id"]

    @task
    def embed(self) -> None:
        formats = self.scenario.encoding_formats
        body = {
            "model": self.model,
            "input": take(self.scenario.texts_per_call, self.texts),
            "encoding_format": list(formats) if len(formats) > 1 else formats[0],
        }
        name = self.scenario.name
        with self.client.post(
            "/v1/embeddings", json=body, headers=self.headers, name=name, catch_response=True
        ) as answer:
            if answer.status_code != 200:
                answer.failure(f"{answer.status_code}: {answer.text}")
            elif len(answer.json()["data"]) != self.scenario.texts_per_call:
                answer.failure("not one embedding a text")


class Interactive(EmbeddingUser):
    """Questions of a search page."""

    scenario = SCENARIOS["interactive"]
    wait_time = constant_throughput(SCENARIOS["interactive"].calls_per_second)
    weight = 4


class Bulk(EmbeddingUser):
    """An indexer that never waits."""

    scenario = SCENARIOS["bulk"]
    wait_time = constant(0)
    weight = 1


class Formats(EmbeddingUser):
    """Asks for several formats of the same embeddings."""

    scenario = SCENARIOS["formats"]
    wait_time = constant_throughput(SCENARIOS["formats"].calls_per_second)
    weight = 1


def record_every_call(environment: Environment, **_: Any) -> None:
    """Append each call to a file, with how many users of its kind there were."""
    RECORDS.parent.mkdir(parents=True, exist_ok=True)
    stream = RECORDS.open("w", newline="", buffering=1)
    rows = csv.writer(stream)
    rows.writerow(Record.__slots__)
    classes = {user.scenario.name: user.__name__ for user in (Interactive, Bulk, Formats)}

    def record(name: str, response_time: float, exception: Any, **_: Any) -> None:
        if name in classes and environment.runner is not None:
            users = environment.runner.user_classes_count.get(classes[name], 0)
            rows.writerow(
                (name, users, f"{time.time():.3f}", f"{response_time:.3f}", int(bool(exception)))
            )

    environment.events.request.add_listener(record)


events.init.add_listener(record_every_call)

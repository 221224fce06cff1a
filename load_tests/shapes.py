"""How many users there are when: named on Locust's command line, `-f locustfile.py,shapes.py`.

Locust takes a shape when it is the only one that is not abstract, so SHAPE chooses.
"""

import os

from locust import LoadTestShape

STEP_SECONDS = float(os.environ.get("STEP_SECONDS", "15"))
STEP_USERS = tuple(int(word) for word in os.environ.get("STEP_USERS", "6 12 18").split())
SOAK_SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
SOAK_USERS = int(os.environ.get("SOAK_USERS", "12"))


class Steps(LoadTestShape):
    """More users with every step, to see where latency bends."""

    abstract = os.environ.get("SHAPE", "steps") != "steps"

    def tick(self) -> tuple[int, float] | None:
        step = int(LoadTestShape.get_run_time(self) // STEP_SECONDS)
        return (STEP_USERS[step], 100.0) if step < len(STEP_USERS) else None


class Soak(LoadTestShape):
    """The same load for long, to see whether anything grows."""

    abstract = os.environ.get("SHAPE") != "soak"

    def tick(self) -> tuple[int, float] | None:
        return (SOAK_USERS, 100.0) if LoadTestShape.get_run_time(self) < SOAK_SECONDS else None

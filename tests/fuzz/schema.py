"""python -m tests.fuzz.schema SCHEMATHESIS: cases from /openapi.json against the gateway.

Every answer must have a status, type and body that the schema declares, none of them 500 or above,
and come within 5 s. Half of all bodies name a model that is served (`hooks.py`). What follows the
path of the program is handed to it; `-n` is the number of cases of each operation.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from tests.gateway.fake_gateway import PATIENCE_SECONDS, run_fake_gateway

# A call that names another model than the one that is served is right and refused.
OPTIONS = (
    *("--checks", "all", "--exclude-checks", "positive_data_acceptance"),
    *("--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--no-color"),
    *("--max-response-time", "5", "-H", "Authorization: Bearer KEY"),
)


def main() -> int:
    program, *options = sys.argv[1:]
    with (
        tempfile.TemporaryDirectory() as folder,
        run_fake_gateway(
            Path(folder),
            GATEWAY_AUTH="required",
            GATEWAY_API_KEYS="KEY",
        ) as gateway,
    ):
        latest = time.monotonic() + PATIENCE_SECONDS
        while httpx.get(f"{gateway.url}/health/ready").status_code != 200:
            assert time.monotonic() < latest
            time.sleep(0.05)
        command = [program, "run", f"{gateway.url}/openapi.json", *OPTIONS, *options]
        hooks = {"SCHEMATHESIS_HOOKS": "tests.fuzz.hooks", "PYTHONPATH": "."}
        return subprocess.run(command, env=os.environ | hooks, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

"""The inner half of `run_session`: `python -m tests.fake_cuda.session_program PLAN`.

PLAN is a `Plan` as JSON; the `Outcome` is printed as JSON, but for what is logged.
"""

import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from tests.fake_cuda.device import Device

Plan = dict[str, Any]


def run_plan(plan: Plan, folder: Path) -> dict[str, Any]:
    """The outcome; the profile goes into a folder."""
    device = Device()
    try:
        session = make_session(plan, folder)
    except Exception as error:  # whatever it is, the test has an opinion on it
        return outcome(device, error=str(error))
    loaded = device.report()
    threads = max(map(len, plan["rounds"]), default=1)
    with ThreadPoolExecutor(threads) as pool:  # a thread's stream ends with it
        rounds = [run_round(device, session, pool, feeds) for feeds in plan["rounds"]]
    profile = Path(session.end_profiling())
    return outcome(
        device,
        loaded=asdict(loaded),
        providers=session.get_providers(),
        rounds=rounds,
        nodes=placed_nodes(json.loads(profile.read_text())),
    )


def outcome(device: Device, **fields: Any) -> dict[str, Any]:
    nothing = {"error": "", "providers": [], "rounds": [], "nodes": []}
    return nothing | {"loaded": asdict(device.report())} | fields


def make_session(plan: Plan, folder: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    for name, value in plan["session_options"].items():
        setattr(options, name, value)
    for name, value in plan["configuration"].items():
        options.add_session_config_entry(name, value)
    providers = [("CUDAExecutionProvider", plan["provider_options"])]
    return onnxruntime.InferenceSession(plan["model"], options, providers=providers)


def run_round(
    device: Device,
    session: onnxruntime.InferenceSession,
    pool: ThreadPoolExecutor,
    feeds: list[dict[str, Any]],
) -> dict[str, Any]:
    def run(shapes: dict[str, Any]) -> str:
        arrays = {name: np.ones(shape, dtype) for name, (dtype, shape) in shapes.items()}
        try:
            session.run(None, arrays)
        except Exception as error:
            return str(error)
        return ""

    device.reset()
    errors = list(pool.map(run, feeds))
    return {"report": asdict(device.report()), "errors": errors}


def placed_nodes(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Operator and provider of each node of a profile, once, in the order in which they ran."""
    nodes = {
        event["name"]: (event["args"]["op_name"], event["args"]["provider"])
        for event in events
        if event.get("cat") == "Node" and "provider" in event["args"]
    }
    return list(nodes.values())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(run_plan(json.loads(sys.argv[1]), Path(folder))))

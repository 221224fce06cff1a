"""The whole service under bulk and queries: Triton from PyPI behind the gateway, over HTTP.

Where Triton does not start, the reason is kept as a row. In either case the three steps are run in
one process as well, without Triton and gateway: what is missing between the two is theirs.
"""

import asyncio
import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from export.serving import micro_batch_tokens
from export.steps.batching import Batcher
from export.steps.inference import CudaEncoder
from export.steps.memory import Memory
from export.steps.quantization import quantize
from export.steps.tokenization import PackedTokenizer
from load_tests.bench import workloads
from load_tests.bench.client import Target, drive
from load_tests.bench.servers import BUILD, KEY, CannotStart, Recipe, Server, free_port, started
from load_tests.bench.workloads import Call, Callers, Workload, summarize
from load_tests.gpu.environment import make_environment
from load_tests.gpu.rows import Case, Figures
from load_tests.gpu.run import Run
from load_tests.gpu.shapes import LONGEST, PACKED, SERVED, Shape, repository_of
from load_tests.gpu.weights import fill
from load_tests.payloads import CORPUS, QUESTIONS, take, texts

PART = "service"
ENVIRONMENT = Path("build/gpu_check/environment")
QUERIES = Callers("query", 1, 1, QUESTIONS, calls_per_second=20)
WORKLOADS = ("bulk", "bulk and queries")
LAST_LINES = 4
SPECIAL_TOKENS = 2  # of each text, beside a token a word


def measure(run: Run) -> None:
    """On a fake device Triton serves for a CPU: it gives no steps to a GPU that it does not see."""
    for shape in (shape for shape in run.shapes if shape.name in SERVED):
        target = "cpu" if run.fake else "cuda"
        about = {"shape": shape.name, "way": f"Triton and gateway, {target}"}
        cases = [{**about, "workload": workload} for workload in WORKLOADS]
        if run.rows.missing(PART, cases):
            with run.each(PART, about):
                served(run, shape, target, about)
        case = {"shape": shape.name, "way": "steps in one process", "workload": "bulk"}
        run.rows.measure(PART, case, partial(in_one_process, run, shape))


def served(run: Run, shape: Shape, target: str, about: Case) -> None:
    """Rows of each workload.

    Raises: CannotStart with what the server said.
    """
    repository = repository_of(run.graphs, shape, target)
    for graph in repository.glob("*/1/model.onnx"):
        fill(graph)
    how = recipe(repository, shape, make_environment(ENVIRONMENT), run.fake)
    try:
        with started(how) as server:
            for name in WORKLOADS:
                case = {**about, "workload": name}
                run.rows.measure(PART, case, partial(drive_it, run, server, name))
    except CannotStart as error:
        raise CannotStart(f"{error}: {_last_lines(how.name)}") from error


def _last_lines(name: str) -> str:
    """Of what a server said: nobody will find the log of another machine."""
    log = BUILD / "bench" / f"{name}.log"
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return " / ".join(lines[-LAST_LINES:])


def drive_it(run: Run, server: Server, name: str) -> Figures:
    """Of one workload, after a fifth of its time that does not count."""
    effort = run.effort
    bulk = Callers("bulk", effort.callers, effort.call_texts, CORPUS, "base64")
    workload = Workload(name, (bulk,) if name == "bulk" else (bulk, QUERIES))
    asyncio.run(drive(server.target, workload, effort.service_seconds / 5, "warm-up"))
    outcome = asyncio.run(drive(server.target, workload, effort.service_seconds, name))
    cores = outcome.client_cpu_seconds / outcome.seconds
    return {**figures_of(outcome.calls), "client_cores": cores}


def recipe(repository: Path, shape: Shape, python: Path, is_fake: bool) -> Recipe:
    port = free_port()
    command = (*("-m", "gateway.local", "--repository", str(repository)), *("--port", str(port)))
    real = (("LD_LIBRARY_PATH", ""),) if is_fake else ()  # a server does not run on fake libraries
    return Recipe(
        name=f"gpu-check-{shape.name}",
        command=(str(python), *command, "--log-file", f"build/gpu_check/triton-{shape.name}.log"),
        target=Target(
            f"http://127.0.0.1:{port}/v1/embeddings", shape.name, {"Authorization": f"Bearer {KEY}"}
        ),
        environ=(("GATEWAY_API_KEYS", KEY), ("GATEWAY_LOG_LEVEL", "warning"), *real),
    )


def figures_of(calls: tuple[Call, ...]) -> dict[str, Any]:
    """Of bulk, and of queries if there were any."""
    bulk = _summary("bulk", calls)
    figures: dict[str, Any] = {
        "tokens_per_s": bulk.tokens_per_second,
        "texts_per_s": bulk.texts_per_second,
        "p50_ms": bulk.p50_milliseconds,
        "failures": bulk.failures,
    }
    if any(call.group == "query" for call in calls):
        query = _summary("query", calls)
        figures["query_p50_ms"] = query.p50_milliseconds
        figures["query_p99_ms"] = query.p99_milliseconds
    return figures


def _summary(group: str, calls: tuple[Call, ...]) -> workloads.Figures:
    answered = [call for call in calls if call.group == group and not call.failed]
    return summarize(group, calls, [sum(map(tokens_of, call.texts)) for call in answered])


def tokens_of(text: str) -> int:
    return len(text.split()) + SPECIAL_TOKENS


def in_one_process(run: Run, shape: Shape) -> Figures:
    """As many callers as in bulk; each tokenizes, waits for its vectors and quantizes."""
    budget = micro_batch_tokens(shape.product_weights)
    encoder = CudaEncoder(run.graph(shape, PACKED))
    memory = Memory(encoder.text_bytes, encoder.threads, encoder.working_mib(budget))
    repository = repository_of(run.graphs, shape, "cpu" if run.fake else "cuda")
    (tokenizer_json,) = repository.glob("*/1/tokenizer.json")
    tokenizer = PackedTokenizer(tokenizer_json, LONGEST)
    done: list[int] = []  # tokens of each request
    end = time.perf_counter() + run.effort.service_seconds

    def call(number: int) -> None:
        stream = texts(CORPUS, f"process/{number}")
        while time.perf_counter() < end:
            input_ids, seq_lens = tokenizer.tokenize(take(run.effort.call_texts, stream))
            embeddings = batcher.submit(input_ids, seq_lens).result()
            quantize(np.nan_to_num(embeddings), embeddings.shape[1], True, ("FLOAT",))
            done.append(len(input_ids))

    start = time.perf_counter()
    with closing(Batcher(encoder, budget, memory)) as batcher:
        threads = [threading.Thread(target=call, args=(n,)) for n in range(run.effort.callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if not done:
        raise RuntimeError("no request came back")
    return {"tokens_per_s": sum(done) / (time.perf_counter() - start), "requests": len(done)}

"""The tokenizer step in the real Triton: a query beside texts of megabytes, and what it holds."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tritonclient.grpc import InferInput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from export.checkpoint import DEFAULT_CHECKPOINT
from export.steps.tokenization import KEEP_END, KEEP_START, REFUSE
from gateway.local.triton_process import TritonProcess
from tests.export.steps.tokenization.texts import hard_text
from tests.triton.conftest import RunTriton

pytestmark = [pytest.mark.triton, pytest.mark.anyio]

STEP = f"{DEFAULT_CHECKPOINT.replace('/', '--')}@*-tokenizer"
MAX_LENGTH = 256
NO_LIMIT = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
WORDS = "bread is tasty "
MAX_GROWTH_MIB = 200  # of the step's process: it holds the bytes of texts, and little more


@dataclass(frozen=True)
class Step:
    """The tokenizer step of a running Triton."""

    client: InferenceServerClient
    name: str
    process: Path  # in /proc

    async def tokenize(
        self, texts: list[bytes], truncation: int = KEEP_START
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        inputs = [InferInput("TEXT", [len(texts)], "BYTES"), InferInput("TRUNCATION", [1], "INT32")]
        inputs[0].set_data_from_numpy(np.array(texts, dtype=object))
        inputs[1].set_data_from_numpy(np.array([truncation], dtype=np.int32))
        answer = await self.client.infer(self.name, inputs)
        return answer.as_numpy("INPUT_IDS"), answer.as_numpy("SEQ_LENS")

    def seconds(self) -> float:
        """CPU time of the step's process."""
        fields = (self.process / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mib(self) -> int:
        kibibytes = re.search(r"VmHWM:\s+(\d+) kB", (self.process / "status").read_text())
        assert kibibytes is not None
        return int(kibibytes[1]) // 1024


@pytest.fixture
def triton(run_triton: RunTriton, repository: Path) -> TritonProcess:
    return run_triton(repository)


@pytest.fixture(scope="module")
def folder(repository: Path) -> Path:
    (folder,) = repository.glob(STEP)
    return folder


@pytest.fixture
async def step(triton: TritonProcess, folder: Path) -> AsyncIterator[Step]:
    processes = [Path(f"/proc/{pid}") for pid in triton.step_pids]
    (process,) = [path for path in processes if folder.name in (path / "cmdline").read_text()]
    async with InferenceServerClient(
        f"127.0.0.1:{triton.grpc_port}", channel_args=NO_LIMIT
    ) as client:
        yield Step(client, folder.name, process)


@pytest.fixture(scope="module")
def reference(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "1" / "tokenizer.json"))


@pytest.mark.parametrize(("truncation", "side"), [(KEEP_START, "right"), (KEEP_END, "left")])
async def test_ids_are_those_of_the_whole_texts(
    step: Step, reference: Tokenizer, truncation: int, side: str
) -> None:
    texts = [hard_text(seed, 100 * seed) for seed in range(60)]
    reference.enable_truncation(MAX_LENGTH, direction=side)

    ids, seq_lens = await step.tokenize([text.encode() for text in texts], truncation)

    expected = [encoding.ids for encoding in reference.encode_batch(texts)]
    assert [len(row) for row in expected] == seq_lens.tolist()
    assert [id for row in expected for id in row] == ids.tolist()


async def test_queries_are_answered_while_a_long_text_is_counted(step: Step) -> None:
    text = b"bread,is.tasty;" * 200_000  # without blanks, whose words would be looked up
    counts = [asyncio.create_task(step.tokenize([text], REFUSE)) for _ in range(3)]

    for _ in range(20):
        await step.tokenize([b"bread"])
    were_first = not any(count.done() for count in counts)

    for refusal in await asyncio.gather(*counts, return_exceptions=True):
        assert isinstance(refusal, InferenceServerException)
        assert '"overflows": [{"index": 0, "length": 1400002}]' in str(refusal)
    assert were_first


@pytest.mark.parametrize("truncation", [KEEP_START, KEEP_END])
@pytest.mark.parametrize("part", [".", WORDS, "bread", "x "])
async def test_megabytes_are_read_in_no_time(step: Step, part: str, truncation: int) -> None:
    """All of it would take a second a megabyte."""
    text = (part * (1_000_000 // len(part) + 1))[:1_000_000].encode()
    before = step.seconds()

    answers = await asyncio.gather(*(step.tokenize([text] * 4, truncation) for _ in range(5)))

    assert all((answer[1] <= MAX_LENGTH).all() for answer in answers)
    assert step.seconds() - before < 2.0


@pytest.mark.parametrize(
    ("part", "truncations"),
    [
        (WORDS, [KEEP_START, KEEP_END]),
        (".", [KEEP_START, KEEP_END]),
        (" ", [KEEP_START, KEEP_END, REFUSE]),
        ("bread", [KEEP_START, KEEP_END, REFUSE]),
    ],
    ids=["words", "dots", "blanks", "one-word"],
)
async def test_a_text_of_30_megabytes_leaves_nothing_behind(
    step: Step, part: str, truncations: list[int]
) -> None:
    text = (part * (30_000_000 // len(part) + 1))[:30_000_000].encode()
    before = step.peak_mib()

    for truncation in truncations:
        _, seq_lens = await step.tokenize([text], truncation)

        assert seq_lens[0] <= MAX_LENGTH
    assert step.peak_mib() - before < MAX_GROWTH_MIB


async def test_a_request_that_fails_fails_alone(step: Step) -> None:
    wrong, right = await asyncio.gather(
        step.tokenize([b"\xff"]), step.tokenize([b"bread"]), return_exceptions=True
    )

    assert isinstance(wrong, InferenceServerException)
    assert "tokenizer: 'utf-8' codec" in str(wrong)
    assert not isinstance(right, BaseException)
    with pytest.raises(InferenceServerException, match="tokenizer: 7"):
        await step.tokenize([b"bread"], truncation=7)

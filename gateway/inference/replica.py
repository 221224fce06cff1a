"""One Triton: its channel, what it serves, what it has to do, and whether it is well."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from gateway.errors import TritonTimeout, TritonUnavailable, UpstreamError
from gateway.inference.attempts import Attempt
from gateway.inference.channels import Channels
from gateway.inference.embedder import CPU_TOKENS, Ensemble, State, TritonState
from gateway.inference.messages import (
    Message,
    build_request,
    drop_formats,
    probing,
    read_answer,
    read_config,
    read_editions,
    read_states,
    split_answer,
)
from gateway.inference.names import folder_of_step
from gateway.inference.rpc_errors import is_about_formats, map_rpc_errors
from gateway.inference.windows import Load, Window, Windows
from gateway.telemetry.timeline import Metadata

# Seconds; questions about the repository are answered from memory.
ASK_TIMEOUT_SECONDS = 1.0
# Seconds for a sign of life, which a Triton gives also while it is busy.
LIVE_TIMEOUT_SECONDS = 2.0
# Seconds after which what Triton has is given up for lost: far above what the windows let in.
LOST_SECONDS = 300.0
SILENT = "does not answer"


class Replica:
    """One Triton of the fleet.

    address   of its gRPC
    host      that its certificate is for; empty for the one in the address
    windows   what it may have at a time of a model on a CPU
    serving   ensemble → edition, of the models that answered last time
    trouble   why it is not asked, where that is not for one of its models alone
    ill       ensemble → why that one is not asked

    Its channel is opened by the first question, in the event loop of that question.
    """

    def __init__(
        self,
        address: str,
        host: str,
        windows: Windows,
        channels: Channels,
        clock: Callable[[], float],
    ) -> None:
        self.address = address
        self._host = host
        self.load = Load(address)
        self.serving: dict[str, str] = {}
        self.ensembles: dict[str, Ensemble] = {}
        self.attempts: set[Attempt] = set()
        self.trouble = "was not asked yet"
        self.ill: dict[str, str] = {}
        self.is_silent = False
        self.is_draining = False
        self.answered_at = clock()
        self.failed_at = float("-inf")
        self._clock = clock
        self._windows = windows
        self._taken: dict[str, tuple[Window, Window]] = {}
        self._channels = channels
        self._channel: grpc.aio.Channel | None = None

    @property
    def stub(self) -> service_pb2_grpc.GRPCInferenceServiceStub:
        if self._channel is None:
            self._channel = self._channels.open(self.address, self._host)
            self._cached_stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        return self._cached_stub

    async def close(self, grace_seconds: float | None = None) -> None:
        """The next question opens a new channel.

        grace_seconds  for what goes on in this one
        """
        if self._channel is not None:
            channel, self._channel = self._channel, None
            await channel.close(grace_seconds)

    @property
    def state(self) -> TritonState:
        if self.is_draining:
            return "draining"
        if self.trouble:
            return "silent" if self.is_silent else "away"
        return "loading" if self.ill or not self.serving else "ready"

    def why(self) -> str:
        """What is wrong with it, in one line; empty if nothing."""
        models = "; ".join(f"{name} {why}" for name, why in sorted(self.ill.items()))
        return self.trouble or models

    def name_of(self, ensemble: str) -> str:
        """What clients call a model."""
        described = self.ensembles.get(ensemble)
        return described.parameters.get("served_name", ensemble) if described else ensemble

    def windows_of(self, ensemble: str) -> tuple[Window, Window]:
        """Of the bulk lane and of the interactive one."""
        if ensemble not in self._taken:
            sizes = self._sizes(ensemble)
            self._taken[ensemble] = (
                Window(sizes.bulk, self.load),
                Window(sizes.interactive, self.load),
            )
        return self._taken[ensemble]

    def window_tokens(self) -> int:
        """Of all its windows together."""
        return sum(window.size_tokens for pair in self._taken.values() for window in pair)

    def _sizes(self, ensemble: str) -> Windows:
        described = self.ensembles.get(ensemble)
        tokens = described.parameters.get("micro_batch_tokens", "") if described else ""
        return self._windows.fit(int(tokens) if tokens.isdecimal() else CPU_TOKENS)

    def note_answer(self, ensemble: str, edition: str, sent_at: float) -> None:
        """Notes what a call or a probe got.

        What was sent before the last failure says nothing: a Triton that ends still answers it.
        """
        self.answered_at = self._clock()
        if self.serving.get(ensemble) != edition and sent_at > self.failed_at:
            self.serving[ensemble] = edition
            self.ill.pop(ensemble, None)
            self.trouble, self.is_silent = "", False

    def note_failure(self, ensemble: str, why: str, of_all: bool) -> None:
        """Leaves one model, or all of them, until a probe succeeds."""
        self.failed_at = self._clock()
        if of_all:
            self.lose(why)
        else:
            self.serving.pop(ensemble, None)
            self.ill[ensemble] = why

    def lose(self, why: str, is_silent: bool = False) -> None:
        """Leaves it altogether."""
        self.failed_at = self._clock()
        self.serving.clear()
        self.ill.clear()
        self.trouble, self.is_silent = why, is_silent

    def unproven(self) -> list[str]:
        """The models that it calls ready and that have not answered as they are now."""
        return [
            name
            for name, ensemble in self.ensembles.items()
            if ensemble.state == "ready"
            and "served_name" in ensemble.parameters
            and not ensemble.mismatch
            and (name not in self.serving or self.serving[name] != ensemble.edition != "")
        ]

    async def look(self) -> None:
        """Asks what it has.

        Raises: UpstreamError.
        """
        try:
            index = await self._ask("RepositoryIndex", service_pb2.RepositoryIndexRequest())
            states, editions = read_states(index), read_editions(index)
            described = await asyncio.gather(
                *(self._describe(name, state) for name, state in sorted(states.items()))
            )
        except TritonTimeout:
            raise  # it may be busy
        except UpstreamError as error:
            self.lose(f"fails: {error.message}")
            raise
        self._take_in([one.of_edition(editions.get(one.name, "")) for one in described])

    def _take_in(self, ensembles: list[Ensemble]) -> None:
        self.ensembles = {ensemble.name: ensemble for ensemble in ensembles}
        self.trouble, self.is_silent = "", False
        ready = {one.name for one in ensembles if one.state == "ready" and not one.mismatch}
        loading = {one.name for one in ensembles if one.state == "loading"}
        expected = self.serving.keys() | self.ill.keys()
        self.ill = {name: self.ill[name] for name in self.ill.keys() & ready}
        self.ill |= dict.fromkeys(expected & loading, "is not ready")
        self.serving = {name: self.serving[name] for name in self.serving.keys() & ready}
        for name, (bulk, interactive) in self._taken.items():
            sizes = self._sizes(name)
            bulk.size_tokens, interactive.size_tokens = sizes.bulk, sizes.interactive

    async def _describe(self, name: str, state: State) -> Ensemble:
        if state != "ready" or folder_of_step(name):
            return Ensemble(name, state)
        try:
            answer = await self._ask("ModelConfig", service_pb2.ModelConfigRequest(name=name))
        except TritonUnavailable:  # it went between two questions
            return Ensemble(name, "loading")
        return read_config(answer.config)

    async def probe(self, ensemble: str, timeout_seconds: float = LOST_SECONDS) -> None:
        """Embeds one short text.

        Raises: UpstreamError.
        """
        call, sent_at = probing(ensemble), self._clock()
        with map_rpc_errors(call):
            answer = await self.infer(build_request(call, [0]), timeout_seconds)
        read_answer(next(split_answer(answer, [1])), call)
        self.note_answer(ensemble, answer.model_version, sent_at)

    async def infer(
        self, request: Message, timeout_seconds: float, metadata: Metadata | None = None
    ) -> Message:
        """The answer to a ModelInferRequest, without its FORMATS where the model takes none.

        Whether it does is known since the last look. A model that was replaced by an older edition
        since then refuses the tensor before it does anything, and is asked once more.

        Raises: grpc.RpcError.
        """
        if not self._takes_formats(request.model_name):
            drop_formats(request)
        try:
            return await self.stub.ModelInfer(request, timeout=timeout_seconds, metadata=metadata)
        except grpc.RpcError as error:
            if not is_about_formats(error) or not drop_formats(request):
                raise
        if described := self.ensembles.get(request.model_name):
            self.ensembles[request.model_name] = replace(described, takes_formats=False)
        return await self.stub.ModelInfer(request, timeout=timeout_seconds, metadata=metadata)

    def _takes_formats(self, ensemble: str) -> bool:
        described = self.ensembles.get(ensemble)
        return described is not None and described.takes_formats

    async def is_live(self) -> bool:
        """Whether its process answers at all, busy or not.

        Raises: TritonUnavailable if there is none.
        """
        try:
            with map_rpc_errors():
                question = service_pb2.ServerLiveRequest()
                await self.stub.ServerLive(question, timeout=LIVE_TIMEOUT_SECONDS)
        except TritonTimeout:
            return False
        return True

    async def _ask(self, method: str, question: Any) -> Message:
        with map_rpc_errors():
            return await getattr(self.stub, method)(question, timeout=ASK_TIMEOUT_SECONDS)

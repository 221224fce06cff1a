"""Channels to a Triton, each to one address."""

from collections.abc import Callable
from typing import TypeAlias

import grpc

OPTIONS = (
    # 256 texts of 4096 float32 are above gRPC's 4 MiB.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A restarted Triton is found again within a second, not within two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Triton's default tolerates a ping every five minutes.
    ("grpc.keepalive_time_ms", 300_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.use_local_subchannel_pool", 1),
)

OpenChannel: TypeAlias = Callable[[str], grpc.aio.Channel]  # to an address


def open_insecure(address: str) -> grpc.aio.Channel:
    """A channel in the clear."""
    return grpc.aio.insecure_channel(address, options=OPTIONS)

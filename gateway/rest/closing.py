"""A listening socket that is about to close: nobody is lost between connecting and being accepted.

The system completes connections by itself and keeps them until they are accepted. Those that it
has when the socket is closed are reset, though their clients may have sent a request already. So
new ones are put off first: the system drops what would begin one, whose client asks again a second
later and is then refused, which is safe to repeat elsewhere.
"""

import ctypes
import socket
import struct
import sys
from contextlib import suppress

# Seconds in which handshakes that have begun come to their end.
HANDSHAKE_SECONDS = 0.1

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
# Classic BPF on the TCP header: code, jump if true, jump if false, operand; linux/filter.h.
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the byte of flags
    (0x45, 0, 1, 0x02),  # is SYN among them?
    (0x06, 0, 0, 0),  # yes: keep 0 bytes of it
    (0x06, 0, 0, 0xFFFFFFFF),  # no: keep all
)


def put_off_newcomers(listener: socket.socket) -> None:
    """From now on no connection to the socket begins; where the system cannot do that, some may."""
    if not sys.platform.startswith("linux"):
        return
    program = ctypes.create_string_buffer(
        b"".join(struct.pack("=HBBI", *instruction) for instruction in _DROP_SYN)
    )
    pointer = struct.pack("@HP", len(_DROP_SYN), ctypes.addressof(program))
    with suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)

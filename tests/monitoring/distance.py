"""Wires that can be made long: what goes through one comes out so much later."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Thread

from gateway.local.triton_process import LOOPBACK, free_ports


@dataclass
class Wire:
    """From a port of its own to another one, with a delay in seconds each way."""

    to_port: int
    port: int
    delay_seconds: float = 0.0

    async def serve(self) -> None:
        """For ever."""
        server = await asyncio.start_server(self._connect, LOOPBACK, self.port)
        await server.serve_forever()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            there, away = await asyncio.open_connection(LOOPBACK, self.to_port)
            await asyncio.gather(self._carry(reader, away), self._carry(there, writer))
        writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """In order, however often the delay changes."""
        loop, last = asyncio.get_running_loop(), 0.0
        with suppress(OSError):
            while data := await reader.read(65536):
                last = max(last, loop.time() + self.delay_seconds)
                loop.call_at(last, _write, writer, data)
        loop.call_at(max(last, loop.time()), writer.close)


def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    if not writer.is_closing():
        writer.write(data)


@contextmanager
def wires(*to_ports: int) -> Iterator[list[Wire]]:
    """One to each port, in a thread of their own; they end with the block."""
    found = [Wire(to, port) for to, port in zip(to_ports, free_ports(len(to_ports)), strict=True)]
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*(wire.serve() for wire in found))

    async def stop() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    thread = Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(serve(), loop)
    try:
        yield found
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

"""Stands between workers and Redis, and loses the replies of scripts when it is told to.

``python proxy.py PORT``: connections to PORT go to port 6379. At each SIGUSR1 it loses the reply
of the next script on some connections: the script is carried out, and the connection breaks.
"""

from __future__ import annotations

import asyncio
import signal
import sys

REDIS = 6379
_EACH = 6

_armed = 0


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        from_redis, to_redis = await asyncio.open_connection("127.0.0.1", REDIS)
    except OSError:
        writer.close()
        return
    lost = asyncio.Event()

    async def requests() -> None:
        global _armed  # noqa: PLW0603 - shared by all connections
        while data := await reader.read(1 << 16):
            if _armed and b"EVALSHA" in data:
                _armed -= 1
                lost.set()
            to_redis.write(data)
            await to_redis.drain()

    async def replies() -> None:
        while data := await from_redis.read(1 << 16):
            if lost.is_set():
                return
            writer.write(data)
            await writer.drain()

    tasks = [asyncio.create_task(part()) for part in (requests, replies)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for stream in (to_redis, writer):
        stream.close()


def _arm() -> None:
    global _armed  # noqa: PLW0603 - as above
    _armed += _EACH


async def _main(port: int) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _arm)
    server = await asyncio.start_server(_serve, "0.0.0.0", port, backlog=512)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))

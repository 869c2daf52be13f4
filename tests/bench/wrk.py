"""Runs wrk: 16 connections, one thread; each request the next line of a list of paths."""

import asyncio
import re
from pathlib import Path

SECONDS = 4
_SCRIPT = """
local paths, at = {}, 0
function init(args)
  for line in io.lines(args[1]) do paths[#paths + 1] = line end
  at = tonumber(args[2])
  for index = 3, #args, 2 do wrk.headers[args[index]] = args[index + 1] end
end
function request()
  at = at % #paths + 1
  return wrk.format("GET", paths[at])
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("SEEN %d %d %d %d %d\\n", summary.requests, summary.duration,
    e.status + e.connect + e.read + e.write + e.timeout, latency:percentile(50),
    latency:percentile(99)))
end
"""
_PAUSE = "function delay() return {ms} end\n"


class Wrk:
    """One load: a list of paths (kept in `folder`) on one port, with the same headers.

    Each connection asks again at once, or after `pause_ms`.
    """

    def __init__(
        self, folder: Path, name: str, port: int, paths: list[str], headers: dict[str, str],
        *, pause_ms: int = 0,
    ) -> None:  # fmt: skip
        self._script = folder / f"{name}.lua"
        self._script.write_text(_SCRIPT + (_PAUSE.format(ms=pause_ms) if pause_ms else ""))
        self._paths = folder / f"{name}.paths"
        self._paths.write_text("\n".join(paths) + "\n")
        self._number = len(paths)
        self._url = f"http://127.0.0.1:{port}"
        self._headers = headers
        self._at = 0
        self.requests = 0  # all that were answered
        self.latency_ms = (0.0, 0.0)  # median and 99th percentile of the last load

    async def measure(self, at: int) -> float:
        """Requests per second. Any answer but 200 is an error here."""
        if at == 0:
            await self._run(1)  # warms caches and prepared statements
        return await self._run(SECONDS)

    async def _run(self, seconds: int) -> float:
        words = [word for pair in self._headers.items() for word in pair]
        process = await asyncio.create_subprocess_exec(
            "wrk", "-t1", "-c16", f"-d{seconds}s", "-s", str(self._script), self._url, "--",
            str(self._paths), str(self._at % self._number), *words,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, _ = await process.communicate()
        found = re.search(r"SEEN (\d+) (\d+) (\d+) (\d+) (\d+)", said.decode())
        if found is None or int(found[3]):
            raise RuntimeError(f"wrk against {self._url} failed:\n{said.decode()}")
        self.requests += int(found[1])
        self._at += int(found[1]) + 16
        self.latency_ms = (int(found[4]) / 1e3, int(found[5]) / 1e3)
        return int(found[1]) / (int(found[2]) / 1e6)

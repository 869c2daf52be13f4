"""What a process writes on standard error: one JSON object a line, masked, whoever says it."""

import json
import subprocess
import sys

from tests.database import REPO
from tests.number.searched import PROBE, SPACED

PROGRAM = f"""
import asyncio, logging, structlog
from app.formats.individual_number import masked_json
from app.kit.logs import set_up_logging
set_up_logging("INFO", masked_json)
set_up_logging("INFO", masked_json)  # said twice, heard once
structlog.get_logger().info("ours", of="{PROBE}")
logging.getLogger("uvicorn.error").warning("cut off at %s", "{PROBE}")
logging.getLogger("uvicorn.error").info("not heard")
logging.getLogger("asyncio").warning("%d \\ud800", "no number")
logging.getLogger("pgqueuer").addHandler(logging.NullHandler())  # as it does itself
logging.getLogger("pgqueuer").error("a job failed with its values")
try:
    raise ValueError("{SPACED}")
except ValueError:
    logging.getLogger("uvicorn.error").exception("Exception in ASGI application\\n")
async def fail():
    asyncio.get_running_loop().call_soon(lambda: int("x{PROBE}"))
    await asyncio.sleep(0)
asyncio.run(fail())
"""


def test_what_libraries_say_is_a_masked_line_of_json_like_our_own() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=REPO, capture_output=True, text=True, check=True
    )

    assert PROBE not in done.stderr and SPACED not in done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line.get("logger"), line["level"]) for line in lines] == [
        (None, "info"), ("uvicorn.error", "warning"), ("asyncio", "warning"),
        ("uvicorn.error", "error"), ("asyncio", "error"),
    ]  # fmt: skip
    assert lines[1]["event"] == "cut off at ************"
    assert lines[3]["event"] == "Exception in ASGI application"
    assert "ValueError: **** **** ****" in lines[3]["exception"]

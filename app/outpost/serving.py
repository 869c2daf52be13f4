"""The agent at work: asks for jobs, judges each envelope, does it and sends the answer.

Nothing is done that a pinned key did not ask for, within this minute, for the first time, and that
the allowance does not hold.
"""

import asyncio
from contextlib import aclosing
from typing import Final

import structlog

from app.kit.errors import AppError
from app.outpost.answering import Answerer
from app.outpost.envelopes import Job, read_job, read_keys
from app.outpost.folder import Folder
from app.outpost.link import (
    POLL_S,
    JobOver,
    Link,
    PlatformAway,
    asked_until,
    wait_before,
)
from app.outpost.sealed import seal
from app.outpost.signed import SignerUnknown, WordRefused

log = structlog.get_logger()
_JSON: Final = "application/json"
_SEALED: Final = "application/jose"
_AT_ONCE: Final = 4
_BEAT_S: Final = 2.0
_PATIENT_S: Final = 120.0  # with a platform that is away while an answer is under way
_KEYS_EVERY_S: Final = 3600.0


class Serving:
    """One agent, for as long as `run` runs."""

    def __init__(self, link: Link, folder: Folder, answerer: Answerer) -> None:
        self._link = link
        self._folder = folder
        self._answerer = answerer
        self._url, self._pinned = folder.platform()
        self._free = asyncio.Semaphore(_AT_ONCE)
        self._at_work: set[asyncio.Task[None]] = set()
        self._using = asyncio.Lock()
        self._keys_at = float("-inf")

    async def run(self) -> None:
        """Serve until cancelled. Raises `PlatformRefuses` once the agent is revoked."""
        tries = 0
        try:
            while True:
                await self._free.acquire()
                try:
                    await self._follow_keys()
                    word = await self._next_word()
                    tries = 0
                except PlatformAway as away:
                    self._free.release()
                    log.warning("agent.platform_away", why=str(away.named.get("why")))
                    await asyncio.sleep(wait_before(tries))
                    tries += 1
                    continue
                self._begin(word)
        finally:
            for task in self._at_work:
                task.cancel()
            await asyncio.gather(*self._at_work, return_exceptions=True)

    async def _next_word(self) -> str | None:
        sources = sorted(self._answerer.allowance.sources)
        told = await self._link.told("/v1/agent/jobs", {"sources": sources, "wait": POLL_S})
        return None if told is None else str(told.get("envelope"))

    def _begin(self, word: str | None) -> None:
        if word is None:
            self._free.release()
            return
        task = asyncio.create_task(self._serve(word))
        self._at_work.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._at_work.discard(task)
        self._free.release()
        if not task.cancelled() and (wrong := task.exception()) is not None:
            code = wrong.named.get("refusal", wrong.code) if isinstance(wrong, AppError) else None
            log.error("agent.job_failed", error=type(wrong).__name__, code=code)

    async def _follow_keys(self, *, now: bool = False) -> None:
        """The platform's keys as they are now, told by one that is pinned."""
        time = asyncio.get_running_loop().time()
        if not now and time < self._keys_at + _KEYS_EVERY_S:
            return
        told = await self._link.told("/v1/agent/keys", {}) or {}
        self._keys_at = time
        try:
            found = read_keys(str(told.get("keys")), self._pinned)
        except WordRefused as refusal:
            log.error("agent.keys_refused", why=str(refusal.named["why"]))
            return
        if found.to_json() != self._pinned.to_json():
            self._pinned = found
            self._folder.keep_platform(self._url, found)
            log.info("agent.keys_followed")

    async def _serve(self, word: str) -> None:
        job = await self._judged(word)
        if job is None:
            return
        told = {"job": str(job.id), "what": job.wanted.what, "source": job.wanted.source}
        log.info("agent.job", **told, agreement=job.wanted.agreement)
        sending = asyncio.create_task(self._send(job))
        beating = asyncio.create_task(self._beat(job))
        try:
            await asyncio.wait({sending, beating}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            beating.cancel()
            await asyncio.wait({sending, beating})
        if not beating.cancelled():
            beating.exception()  # it ends the sending, which tells
        wrong = None if sending.cancelled() else sending.exception()
        if sending.cancelled() or isinstance(wrong, JobOver):
            log.info("agent.job_left", **told)  # nobody waits for the answer
            return
        if wrong is not None:
            raise wrong
        log.info("agent.job_answered", **told)

    async def _judged(self, word: str) -> Job | None:
        """The job of an envelope that may be done; what may not stands in this side's log."""
        try:
            try:
                job = read_job(word, self._pinned)
            except SignerUnknown:
                await self._follow_keys(now=True)
                job = read_job(word, self._pinned)
            async with self._using:
                is_first = await asyncio.to_thread(self._folder.use, job.jti, job.expires_at)
            if not is_first:
                raise WordRefused("it was used before", "使用済みです")
        except AppError as refusal:
            log.warning("agent.word_refused", code=refusal.code, why=str(refusal.named.get("why")))
            return None
        return job

    async def _send(self, job: Job) -> None:
        place, position = f"{job.id}:{job.attempt}", 0
        async with aclosing(self._answerer.messages(job.wanted)) as messages:
            async for message in messages:
                sealed = await asyncio.to_thread(seal, message, job.answer_to, place, position)
                await self._put(job, position, sealed.encode())
                position += 1

    async def _put(self, job: Job, position: int, sealed: bytes) -> None:
        path = f"/v1/agent/jobs/{job.id}/{job.attempt}/pieces/{position}"
        await asked_until(self._link, _PATIENT_S, "PUT", path, sealed, _SEALED)

    async def _beat(self, job: Job) -> None:
        """Says that the job is under way; ends when nobody wants its answer any more."""
        path = f"/v1/agent/jobs/{job.id}/{job.attempt}/alive"
        while True:
            try:
                await asked_until(self._link, _PATIENT_S, "POST", path, b"{}", _JSON)
            except JobOver:
                return
            await asyncio.sleep(_BEAT_S)

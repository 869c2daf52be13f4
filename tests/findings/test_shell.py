"""`urbanos finding` as a process of its own, which knows no more tables than it has imported."""

import asyncio
import os
import subprocess
import sys
from datetime import timedelta

from app.findings.findings import Sighting, report
from app.kit.settings import Settings
from app.models.findings import Severity
from tests.database import REPO
from tests.world import World


async def test_a_finding_of_a_dataset_is_resolved_at_the_shell(
    world: World, database_url: str, settings: Settings
) -> None:
    seen = Sighting(
        rule="bulk_read", subject_kind="client", subject_id="c-shell", severity=Severity.HIGH,
        ja="試験", en="A test", due_in=timedelta(days=3), owner_id="271004-kenko",
    )  # fmt: skip
    async with world.platform.database.writing() as session:
        (finding,) = await report(session, seen)

    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "app.cli", "finding", "resolve", str(finding.id), "--note", "試験"],
        cwd=REPO,
        env={
            **os.environ,
            "URBANOS_DATABASE_URL": database_url,
            "URBANOS_HOME": str(settings.home),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "resolved" in done.stdout and "試験" in done.stdout

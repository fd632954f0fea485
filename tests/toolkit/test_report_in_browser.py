"""The page of a run in a real browser: it is ready, and obeys nothing foreign.

Nightly, and where a Chromium is installed; what can be said without one is in
`test_report_page.py`.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import forged_run
import pytest

from aitbc_toolkit.suites.report import writing

NAMES = ("chromium", "chromium-browser", "google-chrome")
EVIL = "<img src=x onerror=\"document.documentElement.dataset.evil='1'\">"
DEADLINE_S = 120


@pytest.fixture
def chromium() -> str:
    """Find the browser."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium on PATH: apt-get install chromium")
    return found


def shown(chromium: str, file: Path, folder: Path) -> str:
    """Load a file; return what its document became."""
    argv = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        f"--user-data-dir={folder / 'profile'}",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--dump-dom",
        file.as_uri(),
    ]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    return ran.stdout


@pytest.mark.nightly
def test_a_page_from_the_disk_is_ready_and_obeys_nothing_foreign(
    chromium: str, tmp_path: Path
) -> None:
    """Its own script ran, as its policy allows; no foreign one did, and no tag became one."""
    folder = forged_run.a_folder(tmp_path / "run")
    forged_run.write(folder, "heights.jsonl", forged_run.heights((EVIL,)))
    checks = [{"scenario": EVIL, "name": EVIL, "outcome": "broken", "detail": EVIL}]
    (folder / "verdict.json").write_text(json.dumps(forged_run.a_verdict(checks=checks)))

    document = shown(chromium, writing.make(folder), tmp_path)

    assert 'data-ready="1"' in document
    assert 'data-evil="1"' not in document
    assert "<img" not in document


@pytest.mark.nightly
def test_without_scripts_the_page_says_the_same(chromium: str, tmp_path: Path) -> None:
    """Verdict, repro line and checks are in the document itself."""
    page = writing.make(forged_run.a_folder(tmp_path / "run"))

    # `--dump-dom` is a script itself, so the page forbids its own one.
    text = re.sub(r"script-src [^;]*", "script-src 'none'", page.read_text())
    page.write_text(text)
    document = shown(chromium, page, tmp_path)

    assert 'data-ready="1"' not in document
    for testid in ("verdict", "repro", "checks"):
        assert f'data-testid="{testid}"' in document

"""The page in a real Chromium: numbers move, a chart has points, no console error, keyboard and phone; a screenshot is kept."""

import pathlib
import shutil
import subprocess

import pytest

import millstream
from conftest import missing

CHECK = pathlib.Path(__file__).parent / "browser" / "check.mjs"
SHOTS = millstream.ROOT / "target" / "screenshots"


def check(url, name, *flags):
    if not shutil.which("node") or not (CHECK.parent / "node_modules").is_dir():
        missing("Node.js with tests/browser's packages")
    SHOTS.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["node", CHECK, url, SHOTS / name, *flags], capture_output=True, text=True, timeout=240)
    if done.returncode == 3:
        missing("Chromium")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (SHOTS / name).stat().st_size > 10_000


@pytest.mark.timeout(300)
def test_the_page_shows_a_running_pipeline(project, server):
    folder = project("turnstiles", feeds=True)
    check(server("up", folder).http, "page.png")


@pytest.mark.timeout(300)
def test_the_page_without_a_project_teaches_the_first_steps(tmp_path, server):
    check(server("up", "--data", tmp_path / "data").http, "first-steps.png", "--without-project")

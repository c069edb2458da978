"""Settings for all tests: a deterministic hypothesis, no settings of the person who runs them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A run says the same twice; `HYPOTHESIS_PROFILE=search` looks for new cases.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True, database=None)
settings.register_profile("search", deadline=None, print_blob=True, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True)
def nobody_in_particular(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variables of the command line or a terminal, and a home of the test's own."""
    for name in [name for name in os.environ if name.startswith("ZMQNODE_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("COLUMNS", raising=False)  # Some test runners set it in their workers.
    monkeypatch.setenv("ZMQNODE_HOME", str(tmp_path / "home-of-the-test"))

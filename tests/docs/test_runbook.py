"""The runbook speaks of what the program says: its causes, its alerts, its error codes."""

from __future__ import annotations

import re

from tests.docs.pages import DOCS, PAGES, ROOT, section
from zmqnode.commands.dashboard_alerts import alerts
from zmqnode.errors import HINTS

RUNBOOK = (DOCS / "howto" / "runbook.md").read_text()
SOURCE = "".join(
    # A text that is written on several lines of code is one text.
    re.sub(r'"\s*\n\s*f?"', "", file.read_text())
    for file in sorted((ROOT / "zmqnode").rglob("*.py"))
)


def test_every_cause_of_the_table_is_one_that_a_node_tells() -> None:
    rows = section(RUNBOOK, "A node is BROKEN").splitlines()
    causes = [row.split("`")[1] for row in rows if row.startswith("| `")]
    assert len(causes) >= 13
    assert [cause for cause in causes if cause not in SOURCE] == []


def test_every_alert_is_in_the_runbook_and_no_other() -> None:
    told = re.findall(r"`(Zmqnode\w+)`", section(RUNBOOK, "Alerts"))
    assert sorted(told) == sorted(alert.name for alert in alerts("zmqnode"))


def test_the_codes_in_tables_of_the_how_tos_are_codes() -> None:
    rows = [
        row.split("`")[1]
        for page in PAGES
        for row in page.read_text().splitlines()
        if page.parent.name == "howto" and re.match(r"\| `[a-z]+_[a-z_]+` \|", row)
    ]
    assert rows
    assert [code for code in rows if code not in HINTS] == []

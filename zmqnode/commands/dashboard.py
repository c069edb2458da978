"""``zmqnode dashboard``: what shows and watches the metrics of ``metrics.url``."""

from __future__ import annotations

import json
import re
from typing import Annotated, Final

import typer

from zmqnode.commands.documents import OutOption, give
from zmqnode.commands.options import JsonOption

app = typer.Typer()

_JOB: Final = re.compile(r"[A-Za-z0-9_.:/ -]{1,128}")

JobOption = Annotated[
    str, typer.Option("--job", metavar="NAME", help="The scrape job's name in Prometheus.")
]


@app.command()
def grafana(out: OutOption = None, as_json: JsonOption = False) -> None:
    """Print a Grafana dashboard (import it: Dashboards, New, Import)."""
    from zmqnode.commands.dashboard_panels import dashboard

    give("grafana", json.dumps(dashboard(), indent=2), out=out, as_json=as_json)


@app.command()
def alerts(job: JobOption = "zmqnode", out: OutOption = None, as_json: JsonOption = False) -> None:
    """Print alert rules for Prometheus (rule_files in prometheus.yml)."""
    from zmqnode.commands.dashboard_alerts import rules_text

    if _JOB.fullmatch(job) is None:
        raise typer.BadParameter(f"{job!r} is no name of a scrape job")
    give("alerts", rules_text(job), out=out, as_json=as_json)

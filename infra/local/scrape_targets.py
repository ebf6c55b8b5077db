"""Tells Prometheus where the processes of a stack answer.

Upstream: up.py, at each start.
Downstream: infra/prometheus/prometheus.yaml reads the file (file_sd).
Guarantee: one target for each of our processes, its job named after it; a reader sees a whole file, old or new.
"""

import json

from infra.local.layout import Layout
from infra.local.topology import PROCESSES
from infra.runtime.settings import LOOPBACK

JOB_PREFIX = "clawtrace-"


def write_scrape_targets(layout: Layout) -> None:
    """Write the file; the folder is there."""
    targets = [
        {
            "targets": [f"{LOOPBACK}:{layout.settings.port(port_name)}"],
            "labels": {"job": f"{JOB_PREFIX}{name}"},
        }
        for name, port_name, _ in PROCESSES
    ]
    draft = layout.scrape_targets_file.with_suffix(".new")
    draft.write_text(json.dumps(targets, indent=1))
    draft.replace(layout.scrape_targets_file)

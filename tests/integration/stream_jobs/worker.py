"""A stitcher process with the counting core, for tests that kill it."""

import sys

from infra.runtime.logging import configure_logging
from stream_jobs.processors.runner import exit_code_of, run_stitcher
from stream_jobs.settings import StitcherSettings
from tests.integration.stream_jobs.standin import counting_core

if __name__ == "__main__":
    configure_logging("stitcher-test")
    sys.exit(exit_code_of(lambda: run_stitcher(StitcherSettings(), counting_core)))

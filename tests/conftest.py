"""What all tests share: logs of ours go to standard error, as in every process.

Some tests read what a command printed, and threads of the tests before them may still have something to say.
"""

import sys

import structlog

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))

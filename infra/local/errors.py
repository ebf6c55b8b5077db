"""The error of the local stack: what went wrong and what to do, in plain words.

Upstream: every module of infra/local raises it.
Downstream: the command line prints its text and exits with 1.
Guarantee: its text needs no stack trace to be understood.
"""


class StackError(Exception):
    """Something the person at the keyboard can act on; the message says what and how."""

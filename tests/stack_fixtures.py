"""What every folder with a stack of its own has: its settings, and its commands.

A conftest that takes these over has a session fixture ``stack_environment``, the environment of a running stack.
"""

import subprocess
from collections.abc import Callable

import pytest

from infra.runtime.settings import StackSettings
from tests.stack import run_clawtrace, settings_of


@pytest.fixture(scope="session")
def stack(stack_environment: dict[str, str]) -> StackSettings:
    """Settings of the running stack."""
    return settings_of(stack_environment)


@pytest.fixture(scope="session")
def clawtrace(stack_environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a ``clawtrace`` command against the running stack."""
    return lambda *arguments: run_clawtrace(*arguments, environment=stack_environment)

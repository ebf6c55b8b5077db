"""Prices and alert limits of the stacks that tests and benches start."""

import shutil
from pathlib import Path

CAPTURES = Path(__file__).resolve().parents[1] / "producers/replay/captures"
# Tenants whose runs are to raise an alert: the limit lies between an ordinary capture and the runaway.
ALERTED_TENANTS = ("doorstwo", "benchten")
ALERT_LIMIT_USD = "0.05"


def write_stack_config(home: Path) -> None:
    """Put prices of the scripted provider and the limits of the test tenants where the stitcher reads them."""
    folder = home / "config"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(CAPTURES / "prices.toml", folder / "prices.toml")
    overrides = "".join(
        f'\n[[override]]\ntenant_id = "{tenant}"\nrun_cost.limit_usd = "{ALERT_LIMIT_USD}"\n'
        for tenant in ALERTED_TENANTS
    )
    (folder / "rules.toml").write_text((CAPTURES / "rules.toml").read_text() + overrides)

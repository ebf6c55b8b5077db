"""The door for people: what other stages may do, for somebody, to rules, budgets, agents, channels and scores.

Upstream: the API.
Downstream: the same functions that the command line uses.
Guarantee: beside ``contracts`` and ``prices`` the only part of the stage that others import; it holds no logic.
"""

from stream_jobs.budgets.admin import Standing, list_budgets, remove_budget, set_budget
from stream_jobs.budgets.orders import MAX_HOURS, RELEASE_HOURS, SentOrder, order_agent
from stream_jobs.core.learn.bootstrap import MAX_VALUES as MAX_COMPARED_RUNS
from stream_jobs.core.learn.comparison import Comparison, compare
from stream_jobs.core.learn.runs import Run
from stream_jobs.learn.given import give_scores, recently_given
from stream_jobs.learn.rubric_files import RubricFiles, read_rubric, rubric_path
from stream_jobs.notify.admin import (
    ListedChannel,
    add_channel,
    list_channels,
    remove_channel,
    replace_channel,
    test_channel,
)
from stream_jobs.notify.deliver import Deliverer, Outcome
from stream_jobs.notify.errors import NoSuchChannel
from stream_jobs.notify.outbound import Guard
from stream_jobs.notify.vault import Vault, VaultClosed
from stream_jobs.rules.admin import ListedRule, list_rules, remove_rule, set_rule
from stream_jobs.rules.errors import InvalidRule, NoSuchRule
from stream_jobs.settings import BudgetsSettings, LearnerSettings, NotifierSettings, StitcherSettings

__all__ = [
    "MAX_COMPARED_RUNS",
    "MAX_HOURS",
    "RELEASE_HOURS",
    "BudgetsSettings",
    "Comparison",
    "Deliverer",
    "Guard",
    "InvalidRule",
    "LearnerSettings",
    "ListedChannel",
    "ListedRule",
    "NoSuchChannel",
    "NoSuchRule",
    "NotifierSettings",
    "Outcome",
    "RubricFiles",
    "Run",
    "SentOrder",
    "Standing",
    "StitcherSettings",
    "Vault",
    "VaultClosed",
    "add_channel",
    "compare",
    "give_scores",
    "list_budgets",
    "list_channels",
    "list_rules",
    "order_agent",
    "read_rubric",
    "recently_given",
    "remove_budget",
    "remove_channel",
    "remove_rule",
    "replace_channel",
    "rubric_path",
    "set_budget",
    "set_rule",
    "test_channel",
]

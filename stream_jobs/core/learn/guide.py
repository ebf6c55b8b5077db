"""What a person must know of each rule of the learner: when it fires, its states, and what to do.

Upstream: the rules.
Downstream: the page ``infra/reference/alert-rules.md``.
Guarantee: a test sees that every rule of the learner has an entry, and that nothing else has.
"""

from typing import Final, NamedTuple

from stream_jobs.core.detect.guide import RuleGuide
from stream_jobs.core.learn import dear_run, score_regression, worse_version
from stream_jobs.core.learn.findings import LearnRule


class LearnGuide(NamedTuple):
    """When it fires, and the rest."""

    meaning: str
    guide: RuleGuide


LEARN_GUIDES: Final[dict[LearnRule, LearnGuide]] = {
    "dear_run": LearnGuide(
        f"A run cost more than {dear_run.FACTOR} times the median of the earlier runs of its task: at least "
        f"{dear_run.MIN_RUNS} priced ones, at most the last {dear_run.MAX_RUNS}. A warning when it is the dearest of "
        "them all, else only information: the runs of a chat differ more than those of a schedule.",
        RuleGuide(
            ("alert",),
            "Never: what a run has done stays done.",
            "`median_trace_id` in the evidence is the run in the middle: `clawtrace diff` of that trace and this one "
            "says which steps the money went to.",
        ),
    ),
    "worse_version": LearnGuide(
        "Since the label `skill` or `config` of a task's runs changed, they are dearer or fail more than before. "
        f"Looked at after {', '.join(map(str, worse_version.LOOKS[:-1]))} and {worse_version.LOOKS[-1]} runs in a row "
        f"of the new version, against at most {worse_version.MAX_OLD_RUNS} of the one before (at least "
        f"{worse_version.MIN_OLD_RUNS}). Dearer: an exact one-sided rank test, and a median at least "
        f"{100 * worse_version.MIN_RISE:.0f} % higher; failing: Fisher's exact test. Over all looks the chance of a "
        f"false alarm is at most {100 * (1 - worse_version.CONFIDENCE):.0f} %.",
        RuleGuide(
            ("alert",),
            "With the first run of the task that uses another version.",
            "`clawtrace skill compare OLD NEW --label skill` (or `config`) with `old_value` and `new_value` of the "
            "labels shows what has changed and how sure that is. Take the new version back, or repair it.",
        ),
    ),
    "score_regression": LearnGuide(
        f"The last {score_regression.BLOCK} runs of an agent score lower by one version of its rubric than the (at "
        f"most {score_regression.MAX_OLD_RUNS}) before them: an exact one-sided rank test with "
        f"{100 * score_regression.CONFIDENCE:.0f} % confidence, and a mean at least {score_regression.MIN_FALL} lower. "
        f"Looked at after each {score_regression.BLOCK} runs.",
        RuleGuide(
            ("alert",),
            f"With the first {score_regression.BLOCK} runs that have won back half of the fall.",
            "The scores on the page of a trace say which criteria are no longer met. See what has changed since: "
            "skill, configuration, model, task.",
        ),
    ),
}

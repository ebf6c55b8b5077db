"""The door for people: what other stages may do, for somebody, to the policies of guards.

Upstream: the API.
Downstream: the same functions that the command line uses.
Guarantee: beside ``contracts`` the only part of the stage that others import; it holds no logic.
"""

from producers.gateway.guard_policies import StoredPolicy, change_policy, list_policies, remove_policy

__all__ = ["StoredPolicy", "change_policy", "list_policies", "remove_policy"]

"""Where Maven artifacts come from: the user's own mirror, else jgo's default.

Upstream: jgo's settings file and constants.
Downstream: artifacts.py and lock_writer.py.
Guarantee: no host name of a repository is written in this project.
"""

from jgo.config import GlobalSettings
from jgo.maven import MavenContext


def remote_repositories() -> dict[str, str]:
    """Repositories by name, tried in this order.

    A ``[repositories]`` section in jgo's settings file (a company mirror, say) replaces the default.
    """
    chosen = dict(GlobalSettings.load().repositories)
    return chosen or dict(MavenContext().remote_repos)

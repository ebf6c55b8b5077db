"""Made-up calls of one tool, a mixture as agents make it: repeats, variants of a command, things apart.

Upstream: a seed.
Downstream: the bench and the property tests of redundancy.
Guarantee: the same seed makes the same calls.
"""

import json
import random
import sys

# Names as they stand in paths and commands; a list that is everywhere the same.
_WORDS = sorted(name.strip("_") for name in sys.stdlib_module_names)
_VERBS = ("cat", "sed -n '1,80p'", "grep -rn", "python -m pytest -q", "ls -la", "git log -3 --", "wc -l", "node")
_HOSTS = ("api.acme.test", "jobs.acme.test", "localhost:8080")


def make_calls(num_calls: int, seed: int) -> list[str]:
    """Make params as JSON: 35 % repeats of an earlier call, 25 % variants of one, 40 % new commands."""
    rng = random.Random(seed)
    calls: list[str] = []
    for _ in range(num_calls):
        kind = rng.random()
        if calls and kind < 0.35:
            calls.append(rng.choice(calls[-400:]))
        elif calls and kind < 0.60:
            calls.append(_variant(rng, rng.choice(calls[-400:])))
        else:
            calls.append(json.dumps({"command": _command(rng), "workdir": f"/home/user/{rng.choice(_WORDS)}"}))
    return calls


def _command(rng: random.Random) -> str:
    path = "/".join(rng.sample(_WORDS, rng.randint(2, 5)))
    kind = rng.randrange(4)
    if kind == 0:
        return f"{rng.choice(_VERBS)} {path}_{rng.randint(1, 999)}.py"
    if kind == 1:
        return f"curl -s https://{rng.choice(_HOSTS)}/{path}?id={rng.randrange(10**6)} | jq '.{rng.choice(_WORDS)}'"
    if kind == 2:
        body = " ".join(rng.choice(_WORDS) for _ in range(rng.randint(6, 30)))
        return f"python - <<'PY'\nfrom {path.replace('/', '.')} import {rng.choice(_WORDS)}\nprint('{body}')\nPY"
    flags = " ".join(f"--{word}={rng.randint(0, 99)}" for word in rng.sample(_WORDS, rng.randint(1, 6)))
    return f"cd /home/user/{path} && make {rng.choice(_WORDS)} {flags} 2>&1 | tail -{rng.randint(5, 60)}"


def _variant(rng: random.Random, call: str) -> str:
    params = json.loads(call)
    words = params["command"].split(" ")
    for _ in range(rng.randint(1, 2)):
        words[rng.randrange(len(words))] = rng.choice(_WORDS)
    return json.dumps({**params, "command": " ".join(words)})

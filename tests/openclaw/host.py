"""A real OpenClaw in a home of its own: install the plugin, start and stop the gateway, send messages.

Upstream: the tests.
Downstream: the npm package ``openclaw`` in ``node_modules``, the plugin's folder, the provider.
Guarantee: nothing outside its home is touched; every process it started is gone after ``close``.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
PLUGIN = ROOT / "producers/openclaw_plugin"
OPENCLAW = HERE / "node_modules/openclaw/openclaw.mjs"
GATEWAY_TOKEN = "token-of-the-tests"
NOTES = "line one\nline two\nthe code is alpha-42\n"
READY_WITHIN_S = 240.0
CLI_WITHIN_S = 240.0
# USD per million tokens, as producers/replay/captures/prices.toml tells the stitcher.
PRICES = {
    "sim-1": {"input": 3, "output": 15, "cacheRead": 0.3, "cacheWrite": 3.75},
    "sim-2": {"input": 1, "output": 5, "cacheRead": 0.1, "cacheWrite": 1.25},
    "sim-small": {"input": 3, "output": 15, "cacheRead": 0.3, "cacheWrite": 3.75},
    "sim-3": {"input": 3, "output": 15, "cacheRead": 0.3, "cacheWrite": 3.75},
}
CONTEXT_TOKENS = {"sim-small": 50_000}


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _model(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "name": name,
        "input": ["text"],
        "contextWindow": CONTEXT_TOKENS.get(name, 200_000),
        "maxTokens": 8192,
        "cost": PRICES[name],
    }


def openclaw_config(provider_url: str, port: int) -> dict[str, Any]:
    """What a user's onboarding would have written: a local gateway and the models of our provider."""
    subagents = {"maxChildrenPerAgent": 20, "maxConcurrent": 20}
    return {
        "gateway": {
            "mode": "local",
            "bind": "loopback",
            "port": port,
            "auth": {"mode": "token", "token": GATEWAY_TOKEN},
            "http": {"endpoints": {"chatCompletions": {"enabled": True}}},
        },
        "models": {
            "mode": "merge",
            "providers": {
                "fake": {
                    "baseUrl": f"{provider_url}/v1",
                    "apiKey": "none",
                    "api": "openai-completions",
                    "models": [_model(name) for name in ("sim-1", "sim-2", "sim-small")],
                },
                "fakeant": {
                    "baseUrl": provider_url,
                    "apiKey": "none",
                    "api": "anthropic-messages",
                    "models": [_model("sim-3")],
                },
            },
        },
        "agents": {
            "defaults": {
                "model": {"primary": "fake/sim-1", "fallbacks": ["fake/sim-2"]},
                "heartbeat": {"every": "0m"},
                "subagents": subagents,
                "maxConcurrent": 24,
                "skipBootstrap": True,
            },
            "entries": {
                "main": {"default": True, "workspace": "~/.openclaw/workspace"},
                "claude": {"model": {"primary": "fakeant/sim-3"}, "workspace": "~/.openclaw/workspace"},
                "small": {"model": {"primary": "fake/sim-small"}, "workspace": "~/.openclaw/workspace"},
            },
        },
    }


@dataclass
class Host:
    """One OpenClaw install."""

    home: Path
    node: str
    provider_url: str
    extra_env: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    _gateway: subprocess.Popen[bytes] | None = None
    _askers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(32))

    def __post_init__(self) -> None:
        """Make the home as onboarding leaves it."""
        shutil.rmtree(self.home, ignore_errors=True)
        (self.state / "workspace").mkdir(parents=True)
        self.config_file.write_text(json.dumps(openclaw_config(self.provider_url, self.port), indent=1))
        (self.state / "workspace/notes.txt").write_text(NOTES)

    @property
    def state(self) -> Path:
        """OpenClaw's state folder."""
        return self.home / ".openclaw"

    @property
    def config_file(self) -> Path:
        """OpenClaw's config."""
        return self.state / "openclaw.json"

    @property
    def log_file(self) -> Path:
        """What the gateways of this home said, one after the other."""
        return self.home / "gateway.log"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every process: nothing of the machine's own OpenClaw, no proxy."""
        kept = {name: os.environ[name] for name in ("LANG", "TZ", "TMPDIR") if name in os.environ}
        path = f"{Path(self.node).parent}:/usr/local/bin:/usr/bin:/bin"
        return {**kept, "HOME": str(self.home), "PATH": path, "NO_COLOR": "1", "CI": "1", **self.extra_env}

    def command(self, *arguments: str) -> list[str]:
        """The command line of ``openclaw …``."""
        return [self.node, str(OPENCLAW), *arguments]

    def cli(self, *arguments: str, within_s: float = CLI_WITHIN_S) -> subprocess.CompletedProcess[str]:
        """Run ``openclaw …`` to its end."""
        return subprocess.run(
            self.command(*arguments),
            check=False,
            text=True,
            capture_output=True,
            cwd=self.home,
            env=self.environment,
            timeout=within_s,
        )

    def must(self, *arguments: str) -> str:
        """Run ``openclaw …``; fail with what it printed unless it ends well."""
        done = self.cli(*arguments)
        assert done.returncode == 0, f"openclaw {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def install_plugin(self, package: Path, endpoint: str, observe_key: str) -> None:
        """Install the plugin from a folder and set it up as its README says."""
        self.must("plugins", "install", "--link", str(package), "--force", "--accept-capabilities")
        self.must("clawtrace", "setup", "--endpoint", endpoint, "--key", observe_key)

    def copy_install(self, template: Path, endpoint: str, observe_key: str) -> None:
        """Take over the state of an install that was set up, with another address and key."""
        own = json.loads(self.config_file.read_text())
        shutil.copytree(template, self.state, dirs_exist_ok=True)
        plugin = {"config": {"endpoint": endpoint, "observeKey": observe_key}}
        self.change_config({"gateway": {"port": own["gateway"]["port"]}, "plugins": {"entries": {"clawtrace": plugin}}})

    def plugin_status(self) -> dict[str, Any]:
        """What the plugin last wrote about itself."""
        try:
            return dict(json.loads((self.state / "clawtrace/status.json").read_text()))
        except (OSError, ValueError):
            return {}

    def change_config(self, change: dict[str, Any]) -> None:
        """Merge a change into the config file; only while no gateway runs."""
        config = json.loads(self.config_file.read_text())
        _merge(config, change)
        self.config_file.write_text(json.dumps(config, indent=1))

    def start_gateway(self) -> None:
        """Start ``openclaw gateway run`` and wait until it is ready."""
        assert self._gateway is None, "the gateway runs already"
        with self.log_file.open("ab") as log:
            self._gateway = subprocess.Popen(
                self.command("gateway", "run"),
                cwd=self.home,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_WITHIN_S
        while not self._is_ready():
            assert self._gateway.poll() is None, f"the gateway ended:\n{self.log_tail()}"
            assert time.monotonic() < deadline, f"the gateway is not ready:\n{self.log_tail()}"
            time.sleep(0.2)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2) as answer:
                return bool(json.load(answer)["ready"])
        except (urllib.error.URLError, OSError, ValueError):
            return False

    def stop_gateway(self) -> float:
        """Ask the gateway to end, as a service manager does; seconds it took."""
        gateway = self._take_gateway()
        began = time.monotonic()
        gateway.send_signal(signal.SIGTERM)
        try:
            gateway.wait(60)
        finally:
            self._kill_group(gateway)
        return time.monotonic() - began

    def kill_gateway(self) -> None:
        """Kill -9: the gateway and all it started get no chance to say anything."""
        self._kill_group(self._take_gateway())

    def _take_gateway(self) -> subprocess.Popen[bytes]:
        assert self._gateway is not None, "no gateway runs"
        gateway, self._gateway = self._gateway, None
        return gateway

    @staticmethod
    def _kill_group(process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

    def ask(self, message: str, session: str, agent: str = "main") -> "Future[str]":
        """Send a message through the gateway's chat door; the reply comes later.

        The command cannot do this for several sessions at once: each start of it wants the state database alone.
        """
        return self._askers.submit(self._post, message, session, agent)

    def _post(self, message: str, session: str, agent: str) -> str:
        body = {"model": f"openclaw/{agent}", "messages": [{"role": "user", "content": message}]}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/chat/completions",
            data=json.dumps(body).encode(),
            headers={
                "Content-Type": "application/json",
                "Authorization": f"Bearer {GATEWAY_TOKEN}",
                "x-openclaw-session-key": f"agent:{agent}:{session}",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                return str(json.load(answer)["choices"][0]["message"]["content"])
        except urllib.error.HTTPError as error:
            return f"HTTP {error.code}: {error.read().decode(errors='replace')}"
        except (OSError, ValueError) as error:
            return f"no answer: {error}"

    def say(self, message: str, session: str, *more: str) -> str:
        """Run ``openclaw agent`` with a message, as a user would; what it printed."""
        key = f"agent:main:{session}"
        done = self.cli("agent", "--agent", "main", "--session-key", key, "--message", message, *more)
        return done.stdout + done.stderr

    def call(self, method: str, **parameters: Any) -> str:
        """Call a method of the gateway."""
        return self.must("gateway", "call", method, "--params", json.dumps(parameters))

    def log_tail(self, num_lines: int = 40) -> str:
        """The last lines of the gateway's log."""
        lines = self.log_file.read_text(errors="replace").splitlines() if self.log_file.exists() else []
        return "\n".join(line[:300] for line in lines[-num_lines:])

    def close(self) -> None:
        """End everything that still runs."""
        if self._gateway is not None:
            self.kill_gateway()
        self._askers.shutdown(wait=False, cancel_futures=True)


def _merge(target: dict[str, Any], change: dict[str, Any]) -> None:
    for name, value in change.items():
        if isinstance(value, dict) and isinstance(target.get(name), dict):
            _merge(target[name], value)
        else:
            target[name] = value

"""A mock provider (nginx), a load (wrk) and the processor time of what stands between them.

Needs wrk and nginx: `apt-get install wrk nginx-light`. All on loopback, on whatever cores there are: the load and the
mock take their share of them, so only figures of one run compare.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ANSWER = {
    "id": "chatcmpl-0",
    "object": "chat.completion",
    "created": 0,
    "model": "mock",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "A turnout lets a train change tracks. " * 3},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 41, "completion_tokens": 24, "total_tokens": 65},
}
CHUNKS = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "A turnout"}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {"content": " lets a train change tracks."}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 41, "completion_tokens": 9, "total_tokens": 50}},
]

NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/body;
    server {{
        listen 127.0.0.1:{port};
        location = /v1/chat/completions {{ default_type application/json; return 200 '{plain}'; }}
        location = /stream/v1/chat/completions {{ default_type text/event-stream; return 200 '{stream}'; }}
    }}
}}
"""

# The prompt is another one each time, so nothing that remembers prompts can answer.
WRK = """\
local subjects = {{"a bridge", "an old map", "tax law", "a proof", "bread", "rust", "a tide", "chess", "a virus"}}
local verbs = {{"explain", "compare", "improve", "translate", "summarise", "criticise", "price"}}
local count = 0
request = function()
  count = count + 1
  local words = {{}}
  for i = 1, 12 do
    words[i] = verbs[(count + i) % #verbs + 1] .. " " .. subjects[(count * 3 + i) % #subjects + 1]
  end
  local body = '{{"model":"{model}","messages":[{{"role":"user","content":"' .. count .. ': ' ..
    table.concat(words, ", ") .. '"}}],"temperature":0.5{stream}}}'
  return wrk.format("POST", nil, {{["Content-Type"] = "application/json", ["Authorization"] = "Bearer {key}"}}, body)
end
done = function(summary, latency)
  local bad = summary.errors
  print(string.format('FIGURES {{"requests":%d,"seconds":%f,"p50_ms":%f,"p99_ms":%f,"failed":%d}}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    bad.connect + bad.read + bad.write + bad.timeout + bad.status))
end
"""


@dataclass(frozen=True)
class Figures:
    """What one run of the load saw."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failed: int

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def free_port() -> int:
    """A port on loopback that nothing listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def mock_provider() -> Iterator[int]:
    """nginx with fixed answers, plain below /v1 and streamed below /stream/v1; gives its port."""
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        port = free_port()
        stream = "".join(f"data: {json.dumps(chunk)}\\n\\n" for chunk in CHUNKS) + "data: [DONE]\\n\\n"
        conf = Path(folder) / "nginx.conf"
        conf.write_text(NGINX.format(folder=folder, port=port, plain=json.dumps(ANSWER), stream=stream))
        with running([nginx, "-p", folder, "-e", f"{folder}/error.log", "-c", str(conf)], port):
            yield port


@contextmanager
def running(command: Sequence[str], port: int, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process that listens on a port, stopped at the end."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
    try:
        for _ in range(600):
            if process.poll() is not None:
                sys.exit(f"{command[0]} ended with {process.returncode}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        else:
            sys.exit(f"{command[0]} does not listen on port {port}")
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60)  # a gateway gives its requests half a minute
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def load(url: str, *, model: str, stream: bool, seconds: float, connections: int, key: str = "none") -> Figures:
    """Load a chat completions address with wrk, one thread."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(WRK.format(model=model, stream=',"stream":true' if stream else "", key=key))
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "30s", "-s", script.name, url]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"FIGURES (.*)", output)
    assert found is not None, output
    return Figures(**json.loads(found[1]))


@dataclass(frozen=True)
class Listening:
    """A candidate that is up."""

    port: int
    pid: int
    key: str = "none"
    """What a client shows it."""


def take_turns(candidates: Mapping[str, Listening], *, rounds: int, seconds: float, connections: int) -> Iterator[str]:
    """Load each in turn, so that whatever else the machine does hits all alike; gives the lines of a table.

    The first turn warms up and does not count. The program ends if a request fails.
    """
    per_second: dict[str, list[float]] = {name: [] for name in candidates}
    processor_us: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(rounds + 1):
        for name, candidate in candidates.items():
            before = processor_s(candidate.pid)
            url = f"http://127.0.0.1:{candidate.port}/v1/chat/completions"
            figures = load(url, model="auto", stream=False, seconds=seconds, connections=connections, key=candidate.key)
            if figures.failed:
                sys.exit(f"{name}: {figures.failed} requests failed")
            if turn:
                per_second[name].append(figures.per_second)
                processor_us[name].append(1e6 * (processor_s(candidate.pid) - before) / figures.requests)
    yield f"{'':38}{'requests/s':>12}{'best':>8}{'µs CPU/request':>16}{'best':>8}"
    for name in candidates:
        rates, costs = per_second[name], processor_us[name]
        yield (
            f"{name:38}{statistics.median(rates):>12.0f}{max(rates):>8.0f}"
            f"{statistics.median(costs):>16.0f}{min(costs):>8.0f}"
        )


def processor_s(pid: int) -> float:
    """Seconds of processor time that a process and its children have taken (Linux)."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return total / 1e9 + sum(processor_s(int(child)) for child in children)


def memory_mb(pid: int) -> float:
    """A process's resident memory, in megabytes; 0 where it is gone (Linux)."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

"""What is under deploy/: every file parses, all of them agree with each other and with what Turnout's own code says."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from turnout.cli.main import COMMANDS as KNOWN
from turnout.cli.serve import serve
from turnout.config import Config, load_config, parse_config
from turnout.gateway.app import build_app
from turnout.gateway.endpoints.openapi import DESCRIPTION
from turnout.gateway.server import DRAIN_S

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
CONFIG = "/etc/turnout/turnout.toml"
PORT, METRICS_PORT = 8400, 9400
METRICS = f"0.0.0.0:{METRICS_PORT}"
LEDGER = Path("/var/lib/turnout/ledger.sqlite3")


def documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text()))


MANIFESTS = {
    (manifest["kind"], manifest["metadata"]["name"]): manifest
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for manifest in documents(path)
}
COMPOSE = documents(DEPLOY / "compose.yaml")[0]
POD = MANIFESTS["Deployment", "turnout"]["spec"]["template"]
CONTAINER = POD["spec"]["containers"][0]
UNIT_FILE = DEPLOY / "systemd" / "turnout.service"
UNIT = dict(re.findall(r"^(\w+)=(.*)$", UNIT_FILE.read_text(), flags=re.MULTILINE))


def dockerfile() -> list[tuple[str, str]]:
    """(instruction, rest) of each step, continued lines joined."""
    text = re.sub(r"\\\n\s*", " ", (DEPLOY / "Dockerfile").read_text())
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


STEPS = dockerfile()
BUILD_STAGE = STEPS[: [word for word, _ in STEPS].index("FROM", 1)]
LAST_STAGE = STEPS[len(BUILD_STAGE) :]


def last(instruction: str) -> str:
    return [rest for word, rest in LAST_STAGE if word == instruction][-1]


COMMANDS = {
    "image": json.loads(last("ENTRYPOINT")) + json.loads(last("CMD")),
    "Kubernetes": [*json.loads(last("ENTRYPOINT")), *CONTAINER["args"]],
    "systemd": shlex.split(UNIT["ExecStart"]),
}


def seconds(text: str) -> float:
    assert text.endswith("s")
    return float(text[:-1])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_file_parses(path: Path) -> None:
    if path.suffix in (".yaml", ".yml"):
        assert all(isinstance(document, dict) for document in documents(path))
    elif path.suffix == ".json":
        assert json.loads(path.read_text())
    elif path.suffix == ".toml":
        assert load_config(path).routes
    elif path.suffix == ".service":
        sections = re.findall(r"^\[(\w+)\]$", path.read_text(), flags=re.MULTILINE)
        assert sections == ["Unit", "Service", "Install"]
    else:
        assert path.name == "Dockerfile", f"say here how to check {path.name}"


def kubernetes_config() -> Config:
    return parse_config(tomllib.loads(MANIFESTS["ConfigMap", "turnout"]["data"]["turnout.toml"]))


@pytest.mark.parametrize("config", [load_config(DEPLOY / "turnout.toml"), kubernetes_config()], ids=["file", "map"])
def test_the_configuration_is_one_that_serves(config: Config) -> None:
    assert config.server.require_keys
    assert config.ledger.path == LEDGER
    variables = {model.api_key_env: "sk-1" for model in config.models.values() if model.api_key_env}
    assert list(variables) == ["OPENAI_API_KEY"]
    app = build_app(config, environment=variables)
    assert app.routes.names() == ["auto", "strong", "weak"]
    app.routes.close()


def test_both_configurations_say_the_same() -> None:
    mounted = kubernetes_config()
    file = load_config(DEPLOY / "turnout.toml")
    assert (mounted.models, mounted.routes, mounted.ledger) == (file.models, file.routes, file.ledger)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_the_command_is_one_that_turnout_knows(command: list[str]) -> None:
    assert Path(command[0]).name == "turnout"
    assert command[1] == "serve"
    assert "serve" in KNOWN
    context = serve.make_context("serve", list(command[2:]))
    assert context.params["config_path"] == Path(CONFIG)
    assert context.params["log_json"]


@pytest.mark.parametrize("name", ["image", "Kubernetes"])
def test_a_container_listens_on_every_address(name: str) -> None:
    params = serve.make_context("serve", list(COMMANDS[name][2:])).params
    assert (params["host"], params["port"]) == ("0.0.0.0", 8400)
    assert params["metrics_listen"] == METRICS


def test_the_image_runs_as_no_ones_user_and_holds_no_secret() -> None:
    uid = last("USER").split(":")[0]
    assert uid.isdigit()
    assert int(uid) >= 10_000
    for word, rest in STEPS:
        assert word != "ARG"
        if word == "ENV":
            assert not re.search(r"KEY|TOKEN|SECRET|PASSWORD", rest, flags=re.IGNORECASE)
        if word == "FROM":
            assert re.match(r"python:3\.\d+\.\d+-slim-\w+", rest), "pin the base to a patch version"
    assert f"http://127.0.0.1:{PORT}/healthz" in last("HEALTHCHECK")
    assert last("EXPOSE") == f"{PORT} {METRICS_PORT}"
    assert last("STOPSIGNAL") == "SIGTERM"


def test_the_image_is_built_from_the_package_alone() -> None:
    sources = [word for step, rest in BUILD_STAGE if step == "COPY" for word in rest.split()[:-1]]
    assert sorted(sources) == ["LICENSE", "README.md", "pyproject.toml", "src"]
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert rules[0] == "*"
    assert sorted(rule[1:] for rule in rules if rule[0] == "!") == sorted(sources)
    for source in sources:
        assert (ROOT / source).exists()
    # The build backend reads these, so a build without them fails.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {project["readme"], *project["license-files"]} <= set(sources)


def test_compose_mounts_what_is_there_and_opens_nothing_to_the_network() -> None:
    for name, service in COMPOSE["services"].items():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).exists(), volume
                assert volume.endswith(":ro"), volume
            else:
                assert source in COMPOSE["volumes"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        if "build" not in service:
            assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), f"pin {service['image']}"
        for variable, value in service.get("environment", {}).items():
            if re.search(r"KEY|PASSWORD", variable):
                assert value.startswith("${"), f"{variable} holds a secret"
    gateway = COMPOSE["services"]["turnout"]
    assert f"./turnout.toml:{CONFIG}:ro" in gateway["volumes"]
    assert gateway["read_only"]
    assert (DEPLOY / gateway["build"]["context"]).resolve() == ROOT
    assert (ROOT / gateway["build"]["dockerfile"]).is_file()


def test_prometheus_and_grafana_find_each_other() -> None:
    services = COMPOSE["services"]
    (scrape,) = documents(DEPLOY / "prometheus" / "prometheus.yml")[0]["scrape_configs"]
    assert scrape["static_configs"] == [{"targets": [f"turnout:{METRICS_PORT}"]}]
    assert services["turnout"]["ports"] == [f"127.0.0.1:{PORT}:{PORT}"], "metrics are for Prometheus alone"
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = documents(provisioning / "datasources" / "prometheus.yaml")[0]["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert "127.0.0.1:9090:9090" in services["prometheus"]["ports"]
    (provider,) = documents(provisioning / "dashboards" / "turnout.yaml")[0]["providers"]
    mounts = [volume.split(":")[1] for volume in services["grafana"]["volumes"]]
    assert f"{provider['options']['path']}/turnout.json" in mounts
    assert "/etc/grafana/provisioning" in mounts


def test_requests_under_way_have_time_to_end() -> None:
    delay_s, probe = kubernetes_config().server.drain_delay_s, CONTAINER["readinessProbe"]
    assert delay_s >= probe["periodSeconds"] * probe["failureThreshold"], "or requests come after the end"
    assert POD["spec"]["terminationGracePeriodSeconds"] > delay_s + DRAIN_S
    assert seconds(COMPOSE["services"]["turnout"]["stop_grace_period"]) > DRAIN_S
    assert float(UNIT["TimeoutStopSec"]) > DRAIN_S


def test_the_pod_may_do_no_more_than_it_needs() -> None:
    pod, container = POD["spec"]["securityContext"], CONTAINER["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert f"{pod['runAsUser']}:{pod['runAsGroup']}" == last("USER")
    assert pod["fsGroup"] == pod["runAsGroup"]
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["spec"]["automountServiceAccountToken"] is False
    assert CONTAINER["resources"]["limits"]["memory"]
    assert "env" not in CONTAINER, "secrets come by reference"
    assert not [name for kind, name in MANIFESTS if kind == "Secret"]


def test_the_manifests_refer_to_each_other() -> None:
    labels = POD["metadata"]["labels"]
    assert MANIFESTS["Deployment", "turnout"]["spec"]["selector"]["matchLabels"] == labels
    assert MANIFESTS["Service", "turnout"]["spec"]["selector"] == labels
    assert MANIFESTS["PodDisruptionBudget", "turnout"]["spec"]["selector"]["matchLabels"] == labels
    assert MANIFESTS["NetworkPolicy", "turnout"]["spec"]["podSelector"]["matchLabels"] == labels
    volumes = {volume["name"]: volume for volume in POD["spec"]["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    assert set(volumes) == set(mounts)
    assert ("ConfigMap", volumes["config"]["configMap"]["name"]) in MANIFESTS
    assert ("PersistentVolumeClaim", volumes["ledger"]["persistentVolumeClaim"]["claimName"]) in MANIFESTS
    assert mounts["config"] == str(Path(CONFIG).parent)
    assert mounts["ledger"] == str(LEDGER.parent)
    ports = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
    assert ports == {"http": PORT, "metrics": METRICS_PORT}
    assert POD["metadata"]["annotations"] == {"prometheus.io/scrape": "true", "prometheus.io/port": str(METRICS_PORT)}
    assert [port["targetPort"] for port in MANIFESTS["Service", "turnout"]["spec"]["ports"]] == ["http"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert CONTAINER[probe]["httpGet"]["port"] == "http"
        assert "get" in DESCRIPTION["paths"][CONTAINER[probe]["httpGet"]["path"]]


def test_clients_do_not_reach_metrics_and_prometheus_reaches_nothing_else() -> None:
    rules = MANIFESTS["NetworkPolicy", "turnout"]["spec"]["ingress"]
    reach = {(next(iter(source)), port["port"]) for rule in rules for source in rule["from"] for port in rule["ports"]}
    assert reach == {("podSelector", "http"), ("namespaceSelector", "metrics")}


def test_metrics_are_open_to_the_machine_that_the_unit_runs_on() -> None:
    config = load_config(DEPLOY / "turnout.toml")
    params = serve.make_context("serve", list(COMMANDS["systemd"][2:])).params
    assert (params["host"], params["metrics_listen"]) == (None, None)
    assert config.server.is_loopback
    assert (config.observe.metrics, config.observe.metrics_listen, config.observe.metrics_token_env) == (
        True,
        None,
        None,
    )


def test_one_replica_while_the_ledger_is_a_file() -> None:
    spec = MANIFESTS["Deployment", "turnout"]["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")


@pytest.mark.parametrize("manifest", MANIFESTS.values(), ids=[f"{kind}-{name}" for kind, name in MANIFESTS])
def test_kubernetes_schemas_accept_the_manifest(manifest: dict[str, Any]) -> None:
    validator = pytest.importorskip("kubernetes_validate")
    validator.validate(manifest, validator.latest_version(), strict=True)
    with pytest.raises(validator.ValidationError):
        validator.validate({**manifest, "sepc": {}}, validator.latest_version(), strict=True)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    def verify(text: str) -> subprocess.CompletedProcess[str]:
        unit = tmp_path / UNIT_FILE.name
        # Nothing is installed under /opt here.
        unit.write_text(text.replace("/opt/turnout/bin/turnout", sys.executable))
        command = ["systemd-analyze", "verify", "--recursive-errors=no", str(unit)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    checked = verify(UNIT_FILE.read_text())
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "ProtectSytem" in verify(UNIT_FILE.read_text().replace("ProtectSystem=", "ProtectSytem=")).stderr


def test_the_unit_keeps_its_state_where_the_configuration_says() -> None:
    assert f"/var/lib/{UNIT['StateDirectory']}" == str(LEDGER.parent)
    assert f"/etc/{UNIT['ConfigurationDirectory']}/turnout.toml" == CONFIG
    assert UNIT["User"] != "root"
    assert UNIT["CapabilityBoundingSet"] == ""

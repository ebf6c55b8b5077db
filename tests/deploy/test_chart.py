"""The chart renders, for every kind of cluster, to what Kubernetes takes: only where `helm` is at hand."""

import os
import shutil
import subprocess
from typing import Any

import kubernetes_validate
import pytest
import yaml

from api.config import setting_rows
from infra.local.topology import PROCESSES
from infra.runtime.settings import PORT_OFFSETS
from tests.contract.reference import ROOT

CHART = ROOT / "infra/helm/clawtrace"
HELM = os.environ.get("HELM") or shutil.which("helm")
PORT_BASE = 4600
KUBERNETES = "1.30"
OPERATOR = "monitoring.coreos.com/v1"
# Variables that belong to the client of the object store.
FOREIGN = {"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}

pytestmark = pytest.mark.skipif(HELM is None, reason="there is no helm: the chart is not rendered")

CLUSTERS = {
    "plain": [],
    "kafka with tls and sasl": [
        "kafka.bootstrap=a:9093\\,b:9093",
        "kafka.protocol=sasl_ssl",
        "kafka.username=clawtrace",
        "kafka.caFromSecret=true",
    ],
    "rest catalog": ["lake.catalogType=rest", "lake.catalogUri=https://catalog/api", "lake.propertiesFromSecret=true"],
    "s3 with keys": ["lake.awsFromSecret=true", "lake.awsRegion=eu-west-1", "lake.properties.s3\\.endpoint=https://s3"],
    "prometheus operator": ["prometheusOperator=true", "scrapeAnnotations=false"],
    "many of each": ["processes.stitcher.replicas=3", "processes.gateway.replicas=2", "blobs.accessMode=ReadWriteMany"],
    "public trino": ["trino.caFromSecret=false", "settings.CLAWTRACE_LOG_LEVEL=debug"],
}


def rendered(*values: str) -> list[dict[str, Any]]:
    """Documents that helm makes of the chart."""
    assert HELM is not None
    sets = [argument for value in values for argument in ("--set", value)]
    done = subprocess.run(
        [HELM, "template", "ct", str(CHART), *sets], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def workloads(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Deployments and stateful sets by the name of their process."""
    found = [it for it in documents if it["kind"] in ("Deployment", "StatefulSet")]
    return {it["metadata"]["labels"]["app.kubernetes.io/component"]: it for it in found}


def containers(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All containers of all pods."""
    pods = [it["spec"]["template"]["spec"] for it in documents if it["kind"] in ("Deployment", "StatefulSet", "Job")]
    return [container for pod in pods for container in (*pod.get("initContainers", ()), *pod["containers"])]


def environment(*values: str) -> dict[str, Any]:
    """Environment of the sink."""
    (sink,) = workloads(rendered(*values))["sink"]["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in sink["env"]}


def test_helm_has_nothing_against_it() -> None:
    assert HELM is not None
    done = subprocess.run(
        [HELM, "lint", "--strict", str(CHART)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_kubernetes_takes_every_document(cluster: str) -> None:
    documents = rendered(*CLUSTERS[cluster])
    for found in documents:
        if found["apiVersion"] != OPERATOR:
            kubernetes_validate.validate(found, KUBERNETES, strict=True)
    keys = [(found["kind"], found["metadata"]["name"]) for found in documents]
    assert len(set(keys)) == len(keys)


def test_a_field_that_kubernetes_does_not_know_would_be_found() -> None:
    sink = workloads(rendered())["sink"]
    sink["spec"]["template"]["spec"]["containers"][0]["livenessCheck"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(sink, KUBERNETES, strict=True)


def test_every_process_runs_as_nobody_with_limits_and_answers_on_its_port() -> None:
    found = workloads(rendered())
    assert set(found) == {name for name, _, _ in PROCESSES}
    for name, port_name, _ in PROCESSES:
        pod = found[name]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert container["args"] == [name, "run"]
        assert container["ports"][0]["containerPort"] == PORT_BASE + PORT_OFFSETS[port_name]
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert container["resources"]["limits"]["memory"]
        assert pod["securityContext"]["runAsNonRoot"] is True
    for container in containers(rendered()):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_only_settings_that_exist_are_set(cluster: str) -> None:
    known = {row.variable for row in setting_rows()} | FOREIGN
    for container in containers(rendered(*CLUSTERS[cluster])):
        assert {one["name"] for one in container["env"]} <= known


def test_values_arrive_as_settings() -> None:
    kafka = environment(*CLUSTERS["kafka with tls and sasl"])
    assert kafka["CLAWTRACE_KAFKA_BOOTSTRAP"] == "a:9093,b:9093"
    assert kafka["CLAWTRACE_KAFKA_PROTOCOL"] == "sasl_ssl"
    assert kafka["CLAWTRACE_KAFKA_PASSWORD"] == {"secretKeyRef": {"name": "clawtrace", "key": "kafka-password"}}
    assert kafka["CLAWTRACE_KAFKA_CA_FILE"] == "/var/lib/clawtrace/secrets/kafka-ca.pem"
    assert environment(*CLUSTERS["rest catalog"])["CLAWTRACE_CATALOG_URI"] == "https://catalog/api"
    assert environment(*CLUSTERS["s3 with keys"])["CLAWTRACE_CATALOG_PROPERTIES"] == '{"s3.endpoint":"https://s3"}'
    assert "CLAWTRACE_KAFKA_PASSWORD" not in environment()


@pytest.mark.parametrize(
    ("value", "complaint"),
    [("kafka.protocol=sasl_ssl", "kafka.username is needed"), ("lake.catalogType=rest", "lake.catalogUri is needed")],
)
def test_what_is_half_said_is_refused(value: str, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        rendered(value)


def test_stitchers_keep_their_names_and_gateways_their_payloads() -> None:
    found = workloads(rendered(*CLUSTERS["many of each"]))
    assert found["stitcher"]["kind"] == "StatefulSet"
    names = {one["name"]: one for one in found["stitcher"]["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert names["CLAWTRACE_STITCHER_INSTANCE"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    assert found["gateway"]["spec"]["strategy"]["type"] == "RollingUpdate"
    assert workloads(rendered())["gateway"]["spec"]["strategy"]["type"] == "Recreate"


def test_the_operator_is_given_the_rules_and_every_process() -> None:
    documents = rendered(*CLUSTERS["prometheus operator"])
    (rules,) = [it for it in documents if it["kind"] == "PrometheusRule"]
    assert rules["spec"] == yaml.safe_load((ROOT / "infra/prometheus/rules.yaml").read_text())
    jobs = {
        it["spec"]["podMetricsEndpoints"][0]["relabelings"][0]["replacement"]
        for it in documents
        if it["kind"] == "PodMonitor"
    }
    assert jobs == {f"clawtrace-{name}" for name, _, _ in PROCESSES}

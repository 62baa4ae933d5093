# tools/lib/demo_kubernetes_metrics.py: the demo's counters on Kubernetes: Prometheus with a token of the cluster, against
# the kernels of both nodes; and what a tenant may read of itself.
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import cluster
import release
import world
from demo_stage import wait_until

SERVER = "10.77.0.1:9090"  # the control plane's machine, which is no node
CONFIG = """global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: partywall
    scheme: https
    authorization: {{credentials_file: {token}}}
    tls_config: {{insecure_skip_verify: true}}
    static_configs: [{{targets: [{targets}]}}]
"""
ALLOWED = 'sum by (tenant) (partywall_traffic_bytes_total{verdict="allow",direction="egress"})'


def in_kernels(tenant):
    """Bytes that the tenant has sent, by both nodes' own counters."""
    total = 0
    for node in world.NODES:
        for one in json.loads(release.cli(node, "usage", "-o", "json")):
            if one["name"] == tenant:
                total += sum(cell["bytes"] for cell in one["egress"]["passed"].values())
    return total


def in_prometheus(demo, tenant):
    _, said = demo.quietly(f"promtool query instant -o json http://{SERVER} '{ALLOWED}'")
    try:
        found = json.loads(said)
    except ValueError:
        return None
    return {one["metric"]["tenant"]: int(one["value"][1]) for one in found}.get(tenant)


def token_of(demo, account, file):
    """The account's token, for an hour, in a file that only root reads."""
    demo.run(f"kubectl create token {account} > {file}")
    os.chmod(file, 0o600)


def compare(demo):
    demo.show.step("Prometheus reads all, and a tenant itself, with tokens of the cluster")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pwdemo-"))
    prometheus = None
    try:
        demo.run("kubectl create serviceaccount -n partywall prometheus && kubectl create clusterrolebinding prometheus "
                 "--clusterrole partywall-metrics-reader --serviceaccount partywall:prometheus", says="created")
        token_of(demo, "-n partywall prometheus", folder / "token")
        targets = ", ".join(f"'{addresses[4]}:9724'" for addresses in world.NODES.values())
        (folder / "prometheus.yaml").write_text(CONFIG.format(token=folder / "token", targets=targets))
        prometheus = subprocess.Popen(
            [cluster.TOOL, "run", "prometheus", f"--config.file={folder}/prometheus.yaml",
             f"--storage.tsdb.path={folder}/data", f"--web.listen-address={SERVER}"],
            stdout=subprocess.DEVNULL, stderr=(folder / "log").open("w"))
        wait_until("the same number of bytes in Prometheus",
                   lambda: in_prometheus(demo, "umbrella") == in_kernels("umbrella"), 60)
        demo.run(f"promtool query instant http://{SERVER} '{ALLOWED}'", says="umbrella")
        demo.check("umbrella's bytes are those of the kernels' own counters (partywall usage)", True)
        demo.run("kubectl create serviceaccount -n umbrella reader && kubectl create clusterrole umbrella-metrics --verb get "
                 "--resource tenants.partywall.dev/metrics --resource-name umbrella && kubectl create clusterrolebinding "
                 "umbrella-metrics --clusterrole umbrella-metrics --serviceaccount umbrella:reader", says="created")
        token_of(demo, "-n umbrella reader", folder / "reader")
        for tenant, says in (("umbrella", "tenant=\"umbrella\""), ("acme", "403")):
            demo.run(f"curl -sk -w '%{{http_code}}\\n' -H \"Authorization: Bearer $(cat {folder}/reader)\" "
                     f"https://{world.NODES[1][4]}:9724/tenants/{tenant}/metrics | grep -v '^#' | tail -3", says=says)
        demo.check("umbrella's reader reads umbrella, and nobody else", True)
    finally:
        if prometheus:
            prometheus.terminate()
            prometheus.wait()
        shutil.rmtree(folder)

# tests/cluster/run.py: the chart and the image on the test cluster: who reaches whom before, after and once it is gone,
# and with traffic while all kinds of things happen. Usage: run.py [--only PART]... [--churn PODS] [--kills N] [--counts FILE]
import argparse
import pathlib
import sys
import time

import cells
import cluster
import disturbed
import matrix
import release
import world

PARTS = ("before", "installed", "after", "disturbed", "uninstalled")
# A source address that is not the pod's own is no business of a tenant's as long as there is none.
NOT_JUDGED = None


def say(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def try_matrix(title, addresses, wanted, whole=False):
    listed = cells.all_cells(addresses)
    # A frame goes to the neighbour that the pod's kernel has found.
    world.prober("acme-1", 1).ask([f"tcp {world.WORLD[4]} {world.PORT}"])
    return matrix.print_table(title, listed, matrix.try_all(listed, wanted), wanted, whole)


def before(addresses, _):
    return try_matrix("before the installation", addresses, lambda cell: cells.OPEN)


def installed(addresses, _):
    say("helm install")
    start = time.monotonic()
    release.install()
    say(f"every agent is ready after {time.monotonic() - start:.0f} s; memory on node 1: {release.memory_mib(1):.0f} MiB")
    return try_matrix("installed, no tenant yet", addresses,
                      lambda cell: NOT_JUDGED if "spoofed" in cell.way else cells.OPEN)


def after(addresses, _):
    start = time.monotonic()
    print(release.apply_policy())
    say(f"all tenants are realised {time.monotonic() - start:.1f} s after they were written")
    wrong = try_matrix("tenants in force", addresses, lambda cell: cell.expected, whole=True)
    start = time.monotonic()
    tests = release.test()
    say(f"helm test: {tests} after {time.monotonic() - start:.0f} s")
    return wrong + (tests != {"client-a": "Succeeded", "client-b": "Succeeded"})


def under_traffic(addresses, options):
    usual = disturbed.flows(addresses)
    wrong = disturbed.during("nothing happens", usual, lambda: time.sleep(10))
    wrong += disturbed.during("agents killed", usual, lambda: disturbed.kill_agents(options.kills),
                              disturbed.KILLS_PAUSE_MS)
    cluster.kubectl("rollout", "status", "-n", release.NAMESPACE, "daemonset", "--timeout=300s")
    wrong += disturbed.during("rolling upgrade", usual, disturbed.upgrade)
    wrong += disturbed.during("no API server", usual, lambda: disturbed.without_api_server(60))
    cluster.kubectl("rollout", "status", "-n", release.NAMESPACE, "daemonset", "--timeout=300s")
    wrong += disturbed.during("tier changed", usual, disturbed.change_tier)
    wrong += disturbed.during("pods churn", usual, lambda: disturbed.churn(options.churn),
                              disturbed.CHURN_PAUSE_MS)
    wrong += disturbed.relabel(addresses)
    wrong += disturbed.during("node 2 rebooted", disturbed.flows_to_node_2(addresses), disturbed.reboot)
    addresses = world.settle()
    return wrong + try_matrix("after all that", addresses, lambda cell: cell.expected)


def uninstalled(addresses, _):
    # With tenants in force: what is left would go on closing.
    say("helm uninstall")
    start = time.monotonic()
    release.uninstall()
    say(f"uninstalled after {time.monotonic() - start:.0f} s")
    left = [f"node {node}: {line}" for node in world.NODES for line in release.left_on(node)]
    for line in left:
        print(f"  WRONG: left: {line}")
    return len(left) + try_matrix("after helm uninstall", addresses, lambda cell: cells.OPEN)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", action="append", choices=PARTS)
    parser.add_argument("--churn", type=int, default=200)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--counts", type=pathlib.Path)
    options = parser.parse_args()
    outside = world.outside()
    parts, passed = options.only or PARTS, 0
    try:
        say("pods of every kind on both nodes")
        world.settle()
        steps = dict(zip(PARTS, (before, installed, after, under_traffic, uninstalled)))
        for part in parts:
            say(part)
            # Pods that were there before a node booted have other addresses since.
            wrong = steps[part](world.Addresses(), options)
            passed += not wrong
            say(f"{part}: {wrong} wrong" if wrong else f"{part}: all as it should be")
    except cluster.Failed as failure:
        print(f"FAILED: {failure}")
    finally:
        outside.terminate()
        outside.wait()
    failed = len(parts) - passed
    if options.counts:
        options.counts.write_text(f"{len(parts)} {passed} {failed}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

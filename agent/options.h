// agent/options.h: what partywalld was asked on its command line and in its configuration file.
#ifndef PARTYWALL_AGENT_OPTIONS_H
#define PARTYWALL_AGENT_OPTIONS_H

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "maps/result.h"

namespace partywall {

// Every flag is a key of the configuration file, too: --policy-dir is policyDir. What stands on
// the command line wins.
struct Options {
  std::string config;                           // --config FILE; "" = none
  std::string policy_dir;                       // required without Kubernetes
  std::string cgroup_root = "/tenants.slice";   // the managed root, below the cgroup2 mount
  std::string bpffs = "/sys/fs/bpf/partywall";  // where pins live
  std::string metrics = "127.0.0.1:9723";       // "" = no HTTP
  bool metrics_remote = false;                  // allow an address that is not loopback
  std::string https;                            // with Kubernetes: "*:9724"; "" = none
  std::string https_certificate;                // PEM files; "" = signed by itself
  std::string https_key;
  std::string control_socket = "/run/partywall/agent.sock";
  std::string state_dir = "/run/partywall";  // last good policy
  std::string log_format = "text";           // text, json
  std::string log_level = "info";            // debug, info, warn, error
  std::string events = "none";               // none, stdout, or a file
  bool syscalls = true;                      // count system calls
  uint32_t max_tenants = 1024;               // rows of the tenant maps, 2..65535
  std::string node;                          // in events; "" = the host name
  // Host ends of workloads' interfaces: patterns of names, separated by commas; "" = none but
  // those that tenants name.
  std::string edge_interfaces;
  uint32_t edge_mark_mask = 0xffff0000;  // of skb->mark, for the sender's tenant; 0 = no mark
  std::string edge_order = "first";      // first, last: among other tc and TCX programs

  // The policy is the API server's; lists are separated by commas.
  bool kubernetes = false;    // as a pod of the cluster
  std::string kubeconfig;     // or with these credentials; "" = none
  std::string pod_uid;        // of the agent's own pod; "" = it is none
  std::string space;          // --namespace: the release's own; "" = write no statuses
  std::string cluster_cidrs;  // pods' ranges; "" = the nodes'
  std::string service_cidrs;
  std::string infrastructure_namespaces = "kube-system";  // and `space`
  std::string infrastructure_offers = "53/UDP,53/TCP";
  std::string infrastructure_reaches;
  std::string unassigned_namespaces = "allow";  // allow, deny
};

// The items of a list that is separated by commas; none of "".
std::vector<std::string> split_list(const std::string& text);

// Parses arguments and the configuration file. Returns an exit code instead when there is
// nothing more to do (--help, --version, a mistake, which has been printed).
struct ParsedOptions {
  Options options;
  std::optional<int> exit_code;
};
ParsedOptions parse_options(int argc, char** argv);

}  // namespace partywall

#endif

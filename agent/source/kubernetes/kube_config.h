// agent/source/kubernetes/kube_config.h: where the API server is and what to show it: a pod's
// service account, or a kubeconfig file.
#ifndef PARTYWALL_AGENT_SOURCE_KUBERNETES_KUBE_CONFIG_H
#define PARTYWALL_AGENT_SOURCE_KUBERNETES_KUBE_CONFIG_H

#include <string>

#include "maps/result.h"

namespace partywall::kubernetes {

inline constexpr const char* kServiceAccountFolder =
    "/var/run/secrets/kubernetes.io/serviceaccount";

// Of a pair _file and _data, the one that is not empty counts; data is decoded already.
struct ApiAccess {
  std::string server;  // "https://10.96.0.1:443": no slash at the end
  std::string ca_file;
  std::string ca_data;  // PEM; without file and data, the system's authorities
  std::string token_file;
  std::string token;
  std::string client_cert_file;
  std::string client_cert_data;
  std::string client_key_file;
  std::string client_key_data;
  bool insecure_skip_verify = false;
  std::string tls_server_name;  // empty = the name in `server`
  std::string namespace_;       // may be empty  NOLINT(readability-identifier-naming)
};

// From the variables KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT and the files token,
// ca.crt and namespace in `folder`. Fails when this is no pod: says which of them is missing.
Result<ApiAccess> in_cluster_access(const std::string& folder = kServiceAccountFolder);

// The current context of a kubeconfig file. Names of files in it are relative to its folder.
// Fails, with file and field, when something is missing or cannot be had here: programs that
// print credentials (exec), auth providers, user names and passwords, impersonation, proxies,
// and credentials that would travel unencrypted.
Result<ApiAccess> kubeconfig_access(const std::string& path);

}  // namespace partywall::kubernetes

#endif

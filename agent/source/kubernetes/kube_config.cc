// agent/source/kubernetes/kube_config.cc: reads a kubeconfig with the policy's YAML reader, and
// the files of a service account.
#include "agent/source/kubernetes/kube_config.h"

#include <cstdlib>
#include <optional>
#include <string_view>

#include "agent/policy/yaml_tree.h"
#include "agent/source/kubernetes/kept_file.h"

namespace partywall::kubernetes {
namespace {

using policy::YamlNode;

const YamlNode* find(const YamlNode& map, std::string_view name) {
  if (map.kind != YamlNode::Kind::kMap) return nullptr;
  for (size_t i = 0; i + 1 < map.items.size(); i += 2)
    if (map.items[i].text == name && !map.items[i + 1].is_null()) return &map.items[i + 1];
  return nullptr;
}

std::string_view trimmed(std::string_view text) {
  size_t begin = text.find_first_not_of(" \t\r\n");
  size_t end = text.find_last_not_of(" \t\r\n");

  return begin == text.npos ? "" : text.substr(begin, end - begin + 1);
}

// Nothing when it is not base64. Line breaks and spaces are passed over.
std::optional<std::string> decoded(std::string_view base64) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  uint32_t bits = 0;
  int have = 0;
  size_t digits = 0;
  bool padded = false;

  for (char one : base64) {
    if (one == ' ' || one == '\n' || one == '\r' || one == '\t') continue;

    size_t value = kDigits.find(one);

    if (one == '=') padded = true;
    if (one != '=' && (padded || value == kDigits.npos)) return {};
    ++digits;
    if (one == '=') continue;
    bits = bits << 6 | static_cast<uint32_t>(value);
    have += 6;
    if (have >= 8) {
      have -= 8;
      bytes += static_cast<char>(bits >> have & 0xff);
    }
  }
  if (digits % 4) return {};
  return bytes;
}

// One map of the file, "clusters[2].cluster" of "config".
class Section {
 public:
  Section(std::string file, std::string path, const YamlNode* node)
      : file_(std::move(file)), path_(std::move(path)), node_(node) {}

  Result<std::string> text(std::string_view name) const {
    const YamlNode* value = node_ ? find(*node_, name) : nullptr;

    if (!value) return std::string();
    if (value->kind != YamlNode::Kind::kScalar)
      return error(name, "is a list or map; write a text");
    return value->text;
  }
  Result<std::string> data(std::string_view name) const {
    auto coded = text(name);

    if (!coded) return coded;

    auto bytes = decoded(*coded);

    if (!bytes) return error(name, "is not base64");
    return *bytes;
  }
  Result<bool> flag(std::string_view name) const {
    auto value = text(name);

    if (!value) return std::move(value.error());
    if (*value == "true") return true;
    if (value->empty() || *value == "false") return false;
    return error(name, "write true or false");
  }
  // A file's name, relative to the folder of this one.
  Result<std::string> path(std::string_view name) const {
    auto value = text(name);

    if (!value || value->empty() || value->front() == '/') return value;
    return file_.substr(0, file_.rfind('/') + 1) + *value;
  }
  bool has(std::string_view name) const { return node_ && find(*node_, name); }
  Error error(std::string_view name, std::string_view what) const {
    return fail("{}: {}{}{}: {}", file_, path_, path_.empty() ? "" : ".", name, what);
  }

  // The map `inner` of the entry of the list `list` that has this name.
  Result<Section> named(std::string_view list, std::string_view inner,
                        std::string_view name) const {
    const YamlNode* entries = node_ ? find(*node_, list) : nullptr;

    if (entries && entries->kind == YamlNode::Kind::kList) {
      for (size_t i = 0; i < entries->items.size(); ++i) {
        const YamlNode* called = find(entries->items[i], "name");

        if (called && called->text == name)
          return Section(file_, fmt::format("{}[{}].{}", list, i, inner),
                         find(entries->items[i], inner));
      }
    }
    return error(list, fmt::format("there is no entry with the name '{}'", name));
  }

 private:
  std::string file_;
  std::string path_;
  const YamlNode* node_;
};

// Sets `target` to what a reading gave, or `problem` when it is the first that failed.
template <typename T>
void take(Result<T> value, T& target, std::optional<Error>& problem) {
  if (value)
    target = std::move(*value);
  else if (!problem)
    problem = std::move(value.error());
}

Result<void> refuse_what_is_not_had(const Section& cluster, const Section& user) {
  if (user.has("exec"))
    return user.error("exec",
                      "programs that print credentials are not run by the agent; use a "
                      "tokenFile, a token or a client certificate");
  if (user.has("auth-provider"))
    return user.error("auth-provider",
                      "auth providers are not supported; use a tokenFile, a token or a client "
                      "certificate");
  for (const char* name : {"username", "password"})
    if (user.has(name))
      return user.error(name,
                        "API servers take no passwords any more; use a tokenFile, a token or a "
                        "client certificate");
  for (const char* name : {"as", "as-uid", "as-groups", "as-user-extra"})
    if (user.has(name)) return user.error(name, "impersonation is not supported");
  if (cluster.has("proxy-url"))
    return cluster.error("proxy-url", "proxies are not supported; the agent connects directly");
  return {};
}

Result<void> check_server(const ApiAccess& access, const Section& cluster) {
  bool tls = access.server.starts_with("https://");

  if (access.server.empty()) return cluster.error("server", "is missing");
  if (!tls && !access.server.starts_with("http://"))
    return cluster.error("server", fmt::format("'{}' is no address; write it like "
                                               "https://10.0.0.1:6443",
                                               access.server));
  if (access.server.find_first_of(" @?#") != std::string::npos)
    return cluster.error("server",
                         "write scheme, host and port only, like https://10.0.0.1:6443");
  if (!tls && !(access.token.empty() && access.token_file.empty() &&
                access.client_cert_file.empty() && access.client_cert_data.empty()))
    return cluster.error("server", "credentials would travel unencrypted; write https://");
  return {};
}

}  // namespace

Result<ApiAccess> in_cluster_access(const std::string& folder) {
  const char* host = std::getenv("KUBERNETES_SERVICE_HOST");
  const char* port = std::getenv("KUBERNETES_SERVICE_PORT");

  if (!host || !*host || !port || !*port)
    return fail(
        "find the API server: {} is not set; this is no pod of a cluster, so name a "
        "--kubeconfig",
        host && *host ? "KUBERNETES_SERVICE_PORT" : "KUBERNETES_SERVICE_HOST");

  ApiAccess access;
  bool ipv6 = std::string_view(host).find(':') != std::string_view::npos;

  access.server =
      fmt::format("https://{}{}{}:{}", ipv6 ? "[" : "", host, ipv6 ? "]" : "", port);
  access.ca_file = folder + "/ca.crt";
  access.token_file = folder + "/token";
  for (const std::string& file : {access.ca_file, access.token_file})
    if (auto text = KeptFile(file).text(); !text)
      return std::move(text.error()).within("the pod's service account");
  if (auto text = KeptFile(folder + "/namespace").text())
    access.namespace_ = std::string(trimmed(*text));
  return access;
}

Result<ApiAccess> kubeconfig_access(const std::string& path) {
  auto text = KeptFile(path).text();

  if (!text) return std::move(text.error()).within("kubeconfig");

  policy::YamlReader reader(*text);
  std::optional<YamlNode> root = reader.next();

  if (!reader.problems().empty()) {
    const policy::YamlProblem& first = reader.problems().front();

    return fail("{}:{}:{}: {}", path, first.line, first.column, first.message);
  }
  if (!root || root->kind != YamlNode::Kind::kMap)
    return fail("{}: this is no kubeconfig: there is no map in it", path);

  Section file(path, "", &*root);
  auto current = file.text("current-context");

  if (!current) return std::move(current.error());
  if (current->empty()) return file.error("current-context", "is missing");

  auto context = file.named("contexts", "context", *current);

  if (!context) return std::move(context.error());

  ApiAccess access;
  std::optional<Error> problem;
  std::string cluster_name;
  std::string user_name;

  take(context->text("cluster"), cluster_name, problem);
  take(context->text("user"), user_name, problem);
  take(context->text("namespace"), access.namespace_, problem);
  if (problem) return std::move(*problem);

  auto cluster = file.named("clusters", "cluster", cluster_name);

  if (!cluster) return std::move(cluster.error());

  // A context without a user shows nothing, as a local proxy wants it.
  Section nobody(path, "users", nullptr);
  auto user =
      user_name.empty() ? Result<Section>(nobody) : file.named("users", "user", user_name);

  if (!user) return std::move(user.error());
  if (auto had = refuse_what_is_not_had(*cluster, *user); !had) return std::move(had.error());

  take(cluster->text("server"), access.server, problem);
  take(cluster->path("certificate-authority"), access.ca_file, problem);
  take(cluster->data("certificate-authority-data"), access.ca_data, problem);
  take(cluster->flag("insecure-skip-tls-verify"), access.insecure_skip_verify, problem);
  take(cluster->text("tls-server-name"), access.tls_server_name, problem);
  take(user->path("tokenFile"), access.token_file, problem);
  take(user->text("token"), access.token, problem);
  take(user->path("client-certificate"), access.client_cert_file, problem);
  take(user->data("client-certificate-data"), access.client_cert_data, problem);
  take(user->path("client-key"), access.client_key_file, problem);
  take(user->data("client-key-data"), access.client_key_data, problem);
  if (problem) return std::move(*problem);

  while (access.server.ends_with('/')) access.server.pop_back();
  if (auto good = check_server(access, *cluster); !good) return std::move(good.error());
  if (access.insecure_skip_verify && !(access.ca_file.empty() && access.ca_data.empty()))
    return cluster->error("insecure-skip-tls-verify",
                          "an authority is named as well; leave one of them out");

  bool cert = !(access.client_cert_file.empty() && access.client_cert_data.empty());
  bool key = !(access.client_key_file.empty() && access.client_key_data.empty());

  if (cert != key)
    return user->error(cert ? "client-key" : "client-certificate",
                       "is missing: a client certificate takes both");
  // As kubectl has it: data before files, a token's file before the token.
  if (!access.ca_data.empty()) access.ca_file.clear();
  if (!access.client_cert_data.empty()) access.client_cert_file.clear();
  if (!access.client_key_data.empty()) access.client_key_file.clear();
  if (!access.token_file.empty()) access.token.clear();
  return access;
}

}  // namespace partywall::kubernetes

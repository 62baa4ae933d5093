// agent/options.cc: flags and configuration file through CLI11. Enforces nothing.
#include "agent/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <bit>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <sstream>

#include "agent/policy/prefix.h"
#include "agent/policy/suggest.h"
#include "agent/policy/yaml_tree.h"
#include "agent/version.h"

namespace partywall {
namespace {

// policyDir -> policy-dir
std::string flag_of(std::string_view key) {
  std::string flag;

  for (char letter : key) {
    if (letter >= 'A' && letter <= 'Z') {
      flag += '-';
      letter = static_cast<char>(letter - 'A' + 'a');
    }
    flag += letter;
  }
  return flag;
}

// policy-dir -> policyDir
std::string key_of(std::string_view flag) {
  std::string key;

  for (char letter : flag) {
    if (key.ends_with('-')) {
      key.back() = static_cast<char>(letter - 'a' + 'A');
    } else {
      key += letter;
    }
  }
  return key;
}

// Reads the configuration file as CLI11 wants it: the scalars of its top-level mapping. The
// list `infrastructure` is policy and is read as such (policy::parse_infrastructure).
class YamlConfig : public CLI::Config {
 public:
  // `app` outlives this, and has all its options by the time a file is read.
  explicit YamlConfig(const CLI::App& app) : app_(app) {}

  std::string to_config(const CLI::App* /*app*/, bool /*defaults*/, bool /*descriptions*/,
                        std::string /*prefix*/) const override {
    return "";
  }

  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    std::string text(std::istreambuf_iterator<char>(input), {});
    policy::YamlReader reader(text);
    auto root = reader.next();
    std::vector<CLI::ConfigItem> found;

    failed_ = true;  // until it has not

    if (auto more = reader.next(); more && !more->is_null())
      throw CLI::FileError(fmt::format("line {}: a second document: join them", more->line));
    if (!reader.problems().empty()) {
      const policy::YamlProblem& problem = reader.problems().front();

      throw CLI::FileError(fmt::format("line {}: {}", problem.line, problem.message));
    }
    failed_ = root && !root->is_null();
    if (!failed_) return found;
    if (root->kind != policy::YamlNode::Kind::kMap)
      throw CLI::FileError("the configuration is a mapping of keys, as in policyDir: /etc/x");
    for (size_t i = 0; i + 1 < root->items.size(); i += 2) {
      const policy::YamlNode& key = root->items[i];

      if (key.text != "infrastructure") found.push_back(read_item(key, root->items[i + 1]));
    }
    failed_ = false;
    return found;
  }

  // Where in the file a mistake is: "line 3: ", or "" when `mistake` says so itself. Nothing
  // when it is a mistake of the command line.
  std::optional<std::string> place_of(const std::string& mistake) const {
    if (failed_) return "";
    for (const auto& [flag, value] : values_) {
      bool is_named = mistake.starts_with(fmt::format("--{}:", flag)) ||
                      mistake.starts_with(fmt::format("Could not convert: --{} ", flag));

      if (is_named && app_.get_option("--" + flag)->results() == std::vector{value.text})
        return fmt::format("line {}: ", value.line);
    }
    return std::nullopt;
  }

 private:
  CLI::ConfigItem read_item(const policy::YamlNode& key, const policy::YamlNode& value) const {
    std::vector<std::string> keys{"infrastructure"};

    for (const CLI::Option* option : app_.get_options())
      if (option->get_configurable() && !option->get_lnames().empty())
        keys.push_back(key_of(option->get_lnames().front()));
    if (std::ranges::find(keys, key.text) == keys.end()) {
      std::string meant = policy::did_you_mean(key.text, {keys.begin(), keys.end()});

      throw CLI::FileError(fmt::format("line {}: unknown key \"{}\"{} Known keys: {}", key.line,
                                       key.text, meant.empty() ? "." : meant,
                                       fmt::join(keys, ", ")));
    }
    if (value.kind != policy::YamlNode::Kind::kScalar || value.is_null())
      throw CLI::FileError(fmt::format("line {}: {} takes one value", key.line, key.text));

    CLI::ConfigItem item;

    item.name = flag_of(key.text);
    item.inputs = {value.text};
    values_[item.name] = {value.text, value.line};
    return item;
  }

  struct Value {
    std::string text;
    int line = 0;
  };

  const CLI::App& app_;
  // CLI11 reads files through a const object.
  mutable bool failed_ = false;
  mutable std::map<std::string, Value> values_;  // by flag
};

// Empty when nothing is.
std::string what_is_wrong_with_https(const Options& options) {
  if (!options.https.empty() && !options.kubernetes)
    return "--https goes with --kubernetes: the API server says who may read what";
  if (options.https_certificate.empty() != options.https_key.empty())
    return "--https-certificate and --https-key go together";
  if (!options.https_key.empty() && options.https.empty())
    return "--https-certificate and --https-key go with --https";
  return "";
}

// Patterns separated by commas, each the beginning of a name at least.
std::string check_interfaces(const std::string& text) {
  for (size_t start = 0; start <= text.size();) {
    size_t end = std::min(text.find(',', start), text.size());
    std::string_view pattern = std::string_view(text).substr(start, end - start);

    if (pattern.find_first_not_of('*') == std::string_view::npos)
      return "patterns like veth*,cali*: each says how names begin, or every interface of the "
             "host would be a workload's";
    start = end + 1;
  }
  return "";
}

bool is_range(const std::string& text) { return policy::parse_prefix(text).has_value(); }

// "53/UDP", or a whole protocol as "*/TCP".
bool is_port(const std::string& text) {
  size_t slash = text.find('/');
  std::string number = text.substr(0, slash);
  std::string protocol = slash == std::string::npos ? "" : text.substr(slash + 1);
  int port = 0;

  if (protocol != "TCP" && protocol != "UDP") return false;
  return number == "*" || (CLI::detail::lexical_cast(number, port) && port > 0 && port < 65536);
}

std::function<std::string(const std::string&)> check_list(bool (*is_item)(const std::string&),
                                                          const char* what) {
  return [=](const std::string& text) {
    for (const std::string& item : split_list(text))
      if (!is_item(item)) return fmt::format("\"{}\" is none: write {}", item, what);
    return std::string();
  };
}

// The bits must be in one piece, or numbers could not be read out of them.
std::string check_mask(const std::string& text) {
  uint32_t mask = 0;

  if (!CLI::detail::lexical_cast(text, mask)) return "a number like 0xffff0000";

  uint32_t piece = mask == 0 ? 0 : mask >> std::countr_zero(mask);

  return (piece & (piece + 1)) == 0 ? "" : "bits in one piece, like 0xffff0000 or 0x00ff0000";
}

}  // namespace

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> items;
  std::istringstream stream(text);

  for (std::string item; std::getline(stream, item, ',');) items.push_back(item);
  return items;
}

ParsedOptions parse_options(int argc, char** argv) {
  ParsedOptions parsed;
  Options& options = parsed.options;
  CLI::App app{"Keeps tenants apart on this node: network isolation, rates, usage metrics."};

  auto file = std::make_shared<YamlConfig>(app);

  app.config_formatter(file);
  app.set_config("--config", "", "Configuration file (YAML); flags win over it")
      ->check(CLI::ExistingFile);
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.set_version_flag("--version", std::string("partywalld ") + kVersion);
  app.add_option("--policy-dir", options.policy_dir, "Folder of Tenant and Tier documents");
  app.add_flag(
      "--kubernetes{true}", options.kubernetes,
      "Follow the API server of the cluster that this is a pod of, instead of a folder");
  app.add_option("--kubeconfig", options.kubeconfig,
                 "Follow the API server that this kubeconfig file names, instead of a folder");
  app.add_option("--pod-uid", options.pod_uid,
                 "UID of the pod that this agent is in, which must not be refused as unknown");
  app.add_option("--namespace", options.space,
                 "Namespace of the agents' Lease; without it no statuses are written");
  app.add_option("--cluster-cidrs", options.cluster_cidrs,
                 "Address ranges of pods, separated by commas; the Nodes' by default")
      ->check(check_list(is_range, "ranges like 10.244.0.0/16,fd00:10::/56"));
  app.add_option("--service-cidrs", options.service_cidrs,
                 "Address ranges of Services, separated by commas")
      ->check(check_list(is_range, "ranges like 10.96.0.0/12"));
  app.add_option("--infrastructure-namespaces", options.infrastructure_namespaces,
                 "Namespaces that serve every tenant, beside --namespace")
      ->capture_default_str();
  app.add_option("--infrastructure-offers", options.infrastructure_offers,
                 "What every tenant may reach there, as in 53/UDP,53/TCP")
      ->capture_default_str()
      ->check(check_list(is_port, "ports like 53/UDP,53/TCP"));
  app.add_option("--infrastructure-reaches", options.infrastructure_reaches,
                 "What they may reach of every tenant, as in 9090/TCP")
      ->check(check_list(is_port, "ports like 9090/TCP"));
  app.add_option("--unassigned-namespaces", options.unassigned_namespaces,
                 "Pods of namespaces that no tenant claims: allow (among themselves) or deny")
      ->capture_default_str()
      ->check(CLI::IsMember({"allow", "deny"}));
  app.add_option("--cgroup-root", options.cgroup_root,
                 "The managed root: cgroups below it need a tenant; made when absent")
      ->capture_default_str()
      ->check([](const std::string& path) {
        return path == "auto" || (path.size() > 1 && path[0] == '/' && path.back() != '/')
                   ? std::string()
                   : "a path below the cgroup2 mount, like /tenants.slice; not the root "
                     "itself, "
                     "or every system service would need a tenant";
      });
  app.add_option("--bpffs", options.bpffs, "Folder on a BPF file system for pins")
      ->capture_default_str();
  app.add_option("--metrics", options.metrics, "Address for /metrics, /healthz and /readyz")
      ->capture_default_str();
  app.add_flag(
      "--metrics-remote{true}", options.metrics_remote,
      "Serve metrics on an address that is not loopback, readable by all who reach it");
  app.add_option(
      "--https", options.https,
      "Address for what tenants and operators may read with a token of the cluster, as "
      "in *:9724; none by default");
  app.add_option("--https-certificate", options.https_certificate,
                 "PEM file of its certificate; without one, it signs its own");
  app.add_option("--https-key", options.https_key, "PEM file of that certificate's key");
  app.add_option("--control-socket", options.control_socket, "Unix socket for the CLI")
      ->capture_default_str();
  app.add_option("--state-dir", options.state_dir, "Folder for the last good policy")
      ->capture_default_str();
  app.add_option("--log-format", options.log_format, "text or json")
      ->capture_default_str()
      ->check(CLI::IsMember({"text", "json"}));
  app.add_option("--log-level", options.log_level, "debug, info, warn or error")
      ->capture_default_str()
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}));
  app.add_option("--events", options.events,
                 "Denials as JSON Lines: none, stdout, or a file to append to")
      ->capture_default_str();
  app.add_option("--syscalls", options.syscalls, "Count system calls (true or false)")
      ->capture_default_str();
  app.add_option("--max-tenants", options.max_tenants,
                 "Rows of the tenant maps; fixed while the pins exist")
      ->capture_default_str()
      ->check(CLI::Range(2, 65535));
  app.add_option("--edge-interfaces", options.edge_interfaces,
                 "Host ends of workloads' interfaces, as in 'veth*,cali*'; none by default")
      ->check(check_interfaces);
  app.add_option(
         "--edge-mark-mask", options.edge_mark_mask,
         "Bits of the packet mark that carry the sender's tenant on this node; 0 = none")
      ->default_str("0xffff0000")
      ->check(check_mask);
  app.add_option("--edge-order", options.edge_order,
                 "Before (first) or behind (last) other tc and TCX programs")
      ->capture_default_str()
      ->check(CLI::IsMember({"first", "last"}));
  app.add_option("--node", options.node, "Node name in events; the host name by default");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (auto place = file->place_of(error.what()))
      fmt::print(stderr, "{}: {}", app.get_config_ptr()->as<std::string>(), *place);
    parsed.exit_code = app.exit(error) == 0 ? 0 : 2;
    return parsed;
  }
  if (!options.kubeconfig.empty()) options.kubernetes = true;
  if (options.kubernetes != options.policy_dir.empty()) {
    fmt::print(stderr, "{}\n",
               options.kubernetes
                   ? "--policy-dir and --kubernetes: the policy has one source"
                   : "--policy-dir is required (or --kubernetes, or --kubeconfig)");
    parsed.exit_code = 2;
    return parsed;
  }
  if (std::string wrong = what_is_wrong_with_https(options); !wrong.empty()) {
    fmt::print(stderr, "{}\n", wrong);
    parsed.exit_code = 2;
    return parsed;
  }
  if (auto* config = app.get_config_ptr(); config && config->count() > 0)
    options.config = config->as<std::string>();
  return parsed;
}

}  // namespace partywall

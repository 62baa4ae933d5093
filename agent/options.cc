// agent/options.cc: flags and configuration file through CLI11. Enforces nothing.
#include "agent/options.h"

#include <yaml.h>

#include <CLI/CLI.hpp>
#include <iterator>
#include <memory>

#include "agent/version.h"

namespace partywall {
namespace {

// Reads the configuration file as CLI11 wants it: the scalars of its top-level mapping. The
// list `infrastructure` is policy and is read as such (policy::parse_infrastructure).
class YamlConfig : public CLI::Config {
 public:
  std::string to_config(const CLI::App* /*app*/, bool /*defaults*/, bool /*descriptions*/,
                        std::string /*prefix*/) const override {
    return "";
  }

  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    std::string text(std::istreambuf_iterator<char>(input), {});
    yaml_parser_t parser;
    yaml_document_t document;
    std::vector<CLI::ConfigItem> found;

    yaml_parser_initialize(&parser);

    std::unique_ptr<yaml_parser_t, void (*)(yaml_parser_t*)> owner(&parser, yaml_parser_delete);

    yaml_parser_set_input_string(&parser, reinterpret_cast<const unsigned char*>(text.data()),
                                 text.size());
    if (!yaml_parser_load(&parser, &document))
      throw CLI::FileError(fmt::format("line {}: {}", parser.problem_mark.line + 1,
                                       parser.problem ? parser.problem : "no YAML"));

    std::unique_ptr<yaml_document_t, void (*)(yaml_document_t*)> owned(&document,
                                                                       yaml_document_delete);
    const yaml_node_t* root = yaml_document_get_root_node(&document);

    if (!root) return found;
    if (root->type != YAML_MAPPING_NODE)
      throw CLI::FileError("the configuration is a mapping of keys, as in policyDir: /etc/x");
    for (auto* pair = root->data.mapping.pairs.start; pair < root->data.mapping.pairs.top;
         pair++) {
      const yaml_node_t* key = yaml_document_get_node(&document, pair->key);
      const yaml_node_t* value = yaml_document_get_node(&document, pair->value);
      std::string name(reinterpret_cast<char*>(key->data.scalar.value));

      if (name == "infrastructure") continue;
      if (value->type != YAML_SCALAR_NODE)
        throw CLI::FileError(
            fmt::format("line {}: {} takes one value", key->start_mark.line + 1, name));
      CLI::ConfigItem item;

      item.name = flag_of(name);
      item.inputs = {reinterpret_cast<char*>(value->data.scalar.value)};
      found.push_back(item);
    }
    return found;
  }

 private:
  // policyDir -> policy-dir
  static std::string flag_of(const std::string& key) {
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
};

}  // namespace

ParsedOptions parse_options(int argc, char** argv) {
  ParsedOptions parsed;
  Options& options = parsed.options;
  CLI::App app{"Keeps tenants apart on this node: network isolation, rates, usage metrics."};

  app.config_formatter(std::make_shared<YamlConfig>());
  app.set_config("--config", "", "Configuration file (YAML); flags win over it")
      ->check(CLI::ExistingFile);
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.set_version_flag("--version", std::string("partywalld ") + kVersion);
  app.add_option("--policy-dir", options.policy_dir, "Folder of Tenant and Tier documents")
      ->required();
  app.add_option("--cgroup-root", options.cgroup_root,
                 "The managed root: cgroups below it need a tenant; made when absent")
      ->capture_default_str()
      ->check([](const std::string& path) {
        return path.size() > 1 && path[0] == '/' && path.back() != '/'
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
  app.add_option("--node", options.node, "Node name in events; the host name by default");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    parsed.exit_code = app.exit(error) == 0 ? 0 : 2;
    return parsed;
  }
  if (auto* config = app.get_config_ptr(); config && config->count() > 0)
    options.config = config->as<std::string>();
  return parsed;
}

}  // namespace partywall

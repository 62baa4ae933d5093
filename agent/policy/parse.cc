// agent/policy/parse.cc: documents of a file into tiers and tenants. Pure.
#include "agent/policy/parse.h"

#include <algorithm>

#include "agent/policy/cluster_schema.h"
#include "agent/policy/fields.h"
#include "agent/policy/limits_schema.h"
#include "agent/policy/rules_schema.h"
#include "agent/policy/suggest.h"

namespace partywall::policy {
namespace {

constexpr std::string_view kApiVersion = "partywall.dev/v1alpha1";
constexpr size_t kMaxName = 63;
constexpr size_t kMaxInterfaceName = 15;  // of the kernel

const FieldNames& document_fields() {
  static const FieldNames names{{"apiVersion", "kind", "metadata", "spec"}, {}, {}};

  return names;
}

const FieldNames& metadata_fields() {
  static const FieldNames names{{"name"}, {}, {"labels", "annotations"}};

  return names;
}

const FieldNames& tier_fields() {
  static const FieldNames names{{"limits", "network"}, {"syscalls", "failMode"}, {}};

  return names;
}

const FieldNames& tenant_fields() {
  static const FieldNames names{
      {"tier", "mode", "members", "limits", "network"}, {"syscalls", "failMode"}, {}};

  return names;
}

const FieldNames& member_fields() {
  static const FieldNames names{
      {"cgroup", "interface", "addresses", "namespaces", "pods"}, {}, {}};

  return names;
}

bool is_nobodys(const Prefix& range, Notes& notes, const YamlNode& node,
                const std::string& path) {
  const Prefix* nobodys = nobodys_range(range);

  if (nobodys)
    notes.add(node, path,
              fmt::format("{} overlaps {}, which no tenant can own: write ranges outside of it",
                          to_string(range), to_string(*nobodys)));
  return nobodys != nullptr;
}

bool is_label(std::string_view name) {
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };

  return !name.empty() && name.size() <= kMaxName && letter(name.front()) &&
         letter(name.back()) &&
         std::ranges::all_of(name, [&](char c) { return letter(c) || c == '-'; });
}

// Reads one file.
class FileReader {
 public:
  explicit FileReader(ParsedFile& file) : file_(file), notes_(file.name, file.problems) {}

  void read_document(const YamlNode& root);

 private:
  struct Name {
    std::string text;
    Position at;
  };

  Name read_name(const Fields& document);
  void read_tier(Name name, const YamlNode* spec);
  void read_tenant(Name name, const YamlNode* spec);
  void read_world(const YamlNode& node, const std::string& path, Tier& tier);
  void read_members(const YamlNode& node, const std::string& path, Tenant& tenant,
                    TenantPlaces& places);
  void read_interface(const YamlNode& node, const std::string& path, Tenant& tenant);
  void read_member(const Fields& fields, uint32_t member, Tenant& tenant, TenantPlaces& places);
  void read_network(const YamlNode& node, const std::string& path, Tenant& tenant);
  std::optional<std::string_view> text(const YamlNode& node, std::string_view path,
                                       std::string_view what_to_write) {
    return read_text(notes_, node, path, what_to_write);
  }

  ParsedFile& file_;
  Notes notes_;
};

void FileReader::read_document(const YamlNode& root) {
  if (root.is_null()) return;

  Fields fields(notes_, root, "", document_fields());

  if (root.kind != YamlNode::Kind::kMap) return;
  if (const YamlNode* version = fields.require("apiVersion", kApiVersion))
    if (auto written = text(*version, "apiVersion", kApiVersion);
        written && *written != kApiVersion)
      notes_.add(
          *version, "apiVersion",
          fmt::format("\"{}\" is not known to this version: write {}", *written, kApiVersion));

  auto name = read_name(fields);
  const YamlNode* kind = fields.require("kind", "Tier or Tenant");
  auto written = kind ? text(*kind, "kind", "Tier or Tenant") : std::nullopt;

  if (!written) return;
  if (*written == "Tier") {
    read_tier(std::move(name), fields.find("spec"));
  } else if (*written == "Tenant") {
    read_tenant(std::move(name), fields.require("spec", "the tenant's fields"));
  } else if (*written == "ClusterNetwork") {
    if (file_.network)
      notes_.add(root, "", "a second ClusterNetwork: there is one");
    else if (const YamlNode* spec = fields.require("spec", "the network's fields"))
      file_.network = read_cluster_network(notes_, *spec, "spec");
  } else {
    notes_.add(*kind, "kind",
               fmt::format("\"{}\" is no kind{} Write Tier or Tenant", *written,
                           did_you_mean(*written, {"Tier", "Tenant"}).empty()
                               ? "."
                               : did_you_mean(*written, {"Tier", "Tenant"})));
  }
}

// Empty when there is no usable one: the document is still read for its other problems, and
// then left out.
FileReader::Name FileReader::read_name(const Fields& document) {
  const YamlNode* metadata = document.require("metadata", "{name: NAME}");

  if (!metadata) return Name{"", notes_.position(document.node())};

  Fields fields(notes_, *metadata, "metadata", metadata_fields());
  const YamlNode* name = fields.require("name", "the name of the tier or tenant");
  auto written = name ? text(*name, "metadata.name", "a name") : std::nullopt;

  if (!written) return Name{"", notes_.position(*metadata)};
  if (!is_label(*written)) {
    notes_.add(
        *name, "metadata.name",
        fmt::format("\"{}\" is no name: write at most {} of a-z, 0-9 and -, with no - at "
                    "either end",
                    written->substr(0, 2 * kMaxName), kMaxName));
    return Name{"", notes_.position(*name)};
  }
  return Name{std::string(*written), notes_.position(*name)};
}

void FileReader::read_tier(Name name, const YamlNode* spec) {
  Tier tier{.name = std::move(name.text), .at = std::move(name.at)};

  if (spec) {
    Fields fields(notes_, *spec, "spec", tier_fields());

    if (const YamlNode* limits = fields.find("limits"))
      tier.limits = read_limits(notes_, *limits, "spec.limits");
    if (const YamlNode* network = fields.find("network"))
      read_world(*network, "spec.network", tier);
  }
  if (tier.name.empty()) return;
  file_.documents.emplace_back(std::move(tier));
  file_.places.emplace_back();
}

void FileReader::read_world(const YamlNode& node, const std::string& path, Tier& tier) {
  static const FieldNames kNetwork{{"world"}, {}, {}};
  static const FieldNames kWorld{{"egress", "ingress"}, {}, {}};
  Fields network(notes_, node, path, kNetwork);
  const YamlNode* world = network.find("world");

  if (!world) return;

  Fields fields(notes_, *world, network.path("world"), kWorld);

  for (auto [name, target] :
       {std::pair{"egress", &tier.world_egress}, std::pair{"ingress", &tier.world_ingress}}) {
    const YamlNode* field = fields.find(name);
    auto word = field ? text(*field, fields.path(name), "allow or deny") : std::nullopt;

    if (!word) continue;
    if (*word == "allow" || *word == "deny")
      *target = *word == "allow" ? WorldDefault::kAllow : WorldDefault::kDeny;
    else
      notes_.add(*field, fields.path(name),
                 fmt::format("\"{}\" is no default: write allow or deny", *word));
  }
}

void FileReader::read_tenant(Name name, const YamlNode* spec) {
  if (!spec) {
    if (name.text.empty()) return;
    file_.documents.emplace_back(Tenant{.name = name.text, .at = name.at});
    file_.places.emplace_back();
    return;
  }
  Tenant tenant{.name = std::move(name.text), .at = std::move(name.at)};
  TenantPlaces places;
  Fields fields(notes_, *spec, "spec", tenant_fields());

  if (const YamlNode* tier = fields.require("tier", "the name of a tier"))
    if (auto written = text(*tier, "spec.tier", "the name of a tier")) {
      tenant.tier = *written;
      places.tier = notes_.position(*tier);
      if (written->empty())
        notes_.add(*tier, "spec.tier", "is empty: write the name of a tier");
    }
  if (const YamlNode* mode = fields.find("mode"))
    if (auto written = text(*mode, "spec.mode", "enforce or audit")) {
      if (*written == "audit")
        tenant.mode = Mode::kAudit;
      else if (*written != "enforce")
        notes_.add(*mode, "spec.mode",
                   fmt::format("\"{}\" is no mode: write enforce or audit", *written));
    }
  if (const YamlNode* members = fields.find("members"))
    read_members(*members, "spec.members", tenant, places);
  if (const YamlNode* limits = fields.find("limits"))
    tenant.limits = read_limits(notes_, *limits, "spec.limits");
  if (const YamlNode* network = fields.find("network"))
    read_network(*network, "spec.network", tenant);

  if (tenant.name.empty()) return;
  file_.documents.emplace_back(std::move(tenant));
  file_.places.push_back(std::move(places));
}

void FileReader::read_members(const YamlNode& node, const std::string& path, Tenant& tenant,
                              TenantPlaces& places) {
  uint32_t member = 0;

  for (const YamlNode& item :
       read_list(notes_, node, path, "members like [{cgroup: /tenants.slice/acme.slice}]")) {
    Fields fields(notes_, item, fmt::format("{}[{}]", path, member), member_fields());

    read_member(fields, member++, tenant, places);
  }
}

void FileReader::read_member(const Fields& fields, uint32_t member, Tenant& tenant,
                             TenantPlaces& places) {
  constexpr std::string_view kPath = "a cgroup like /tenants.slice/acme.slice";
  const YamlNode* interface = fields.find("interface");

  if (fields.find("namespaces") || fields.find("pods")) {
    if (auto pods = read_pod_selector(notes_, fields)) tenant.pods.push_back(std::move(*pods));
    return;
  }

  // Addresses alone are those of workloads on other machines.
  const YamlNode* cgroup = interface || fields.find("addresses")
                               ? fields.find("cgroup")
                               : fields.require("cgroup", kPath);

  if (auto written = cgroup ? text(*cgroup, fields.path("cgroup"), kPath) : std::nullopt) {
    if (auto pattern = parse_cgroup_pattern(*written)) {
      tenant.cgroups.push_back(std::move(*pattern));
      places.cgroups.push_back({cgroup->line, cgroup->column, member, 0});
    } else {
      notes_.add(*cgroup, fields.path("cgroup"), pattern.error().message());
    }
  }
  if (interface) read_interface(*interface, fields.path("interface"), tenant);

  const YamlNode* addresses = fields.find("addresses");

  if (!addresses) return;

  std::string path = fields.path("addresses");
  uint32_t entry = 0;

  if (addresses->kind == YamlNode::Kind::kList && addresses->items.empty())
    notes_.add(*addresses, path,
               "is empty: write addresses, or leave the field out to let it send from any that "
               "no tenant has");

  for (const YamlNode& item :
       read_list(notes_, *addresses, path, "addresses like [10.1.0.0/24, \"fd00:1::/64\"]")) {
    std::string item_path = fmt::format("{}[{}]", path, entry++);
    auto range = read_prefix(notes_, item, item_path);

    if (!range || is_nobodys(*range, notes_, item, item_path)) continue;
    tenant.addresses.push_back(*range);
    places.addresses.push_back({item.line, item.column, member, entry - 1});
  }
}

void FileReader::read_interface(const YamlNode& node, const std::string& path, Tenant& tenant) {
  constexpr std::string_view kName = "the name of a host interface like veth-acme or pw-acme-*";
  auto written = text(node, path, kName);

  if (!written) return;

  auto fits = [](char c) { return c > ' ' && c < 127 && c != '/' && c != ':'; };
  bool is_name = !written->empty() && written->size() <= kMaxInterfaceName &&
                 std::ranges::all_of(*written, fits);

  if (!is_name)
    notes_.add(node, path, fmt::format("\"{}\" is no interface: write {}", *written, kName));
  else if (written->find_first_not_of('*') == std::string_view::npos)
    notes_.add(node, path, "would be every interface of the host: write how its name begins");
  else
    tenant.interfaces.emplace_back(*written);
}

void FileReader::read_network(const YamlNode& node, const std::string& path, Tenant& tenant) {
  static const FieldNames kNetwork{{"ingress", "egress"}, {}, {}};
  Fields fields(notes_, node, path, kNetwork);

  if (const YamlNode* rules = fields.find("ingress"))
    tenant.ingress = read_rules(notes_, *rules, fields.path("ingress"), "from", tenant.name);
  if (const YamlNode* rules = fields.find("egress"))
    tenant.egress = read_rules(notes_, *rules, fields.path("egress"), "to", tenant.name);
}

void add_yaml_problems(const YamlReader& reader, std::string_view name,
                       std::vector<Problem>& problems) {
  for (const YamlProblem& problem : reader.problems())
    problems.push_back(
        {{std::string(name), problem.line, problem.column}, "", problem.message});
}

// An entry that names a service of the cluster.
void read_lane_service(Notes& notes, const YamlNode& node, const std::string& path,
                       ParsedInfrastructure& parsed) {
  static const FieldNames kEntry{{"name", "service"}, {}, {}};
  constexpr std::string_view kWhat = "NAMESPACE/NAME of a service";
  Fields fields(notes, node, path, kEntry);
  const YamlNode* name = fields.require("name", "a name, which explain shows");
  const YamlNode* service = fields.require("service", kWhat);
  auto written = name ? read_text(notes, *name, fields.path("name"), "a name") : std::nullopt;
  auto which =
      service ? read_text(notes, *service, fields.path("service"), kWhat) : std::nullopt;

  if (!written || !which) return;
  if (size_t slash = which->find('/');
      slash == 0 || slash == std::string_view::npos || slash + 1 == which->size())
    notes.add(*service, fields.path("service"),
              fmt::format("\"{}\" is no service: write {}", *which, kWhat));
  else
    parsed.services.push_back(
        {notes.position(node), std::string(*written), std::string(*which)});
}

bool names_service(const YamlNode& node) {
  for (size_t i = 0; node.kind == YamlNode::Kind::kMap && i < node.items.size(); i += 2)
    if (node.items[i].text == "service") return true;
  return false;
}

std::optional<Infrastructure> read_entry(Notes& notes, const YamlNode& node,
                                         const std::string& path) {
  static const FieldNames kEntry{{"name", "cidr", "direction", "ports", "service"}, {}, {}};
  Fields fields(notes, node, path, kEntry);
  Infrastructure entry{.at = notes.position(node)};
  const YamlNode* name = fields.require("name", "a name, which explain shows");
  const YamlNode* cidr = fields.require("cidr", "a range like 10.0.0.53/32");
  auto written = name ? read_text(notes, *name, fields.path("name"), "a name") : std::nullopt;
  auto range = cidr ? read_prefix(notes, *cidr, fields.path("cidr")) : std::nullopt;

  if (const YamlNode* field = fields.find("direction")) {
    auto word = read_text(notes, *field, fields.path("direction"), "egress or ingress");

    if (word && *word == "ingress")
      entry.direction = abi::DIRECTION_INGRESS;
    else if (word && *word != "egress")
      notes.add(*field, fields.path("direction"),
                fmt::format("\"{}\" is no direction: write egress or ingress", *word));
  }
  if (const YamlNode* field = fields.find("ports"))
    entry.ports = read_ports(notes, *field, fields.path("ports"));
  if (!written || !range) return std::nullopt;
  entry.name = *written;
  entry.cidr = *range;
  return entry;
}

}  // namespace

std::string to_string(const Problem& problem) {
  std::string text = problem.at.file;

  if (problem.at.line) text += fmt::format(":{}:{}", problem.at.line, problem.at.column);
  if (!problem.field.empty()) text += ": " + problem.field;
  return text + ": " + problem.message;
}

ParsedFile parse_file(std::string_view name, std::string_view text) {
  ParsedFile file{.name = std::string(name)};
  YamlReader yaml(text);
  FileReader reader(file);

  while (auto document = yaml.next()) reader.read_document(*document);
  add_yaml_problems(yaml, name, file.problems);
  std::ranges::stable_sort(file.problems, {}, [](const Problem& problem) {
    return std::pair(problem.at.line, problem.at.column);
  });
  return file;
}

std::optional<ParsedFile> with_addresses(const ParsedFile& file,
                                         const std::set<std::string>& addresses) {
  constexpr size_t kMost = 100'000;  // far below the limits of a text
  constexpr int kBetween = 3;        // two quotes and a comma

  if (!file.problems.empty() || file.documents.size() != 1 || addresses.size() > kMost)
    return std::nullopt;

  const auto* before = std::get_if<Tenant>(&file.documents.front());
  const std::vector<EntryPlace>& there = file.places.front().addresses;

  if (!before || there.empty() || addresses.empty()) return std::nullopt;

  auto first = std::ranges::find(there, there.back().member, &EntryPlace::member);
  EntryPlace place = *first;
  ParsedFile fresh = file;
  auto& tenant = std::get<Tenant>(fresh.documents.front());
  std::vector<EntryPlace>& places = fresh.places.front().addresses;

  if (place.entry != 0) return std::nullopt;
  places.resize(static_cast<size_t>(first - there.begin()));
  tenant.addresses.resize(places.size());
  for (const std::string& text : addresses) {
    auto range = parse_prefix(text);

    if (!range || nobodys_range(*range)) return std::nullopt;
    tenant.addresses.push_back(*range);
    places.push_back(place);
    place.column += static_cast<int>(text.size()) + kBetween;
    place.entry++;
  }
  return fresh;
}

ParsedInfrastructure parse_infrastructure(std::string_view name, std::string_view text) {
  ParsedInfrastructure parsed;
  YamlReader yaml(text);
  Notes notes(name, parsed.problems);
  auto root = yaml.next();

  // The other keys are the agent's own options, which are not policy.
  for (size_t i = 0; root && root->kind == YamlNode::Kind::kMap && i < root->items.size();
       i += 2) {
    if (root->items[i].text != "infrastructure") continue;

    size_t index = 0;

    for (const YamlNode& item : read_list(notes, root->items[i + 1], "infrastructure",
                                          "entries like [{name: dns, cidr: 10.0.0.53/32}]")) {
      std::string path = fmt::format("infrastructure[{}]", index++);

      if (names_service(item))
        read_lane_service(notes, item, path, parsed);
      else if (auto entry = read_entry(notes, item, path))
        parsed.entries.push_back(std::move(*entry));
    }
  }
  add_yaml_problems(yaml, name, parsed.problems);
  return parsed;
}

}  // namespace partywall::policy

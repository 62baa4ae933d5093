// agent/source/kubernetes/documents.cc: documents of a policy, written and read. Pure.
#include "agent/source/kubernetes/documents.h"

#include "agent/source/kubernetes/json_fields.h"
#include "agent/source/kubernetes/names.h"

namespace partywall::kubernetes {
namespace {

using Json = nlohmann::json;

// Of a Tenant's document: the spec that it was made of.
constexpr const char* kSpecAnnotation = "partywall.dev/spec";
// In the text of a tenant's document: what stands before the list of a member's addresses. No
// text of somebody else has a line break in it.
constexpr std::string_view kAddressList = "\n    \"addresses\": ";
constexpr int kInOneLine = -1;

const Json& at(const Json& object, std::initializer_list<const char*> path) {
  static const Json kNothing;
  const Json* found = find(object, path);

  return found ? *found : kNothing;
}

std::string dump(const Json& content, int indent) {
  return content.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

Json bare(const char* kind, const std::string& name, Json spec) {
  return {{"apiVersion", kApiVersion},
          {"kind", kind},
          {"metadata", {{"name", name}}},
          {"spec", std::move(spec)}};
}

Json bare(const Json& object, const char* kind) {
  const Json& spec = at(object, {"spec"});

  return bare(kind, text_at(object, {"metadata", "name"}),
              spec.is_object() ? spec : Json::object());
}

Json port_list(const std::vector<std::string>& texts) {
  Json list = Json::array();

  for (const std::string& text : texts) {
    size_t slash = text.find('/');
    Json entry = {{"protocol", slash == std::string::npos ? "TCP" : text.substr(slash + 1)}};

    if (text.substr(0, slash) != "*") entry["port"] = text.substr(0, slash);
    list.push_back(std::move(entry));
  }
  return list;
}

std::set<std::string> named_by(const Json& tenant) {
  std::set<std::string> named;

  for (auto [list, peers] : {std::pair{"ingress", "from"}, {"egress", "to"}})
    for (const Json& rule : at(tenant, {"spec", "network", list}))
      for (const Json& peer : at(rule, {peers}))
        if (const std::string& name = text_at(peer, {"tenant"}); !name.empty())
          named.insert(name);
  return named;
}

std::string text_of(const Json& document) { return dump(document, 1); }

std::string tenant_text(const Json& tenant, const Holding& held,
                        const std::function<bool(const std::string&)>& accepted) {
  Json document = tenant;
  Json& spec = document["spec"];
  Json members = Json::array();

  if (!is_built_in(text_at(tenant, {"metadata", "name"})))
    document["metadata"]["annotations"] = {{kSpecAnnotation, dump(spec, kInOneLine)}};
  for (const Json& member : at(spec, {"members"}))
    if (!member.contains("namespaces")) members.push_back(member);
  for (const std::string& cgroup : held.cgroups) members.push_back({{"cgroup", cgroup}});
  if (!held.addresses.empty()) members.push_back({{"addresses", nullptr}});
  spec["members"] = std::move(members);
  for (auto [list, peers] : {std::pair{"ingress", "from"}, {"egress", "to"}}) {
    if (!at(spec, {"network", list}).is_array()) continue;
    for (Json& rule : spec["network"][list]) {
      Json kept = Json::array();

      for (const Json& peer : at(rule, {peers}))
        if (const std::string& name = text_at(peer, {"tenant"}); name.empty() || accepted(name))
          kept.push_back(peer);
      rule[peers] = std::move(kept);
    }
  }

  std::string text = text_of(document);

  if (!held.addresses.empty())
    text.replace(text.rfind(kAddressList) + kAddressList.size(), std::size("null") - 1,
                 dump(held.addresses, kInOneLine));
  return text;
}

Json tenant_before(const Json& document) {
  Json spec = Json::parse(text_at(document, {"metadata", "annotations", kSpecAnnotation}),
                          nullptr, false);

  if (!spec.is_object() || text_at(document, {"kind"}) != "Tenant") return nullptr;
  return bare("Tenant", text_at(document, {"metadata", "name"}), std::move(spec));
}

Document make_document(std::string name, std::string text, const Document* before) {
  if (before && *before->text == text) return *before;

  auto shared = std::make_shared<const std::string>(std::move(text));
  auto file = std::make_shared<const policy::ParsedFile>(policy::parse_file(name, *shared));

  return {std::move(name), std::move(shared), std::move(file)};
}

std::optional<Document> with_addresses(const Document& before,
                                       const std::set<std::string>& addresses) {
  auto file = policy::with_addresses(*before.file, addresses);
  // A Tenant's own lists go over several lines.
  size_t list = before.text->rfind(std::string(kAddressList) + "[\"");

  if (!file || list == std::string::npos) return std::nullopt;
  list += kAddressList.size();

  std::string text = before.text->substr(0, list) + '[';

  // As tenant_text() writes them: no address needs an escape.
  for (const std::string& address : addresses) ((text += '"') += address) += "\",";
  text.back() = ']';
  text.append(*before.text, before.text->find(']', list) + 1);
  return Document{before.name, std::make_shared<const std::string>(std::move(text)),
                  std::make_shared<const policy::ParsedFile>(std::move(*file))};
}

}  // namespace partywall::kubernetes

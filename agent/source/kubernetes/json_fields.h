// agent/source/kubernetes/json_fields.h: reads fields of JSON that somebody else wrote. Pure;
// throws nothing.
#ifndef PARTYWALL_AGENT_SOURCE_KUBERNETES_JSON_FIELDS_H
#define PARTYWALL_AGENT_SOURCE_KUBERNETES_JSON_FIELDS_H

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>

namespace partywall::kubernetes {

// The value at `path`; null when there is none.
inline const nlohmann::json* find(const nlohmann::json& from,
                                  std::initializer_list<const char*> path) {
  const nlohmann::json* at = &from;

  for (const char* name : path) {
    if (!at->is_object()) return nullptr;

    auto next = at->find(name);

    if (next == at->end()) return nullptr;
    at = &*next;
  }
  return at;
}

// The text at `path`; empty when there is none.
inline const std::string& text_at(const nlohmann::json& from,
                                  std::initializer_list<const char*> path) {
  static const std::string kNone;
  const nlohmann::json* at = find(from, path);

  return at && at->is_string() ? at->get_ref<const std::string&>() : kNone;
}

// The whole number at `path`; `otherwise` when there is none.
inline int64_t number_at(const nlohmann::json& from, std::initializer_list<const char*> path,
                         int64_t otherwise = 0) {
  const nlohmann::json* at = find(from, path);

  return at && at->is_number_integer() ? at->get<int64_t>() : otherwise;
}

// "namespace/name", or "name" of an object without a namespace; empty when it has no name.
inline std::string key_of(const nlohmann::json& object) {
  const std::string& name = text_at(object, {"metadata", "name"});
  const std::string& space = text_at(object, {"metadata", "namespace"});

  return name.empty() || space.empty() ? name : space + "/" + name;
}

}  // namespace partywall::kubernetes

#endif

// agent/policy/fields.h: reads the fields of YAML maps and notes what is wrong with them. Pure.
#ifndef PARTYWALL_AGENT_POLICY_FIELDS_H
#define PARTYWALL_AGENT_POLICY_FIELDS_H

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/policy/parse.h"
#include "agent/policy/yaml_tree.h"

namespace partywall::policy {

// Collects the problems of one file.
class Notes {
 public:
  Notes(std::string_view file, std::vector<Problem>& problems)
      : file_(file), problems_(problems) {}

  void add(const YamlNode& at, std::string_view field, std::string message);
  Position position(const YamlNode& at) const { return {file_, at.line, at.column}; }

 private:
  std::string file_;
  std::vector<Problem>& problems_;
};

// Which fields a map may have.
struct FieldNames {
  std::vector<std::string_view> known;
  std::vector<std::string_view> later;    // designed, but not enforced by this version
  std::vector<std::string_view> ignored;  // accepted, and of no meaning here
};

// One map and where it stands. Whatever is wrong with its keys is noted on construction.
class Fields {
 public:
  Fields(Notes& notes, const YamlNode& node, std::string path, const FieldNames& names);

  // The value of a field; null when it is absent. A field without a value is noted, and absent.
  const YamlNode* find(std::string_view name) const;
  // The same; that it is absent is noted with what to write.
  const YamlNode* require(std::string_view name, std::string_view what_to_write) const;

  // "spec.limits" + "egress" -> "spec.limits.egress"
  std::string path(std::string_view name) const;
  const YamlNode& node() const { return node_; }

 private:
  Notes& notes_;
  const YamlNode& node_;
  std::string path_;
};

// The text of a scalar; anything else is noted with what to write.
std::optional<std::string_view> read_text(Notes& notes, const YamlNode& node,
                                          std::string_view path,
                                          std::string_view what_to_write);

// The items of a list; anything else is noted with what to write, and has none.
std::span<const YamlNode> read_list(Notes& notes, const YamlNode& node, std::string_view path,
                                    std::string_view what_to_write);

}  // namespace partywall::policy

#endif

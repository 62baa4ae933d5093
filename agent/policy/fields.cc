// agent/policy/fields.cc: looks fields up and words what is wrong with them. Pure.
#include "agent/policy/fields.h"

#include <algorithm>

#include "agent/policy/suggest.h"

namespace partywall::policy {
namespace {

constexpr size_t kMaxProblems = 1000;  // of one file

std::string what_it_is(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kList:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a map";
    default:
      return fmt::format("\"{}\"", node.text);
  }
}

bool holds(const std::vector<std::string_view>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

std::string join(std::string_view path, std::string_view name) {
  return path.empty() ? std::string(name) : fmt::format("{}.{}", path, name);
}

}  // namespace

void Notes::add(const YamlNode& at, std::string_view field, std::string message) {
  if (problems_.size() > kMaxProblems) return;
  if (problems_.size() == kMaxProblems)
    message = fmt::format("more than {} problems: the rest are left out", kMaxProblems);
  problems_.push_back({position(at), std::string(field), std::move(message)});
}

Fields::Fields(Notes& notes, const YamlNode& node, std::string path, const FieldNames& names)
    : notes_(notes), node_(node), path_(std::move(path)) {
  if (node.kind != YamlNode::Kind::kMap) {
    notes_.add(node, path_,
               fmt::format("{} is no map: write fields ({})", what_it_is(node),
                           fmt::join(names.known, ", ")));
    return;
  }
  for (size_t i = 0; i + 1 < node.items.size(); i += 2) {
    const YamlNode& key = node.items[i];
    const YamlNode& value = node.items[i + 1];

    if (holds(names.ignored, key.text)) continue;
    if (holds(names.later, key.text)) {
      notes_.add(key, join(path_, key.text), "not enforced by this version: remove it");
    } else if (!holds(names.known, key.text)) {
      notes_.add(key, path_,
                 fmt::format("unknown field \"{}\"{} Known fields: {}", key.text,
                             did_you_mean(key.text, names.known).empty()
                                 ? "."
                                 : did_you_mean(key.text, names.known),
                             fmt::join(names.known, ", ")));
    } else if (value.is_null()) {
      notes_.add(value.line ? value : key, join(path_, key.text),
                 "has no value: write one, or leave the field out (an empty list is [])");
    }
  }
}

const YamlNode* Fields::find(std::string_view name) const {
  if (node_.kind != YamlNode::Kind::kMap) return nullptr;
  for (size_t i = 0; i + 1 < node_.items.size(); i += 2)
    if (node_.items[i].text == name)
      return node_.items[i + 1].is_null() ? nullptr : &node_.items[i + 1];
  return nullptr;
}

const YamlNode* Fields::require(std::string_view name, std::string_view what_to_write) const {
  if (const YamlNode* value = find(name)) return value;
  if (node_.kind != YamlNode::Kind::kMap) return nullptr;
  for (size_t i = 0; i < node_.items.size(); i += 2)
    if (node_.items[i].text == name) return nullptr;  // it has no value, which is noted already
  notes_.add(node_, path(name), fmt::format("is missing: write {}", what_to_write));
  return nullptr;
}

std::string Fields::path(std::string_view name) const { return join(path_, name); }

std::optional<std::string_view> read_text(Notes& notes, const YamlNode& node,
                                          std::string_view path,
                                          std::string_view what_to_write) {
  if (node.kind == YamlNode::Kind::kScalar && !node.is_null()) return node.text;
  notes.add(node, path,
            fmt::format("{}: write {}",
                        node.is_null() ? "has no value" : what_it_is(node) + " is no text",
                        what_to_write));
  return std::nullopt;
}

std::span<const YamlNode> read_list(Notes& notes, const YamlNode& node, std::string_view path,
                                    std::string_view what_to_write) {
  if (node.kind == YamlNode::Kind::kList) return node.items;
  notes.add(node, path,
            fmt::format("{} is no list: write {}", what_it_is(node), what_to_write));
  return {};
}

}  // namespace partywall::policy

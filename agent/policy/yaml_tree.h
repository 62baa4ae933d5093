// agent/policy/yaml_tree.h: YAML text -> small trees with positions, one document at a time.
// Pure.
#ifndef PARTYWALL_AGENT_POLICY_YAML_TREE_H
#define PARTYWALL_AGENT_POLICY_YAML_TREE_H

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "maps/result.h"

struct yaml_parser_s;
struct yaml_event_s;

namespace partywall::policy {

inline constexpr size_t kMaxYamlBytes = 8 << 20;
inline constexpr int kMaxYamlDepth = 32;
inline constexpr size_t kMaxYamlTextBytes = 256 << 10;  // of one value
inline constexpr size_t kMaxYamlProblems = 1'000;       // after which reading ends
inline constexpr size_t kMaxYamlNodes = 1'000'000;      // of all documents of a file
inline constexpr size_t kMaxYamlAliases = 64;
inline constexpr size_t kMaxYamlAliasNodes = 10'000;  // that anchors hold and aliases stand for

struct YamlNode {
  enum class Kind { kScalar, kList, kMap };

  Kind kind = Kind::kScalar;
  bool plain = false;  // a scalar without quotes
  int line = 0;        // counts from 1
  int column = 0;
  std::string text;             // of a scalar
  std::vector<YamlNode> items;  // of a list, in order; of a map: key, value, key, value ...

  // A value left out, or written as null: neither text nor a list.
  bool is_null() const;
};

// Something wrong with the YAML itself.
struct YamlProblem {
  int line = 0;
  int column = 0;
  std::string message;
};

// Reads documents until the text ends or cannot be read further. Refuses, while reading,
// whatever is beyond the limits above, tags, merge keys and keys that are not text; duplicate
// keys are noted and the second one is left out.
class YamlReader {
 public:
  explicit YamlReader(std::string_view text);  // must outlive the reader
  ~YamlReader();
  YamlReader(const YamlReader&) = delete;
  YamlReader& operator=(const YamlReader&) = delete;

  // The next document's root; nothing at the end, or when the rest cannot be read: see
  // problems().
  std::optional<YamlNode> next();

  const std::vector<YamlProblem>& problems() const { return problems_; }

 private:
  struct Anchor;

  Result<void> read_event(yaml_event_s& event);
  Result<YamlNode> read_document();
  Result<YamlNode> read_node(const yaml_event_s& event, int depth);
  Result<void> read_items(YamlNode& node, int depth);
  Result<YamlNode> read_alias(const yaml_event_s& event, int depth);
  Error refuse(int line, int column, std::string message);
  Error refuse_syntax();

  std::string_view text_;
  std::unique_ptr<yaml_parser_s> parser_;
  std::vector<YamlProblem> problems_;
  std::vector<Anchor> anchors_;  // of the document at hand
  size_t nodes_ = 0;
  size_t aliases_ = 0;
  size_t alias_nodes_ = 0;
  int stopped_line_ = 0;  // where the last refusal was
  int stopped_column_ = 0;
  bool stopped_ = false;
};

}  // namespace partywall::policy

#endif

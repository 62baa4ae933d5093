// agent/policy/yaml_tree.cc: builds document trees from libyaml's events, within limits. Pure.
#include "agent/policy/yaml_tree.h"

#include <yaml.h>

#include <algorithm>
#include <unordered_set>

namespace partywall::policy {
namespace {

struct Event : yaml_event_t {
  Event() : yaml_event_t{} {}
  ~Event() { yaml_event_delete(this); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
};

std::string_view text_of(const yaml_char_t* text) {
  return text ? reinterpret_cast<const char*>(text) : "";
}

// libyaml counts from 0.
int line_of(const yaml_event_t& event) { return static_cast<int>(event.start_mark.line) + 1; }
int column_of(const yaml_event_t& event) {
  return static_cast<int>(event.start_mark.column) + 1;
}

std::string_view anchor_of(const yaml_event_t& event) {
  switch (event.type) {
    case YAML_SCALAR_EVENT:
      return text_of(event.data.scalar.anchor);
    case YAML_SEQUENCE_START_EVENT:
      return text_of(event.data.sequence_start.anchor);
    case YAML_MAPPING_START_EVENT:
      return text_of(event.data.mapping_start.anchor);
    default:
      return "";
  }
}

std::string_view tag_of(const yaml_event_t& event) {
  switch (event.type) {
    case YAML_SCALAR_EVENT:
      return text_of(event.data.scalar.tag);
    case YAML_SEQUENCE_START_EVENT:
      return text_of(event.data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
      return text_of(event.data.mapping_start.tag);
    default:
      return "";
  }
}

size_t count_nodes(const YamlNode& node) {
  size_t count = 1;

  for (const YamlNode& item : node.items) count += count_nodes(item);
  return count;
}

int depth_of(const YamlNode& node) {
  int below = 0;

  for (const YamlNode& item : node.items) below = std::max(below, depth_of(item));
  return node.kind == YamlNode::Kind::kScalar ? 0 : below + 1;
}

}  // namespace

struct YamlReader::Anchor {
  std::string name;
  YamlNode node;
  size_t nodes;
  int depth;
};

bool YamlNode::is_null() const {
  return kind == Kind::kScalar && plain &&
         (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL");
}

YamlReader::YamlReader(std::string_view text)
    : text_(text), parser_(std::make_unique<yaml_parser_t>()) {
  yaml_parser_initialize(parser_.get());
  // Never guessed: a text in UTF-16 would not be what people and other tools see.
  yaml_parser_set_encoding(parser_.get(), YAML_UTF8_ENCODING);
  yaml_parser_set_input_string(
      parser_.get(), reinterpret_cast<const unsigned char*>(text.data()), text.size());
}

YamlReader::~YamlReader() { yaml_parser_delete(parser_.get()); }

Error YamlReader::refuse(int line, int column, std::string message) {
  stopped_line_ = line;
  stopped_column_ = column;
  return Error(std::move(message));
}

Error YamlReader::refuse_syntax() {
  std::string message = fmt::format(
      "this is no YAML: {}", text_of(reinterpret_cast<const yaml_char_t*>(parser_->problem)));

  if (parser_->error != YAML_READER_ERROR) {
    if (parser_->context)
      message += fmt::format(" ({}, begun in line {})", parser_->context,
                             parser_->context_mark.line + 1);
    return refuse(static_cast<int>(parser_->problem_mark.line) + 1,
                  static_cast<int>(parser_->problem_mark.column) + 1, std::move(message));
  }
  // Only an offset is known of bytes that are no text.
  std::string_view before = text_.substr(0, std::min(parser_->problem_offset, text_.size()));
  auto line = std::ranges::count(before, '\n');
  size_t start = before.rfind('\n');

  return refuse(
      static_cast<int>(line) + 1,
      static_cast<int>(before.size() - (start == std::string_view::npos ? 0 : start + 1)) + 1,
      std::move(message));
}

Result<void> YamlReader::read_event(yaml_event_t& event) {
  if (!yaml_parser_parse(parser_.get(), &event)) return refuse_syntax();
  return {};
}

std::optional<YamlNode> YamlReader::next() {
  if (stopped_) return std::nullopt;
  if (text_.size() > kMaxYamlBytes) {
    stopped_ = true;
    problems_.push_back({1, 1,
                         fmt::format("{} bytes are too many: the most is {}, so split it",
                                     text_.size(), kMaxYamlBytes)});
    return std::nullopt;
  }
  auto document = read_document();

  if (document && !stopped_) return std::move(*document);
  if (!document)
    problems_.push_back({stopped_line_, stopped_column_, document.error().message()});
  stopped_ = true;
  return std::nullopt;
}

Result<YamlNode> YamlReader::read_document() {
  anchors_.clear();
  while (true) {
    Event event;

    if (auto read = read_event(event); !read) return std::move(read.error());
    switch (event.type) {
      case YAML_STREAM_START_EVENT:
      case YAML_DOCUMENT_START_EVENT:
        break;
      case YAML_STREAM_END_EVENT:
        stopped_ = true;
        return YamlNode{};
      default: {
        auto root = read_node(event, 1);
        Event end;

        if (!root) return root;
        if (auto read = read_event(end); !read) return std::move(read.error());
        return root;
      }
    }
  }
}

Result<YamlNode> YamlReader::read_node(const yaml_event_t& event, int depth) {
  YamlNode node{.line = line_of(event), .column = column_of(event)};

  if (++nodes_ > kMaxYamlNodes)
    return refuse(node.line, node.column,
                  fmt::format("more than {} values in one file: split it", kMaxYamlNodes));
  if (event.type == YAML_ALIAS_EVENT) return read_alias(event, depth);
  if (std::string_view tag = tag_of(event); !tag.empty())
    return refuse(node.line, node.column,
                  fmt::format("the tag {} is refused: write the value without it", tag));

  if (event.type == YAML_SCALAR_EVENT) {
    if (event.data.scalar.length > kMaxYamlTextBytes)
      return refuse(node.line, node.column,
                    fmt::format("a value of {} bytes is too long: the most is {}",
                                event.data.scalar.length, kMaxYamlTextBytes));
    node.plain = event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node.text.assign(reinterpret_cast<const char*>(event.data.scalar.value),
                     event.data.scalar.length);
  } else {
    node.kind =
        event.type == YAML_SEQUENCE_START_EVENT ? YamlNode::Kind::kList : YamlNode::Kind::kMap;
    if (depth > kMaxYamlDepth)
      return refuse(node.line, node.column,
                    fmt::format("nested more than {} deep", kMaxYamlDepth));
    if (auto read = read_items(node, depth); !read) return std::move(read.error());
  }
  if (std::string_view anchor = anchor_of(event); !anchor.empty()) {
    size_t nodes = count_nodes(node);

    alias_nodes_ += nodes;
    if (alias_nodes_ > kMaxYamlAliasNodes)
      return refuse(
          node.line, node.column,
          fmt::format("anchors and aliases stand for more than {} values", kMaxYamlAliasNodes));
    anchors_.push_back({std::string(anchor), node, nodes, depth_of(node)});
  }
  return node;
}

Result<void> YamlReader::read_items(YamlNode& node, int depth) {
  bool map = node.kind == YamlNode::Kind::kMap;
  std::unordered_set<std::string> keys;

  while (true) {
    Event event;

    if (auto read = read_event(event); !read) return read;
    if (event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT)
      return {};

    auto item = read_node(event, depth + 1);

    if (!item) return std::move(item.error());
    if (map && node.items.size() % 2 == 0) {
      if (item->kind != YamlNode::Kind::kScalar)
        return refuse(item->line, item->column, "a list or a map is no key: write a name");
      if (item->plain && item->text == "<<")
        return refuse(item->line, item->column,
                      "merge keys (<<) are refused: write the fields out");
      if (!keys.insert(item->text).second) {
        if (problems_.size() == kMaxYamlProblems)
          return refuse(item->line, item->column,
                        fmt::format("more than {} keys are written twice: keep one of each",
                                    kMaxYamlProblems));
        problems_.push_back(
            {item->line, item->column,
             fmt::format("\"{}\" is written twice in the same map: keep one", item->text)});
        // Its value is read, for its own problems, and forgotten.
        Event value;

        if (auto read = read_event(value); !read) return read;
        if (auto read = read_node(value, depth + 1); !read) return std::move(read.error());
        continue;
      }
    }
    node.items.push_back(std::move(*item));
  }
}

Result<YamlNode> YamlReader::read_alias(const yaml_event_t& event, int depth) {
  std::string_view name = text_of(event.data.alias.anchor);
  int line = line_of(event);
  int column = column_of(event);
  // The last one of that name counts.
  auto found = std::find_if(anchors_.rbegin(), anchors_.rend(),
                            [&](const Anchor& anchor) { return anchor.name == name; });

  if (found == anchors_.rend())
    return refuse(
        line, column,
        fmt::format("*{} names no value before it: write &{} in front of one", name, name));
  if (++aliases_ > kMaxYamlAliases)
    return refuse(
        line, column,
        fmt::format("more than {} aliases in one file: write values out", kMaxYamlAliases));
  alias_nodes_ += found->nodes;
  nodes_ += found->nodes;
  if (alias_nodes_ > kMaxYamlAliasNodes)
    return refuse(
        line, column,
        fmt::format("anchors and aliases stand for more than {} values", kMaxYamlAliasNodes));
  if (depth + found->depth - 1 > kMaxYamlDepth)
    return refuse(line, column, fmt::format("nested more than {} deep", kMaxYamlDepth));
  return found->node;
}

}  // namespace partywall::policy

// agent/source/kubernetes/reflector.cc: LIST in pages, WATCH line by line, and what goes wrong
// with them.
#include "agent/source/kubernetes/reflector.h"

#include <algorithm>
#include <vector>

#include "agent/source/kubernetes/json_fields.h"

namespace partywall::kubernetes {
namespace {

using nlohmann::json;

constexpr size_t kDeletedKept = 256;
constexpr int kWatchFailuresUntilList = 5;

std::string escaped(std::string_view text) {
  std::string result;

  for (unsigned char one : text) {
    bool plain = (one >= '0' && one <= '9') || (one >= 'a' && one <= 'z') ||
                 (one >= 'A' && one <= 'Z') || one == '-' || one == '.' || one == '_' ||
                 one == '~';

    result += plain ? std::string(1, static_cast<char>(one)) : fmt::format("%{:02X}", one);
  }
  return result;
}

// Versions of one resource can be compared when they are numbers, and nothing is said
// otherwise.
bool is_older(const std::string& one, const std::string& other) {
  auto is_number = [](const std::string& text) {
    return !text.empty() && text[0] != '0' &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  };

  if (!is_number(one) || !is_number(other)) return false;
  return one.size() != other.size() ? one.size() < other.size() : one < other;
}

// A list without its items, which go to `take` one by one until it returns false: all of them
// at a time would take ten times the room of their text. What is no object stays in the list.
json parse_list(const std::string& text, const std::function<bool(const json&)>& take) {
  bool in_items = false;
  bool goes_on = true;

  return json::parse(
      text,
      [&](int depth, json::parse_event_t event, json& parsed) {
        if (depth == 1 && event == json::parse_event_t::key) in_items = parsed == "items";
        if (depth != 2 || !in_items || event != json::parse_event_t::object_end) return true;
        goes_on = goes_on && take(parsed);
        return false;
      },
      false);
}

std::string accept_of(const Selection& selection, std::string_view kind) {
  if (!selection.metadata_only) return "application/json";
  return fmt::format("application/json;as={};g=meta.k8s.io;v=v1", kind);
}

}  // namespace

Reflector::Reflector(ApiClient& client, Selection selection, Handlers handlers,
                     ReflectorLimits limits)
    : client_(client),
      selection_(std::move(selection)),
      handlers_(std::move(handlers)),
      limits_(limits),
      backoff_(limits.backoff_least, limits.backoff_most),
      retry_(client.loop().base(), [this] { (this->*next_)(); }),
      unfinished_(client.loop().base(), [this] {
        cut_watch("timeout", "an event of the watch did not come to its end");
        try_again(&Reflector::watch, {});
      }) {
  list_from_start();
}

void Reflector::change_selector(std::string labels, std::string fields) {
  selection_.labels = std::move(labels);
  selection_.fields = std::move(fields);
  synced_ = false;
  call_ = {};
  unfinished_.cancel();
  ++round_;
  next_ = &Reflector::list_from_start;
  retry_.after({});
}

void Reflector::widen(std::string labels, std::string added) {
  // A whole list, which is under way or will be, has it all.
  if (!synced_ || !whole_) return change_selector(std::move(labels), selection_.fields);
  selection_.labels = std::move(labels);
  added_.push_back(std::move(added));
  call_ = {};
  unfinished_.cancel();
  ++round_;
  next_ = &Reflector::list_added;
  retry_.after({});
}

std::chrono::milliseconds Reflector::since_last_word() const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - last_word_);
}

std::string Reflector::address(std::string_view more) const {
  const std::string& labels = added_.empty() ? selection_.labels : added_.front();
  std::vector<std::string> query;

  if (!more.empty()) query.emplace_back(more);
  if (!labels.empty()) query.push_back("labelSelector=" + escaped(labels));
  if (!selection_.fields.empty())
    query.push_back("fieldSelector=" + escaped(selection_.fields));
  return fmt::format("{}?{}", selection_.path, fmt::join(query, "&"));
}

void Reflector::list_from_start() {
  ++list_;
  whole_ = false;
  added_.clear();
  list_added();
}

void Reflector::list_added() {
  list_bytes_ = 0;
  continue_.clear();
  list_page();
}

// A selection comes in one piece, out of the server's cache, and not older than what is known:
// for a page of it, or for the very latest, the server may read all objects of the resource
// from its storage.
void Reflector::list_page() {
  bool is_part = !in_pages_ && (!selection_.labels.empty() || !selection_.fields.empty());
  std::string more;

  if (!is_part)
    more = fmt::format("limit={}", limits_.page_objects);
  else if (!from_storage_)
    more = fmt::format("resourceVersion={}&resourceVersionMatch=NotOlderThan",
                       version_.empty() ? "0" : escaped(version_));
  if (!continue_.empty())
    more += (more.empty() ? "continue=" : "&continue=") + escaped(continue_);
  call_ = client_.request({.path = address(more),
                           .accept = accept_of(selection_, "PartialObjectMetadataList"),
                           .deadline = limits_.page_deadline,
                           .max_reply_bytes = limits_.page_bytes},
                          [this](ApiReply reply) { take_page(std::move(reply)); });
}

void Reflector::take_page(ApiReply reply) {
  call_ = {};
  facts_.bytes += reply.body.size();
  list_bytes_ += reply.body.size();
  if (!reply.ok()) {
    bool expired = reply.status == 410;

    fail(reply);
    from_storage_ = true;
    in_pages_ = in_pages_ || reply.failure == ApiReply::Failure::kTooLarge;
    // What was listed up to here may be old by now: from the start.
    if (expired && !std::exchange(expired_before_, true)) return list_from_start();
    return try_again(expired ? &Reflector::list_from_start : &Reflector::list_page,
                     reply.retry_after);
  }

  bool named = true;
  json page = parse_list(reply.body, [&](const json& item) {
    named = !key_of(item).empty();
    return named;
  });
  const json* items = find(page, {"items"});

  if (list_bytes_ > limits_.list_bytes) {
    note_error("too_large", fmt::format("list {}: it is larger than {} bytes", selection_.path,
                                        limits_.list_bytes));
    return try_again(&Reflector::list_from_start, {});
  }
  // An empty list is `null` where its type has no better word for it.
  if (!items || !(items->is_array() || items->is_null()) || !items->empty() || !named ||
      text_at(page, {"metadata", "resourceVersion"}).empty()) {
    note_error("garbage", fmt::format("list {}: the reply is no list of objects with names",
                                      selection_.path));
    return try_again(&Reflector::list_from_start, {});
  }
  hear();
  from_storage_ = false;
  // The watch goes on from before what is added was listed, so that it misses nothing.
  if (added_.empty()) version_ = text_at(page, {"metadata", "resourceVersion"});
  continue_ = text_at(page, {"metadata", "continue"});

  uint64_t round = round_;

  parse_list(reply.body, [&](const json& item) {
    take_item(item);
    return round == round_;
  });
  if (round != round_) return;
  reply.body = {};
  if (!continue_.empty()) return list_page();
  if (added_.empty()) return finish_list();
  finish_added();
}

void Reflector::take_item(const json& item) {
  const std::string& uid = text_at(item, {"metadata", "uid"});
  const std::string& version = text_at(item, {"metadata", "resourceVersion"});
  auto [at, is_new] = known_.try_emplace(key_of(item));
  Known& known = at->second;
  bool same = !is_new && known.uid == uid && known.version == version;

  known.list = list_;
  if (same) return;
  known.uid = uid;
  known.version = version;
  handlers_.put(item);
}

void Reflector::finish_added() {
  uint64_t round = round_;

  facts_.last_error.clear();
  added_.pop_front();
  handlers_.synced();
  if (round != round_) return;
  if (added_.empty()) return watch();
  list_added();
}

void Reflector::finish_list() {
  std::vector<std::string> absent;
  uint64_t round = round_;

  for (const auto& [key, known] : known_)
    if (known.list != list_) absent.push_back(key);
  for (const std::string& key : absent) {
    known_.erase(key);
    handlers_.gone(key);
    if (round != round_) return;
  }
  ++facts_.lists;
  facts_.last_error.clear();
  watch_failures_ = 0;
  synced_ = true;
  whole_ = true;
  handlers_.synced();
  if (round != round_) return;
  // A watch that fails again and again must not list each time at once.
  if (backoff_.failures() == 0) return watch();
  next_ = &Reflector::watch;
  retry_.after(limits_.backoff_least);
}

void Reflector::watch() {
  int64_t seconds = limits_.watch_time.count();

  seconds += backoff_.jittered({}, std::chrono::milliseconds(seconds / 10)).count();

  std::string more =
      fmt::format("watch=1&allowWatchBookmarks=true&timeoutSeconds={}&resourceVersion={}",
                  seconds, escaped(version_));

  line_.clear();
  said_something_ = false;
  opened_ = {};
  call_ = client_.stream(
      {.path = address(more), .accept = accept_of(selection_, "PartialObjectMetadata")},
      {.on_open =
           [this] {
             ++facts_.watches;
             opened_ = Clock::now();
             hear();
           },
       .on_chunk = [this](std::string_view chunk) { take_chunk(chunk); },
       .idle_limit = std::chrono::seconds(seconds) + limits_.idle_grace},
      [this](const ApiReply& reply) { take_end(reply); });
}

void Reflector::take_chunk(std::string_view chunk) {
  uint64_t round = round_;

  facts_.bytes += chunk.size();
  while (!chunk.empty()) {
    size_t end = chunk.find('\n');
    std::string_view part = chunk.substr(0, end);

    if (line_.size() + part.size() > limits_.event_bytes) {
      cut_watch("too_large", fmt::format("watch {}: an event is larger than {} bytes",
                                         selection_.path, limits_.event_bytes));
      return try_again(&Reflector::list_from_start, {});
    }
    line_ += part;
    if (end == std::string_view::npos) break;
    chunk.remove_prefix(end + 1);

    std::string line = std::exchange(line_, {});

    unfinished_.cancel();
    if (!take_line(line) || round != round_) return;
  }
  if (!line_.empty() && !unfinished_.is_set()) unfinished_.after(limits_.event_deadline);
}

// Whether the watch goes on.
bool Reflector::take_line(std::string_view line) {
  if (line.find_first_not_of(" \t\r") == std::string_view::npos) return true;

  json event = json::parse(line, nullptr, false);
  const std::string& type = text_at(event, {"type"});
  const json* object = find(event, {"object"});
  Line taken = object && object->is_object() ? take_event(type, *object) : Line::kGarbage;

  if (taken == Line::kGarbage) {
    cut_watch("garbage", fmt::format("watch {}: a line is no event", selection_.path));
    try_again(&Reflector::list_from_start, {});
  }
  return taken == Line::kTaken;
}

Reflector::Line Reflector::take_event(const std::string& type, const json& object) {
  if (type == "ERROR") {
    take_error(object);
    return Line::kEnded;
  }

  Known told{text_at(object, {"metadata", "uid"}),
             text_at(object, {"metadata", "resourceVersion"}), list_};

  if (told.version.empty()) return Line::kGarbage;
  if (!is_older(told.version, version_)) version_ = told.version;
  hear();
  facts_.last_error.clear();
  said_something_ = true;
  expired_before_ = false;
  watch_failures_ = 0;
  if (type == "BOOKMARK") return Line::kTaken;

  std::string key = key_of(object);

  if (key.empty()) return Line::kGarbage;
  ++facts_.events;
  if (type == "DELETED")
    take_delete(key, told);
  else if (type == "ADDED" || type == "MODIFIED")
    take_change(object, std::move(key), told);
  else
    return Line::kGarbage;
  return Line::kTaken;
}

void Reflector::take_change(const json& object, std::string key, const Known& told) {
  auto at = known_.find(key);
  bool known = at != known_.end() &&
               (is_older(told.version, at->second.version) ||
                (at->second.uid == told.uid && at->second.version == told.version));
  bool deleted = std::any_of(deleted_.begin(), deleted_.end(), [&](const Known& one) {
    return one.uid == told.uid && is_older(told.version, one.version);
  });

  if (known || deleted) {
    ++facts_.repeated;
    return;
  }
  known_[std::move(key)] = told;
  handlers_.put(object);
}

// What leaves the selection is "deleted" as well, and may come back with a later version.
void Reflector::take_delete(const std::string& key, const Known& told) {
  auto at = known_.find(key);

  deleted_.push_back(told);
  if (deleted_.size() > kDeletedKept) deleted_.pop_front();
  if (at == known_.end() || at->second.uid != told.uid ||
      is_older(told.version, at->second.version)) {
    ++facts_.repeated;
    return;
  }
  known_.erase(at);
  handlers_.gone(key);
}

void Reflector::take_error(const json& status) {
  ApiReply reply{.status = static_cast<int>(number_at(status, {"code"}, 500)),
                 .body = status.dump()};
  bool expired = reply.status == 410;

  call_ = {};
  line_.clear();
  fail(reply);
  if (expired && !std::exchange(expired_before_, true)) return list_from_start();
  try_again(expired ? &Reflector::list_from_start : &Reflector::watch, {});
}

void Reflector::take_end(const ApiReply& reply) {
  bool lived = opened_ != Clock::time_point{} && Clock::now() - opened_ >= limits_.steady;
  bool half_a_line = !line_.empty();

  call_ = {};
  line_.clear();
  unfinished_.cancel();
  if (lived) backoff_.reset();
  if (reply.ok() && !half_a_line) {
    // Its time is over. A server that ends it at once has something the matter with it.
    if (lived || said_something_) {
      next_ = &Reflector::watch;
      retry_.after(backoff_.jittered({}, limits_.backoff_least));
      return;
    }
    note_error("connection",
               fmt::format("watch {}: the server ended it at once", selection_.path));
    return try_again(&Reflector::watch, {});
  }
  if (reply.ok()) {
    note_error("garbage", fmt::format("watch {}: it ended within an event", selection_.path));
    return try_again(&Reflector::list_from_start, {});
  }

  bool expired = reply.status == 410 && reply.failure == ApiReply::Failure::kNone;
  bool answered = reply.status >= 400 && reply.status != 429;

  fail(reply);
  if (expired && !std::exchange(expired_before_, true)) return list_from_start();
  watch_failures_ = answered ? watch_failures_ + 1 : 0;
  // A version that the server does not know (it came from a backup) is refused for ever.
  try_again(expired || watch_failures_ >= kWatchFailuresUntilList ? &Reflector::list_from_start
                                                                  : &Reflector::watch,
            reply.retry_after);
}

void Reflector::note_error(std::string_view kind, std::string words) {
  ++facts_.errors[kind];
  facts_.last_error = std::move(words);
}

void Reflector::cut_watch(std::string_view kind, std::string words) {
  call_ = {};
  line_.clear();
  unfinished_.cancel();
  note_error(kind, std::move(words));
}

void Reflector::fail(const ApiReply& reply) {
  note_error(kind_of(reply), fmt::format("{}: {}", selection_.path, reply.problem()));
}

void Reflector::try_again(void (Reflector::*what)(),
                          std::optional<std::chrono::seconds> asked_for) {
  if (what == &Reflector::list_from_start) whole_ = false;
  next_ = what;
  retry_.after(backoff_.next(asked_for));
}

}  // namespace partywall::kubernetes

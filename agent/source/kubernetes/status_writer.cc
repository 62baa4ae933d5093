// agent/source/kubernetes/status_writer.cc: merge patches of the subresource status.
#include "agent/source/kubernetes/status_writer.h"

#include <algorithm>

#include "agent/source/kubernetes/conditions.h"
#include "agent/source/kubernetes/json_fields.h"
#include "agent/source/kubernetes/names.h"

namespace partywall::kubernetes {

using nlohmann::json;

namespace {

// Whether two statuses tell an operator the same, but for numbers and words about them.
bool means_the_same(const json& one, const json& other) {
  for (const char* field : {"observedGeneration", "lagging"}) {
    const json* here = find(one, {field});
    const json* there = find(other, {field});

    if (!here != !there || (here && *here != *there)) return false;
  }

  std::set<std::string> told[2];

  for (const json* status : {&one, &other})
    if (const json* conditions = find(*status, {"conditions"}))
      for (const json& condition : *conditions)
        told[status == &other].insert(fmt::format(
            "{} {} {} {}", text_at(condition, {"type"}), text_at(condition, {"status"}),
            text_at(condition, {"reason"}), number_at(condition, {"observedGeneration"})));
  return told[0] == told[1];
}

}  // namespace

StatusWriter::StatusWriter(ApiClient& client, std::string resource, WriteLimits limits,
                           NumberLimits numbers)
    : client_(client),
      resource_(std::move(resource)),
      queue_(client.loop(), limits, [this](const std::string& name) { return step(name); }),
      limits_(numbers),
      may_write_(numbers.at_once),
      counted_(std::chrono::steady_clock::now()) {}

void StatusWriter::see(const json& object) {
  Status& status = statuses_[key_of(object)];
  const std::string& version = text_at(object, {"metadata", "resourceVersion"});

  // What was seen before our last writing says nothing new.
  if (version == status.version) return;

  const json* there = find(object, {"status"});

  status.there = there ? *there : json::object();
  status.version = version;
  status.written = nullptr;
}

void StatusWriter::forget(const std::string& name) {
  statuses_.erase(name);
  numbers_.erase(name);
  queue_.forget(name);
}

bool StatusWriter::write(std::map<std::string, json> statuses) {
  for (auto& [name, wanted] : statuses) {
    auto found = statuses_.find(name);

    if (found == statuses_.end()) continue;

    Status& status = found->second;

    numbers_.erase(name);
    status.wanted = nullptr;
    if (!status.is_under_way && agrees(status, wanted)) continue;
    status.wanted = std::move(wanted);
    if (means_the_same(status.wanted, status.there))
      numbers_.insert(name);
    else
      queue_.touch(name);
  }
  return write_numbers();
}

// In turn, so that everybody's are written some time.
bool StatusWriter::write_numbers() {
  auto now = std::chrono::steady_clock::now();

  may_write_ += std::chrono::duration<double>(now - counted_).count() * limits_.per_second;
  may_write_ = std::min(may_write_, limits_.at_once);
  counted_ = now;
  for (; !numbers_.empty() && may_write_ >= 1; --may_write_) {
    auto next = numbers_.upper_bound(turn_);

    if (next == numbers_.end()) next = numbers_.begin();
    turn_ = *next;
    queue_.touch(turn_);
    numbers_.erase(next);
  }
  return !numbers_.empty();
}

// A server without one of the fields drops it: what was written for this is as good as this.
bool StatusWriter::agrees(const Status& status, const json& wanted) {
  return status.written == wanted || with_times(wanted, status.there, {}) == status.there;
}

std::optional<ApiCall> StatusWriter::step(const std::string& name) {
  auto found = statuses_.find(name);

  if (found == statuses_.end() || found->second.wanted.is_null()) return {};

  const json& wanted = found->second.wanted;

  found->second.is_under_way = true;

  json body{
      {"status", with_times(wanted, found->second.there, std::chrono::system_clock::now())}};

  return client_.request(
      {.method = "PATCH",
       .path = fmt::format("{}/{}/{}/status", kApiPath, resource_, name),
       .content_type = "application/merge-patch+json",
       .body = body.dump()},
      [this, name, wanted](const ApiReply& reply) { take(name, wanted, reply); });
}

void StatusWriter::take(const std::string& name, const json& wanted, const ApiReply& reply) {
  auto found = statuses_.find(name);
  json object = reply.ok() ? json::parse(reply.body, nullptr, false) : json();

  if (found != statuses_.end()) found->second.is_under_way = false;
  if (reply.status == 404 && reply.failure == ApiReply::Failure::kNone) {
    queue_.forget(name);
    return;
  }
  if (key_of(object) != name) return queue_.done(name, WriteQueue::Outcome::kFailed, reply);
  queue_.done(name, WriteQueue::Outcome::kDone, reply);
  if (found == statuses_.end()) return;

  Status& status = found->second;
  const json* there = find(object, {"status"});

  // The object that was written will be seen with this version.
  status.version = text_at(object, {"metadata", "resourceVersion"});
  status.there = there ? *there : json::object();
  status.written = nullptr;
  if (!agrees(status, wanted)) status.written = wanted;
  if (agrees(status, status.wanted)) status.wanted = nullptr;
  if (!status.wanted.is_null()) queue_.touch(name);
}

}  // namespace partywall::kubernetes

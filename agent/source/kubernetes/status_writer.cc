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
      numbers_(numbers),
      may_write_(numbers.at_once),
      counted_(std::chrono::steady_clock::now()) {}

bool StatusWriter::write(std::map<std::string, json> statuses,
                         const std::map<std::string, json>& objects) {
  for (auto at = statuses_.begin(); at != statuses_.end();) {
    bool wanted = statuses.count(at->first) && objects.count(at->first);

    if (!wanted) queue_.forget(at->first);
    at = wanted ? std::next(at) : statuses_.erase(at);
  }

  std::set<std::string> numbers;

  for (auto& [name, wanted] : statuses) {
    auto object = objects.find(name);

    if (object == objects.end()) continue;

    Status& status = statuses_[name];
    const std::string& version = text_at(object->second, {"metadata", "resourceVersion"});

    status.wanted = std::move(wanted);
    // What was seen before our last writing says nothing new.
    if (version != status.version) {
      const json* there = find(object->second, {"status"});

      status.version = version;
      status.written = nullptr;
      status.there = there ? *there : json::object();
    }
    if (agrees(status)) continue;
    if (means_the_same(status.wanted, status.there))
      numbers.insert(name);
    else
      queue_.touch(name);
  }
  return write_numbers(numbers);
}

// In turn, so that everybody's are written some time.
bool StatusWriter::write_numbers(const std::set<std::string>& names) {
  auto now = std::chrono::steady_clock::now();
  auto next = names.upper_bound(turn_);
  size_t left = names.size();

  may_write_ += std::chrono::duration<double>(now - counted_).count() * numbers_.per_second;
  may_write_ = std::min(may_write_, numbers_.at_once);
  counted_ = now;
  for (; left > 0 && may_write_ >= 1; --left, --may_write_) {
    if (next == names.end()) next = names.begin();
    turn_ = *next++;
    queue_.touch(turn_);
  }
  return left > 0;
}

void StatusWriter::stop() {
  queue_.clear();
  statuses_.clear();
}

// A server without one of the fields drops it: what was written for this is as good as this.
bool StatusWriter::agrees(const Status& status) const {
  return status.written == status.wanted ||
         with_times(status.wanted, status.there, {}) == status.there;
}

std::optional<ApiCall> StatusWriter::step(const std::string& name) {
  auto found = statuses_.find(name);

  if (found == statuses_.end() || agrees(found->second)) return {};

  json wanted = found->second.wanted;
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
  status.written = wanted;
  if (!agrees(status)) queue_.touch(name);
}

}  // namespace partywall::kubernetes

// agent/source/kubernetes/status_writer.cc: merge patches of the subresource status.
#include "agent/source/kubernetes/status_writer.h"

#include "agent/source/kubernetes/conditions.h"
#include "agent/source/kubernetes/json_fields.h"
#include "agent/source/kubernetes/names.h"

namespace partywall::kubernetes {

using nlohmann::json;

StatusWriter::StatusWriter(ApiClient& client, std::string resource, WriteLimits limits)
    : client_(client),
      resource_(std::move(resource)),
      queue_(client.loop(), limits, [this](const std::string& name) { return step(name); }) {}

void StatusWriter::write(std::map<std::string, json> statuses,
                         const std::map<std::string, json>& objects) {
  for (auto at = statuses_.begin(); at != statuses_.end();) {
    bool wanted = statuses.count(at->first) && objects.count(at->first);

    if (!wanted) queue_.forget(at->first);
    at = wanted ? std::next(at) : statuses_.erase(at);
  }
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
    if (!agrees(status)) queue_.touch(name);
  }
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

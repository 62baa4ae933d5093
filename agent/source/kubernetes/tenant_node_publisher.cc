// agent/source/kubernetes/tenant_node_publisher.cc: what is wanted, what is there, and the call
// in between.
#include "agent/source/kubernetes/tenant_node_publisher.h"

#include "agent/source/kubernetes/conditions.h"
#include "agent/source/kubernetes/json_fields.h"
#include "agent/source/kubernetes/names.h"

namespace partywall::kubernetes {
namespace {

using nlohmann::json;

// What of the object is ours to say.
json said_of(json object) {
  json metadata{{"name", text_at(object, {"metadata", "name"})}};

  for (const char* name : {"labels", "ownerReferences"})
    if (const json* value = find(object, {"metadata", name})) metadata[name] = *value;
  object["metadata"] = metadata;
  object.erase("apiVersion");
  object.erase("kind");
  return object;
}

}  // namespace

TenantNodePublisher::TenantNodePublisher(ApiClient& client, Node node, WriteLimits limits,
                                         std::chrono::milliseconds list_again)
    : client_(client),
      node_(std::move(node)),
      label_(node_label(node_.name)),
      list_again_(list_again),
      queue_(client.loop(), limits, [this](const std::string& name) { return step(name); }),
      backoff_(limits.backoff_least, limits.backoff_most),
      again_(client.loop().base(), [this] { list(); }) {
  list();
}

void TenantNodePublisher::list() {
  std::string path = fmt::format(
      "{}/tenantnodes?labelSelector=partywall.dev%2Fnode%3D{}&limit=500", kApiPath, label_);

  if (!continue_.empty()) path += "&continue=" + continue_;
  call_ = client_.request({.path = path}, [this](const ApiReply& reply) { take_list(reply); });
}

void TenantNodePublisher::take_list(const ApiReply& reply) {
  json page = reply.ok() ? json::parse(reply.body, nullptr, false) : json();
  const json* items = find(page, {"items"});

  call_ = {};
  if (!items || !(items->is_array() || items->is_null())) {
    listing_.clear();
    continue_.clear();
    return again_.after(backoff_.next(reply.retry_after));
  }
  for (const json& item : *items)
    if (std::string name = key_of(item); !name.empty()) listing_[name] = item;
  continue_ = text_at(page, {"metadata", "continue"});
  if (!continue_.empty()) return list();
  backoff_.reset();
  listed_ = true;
  again_.after(backoff_.jittered(list_again_, list_again_ + list_again_ / 4));

  std::map<std::string, There> there;

  for (auto& [name, object] : listing_) {
    auto before = there_.find(name);
    bool same = before != there_.end() &&
                text_at(before->second.object, {"metadata", "resourceVersion"}) ==
                    text_at(object, {"metadata", "resourceVersion"});

    there[name] = {std::move(object), same ? std::move(before->second.wanted) : json()};
  }
  listing_.clear();
  there_ = std::move(there);
  touch_what_differs();
}

void TenantNodePublisher::touch_what_differs() {
  if (!listed_ || !wanted_) return;
  for (const auto& [name, object] : *wanted_)
    if (!agrees(name)) queue_.touch(name);
  for (const auto& [name, object] : there_)
    if (!agrees(name)) queue_.touch(name);
}

void TenantNodePublisher::publish(std::map<std::string, json> tenants) {
  Objects wanted;

  for (auto& [tenant, fields] : tenants) {
    json object = std::move(fields);
    std::string name = tenant_node_name(tenant, node_.name);

    object["tenant"] = tenant;
    object["node"] = node_.name;
    object["metadata"] = {
        {"name", name},
        {"labels", {{kTenantLabel, tenant}, {kNodeLabel, label_}}},
        {"ownerReferences",
         {{{"apiVersion", "v1"}, {"kind", "Node"}, {"name", node_.name}, {"uid", node_.uid}}}}};
    wanted[name] = std::move(object);
  }
  wanted_ = std::move(wanted);
  touch_what_differs();
}

bool TenantNodePublisher::agrees(const std::string& name) const {
  if (!wanted_) return true;

  auto wanted = wanted_->find(name);
  auto there = there_.find(name);

  if (wanted == wanted_->end() || there == there_.end())
    return wanted == wanted_->end() && there == there_.end();
  // A server without one of the fields drops it: what was written for this is as good as this.
  return there->second.wanted == wanted->second ||
         said_of(there->second.object) == with_times(wanted->second, there->second.object, {});
}

std::optional<ApiCall> TenantNodePublisher::step(const std::string& name) {
  if (unsure_.count(name)) return read(name);
  if (!listed_ || agrees(name)) return {};

  auto wanted = wanted_->find(name);
  auto there = there_.find(name);

  if (wanted == wanted_->end()) {
    json options{
        {"preconditions", {{"uid", text_at(there->second.object, {"metadata", "uid"})}}}};

    return write(name, "DELETE", options);
  }

  bool exists = there != there_.end();
  json object = with_times(wanted->second, exists ? there->second.object : json(),
                           std::chrono::system_clock::now());

  object["apiVersion"] = kApiVersion;
  object["kind"] = "TenantNode";
  if (exists)
    object["metadata"]["resourceVersion"] =
        text_at(there->second.object, {"metadata", "resourceVersion"});
  sent_[name] = wanted->second;
  return write(name, exists ? "PUT" : "POST", object);
}

ApiCall TenantNodePublisher::write(const std::string& name, const std::string& method,
                                   const json& body) {
  std::string path = fmt::format("{}/tenantnodes", kApiPath);

  if (method != "POST") path += "/" + name;
  return client_.request(
      {.method = method, .path = path, .content_type = "application/json", .body = body.dump()},
      [this, name, method](const ApiReply& reply) { take_write(name, method, reply); });
}

void TenantNodePublisher::take_write(const std::string& name, const std::string& method,
                                     const ApiReply& reply) {
  using Outcome = WriteQueue::Outcome;

  if (reply.ok() && method != "DELETE") {
    json object = json::parse(reply.body, nullptr, false);

    if (key_of(object) != name) {
      unsure_.insert(name);
      return queue_.done(name, Outcome::kAgain, reply);
    }
    there_[name] = {std::move(object), std::move(sent_[name])};
  } else if (reply.ok() || (reply.status == 404 && method != "POST")) {
    there_.erase(name);
  } else {
    // Somebody else has written it, or the answer to our writing was lost.
    if (reply.status == 409 || reply.status == 0 || reply.failure != ApiReply::Failure::kNone)
      unsure_.insert(name);
    return queue_.done(name, reply.status == 409 ? Outcome::kAgain : Outcome::kFailed, reply);
  }
  sent_.erase(name);
  queue_.done(name, Outcome::kDone, reply);
  // It may be wanted otherwise by now.
  if (!agrees(name))
    queue_.touch(name);
  else if (method == "DELETE")
    queue_.forget(name);
}

ApiCall TenantNodePublisher::read(const std::string& name) {
  return client_.request({.path = fmt::format("{}/tenantnodes/{}", kApiPath, name)},
                         [this, name](const ApiReply& reply) { take_read(name, reply); });
}

void TenantNodePublisher::take_read(const std::string& name, const ApiReply& reply) {
  json object = reply.ok() ? json::parse(reply.body, nullptr, false) : json();

  if (reply.status == 404 && reply.failure == ApiReply::Failure::kNone)
    there_.erase(name);
  else if (key_of(object) == name)
    there_[name] = {std::move(object), json()};
  else
    return queue_.done(name, WriteQueue::Outcome::kFailed, reply);
  unsure_.erase(name);
  queue_.done(name, WriteQueue::Outcome::kAgain, reply);
}

}  // namespace partywall::kubernetes

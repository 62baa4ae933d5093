// tests/unit/fake_objects.h: a small API server that keeps objects, with versions and
// conflicts, for tests of what writes them.
#ifndef PARTYWALL_TESTS_UNIT_FAKE_OBJECTS_H
#define PARTYWALL_TESTS_UNIT_FAKE_OBJECTS_H

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "agent/source/kubernetes/json_fields.h"
#include "tests/unit/fake_api.h"

namespace partywall::test {

class FakeObjects {
 public:
  using Json = nlohmann::json;

  // `collection`: "/apis/partywall.dev/v1alpha1/tenantnodes"
  FakeObjects(observe::Loop& loop, std::string collection)
      : collection_(std::move(collection)),
        server_(loop, [this](const FakeApi::Request& request) { answer(request); }) {}

  std::string url() const { return server_.url(); }
  // The object as if somebody had just written it.
  void put(const std::string& name, Json object) {
    object["metadata"]["name"] = name;
    object["metadata"]["resourceVersion"] = std::to_string(++version_);
    if (!object["metadata"].contains("uid"))
      object["metadata"]["uid"] = "uid-" + std::to_string(version_);
    objects[name] = std::move(object);
  }
  size_t count(const std::string& method) const {
    size_t number = 0;

    for (const FakeApi::Request& one : server_.requests) number += one.method == method;
    return number;
  }
  const std::vector<FakeApi::Request>& requests() const { return server_.requests; }
  void stop() { server_.stop(); }

  std::map<std::string, Json> objects;
  // Asked first; when it returns true, it has answered, or never will.
  std::function<bool(const FakeApi::Request&)> instead = [](const auto&) { return false; };

 private:
  void answer(const FakeApi::Request& request) {
    if (instead(request)) return;

    std::string path = request.target.substr(0, request.target.find('?'));

    ASSERT_TRUE(path.starts_with(collection_)) << path;

    std::string name = path.substr(std::min(path.size(), collection_.size() + 1));
    bool is_status = name.ends_with("/status");

    if (is_status) name.resize(name.size() - 7);

    Json sent = request.body.empty() ? Json() : Json::parse(request.body);

    if (request.method == "POST") name = kubernetes::text_at(sent, {"metadata", "name"});

    auto found = objects.find(name);
    bool there = found != objects.end();

    if (request.method == "GET" && name.empty()) return list(request);
    if (request.method == "POST") {
      if (there) return refuse(request, 409);
      put(name, sent);
      return request.from->reply(201, objects[name].dump());
    }
    if (!there) return refuse(request, 404);

    Json& object = found->second;

    if (request.method == "PUT") {
      if (sent["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"])
        return refuse(request, 409);
      sent["metadata"]["uid"] = object["metadata"]["uid"];
      put(name, sent);
    } else if (request.method == "PATCH") {
      Json changed = object;

      changed.merge_patch(is_status ? Json{{"status", sent["status"]}} : sent);
      put(name, changed);
    } else if (request.method == "DELETE") {
      if (sent["preconditions"]["uid"] != object["metadata"]["uid"])
        return refuse(request, 409);
      objects.erase(found);
      return request.from->reply(200, "{}");
    }
    request.from->reply(200, objects[name].dump());
  }
  void list(const FakeApi::Request& request) {
    Json items = Json::array();

    for (const auto& [name, object] : objects) items.push_back(object);
    request.from->reply(200, Json{{"metadata", {{"resourceVersion", std::to_string(version_)}}},
                                  {"items", items}}
                                 .dump());
  }
  static void refuse(const FakeApi::Request& request, int status) {
    request.from->reply(status, Json{{"kind", "Status"}, {"message", "refused"}}.dump());
  }

  std::string collection_;
  FakeApi server_;
  int version_ = 100;
};

}  // namespace partywall::test

#endif

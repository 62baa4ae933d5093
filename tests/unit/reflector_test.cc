// tests/unit/reflector_test.cc: lists and watches against a server that answers as the test
// says, every fault beside its positive control.
#include "agent/source/kubernetes/reflector.h"

#include <gmock/gmock.h>

#include <map>
#include <set>

#include "agent/source/kubernetes/json_fields.h"
#include "tests/unit/fake_api.h"
#include "tests/unit/loop_client.h"

namespace partywall::kubernetes {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using test::FakeApi;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using Objects = std::map<std::string, std::string>;  // key -> version

json object(const std::string& name, const std::string& version, const std::string& uid = "") {
  return {{"metadata",
           {{"name", name},
            {"namespace", "ns"},
            {"uid", uid.empty() ? "uid-" + name : uid},
            {"resourceVersion", version}}}};
}

std::string page(std::vector<json> items, const std::string& version,
                 const std::string& next = "") {
  return json{{"metadata", {{"resourceVersion", version}, {"continue", next}}},
              {"items", std::move(items)}}
      .dump();
}

std::string event(const std::string& type, const json& object) {
  return json{{"type", type}, {"object", object}}.dump() + "\n";
}

std::string status(int code) {
  return json{{"kind", "Status"}, {"code", code}, {"message", "as the test says"}}.dump();
}

class ReflectorTest : public test::LoopTest {
 protected:
  ReflectorTest() {
    auto made = ApiClient::make(*loop_, {.server = server_.url()});

    EXPECT_TRUE(made);
    client_ = std::move(*made);
    limits_.backoff_least = 5ms;
    limits_.backoff_most = 20ms;
    limits_.steady = 10s;
  }

  void start(Selection selection = {.path = "/api/v1/pods"}) {
    reflector_ = std::make_unique<Reflector>(
        *client_, std::move(selection),
        Reflector::Handlers{
            .put =
                [this](const json& one) {
                  objects_[key_of(one)] = text_at(one, {"metadata", "resourceVersion"});
                  log_.push_back("put " + key_of(one));
                },
            .gone =
                [this](const std::string& key) {
                  EXPECT_EQ(1u, objects_.erase(key)) << key;
                  log_.push_back("gone " + key);
                },
            .synced = [this] { log_.emplace_back("synced"); }},
        limits_);
  }
  // The next request that was not looked at yet, once it is there.
  FakeApi::Request& next() {
    EXPECT_TRUE(serve_until([&] { return server_.requests.size() > seen_; })) << "no request";
    return server_.requests.at(seen_++);
  }
  FakeApi::Request& next_list() {
    FakeApi::Request& request = next();

    EXPECT_FALSE(request.has("watch=1")) << request.target;
    return request;
  }
  FakeApi::Request& next_watch() {
    FakeApi::Request& request = next();

    EXPECT_TRUE(request.has("watch=1")) << request.target;
    return request;
  }
  // A list of a (version 1) and b (version 2), of version 10, and an open watch.
  FakeApi::Connection& open_watch() {
    start();
    next_list().from->reply(200, page({object("a", "1"), object("b", "2")}, "10"));

    FakeApi::Connection& stream = *next_watch().from;

    stream.open_stream();
    EXPECT_TRUE(serve_until([&] { return reflector_->facts().watches == 1; }));
    log_.clear();
    return stream;
  }
  void expect(const Objects& objects) {
    EXPECT_TRUE(serve_until([&] { return objects_ == objects; }))
        << testing::PrintToString(objects_);
  }
  uint64_t errors(std::string_view kind) const {
    auto found = reflector_->facts().errors.find(kind);

    return found == reflector_->facts().errors.end() ? 0 : found->second;
  }

  FakeApi server_{*loop_};
  std::unique_ptr<ApiClient> client_;
  ReflectorLimits limits_;
  Objects objects_;
  std::vector<std::string> log_;
  size_t seen_ = 0;
  std::unique_ptr<Reflector> reflector_;
};

TEST_F(ReflectorTest, ListsThenWatches) {
  start({.path = "/api/v1/pods", .labels = "a in (b,c)", .fields = "spec.nodeName=n1"});

  FakeApi::Request list = next_list();

  EXPECT_EQ(
      "/api/v1/"
      "pods?resourceVersion=0&resourceVersionMatch=NotOlderThan&labelSelector=a%20in%20%28b%"
      "2Cc%29"
      "&fieldSelector=spec.nodeName%3Dn1",
      list.target);
  EXPECT_FALSE(reflector_->synced());
  EXPECT_TRUE(reflector_->stale());
  list.from->reply(200, page({object("a", "1")}, "10"));

  FakeApi::Request watch = next_watch();

  EXPECT_TRUE(watch.has("&allowWatchBookmarks=true&timeoutSeconds="));
  EXPECT_TRUE(watch.has("&resourceVersion=10&labelSelector=a%20in"));
  EXPECT_TRUE(reflector_->synced());
  EXPECT_FALSE(reflector_->stale());
  EXPECT_THAT(log_, ElementsAre("put ns/a", "synced"));
  watch.from->open_stream();
  watch.from->piece(event("ADDED", object("b", "11")));
  expect({{"ns/a", "1"}, {"ns/b", "11"}});
  watch.from->piece(event("MODIFIED", object("a", "12")) + event("DELETED", object("b", "13")));
  expect({{"ns/a", "12"}});
  EXPECT_EQ(3u, reflector_->facts().events);
  EXPECT_EQ(1u, reflector_->objects());
}

TEST_F(ReflectorTest, AsksForMetadataOnly) {
  start({.path = "/api/v1/namespaces", .metadata_only = true});

  FakeApi::Request& list = next_list();

  EXPECT_EQ("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            list.header("Accept"));
  list.from->reply(200, page({}, "10"));
  EXPECT_EQ("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            next_watch().header("Accept"));
}

TEST_F(ReflectorTest, ReadsPageByPage) {
  limits_.page_objects = 2;
  start();

  FakeApi::Request first = next_list();

  EXPECT_TRUE(first.has("limit=2")) << first.target;
  first.from->reply(200, page({object("a", "1"), object("b", "2")}, "10", "more=="));

  FakeApi::Request second = next_list();

  EXPECT_TRUE(second.has("&continue=more%3D%3D")) << second.target;
  EXPECT_FALSE(reflector_->synced());
  EXPECT_THAT(log_, ElementsAre("put ns/a", "put ns/b"));
  second.from->reply(200, page({object("c", "3")}, "10"));
  EXPECT_TRUE(next_watch().has("resourceVersion=10"));
  EXPECT_THAT(log_, ElementsAre("put ns/a", "put ns/b", "put ns/c", "synced"));
  EXPECT_EQ(1u, reflector_->facts().lists);
}

TEST_F(ReflectorTest, APageThatFailsIsAskedForAgain) {
  start();
  next_list().from->reply(200, page({object("a", "1")}, "10", "more"));
  next_list().from->reply(500, status(500));

  FakeApi::Request again = next_list();

  EXPECT_TRUE(again.has("continue=more"));
  EXPECT_EQ(1u, errors("status"));
  EXPECT_THAT(reflector_->facts().last_error, HasSubstr("HTTP 500: as the test says"));
  again.from->send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{");
  again.from->close_after_sending();
  EXPECT_TRUE(next_list().has("continue=more"));
  EXPECT_EQ(1u, errors("connection"));
}

TEST_F(ReflectorTest, AListThatExpiresBeginsAnewAndDeletesNothing) {
  FakeApi::Connection& stream = open_watch();

  stream.piece(event("ERROR", json::parse(status(410))));
  // a is still there, b is on the page that never came.
  next_list().from->reply(200, page({object("a", "1")}, "20", "more"));
  next_list().from->reply(410, status(410));

  FakeApi::Request anew = next_list();

  EXPECT_FALSE(anew.has("continue="));
  EXPECT_EQ((Objects{{"ns/a", "1"}, {"ns/b", "2"}}), objects_);
  anew.from->reply(200, page({object("a", "1")}, "21", "more"));

  FakeApi::Request last = next_list();

  EXPECT_EQ((Objects{{"ns/a", "1"}, {"ns/b", "2"}}), objects_) << "the list is not whole yet";
  EXPECT_THAT(log_, ElementsAre());
  last.from->reply(200, page({object("c", "3")}, "21"));
  EXPECT_TRUE(next_watch().has("resourceVersion=21"));
  EXPECT_THAT(log_, ElementsAre("put ns/c", "gone ns/b", "synced"));
}

TEST_F(ReflectorTest, AWatchThatIsOverGoesOnWhereItWas) {
  FakeApi::Connection& stream = open_watch();

  stream.piece(event("MODIFIED", object("a", "11")));
  expect({{"ns/a", "11"}, {"ns/b", "2"}});
  stream.end_stream();
  EXPECT_TRUE(next_watch().has("resourceVersion=11"));
  EXPECT_TRUE(reflector_->facts().errors.empty());
  EXPECT_EQ(1u, reflector_->facts().lists);
}

TEST_F(ReflectorTest, ABookmarkIsWhereItGoesOn) {
  FakeApi::Connection& stream = open_watch();

  stream.piece(event("BOOKMARK", {{"metadata", {{"resourceVersion", "50"}}}}));
  stream.end_stream();
  EXPECT_TRUE(next_watch().has("resourceVersion=50"));
  EXPECT_THAT(log_, ElementsAre());
  EXPECT_EQ(0u, reflector_->facts().events);
}

TEST_F(ReflectorTest, AWatchThatIsCutGoesOnWhereItWas) {
  FakeApi::Connection& stream = open_watch();

  stream.piece(event("ADDED", object("c", "12")));
  expect({{"ns/a", "1"}, {"ns/b", "2"}, {"ns/c", "12"}});
  stream.cut();
  EXPECT_TRUE(next_watch().has("resourceVersion=12"));
  EXPECT_EQ(1u, errors("connection"));
  EXPECT_EQ(3u, objects_.size());
}

TEST_F(ReflectorTest, AWatchThatExpiredListsAnew) {
  for (bool in_stream : {true, false}) {
    objects_.clear();
    FakeApi::Connection& stream = open_watch();

    if (in_stream) {
      stream.piece(event("ERROR", json::parse(status(410))));
    } else {
      stream.cut();
      next_watch().from->reply(410, status(410));
    }
    next_list().from->reply(200, page({object("b", "2"), object("c", "15")}, "20"));
    EXPECT_TRUE(next_watch().has("resourceVersion=20"));
    EXPECT_THAT(log_, ElementsAre("put ns/c", "gone ns/a", "synced"));
    EXPECT_EQ(1u, errors("expired"));
    reflector_.reset();
  }
}

TEST_F(ReflectorTest, AnotherErrorOfAWatchIsWaitedOut) {
  FakeApi::Connection& stream = open_watch();

  stream.piece(event("ERROR", json::parse(status(500))));
  EXPECT_TRUE(next_watch().has("resourceVersion=10"));
  EXPECT_EQ(1u, errors("status"));
  EXPECT_EQ(2u, objects_.size());
}

TEST_F(ReflectorTest, AVersionThatIsRefusedAgainAndAgainIsGivenUp) {
  open_watch().cut();
  for (int i = 0; i < 5; ++i) next_watch().from->reply(504, status(504));
  next_list().from->reply(200, page({object("a", "1")}, "3"));
  EXPECT_TRUE(next_watch().has("resourceVersion=3"));
  EXPECT_EQ((Objects{{"ns/a", "1"}}), objects_);
}

TEST_F(ReflectorTest, AnEventMayComeInManyPieces) {
  FakeApi::Connection& stream = open_watch();
  std::string text = event("ADDED", object("c", "12")) + event("DELETED", object("a", "13"));

  for (char one : text) {
    stream.piece(std::string(1, one));
    event_base_loop(loop_->base(), EVLOOP_ONCE);
  }
  expect({{"ns/b", "2"}, {"ns/c", "12"}});
  EXPECT_TRUE(reflector_->facts().errors.empty());
}

TEST_F(ReflectorTest, AnEventThatDoesNotEndIsCut) {
  limits_.event_deadline = 50ms;

  FakeApi::Connection& stream = open_watch();
  std::string text = event("ADDED", object("c", "12"));

  stream.piece(text.substr(0, 20));
  EXPECT_TRUE(next_watch().has("resourceVersion=10"));
  EXPECT_EQ(1u, errors("timeout"));
  EXPECT_EQ(2u, objects_.size());
}

TEST_F(ReflectorTest, ASilentWatchIsCutAndGoesOn) {
  limits_.watch_time = 0s;
  limits_.idle_grace = 100ms;

  FakeApi::Connection& stream = open_watch();

  stream.piece(event("ADDED", object("c", "12")));
  EXPECT_TRUE(next_watch().has("resourceVersion=12"));
  EXPECT_EQ(1u, errors("timeout"));
  EXPECT_EQ(3u, objects_.size());
}

TEST_F(ReflectorTest, RepeatedAndReorderedEventsChangeNothing) {
  FakeApi::Connection& stream = open_watch();

  stream.piece(event("ADDED", object("a", "1")) + event("ADDED", object("c", "12")) +
               event("ADDED", object("c", "12")) + event("MODIFIED", object("c", "14")) +
               event("MODIFIED", object("c", "13")) + event("DELETED", object("b", "15")) +
               event("DELETED", object("b", "15")) + event("MODIFIED", object("b", "11")) +
               event("ADDED", object("d", "16")));
  expect({{"ns/a", "1"}, {"ns/c", "14"}, {"ns/d", "16"}});
  EXPECT_THAT(log_, ElementsAre("put ns/c", "put ns/c", "gone ns/b", "put ns/d"));
  EXPECT_EQ(5u, reflector_->facts().repeated);
}

TEST_F(ReflectorTest, WhatWasMadeAnewIsNotDeletedByItsPredecessorsEnd) {
  FakeApi::Connection& stream = open_watch();

  stream.piece(event("ADDED", object("a", "13", "another")) +
               event("MODIFIED", object("a", "11")) + event("DELETED", object("a", "12")));
  stream.piece(event("ADDED", object("d", "14")));
  expect({{"ns/a", "13"}, {"ns/b", "2"}, {"ns/d", "14"}});
  // Its own end counts.
  stream.piece(event("DELETED", object("a", "15", "another")));
  expect({{"ns/b", "2"}, {"ns/d", "14"}});
}

TEST_F(ReflectorTest, WhatLeftTheSelectionMayComeBack) {
  FakeApi::Connection& stream = open_watch();

  stream.piece(event("DELETED", object("a", "11")));
  expect({{"ns/b", "2"}});
  stream.piece(event("ADDED", object("a", "12")));
  expect({{"ns/a", "12"}, {"ns/b", "2"}});
}

TEST_F(ReflectorTest, GarbageInAWatchListsAnewAndDeletesNothing) {
  for (const std::string& garbage :
       {std::string("{\"type\": \"ADDED\", \"object\": {\"meta\n"), std::string("[]\n"),
        std::string("null\n"), event("SOMETHING", object("c", "12")),
        event("ADDED", {{"metadata", {{"name", "c"}}}}), event("DELETED", {{"spec", 1}}),
        event("ADDED", {{"metadata", {{"resourceVersion", "12"}}}}), event("ADDED", "text")}) {
    objects_.clear();
    FakeApi::Connection& stream = open_watch();

    stream.piece(garbage);
    next_list().from->reply(200, page({object("a", "1"), object("b", "2")}, "20"));
    EXPECT_TRUE(next_watch().has("resourceVersion=20"));
    EXPECT_THAT(log_, ElementsAre("synced")) << garbage;
    EXPECT_EQ(1u, errors("garbage")) << garbage;
    reflector_.reset();
  }
}

TEST_F(ReflectorTest, AWatchThatEndsWithinAnEventListsAnew) {
  FakeApi::Connection& stream = open_watch();

  stream.piece(event("ADDED", object("c", "12")).substr(0, 30));
  stream.end_stream();
  next_list();
  EXPECT_EQ(1u, errors("garbage"));
}

TEST_F(ReflectorTest, AnEventThatIsTooLargeListsAnew) {
  limits_.event_bytes = 1000;

  json fits = object("c", "12");
  json large = fits;

  fits["spec"] = std::string(1000 - event("ADDED", fits).size() - 9, 'x');
  large["spec"] = std::string(1000, 'x');
  ASSERT_EQ(1001u, event("ADDED", fits).size()) << "with its line's end";

  FakeApi::Connection& stream = open_watch();

  stream.piece(event("ADDED", fits));
  expect({{"ns/a", "1"}, {"ns/b", "2"}, {"ns/c", "12"}});
  stream.piece(event("MODIFIED", large));
  next_list();
  EXPECT_EQ(1u, errors("too_large"));
}

TEST_F(ReflectorTest, GarbageInAListIsNoList) {
  start();
  for (const char* garbage :
       {"", "{", "[]", "{}", R"({"items":[]})", R"({"metadata":{"resourceVersion":"1"}})",
        R"({"metadata":{"resourceVersion":"1"},"items":{}})",
        R"({"metadata":{"resourceVersion":"1"},"items":[1]})",
        R"({"metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":7}}]})"}) {
    uint64_t before = errors("garbage");

    next_list().from->reply(200, garbage);
    EXPECT_TRUE(serve_until([&] { return errors("garbage") == before + 1; })) << garbage;
    EXPECT_FALSE(reflector_->synced()) << garbage;
  }
  EXPECT_TRUE(objects_.empty());
  next_list().from->reply(200, R"({"metadata":{"resourceVersion":"1"},"items":null})");
  next_watch();
  EXPECT_TRUE(reflector_->synced());
}

TEST_F(ReflectorTest, AListIsBounded) {
  std::string first = page({object("a", "1")}, "10", "more");
  std::string second = page({object("b", "2")}, "10");

  limits_.page_bytes = first.size();
  limits_.list_bytes = first.size() + second.size() - 1;
  start();
  next_list().from->reply(200, first + " ");

  FakeApi::Request again = next_list();

  EXPECT_EQ(1u, errors("too_large")) << "a page";
  again.from->reply(200, first);
  next_list().from->reply(200, second);

  FakeApi::Request anew = next_list();

  EXPECT_FALSE(anew.has("continue="));
  EXPECT_EQ(2u, errors("too_large")) << "all pages";
  EXPECT_FALSE(reflector_->synced());
}

TEST_F(ReflectorTest, ASelectionThatIsTooLargeComesInPages) {
  std::string whole = page({object("a", "1"), object("b", "2")}, "10");

  limits_.page_bytes = whole.size() - 1;
  start({.path = "/api/v1/pods", .labels = "t in (x)"});

  FakeApi::Request first = next_list();

  EXPECT_FALSE(first.has("limit=")) << first.target;
  first.from->reply(200, whole);

  FakeApi::Request again = next_list();

  EXPECT_TRUE(again.has("limit=500") && again.has("%28x%29")) << again.target;
  again.from->reply(200, page({object("a", "1")}, "10"));
  next_watch();
  expect({{"ns/a", "1"}});
}

TEST_F(ReflectorTest, WaitsAsLongAsTheServerAsksFor) {
  start();

  FakeApi::Request first = next_list();
  auto asked = std::chrono::steady_clock::now();

  first.from->reply(429, status(429), "Retry-After: 1\r\n");

  FakeApi::Request second = next_list();

  EXPECT_GE(std::chrono::steady_clock::now() - asked, 1s);
  EXPECT_EQ(1u, errors("throttled"));
  // Without its asking, soon.
  asked = std::chrono::steady_clock::now();
  second.from->reply(503, status(503));
  next_list();
  EXPECT_LT(std::chrono::steady_clock::now() - asked, 500ms);
}

TEST_F(ReflectorTest, WaitsLongerEachTimeUpToItsMost) {
  Backoff backoff(200ms, 30s);
  std::set<int64_t> seen;

  for (int i = 1; i <= 30; ++i) {
    auto wait = backoff.next();

    EXPECT_GE(wait, 200ms);
    EXPECT_LE(wait, 30s);
    EXPECT_GE(wait, std::min<Backoff::Milliseconds>(15s, 100ms * (1LL << std::min(i, 20))));
    if (i > 10) seen.insert(wait.count());
  }
  EXPECT_GT(seen.size(), 5u) << "not all agents at once";
  backoff.reset();
  EXPECT_LE(backoff.next(), 400ms);
  EXPECT_GE(backoff.next(7s), 7s);
  EXPECT_LT(backoff.next(24h), 6min);
}

TEST_F(ReflectorTest, AServerThatIsGoneChangesNothing) {
  uint16_t port = server_.port();

  open_watch();
  limits_.stale_after = 50ms;
  server_.stop();
  EXPECT_TRUE(serve_until([&] { return errors("connection") >= 3; }));
  EXPECT_EQ(2u, objects_.size());
  EXPECT_TRUE(reflector_->synced());
  EXPECT_THAT(log_, ElementsAre());
  EXPECT_THAT(reflector_->facts().last_error, StartsWith("/api/v1/pods: GET /api/v1/pods: "));

  FakeApi back(*loop_, {}, nullptr, port);

  EXPECT_TRUE(serve_until([&] { return !back.requests.empty(); }));
  EXPECT_TRUE(back.requests[0].has("watch=1")) << back.requests[0].target;
  back.requests[0].from->open_stream();
  back.requests[0].from->piece(event("DELETED", object("b", "12")));
  expect({{"ns/a", "1"}});
  EXPECT_EQ("", reflector_->facts().last_error);
}

TEST_F(ReflectorTest, AServerThatIsGoneMakesItStaleAndSilenceDoesNot) {
  uint16_t port = server_.port();

  limits_.stale_after = 100ms;
  open_watch();
  EXPECT_TRUE(serve_until([&] { return reflector_->since_last_word() > 200ms; }));
  EXPECT_FALSE(reflector_->stale());
  server_.stop();
  EXPECT_TRUE(serve_until([&] { return reflector_->stale(); }));

  FakeApi back(*loop_, {}, nullptr, port);

  EXPECT_TRUE(serve_until([&] { return !back.requests.empty(); }));
  back.requests[0].from->open_stream();
  EXPECT_TRUE(serve_until([&] { return !reflector_->stale(); }));
}

TEST_F(ReflectorTest, AnotherSelectorListsAnewAndDeletesAfterwards) {
  FakeApi::Connection& stream = open_watch();

  reflector_->change_selector("tenant in (x)", "");
  EXPECT_FALSE(reflector_->synced());

  FakeApi::Request list = next_list();

  EXPECT_TRUE(list.has("labelSelector=tenant%20in%20%28x%29")) << list.target;
  if (stream.is_open()) stream.piece(event("ADDED", object("late", "11")));
  EXPECT_EQ(2u, objects_.size());
  list.from->reply(200, page({object("b", "2"), object("c", "3")}, "20"));
  EXPECT_TRUE(next_watch().has("labelSelector=tenant"));
  EXPECT_THAT(log_, ElementsAre("put ns/c", "gone ns/a", "synced"));
}

TEST_F(ReflectorTest, AWiderSelectorListsOnlyWhatIsNew) {
  FakeApi::Connection& stream = open_watch();

  stream.piece(event("MODIFIED", object("a", "12")));
  expect({{"ns/a", "12"}, {"ns/b", "2"}});
  log_.clear();
  reflector_->widen("t in (x,y)", "t in (y)");
  EXPECT_TRUE(reflector_->synced());

  FakeApi::Request list = next_list();

  EXPECT_TRUE(list.has("labelSelector=t%20in%20%28y%29")) << list.target;
  EXPECT_TRUE(list.has("resourceVersion=12&resourceVersionMatch=NotOlderThan")) << list.target;
  list.from->reply(200, page({object("c", "3")}, "20", "more"));

  FakeApi::Request rest = next_list();

  EXPECT_TRUE(rest.has("continue=more") && rest.has("%28y%29")) << rest.target;
  rest.from->reply(200, page({object("d", "4")}, "20"));

  FakeApi::Request watch = next_watch();

  // From where the old one was: what has changed meanwhile is in neither list.
  EXPECT_TRUE(watch.has("resourceVersion=12") && watch.has("%28x%2Cy%29")) << watch.target;
  EXPECT_THAT(log_, ElementsAre("put ns/c", "put ns/d", "synced"));
  watch.from->open_stream();
  watch.from->piece(event("ADDED", object("c", "3")) + event("MODIFIED", object("b", "13")) +
                    event("DELETED", object("d", "14")));
  expect({{"ns/a", "12"}, {"ns/b", "13"}, {"ns/c", "3"}});
  EXPECT_EQ(1u, reflector_->facts().lists);
}

TEST_F(ReflectorTest, ASelectorMayWidenAgainMeanwhile) {
  open_watch();
  reflector_->widen("t in (x,y)", "t in (y)");
  next_list();
  reflector_->widen("t in (x,y,z)", "t in (z)");

  FakeApi::Request first = next_list();

  EXPECT_TRUE(first.has("%28y%29")) << first.target;
  first.from->reply(504, status(504));

  FakeApi::Request again = next_list();

  EXPECT_TRUE(again.has("%28y%29")) << again.target;
  EXPECT_FALSE(again.has("resourceVersion")) << "from a cache that does not have it";
  again.from->reply(200, page({object("c", "3")}, "20"));

  FakeApi::Request second = next_list();

  EXPECT_TRUE(second.has("%28z%29")) << second.target;
  second.from->reply(200, page({object("d", "4")}, "21"));

  FakeApi::Request watch = next_watch();

  EXPECT_TRUE(watch.has("resourceVersion=10") && watch.has("%28x%2Cy%2Cz%29")) << watch.target;
  expect({{"ns/a", "1"}, {"ns/b", "2"}, {"ns/c", "3"}, {"ns/d", "4"}});
}

TEST_F(ReflectorTest, AWiderSelectorOfWhatIsNotThereYetIsListedWhole) {
  start({.path = "/api/v1/pods", .labels = "t in (x)"});
  next_list();
  reflector_->widen("t in (x,y)", "t in (y)");

  FakeApi::Request list = next_list();

  EXPECT_TRUE(list.has("%28x%2Cy%29")) << list.target;
  list.from->reply(200, page({object("a", "1")}, "10"));
  EXPECT_TRUE(next_watch().has("%28x%2Cy%29"));
  expect({{"ns/a", "1"}});
}

TEST_F(ReflectorTest, AWatchThatExpiredMeanwhileListsTheWiderSelection) {
  open_watch();
  reflector_->widen("t in (x,y)", "t in (y)");
  next_list().from->reply(200, page({object("c", "3")}, "20"));
  next_watch().from->reply(410, status(410));

  FakeApi::Request list = next_list();

  EXPECT_TRUE(list.has("%28x%2Cy%29")) << list.target;
  list.from->reply(200, page({object("b", "2"), object("c", "3")}, "30"));
  next_watch();
  expect({{"ns/b", "2"}, {"ns/c", "3"}});
}

}  // namespace
}  // namespace partywall::kubernetes

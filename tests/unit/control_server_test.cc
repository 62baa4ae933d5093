// tests/unit/control_server_test.cc: the control socket, asked by real clients. Makes sockets
// in a temporary folder.
#include "agent/control/server.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "tests/unit/loop_client.h"
#include "tests/unit/temporary_folder.h"

namespace partywall::control {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::SizeIs;
using Json = nlohmann::json;

std::string own_cgroup() {
  std::ifstream file("/proc/self/cgroup");

  for (std::string line; std::getline(file, line);)
    if (line.starts_with("0::")) return line.substr(3);
  return "";
}

class ControlServerTest : public test::LoopTest {
 protected:
  Result<std::unique_ptr<Server>> try_start(const std::string& path,
                                            const std::string& managed_root = "/nobody.slice") {
    return Server::start(
        *loop_, feed_,
        {.path = path, .managed_root = managed_root, .status = [this] { return status_; }});
  }
  void start(const std::string& managed_root = "/nobody.slice") {
    auto started = try_start(path_, managed_root);

    ASSERT_TRUE(started) << started.error().message();
    server_ = std::move(*started);
  }
  // What is said to that request, until the server closes.
  std::string ask(const std::string& request) {
    test::LoopClient client(path_);

    client.send(request);
    return answer(client);
  }
  // A client that follows, and has been told what is kept.
  std::unique_ptr<test::LoopClient> follower(const std::string& request,
                                             const std::string& kept) {
    auto client = std::make_unique<test::LoopClient>(path_);

    client->send(request);
    EXPECT_TRUE(hears(*client, kept));
    return client;
  }
  // That all the client has heard becomes `text`, and it is not closed.
  bool hears(test::LoopClient& client, const std::string& text) {
    return serve_until([&] { return !client.read() && client.text.size() >= text.size(); }) &&
           client.text == text;
  }
  bool becomes_closed(test::LoopClient& client) {
    return serve_until([&] { return client.read(); });
  }

  test::TemporaryFolder folder_;
  std::string path_ = folder_.path("agent.sock");
  std::string status_ = R"({"ready":true})";
  observe::SelfMetrics metrics_;
  observe::EventFeed feed_{metrics_};
  std::unique_ptr<Server> server_;
};

TEST_F(ControlServerTest, Status) {
  start();
  EXPECT_EQ("{\"ready\":true}\n", ask("{\"verb\":\"status\"}\n"));
  EXPECT_EQ("{\"ready\":true}\n", ask("  {\"verb\" : \"status\", \"more\": [1]}\r\n"));
  status_ = R"({"ready":false})";
  EXPECT_EQ("{\"ready\":false}\n", ask("{\"verb\":\"status\"}\nand more of it\n"));
}

TEST_F(ControlServerTest, ARequestMayComeInPieces) {
  start();
  test::LoopClient client(path_);

  for (const char* piece : {"{\"verb\":", "\"stat", "us\"}", "\n"}) {
    client.send(piece);
    EXPECT_TRUE(serve_until([pause = 3]() mutable { return pause-- == 0; }));
  }
  EXPECT_EQ("{\"ready\":true}\n", answer(client));
}

TEST_F(ControlServerTest, WhoSaysNoMoreIsAnswered) {
  start();
  feed_.publish("a", std::string(4 << 20, 'x'));
  for (auto [request, bytes] : {std::pair{"{\"verb\":\"status\"}\n", size_t{15}},
                                {"{\"verb\":\"events\"}\n", (size_t{4} << 20) + 1}}) {
    test::LoopClient client(path_);

    client.send(request);
    client.send_no_more();
    EXPECT_EQ(bytes, answer(client).size());
  }
}

TEST_F(ControlServerTest, KeptEvents) {
  start();
  EXPECT_EQ("", ask("{\"verb\":\"events\"}\n"));
  feed_.publish("a", "{\"n\":1}");
  feed_.publish("b", "{\"n\":2}");
  feed_.publish("a", "{\"n\":3}");
  EXPECT_EQ("{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n", ask("{\"verb\":\"events\"}\n"));
  EXPECT_EQ("{\"n\":1}\n{\"n\":3}\n", ask("{\"verb\":\"events\",\"tenant\":\"a\"}\n"));
  EXPECT_EQ("", ask("{\"verb\":\"events\",\"tenant\":\"c\"}\n"));
  for (const char* follow : {"false", "null", "1", "\"yes\"", "[]"})
    EXPECT_THAT(ask(fmt::format("{{\"verb\":\"events\",\"follow\":{}}}\n", follow)),
                EndsWith("{\"n\":3}\n"));
}

TEST_F(ControlServerTest, EventsFanOut) {
  start();
  feed_.publish("a", "old");

  auto all = follower("{\"verb\":\"events\",\"follow\":true}\n", "old\n");
  auto of_b = follower("{\"verb\":\"events\",\"tenant\":\"b\",\"follow\":true}\n", "");

  EXPECT_TRUE(serve_until([pause = 5]() mutable { return pause-- == 0; }));
  feed_.publish("a", "1");
  feed_.publish("b", "2");
  EXPECT_TRUE(hears(*all, "old\n1\n2\n"));
  EXPECT_TRUE(hears(*of_b, "2\n"));

  // One leaves; the other goes on.
  all->close();
  EXPECT_TRUE(serve_until([pause = 5]() mutable { return pause-- == 0; }));
  feed_.publish("b", "3");
  EXPECT_TRUE(hears(*of_b, "2\n3\n"));
  // What a follower says later is no request.
  of_b->send("{\"verb\":\"status\"}\n");
  feed_.publish("b", "4");
  EXPECT_TRUE(hears(*of_b, "2\n3\n4\n"));
}

TEST_F(ControlServerTest, AFollowerMayBeSilentForLong) {
  start();

  auto client = follower("{\"verb\":\"events\",\"follow\":true}\n", "");
  auto start = std::chrono::steady_clock::now();

  EXPECT_TRUE(serve_until([&] {
    return std::chrono::steady_clock::now() - start > std::chrono::milliseconds(1500);
  }));
  feed_.publish("a", "late");
  EXPECT_TRUE(hears(*client, "late\n"));
}

TEST_F(ControlServerTest, AFollowerWhoDoesNotReadLosesLines) {
  start();

  auto slow = follower("{\"verb\":\"events\",\"follow\":true}\n", "");
  auto quick = follower("{\"verb\":\"events\",\"follow\":true}\n", "");
  std::string line(1000, 'x');
  size_t sent = 0;
  auto lost = [&] {
    return metrics_.text().find("partywall_event_lines_lost_total{sink=\"reader\"} ");
  };

  EXPECT_TRUE(serve_until([pause = 5]() mutable { return pause-- == 0; }));
  while (lost() == std::string::npos) {
    for (int i = 0; i < 100; i++) feed_.publish("a", line);
    sent += 100 * (line.size() + 1);
    ASSERT_LT(sent, 16u << 20) << "nothing is lost";
    ASSERT_TRUE(serve_until([&] { return !quick->read() && quick->text.size() >= sent; }));
  }
  EXPECT_GT(sent, 1u << 20) << "1 MiB may wait";
  EXPECT_EQ(sent, quick->text.size()) << "the other one has them all";

  // It gets whole lines, fewer than there were; and what comes when it reads again.
  EXPECT_TRUE(serve_until([&, still = 0]() mutable {
    size_t before = slow->text.size();

    slow->read();
    still = slow->text.size() == before ? still + 1 : 0;
    return still == 20;
  }));
  EXPECT_LT(slow->text.size(), sent);
  EXPECT_EQ(0u, slow->text.size() % (line.size() + 1));
  slow->text.clear();
  feed_.publish("a", "now");
  EXPECT_TRUE(hears(*slow, "now\n"));
}

TEST_F(ControlServerTest, WhatIsNoRequestIsToldWhatIsOne) {
  start();
  for (const char* request : {"{\"verb\":\"uninstall\"}\n", "{\"verb\":7}\n", "{}\n", "\n",
                              "status\n", "[\"status\"]\n", "\"status\"\n", "null\n",
                              "{\"verb\":\"status\"\n", "\xff\xfe\n", "GET / HTTP/1.1\n"})
    EXPECT_EQ("ask for the verb status or events", Json::parse(ask(request))["error"])
        << request;
}

TEST_F(ControlServerTest, DeeplyNestedNonsenseIsNoDanger) {
  start();
  EXPECT_THAT(ask(std::string(60'000, '[') + "\n"), HasSubstr("ask for the verb"));
}

TEST_F(ControlServerTest, RequestsHaveASize) {
  start();
  EXPECT_EQ("{\"ready\":true}\n", ask(fmt::format("{{\"verb\":\"status\",\"pad\":\"{}\"}}\n",
                                                  std::string(60'000, 'x'))));

  test::LoopClient client(path_);
  std::string too_much(80'000, 'x');

  client.send(too_much);
  EXPECT_TRUE(becomes_closed(client));
  EXPECT_EQ("a request has at most 65536 bytes, in one line",
            Json::parse(client.text)["error"]);
  // A line that ends is as long.
  client.text.clear();
  test::LoopClient with_end(path_);

  with_end.send(fmt::format("{{\"verb\":\"status\",\"pad\":\"{}\"}}\n", too_much));
  EXPECT_TRUE(becomes_closed(with_end));
  EXPECT_EQ("a request has at most 65536 bytes, in one line",
            Json::parse(with_end.text)["error"]);
}

TEST_F(ControlServerTest, SilenceHasASecond) {
  start();
  for (const char* beginning : {"", "{\"verb\":"}) {
    test::LoopClient client(path_);
    auto start = std::chrono::steady_clock::now();

    client.send(beginning);
    EXPECT_THAT(answer(client), HasSubstr("no request within a second"));

    auto waited = std::chrono::steady_clock::now() - start;

    EXPECT_GT(waited, std::chrono::milliseconds(900));
    EXPECT_LT(waited, std::chrono::milliseconds(2500));
  }
}

// A byte at a time would otherwise hold a place for ever.
TEST_F(ControlServerTest, ASlowRequestHasASecondInAll) {
  start();
  test::LoopClient client(path_);
  auto start = std::chrono::steady_clock::now();
  auto next = start;

  EXPECT_TRUE(serve_until([&] {
    auto now = std::chrono::steady_clock::now();

    if (now >= next) {
      next = now + std::chrono::milliseconds(300);
      if (!client.read()) client.send(" ");
    }
    return client.read();
  }));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(2500));
}

TEST_F(ControlServerTest, SixteenAtATime) {
  start();
  std::vector<std::unique_ptr<test::LoopClient>> clients;

  for (int i = 0; i < 16; i++)
    clients.push_back(follower("{\"verb\":\"events\",\"follow\":true}\n", ""));
  EXPECT_TRUE(serve_until([pause = 5]() mutable { return pause-- == 0; }));

  test::LoopClient one_more(path_);

  EXPECT_EQ("too many connections; try again", Json::parse(answer(one_more))["error"]);
  feed_.publish("a", "1");
  for (auto& client : clients) EXPECT_TRUE(hears(*client, "1\n"));
  clients.pop_back();
  EXPECT_TRUE(serve_until([pause = 5]() mutable { return pause-- == 0; }));
  EXPECT_EQ("{\"ready\":true}\n", ask("{\"verb\":\"status\"}\n"));
}

TEST_F(ControlServerTest, OneWhoGoesAwayEarlyIsForgotten) {
  start();
  feed_.publish("a", std::string(8 << 20, 'x'));
  for (int i = 0; i < 40; i++) {
    test::LoopClient client(path_);

    if (i % 2) client.send("{\"verb\":\"events\",\"follow\":true}\n");
    EXPECT_TRUE(serve_until([pause = i % 5]() mutable { return pause-- == 0; }));
  }
  EXPECT_TRUE(serve_until([pause = 5]() mutable { return pause-- == 0; }));
  feed_.publish("a", "1");
  EXPECT_EQ("{\"ready\":true}\n", ask("{\"verb\":\"status\"}\n"));
}

TEST_F(ControlServerTest, AnAnswerThatNobodyReadsIsGivenUp) {
  start();
  feed_.publish("a", std::string(8 << 20, 'x'));
  std::vector<std::unique_ptr<test::LoopClient>> clients;

  for (int i = 0; i < 16; i++) {
    clients.push_back(std::make_unique<test::LoopClient>(path_));
    clients.back()->send("{\"verb\":\"events\"}\n");
  }
  for (auto& client : clients) EXPECT_TRUE(serve_until([&] { return client->has_bytes(); }));
  EXPECT_TRUE(serve_until([&] {
    test::LoopClient one_more(path_);

    one_more.send("{\"verb\":\"status\"}\n");
    return answer(one_more) == "{\"ready\":true}\n";
  }));
}

TEST_F(ControlServerTest, AProcessOfTheManagedRootMayNotAsk) {
  start(own_cgroup());
  test::LoopClient client(path_);

  EXPECT_EQ("a process of the managed root may not ask; run it outside of it",
            Json::parse(answer(client))["error"]);
}

// Its answer is there before it has asked; asking must not fail for that.
TEST_F(ControlServerTest, WhoIsRefusedCanStillAskAndReadWhy) {
  start(own_cgroup());
  test::LoopClient client(path_);

  EXPECT_TRUE(serve_until([&] { return client.has_bytes(); }));
  EXPECT_TRUE(serve_until([pause = 5]() mutable { return pause-- == 0; }));
  client.send("{\"verb\":\"status\"}\n");
  client.send(std::string(100'000, 'x'));
  EXPECT_THAT(answer(client), HasSubstr("managed root"));

  // It is not listened to for ever.
  auto start = std::chrono::steady_clock::now();

  EXPECT_TRUE(serve_until([&] { return !client.can_send(); }));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(2500));
}

// Control: a root whose name only begins alike is another one.
TEST_F(ControlServerTest, ACgroupWithALikeNameIsNotTheManagedRoot) {
  std::string own = own_cgroup();

  ASSERT_FALSE(own.empty());
  start(own == "/" ? "/x" : own.substr(0, own.size() - 1));
  EXPECT_EQ("{\"ready\":true}\n", ask("{\"verb\":\"status\"}\n"));
}

TEST_F(ControlServerTest, TheSocketAndItsFolderAreTheirOwnersAlone) {
  path_ = folder_.path("made/agent.sock");
  start();
  struct stat status {};

  ASSERT_EQ(0, stat(path_.c_str(), &status));
  EXPECT_EQ(0600u, status.st_mode & 07777);
  ASSERT_EQ(0, stat(folder_.path("made").c_str(), &status));
  EXPECT_EQ(0700u, status.st_mode & 07777);
}

TEST_F(ControlServerTest, TheSocketGoesWithItsServer) {
  start();
  server_.reset();
  EXPECT_NE(0, access(path_.c_str(), F_OK));
}

TEST_F(ControlServerTest, AStaleSocketIsReplaced) {
  Fd stale(socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{.sun_family = AF_UNIX};

  path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(0, bind(stale.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)));
  stale = Fd();
  start();
  EXPECT_EQ("{\"ready\":true}\n", ask("{\"verb\":\"status\"}\n"));
}

TEST_F(ControlServerTest, ASecondServerIsRefused) {
  start();
  auto second = try_start(path_);

  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message(), HasSubstr(path_));
  EXPECT_THAT(second.error().message(), HasSubstr("another agent answers there"));
  EXPECT_THAT(second.error().message(), HasSubstr("--control-socket"));
  EXPECT_EQ("{\"ready\":true}\n", ask("{\"verb\":\"status\"}\n")) << "the first one serves";
}

// One that hangs answers nobody; its queue is full, and connecting to it would wait for ever.
TEST_F(ControlServerTest, AServerThatHangsIsASecondServer) {
  Fd hanging(socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{.sun_family = AF_UNIX};
  std::vector<Fd> queue;

  path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(0, bind(hanging.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)));
  ASSERT_EQ(0, listen(hanging.get(), 0));
  do {
    queue.emplace_back(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
  } while (
      connect(queue.back().get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  auto second = try_start(path_);

  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message(), HasSubstr("another agent answers there"));
}

TEST_F(ControlServerTest, PathsThatCannotBe) {
  auto too_long = try_start(folder_.path(std::string(120, 'x')));

  ASSERT_FALSE(too_long);
  EXPECT_THAT(too_long.error().message(), HasSubstr("at most 107 bytes"));

  auto nowhere = try_start(folder_.path("no/such/agent.sock"));

  ASSERT_FALSE(nowhere);
  EXPECT_THAT(nowhere.error().message(), HasSubstr(folder_.path("no/such")));
  folder_.make_folder("folder");

  auto folder = try_start(folder_.path("folder"));

  ASSERT_FALSE(folder);
  EXPECT_THAT(folder.error().message(), HasSubstr("control socket"));
}

TEST_F(ControlServerTest, ANameWithoutAFolder) {
  std::filesystem::path home = std::filesystem::current_path();

  std::filesystem::current_path(folder_.path());
  path_ = "agent.sock";
  start();
  EXPECT_EQ("{\"ready\":true}\n", ask("{\"verb\":\"status\"}\n"));
  server_.reset();
  std::filesystem::current_path(home);
}

}  // namespace
}  // namespace partywall::control

// tests/unit/access_server_test.cc: the HTTPS server against clients that speak TLS, and
// against those that speak slowly, or something else.
#include <gmock/gmock.h>

#include "agent/access/https_server.h"
#include "agent/source/kubernetes/api_client.h"
#include "tests/unit/loop_client.h"

namespace partywall::access {
namespace {

using namespace std::chrono_literals;
using kubernetes::ApiCall;
using kubernetes::ApiReply;
using test::LoopClient;
using testing::HasSubstr;
using testing::Not;

class HttpsServerTest : public test::LoopTest {
 protected:
  static uint16_t free_port() {
    Fd probe(socket(AF_INET6, SOCK_STREAM, 0));
    sockaddr_in6 address{};
    socklen_t size = sizeof(address);

    address.sin6_family = AF_INET6;
    EXPECT_EQ(0, bind(probe.get(), reinterpret_cast<sockaddr*>(&address), size));
    EXPECT_EQ(0, getsockname(probe.get(), reinterpret_cast<sockaddr*>(&address), &size));
    return ntohs(address.sin6_port);
  }

  void start(HttpsServer::Limits limits = {}, const std::string& host = "127.0.0.1") {
    auto identity = TlsIdentity::self_signed("node-1");

    ASSERT_TRUE(identity);
    port_ = free_port();

    auto started = HttpsServer::start(
        *loop_, fmt::format("{}:{}", host, port_), std::move(*identity), metrics_,
        [this](const Request& request, Answer answer) {
          last_ = request;
          if (request.path == "/later")
            later_.push_back(std::move(answer));
          else
            answer({.body = "a page\n", .headers = {{"X-Test", "yes"}}});
        },
        limits);

    ASSERT_TRUE(started) << started.error().message();
    server_ = std::move(*started);
  }

  // A client of its own for each request, as each has a connection of its own.
  struct Call {
    std::unique_ptr<kubernetes::ApiClient> client;
    std::optional<ApiReply> reply;
    ApiCall call;
  };
  std::unique_ptr<Call> begin(const std::string& path, const std::string& host = "127.0.0.1",
                              const std::string& token = "abc") {
    auto one = std::make_unique<Call>();
    auto client = kubernetes::ApiClient::make(
        *loop_, {.server = fmt::format("https://{}:{}", host, port_),
                 .token = token,
                 .insecure_skip_verify = true});

    EXPECT_TRUE(client);
    one->client = std::move(*client);
    one->call = one->client->request(
        {.path = path}, [call = one.get()](ApiReply reply) { call->reply = std::move(reply); });
    return one;
  }
  ApiReply get(const std::string& path, const std::string& host = "127.0.0.1",
               const std::string& token = "abc") {
    auto one = begin(path, host, token);

    EXPECT_TRUE(serve_until([&] { return one->reply.has_value(); }));
    return one->reply.value_or(ApiReply{});
  }
  bool has_counted(const std::string& reason, int times) {
    return metrics_.text().find(
               fmt::format("partywall_https_connections_dropped_total{{reason=\"{}\"}} {}\n",
                           reason, times)) != std::string::npos;
  }

  uint16_t port_ = 0;
  observe::SelfMetrics metrics_;
  Request last_;
  std::vector<Answer> later_;
  std::unique_ptr<HttpsServer> server_;
};

TEST_F(HttpsServerTest, AnswersOverTls) {
  start();

  ApiReply reply = get("/metrics?x=y");

  EXPECT_EQ(200, reply.status) << reply.error;
  EXPECT_EQ("a page\n", reply.body);
  EXPECT_EQ("/metrics", last_.path);
  EXPECT_EQ("Bearer abc", last_.authorization);
  EXPECT_EQ("127.0.0.1", last_.remote);
  EXPECT_EQ("", (get("/metrics", "127.0.0.1", ""), last_.authorization));
}

TEST_F(HttpsServerTest, OnAllAddresses) {
  start({}, "*");
  EXPECT_EQ(200, get("/metrics").status);
  EXPECT_EQ("192.0.2.1", caller_of_address("::ffff:192.0.2.1"));
  EXPECT_EQ("127.0.0.1", caller_of_address(last_.remote));
  EXPECT_EQ(200, get("/metrics", "[::1]").status);
  EXPECT_EQ("::1", last_.remote);
}

TEST_F(HttpsServerTest, AnswersLater) {
  start();

  auto one = begin("/later");

  ASSERT_TRUE(serve_until([&] { return later_.size() == 1; }));
  EXPECT_EQ(200, get("/metrics").status) << "others do not wait for it";
  EXPECT_FALSE(one->reply);
  later_[0]({.status = 403, .body = "no\n"});
  ASSERT_TRUE(serve_until([&] { return one->reply.has_value(); }));
  EXPECT_EQ(403, one->reply->status);
}

TEST_F(HttpsServerTest, AnswersOneWhoIsGone) {
  start();

  auto one = begin("/later");

  ASSERT_TRUE(serve_until([&] { return later_.size() == 1; }));
  one.reset();
  EXPECT_EQ(200, get("/metrics").status);
  later_[0]({.body = "for nobody\n"});
  EXPECT_EQ(200, get("/metrics").status);
}

TEST_F(HttpsServerTest, GoesWithRequestsUnanswered) {
  start();

  auto one = begin("/later");

  ASSERT_TRUE(serve_until([&] { return later_.size() == 1; }));
  server_.reset();
  EXPECT_TRUE(serve_until([&] { return one->reply.has_value(); }));
  EXPECT_EQ(0, one->reply->status);
}

TEST_F(HttpsServerTest, PlainHttpIsRefused) {
  start();

  LoopClient client(port_);

  client.send("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer(client), Not(HasSubstr("a page")));
  EXPECT_EQ("", last_.path);
  EXPECT_EQ(200, get("/metrics").status);
}

TEST_F(HttpsServerTest, WhoDoesNotAskInTimeGoes) {
  start({.request = 50ms});

  LoopClient silent(port_);
  LoopClient slow(port_);

  slow.send("\x16\x03\x01");  // a hello begins so
  EXPECT_EQ("", answer(silent));
  EXPECT_EQ("", answer(slow));
  EXPECT_TRUE(serve_until([&] { return has_counted("late", 2); }));
}

TEST_F(HttpsServerTest, SoDoesWhoIsNotAnsweredInTime) {
  start({.answer = 50ms});

  auto one = begin("/later");

  EXPECT_TRUE(serve_until([&] { return one->reply.has_value(); }));
  EXPECT_EQ(1u, later_.size());
  EXPECT_EQ(0, one->reply->status);
  later_[0]({.body = "too late\n"});
  EXPECT_EQ(200, get("/metrics").status);
}

TEST_F(HttpsServerTest, TheOldestGoesWhenItIsCrowded) {
  start({.connections = 5});

  std::vector<std::unique_ptr<LoopClient>> silent(5);

  for (auto& one : silent) one = std::make_unique<LoopClient>(port_);
  EXPECT_EQ(200, get("/metrics").status);
  EXPECT_EQ("", answer(*silent[0]));
  EXPECT_TRUE(has_counted("crowd", 1));
  for (int i = 1; i < 5; i++) EXPECT_FALSE(silent[i]->read()) << i;
}

TEST_F(HttpsServerTest, WhoHasAskedStays) {
  start({.connections = 2});

  auto one = begin("/later");
  auto two = begin("/later");

  ASSERT_TRUE(serve_until([&] { return later_.size() == 2; }));

  LoopClient third(port_);

  EXPECT_EQ("", answer(third));
  for (Answer& answer : later_) answer({.body = "now\n"});
  EXPECT_TRUE(serve_until([&] { return one->reply && two->reply; }));
  EXPECT_EQ(200, one->reply->status);
  EXPECT_EQ(200, two->reply->status);
}

TEST_F(HttpsServerTest, AnAddressMayNotConnectTooOften) {
  start({.handshakes = {.per_second = 0.1, .burst = 3}});
  for (int i = 0; i < 3; i++) EXPECT_EQ(200, get("/metrics").status) << i;
  EXPECT_EQ(ApiReply::Failure::kTls, get("/metrics").failure);
  EXPECT_TRUE(has_counted("rate", 1));
}

TEST_F(HttpsServerTest, HeadersHaveALimit) {
  start();
  EXPECT_EQ(200, get("/metrics", "127.0.0.1", std::string(7000, 'x')).status);
  EXPECT_EQ(7000u + 7, last_.authorization.size());
  last_ = {};
  EXPECT_NE(200, get("/metrics", "127.0.0.1", std::string(20'000, 'x')).status);
  EXPECT_EQ("", last_.path);
}

TEST_F(HttpsServerTest, SaysWhyItCannotListen) {
  for (const char* address : {"9724", "*", "*:", "*:x", "localhost:1", "127.0.0.1"}) {
    auto started =
        HttpsServer::start(*loop_, address, std::move(*TlsIdentity::self_signed("node-1")),
                           metrics_, [](const Request&, const Answer&) {}, {});

    ASSERT_FALSE(started) << address;
    EXPECT_THAT(started.error().message(), HasSubstr("serve https")) << address;
  }
}

}  // namespace
}  // namespace partywall::access

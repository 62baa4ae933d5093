// tests/unit/http_server_test.cc: the pages over HTTP, asked by real clients on a loopback
// port.
#include "agent/observe/http_server.h"

#include <gmock/gmock.h>

#include "tests/unit/loop_client.h"

namespace partywall::observe {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class HttpServerTest : public test::LoopTest {
 protected:
  // A port of 127.0.0.1 and ::1 that nobody listens on.
  static uint16_t free_port() {
    Fd probe(socket(AF_INET6, SOCK_STREAM, 0));
    sockaddr_in6 address{};
    socklen_t size = sizeof(address);

    address.sin6_family = AF_INET6;
    EXPECT_EQ(0, bind(probe.get(), reinterpret_cast<sockaddr*>(&address), size));
    EXPECT_EQ(0, getsockname(probe.get(), reinterpret_cast<sockaddr*>(&address), &size));
    return ntohs(address.sin6_port);
  }

  Result<std::unique_ptr<HttpServer>> try_start(const std::string& address,
                                                bool remote = false) {
    return HttpServer::start(
        *loop_, address, remote,
        {{"/metrics", [this] { return Page{.type = "text/x-test", .body = page_}; }},
         {"/broken", [] { return Page{.status = 503, .body = "not now\n"}; }}});
  }
  void start(const std::string& host = "127.0.0.1") {
    port_ = free_port();

    auto started = try_start(fmt::format("{}:{}", host, port_));

    ASSERT_TRUE(started) << started.error().message();
    server_ = std::move(*started);
  }
  // What comes back for these bytes, until the server closes.
  std::string ask(const std::string& request) {
    test::LoopClient client(port_);

    client.send(request);
    return answer(client);
  }
  std::string request(const std::string& method, const std::string& path) {
    return ask(
        fmt::format("{} {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", method, path));
  }
  std::string why_not(const std::string& address) {
    auto started = try_start(address);

    return started ? "it started" : started.error().message();
  }

  uint16_t port_ = 0;
  std::string page_ = "a page\n";
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, GetsAPage) {
  start();
  std::string said = request("GET", "/metrics");

  EXPECT_THAT(said, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(said, HasSubstr("Content-Type: text/x-test\r\n"));
  EXPECT_THAT(said, HasSubstr("Content-Length: 7\r\n"));
  EXPECT_THAT(said, EndsWith("\r\n\r\na page\n"));
  EXPECT_THAT(request("GET", "/metrics?name=x"), EndsWith("\r\n\r\na page\n"));
  EXPECT_THAT(request("GET", "http://x/metrics"), EndsWith("\r\n\r\na page\n"));
}

TEST_F(HttpServerTest, APageHasItsStatus) {
  start();
  std::string said = request("GET", "/broken");

  EXPECT_THAT(said, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(said, EndsWith("\r\n\r\nnot now\n"));
}

TEST_F(HttpServerTest, HeadIsAGetWithoutABody) {
  start();
  std::string said = request("HEAD", "/metrics");

  EXPECT_THAT(said, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(said, HasSubstr("Content-Type: text/x-test\r\n"));
  EXPECT_THAT(said, HasSubstr("Content-Length: 7\r\n"));
  EXPECT_THAT(said, EndsWith("\r\n\r\n"));
}

TEST_F(HttpServerTest, NothingElseIsThere) {
  start();
  for (const char* path : {"/", "/metric", "/metrics/", "/metrics/x", "//metrics",
                           "/../metrics", "/%6Detrics", "*"})
    EXPECT_THAT(request("GET", path), StartsWith("HTTP/1.1 404 ")) << path;
}

TEST_F(HttpServerTest, OtherMethodsAreRefused) {
  start();
  for (const char* method :
       {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "BREW"}) {
    test::LoopClient client(port_);

    client.send(fmt::format("{} /metrics HTTP/1.1\r\nHost: x\r\n\r\n", method));
    // evhttp does not close after each of them.
    EXPECT_TRUE(serve_until([&] {
      return client.read() || client.text.ends_with("</HTML>\n");
    })) << method;
    EXPECT_THAT(client.text, StartsWith("HTTP/1.1 501 Not Implemented\r\n")) << method;
    EXPECT_THAT(client.text, Not(HasSubstr("a page"))) << method;
  }
  EXPECT_THAT(
      ask("POST /metrics HTTP/1.1\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc"),
      Not(HasSubstr("a page")));
}

TEST_F(HttpServerTest, HeadersHaveALimit) {
  start();
  auto with_header = [&](size_t bytes) {
    return ask("GET /metrics HTTP/1.1\r\nConnection: close\r\nX: " + std::string(bytes, 'x') +
               "\r\n\r\n");
  };

  EXPECT_THAT(with_header(4000), EndsWith("a page\n"));
  EXPECT_THAT(with_header(20'000), Not(HasSubstr("a page")));
}

TEST_F(HttpServerTest, BodiesAreRefused) {
  start();
  EXPECT_THAT(
      ask("GET /metrics HTTP/1.1\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"),
      StartsWith("HTTP/1.1 413 "));
}

TEST_F(HttpServerTest, NonsenseIsRefused) {
  start();
  for (const char* nonsense :
       {"\r\n\r\n", "GET\r\n\r\n", "GET /metrics HTTP/9.9.9\r\n\r\n", "\x16\x03\x01\r\n\r\n"})
    EXPECT_THAT(ask(nonsense), Not(HasSubstr("a page"))) << nonsense;
  EXPECT_THAT(request("GET", "/metrics"), EndsWith("a page\n")) << "it still serves";
}

TEST_F(HttpServerTest, SeveralRequestsOnOneConnection) {
  start();
  test::LoopClient client(port_);

  for (int i = 0; i < 3; i++) {
    client.text.clear();
    client.send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_TRUE(serve_until([&] {
      EXPECT_FALSE(client.read());
      return client.text.ends_with("a page\n");
    }));
  }
}

TEST_F(HttpServerTest, Ipv6Loopback) {
  start("[::1]");
  auto client = test::LoopClient::of_ipv6(port_);

  client->send("GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer(*client), EndsWith("a page\n"));
}

TEST_F(HttpServerTest, OnlyLoopbackUnlessAsked) {
  uint16_t port = free_port();

  for (const char* host : {"0.0.0.0", "[::]", "10.0.0.1", "[fd00::1]", "[::ffff:10.0.0.1]"}) {
    std::string address = fmt::format("{}:{}", host, port);
    std::string said = why_not(address);

    EXPECT_THAT(said, StartsWith("serve metrics on " + address + ": ")) << host;
    EXPECT_THAT(said, HasSubstr("--metrics-remote"));
    EXPECT_THAT(said, HasSubstr("loopback"));
  }
  auto started = try_start(fmt::format("0.0.0.0:{}", port), true);

  ASSERT_TRUE(started) << started.error().message();
  port_ = port;
  EXPECT_THAT(request("GET", "/metrics"), EndsWith("a page\n"));
}

TEST_F(HttpServerTest, EveryAddressOf127IsLoopback) {
  auto started = try_start(fmt::format("127.3.2.1:{}", free_port()));

  EXPECT_TRUE(started) << started.error().message();
}

TEST_F(HttpServerTest, AnAddressIsAnAddressAndAPort) {
  for (const char* address : {"", "9723", ":9723", "localhost:9723", "127.0.0.1", "127.0.0.1:",
                              "127.0.0.1:0", "127.0.0.1:70000", "127.0.0.1:x", "[::1]", "::1"})
    EXPECT_THAT(why_not(address), StartsWith(fmt::format("serve metrics on '{}': ", address)));
}

TEST_F(HttpServerTest, ATakenPortIsNamed) {
  start();
  std::string address = fmt::format("127.0.0.1:{}", port_);

  EXPECT_EQ(fmt::format("serve metrics on {}: Address already in use", address),
            why_not(address));
}

TEST_F(HttpServerTest, AStalledReaderHoldsUpNobody) {
  page_ = std::string(32 << 20, 'x');  // more than all the buffers between the two hold
  start();
  test::LoopClient stalled(port_);

  stalled.send("GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(serve_until([&] { return stalled.has_bytes(); }));
  page_ = "a small page\n";
  EXPECT_THAT(request("GET", "/metrics"), EndsWith("a small page\n"));

  // It gets what it asked for when it reads at last, and what it was when it asked.
  EXPECT_GT(answer(stalled).size(), 32u << 20);
}

TEST_F(HttpServerTest, AReaderThatGoesAwayIsForgotten) {
  page_ = std::string(32 << 20, 'x');
  start();
  {
    test::LoopClient client(port_);

    client.send("GET /metrics HTTP/1.1\r\n\r\n");
    EXPECT_TRUE(serve_until([&] { return !client.read() && !client.text.empty(); }));
  }
  page_ = "a small page\n";
  EXPECT_THAT(request("GET", "/metrics"), EndsWith("a small page\n"));
}

}  // namespace
}  // namespace partywall::observe

// tests/unit/api_client_test.cc: requests and streams against a server that misbehaves on
// demand, with TLS and without.
#include "agent/source/kubernetes/api_client.h"

#include <gmock/gmock.h>

#include "tests/unit/fake_api.h"
#include "tests/unit/loop_client.h"
#include "tests/unit/temporary_folder.h"

namespace partywall::kubernetes {
namespace {

using namespace std::chrono_literals;
using test::FakeApi;
using testing::HasSubstr;
using testing::Not;

class ApiClientTest : public test::LoopTest {
 protected:
  void connect(ApiAccess access) {
    auto made = ApiClient::make(*loop_, std::move(access));

    ASSERT_TRUE(made) << made.error().message();
    client_ = std::move(*made);
  }
  void connect() { connect({.server = server_.url()}); }

  // The answer to `request`.
  ApiReply ask(ApiRequest request) {
    std::optional<ApiReply> answer;
    ApiCall call =
        client_->request(std::move(request), [&](ApiReply reply) { answer = reply; });

    EXPECT_FALSE(answer) << "answered from within";
    EXPECT_TRUE(serve_until([&] { return answer.has_value(); })) << "no answer";
    EXPECT_FALSE(call.is_open());
    return answer.value_or(ApiReply{});
  }
  ApiReply get(const std::string& path = "/x") { return ask({.path = path}); }

  // What the server says to each request.
  std::function<void(const FakeApi::Request&)> says_ = [](const FakeApi::Request& request) {
    request.from->reply(200, "{}");
  };
  FakeApi server_{*loop_, [this](const FakeApi::Request& request) { says_(request); }};
  std::unique_ptr<ApiClient> client_;
};

TEST_F(ApiClientTest, SendsWhatItIsTold) {
  connect();

  ApiReply reply = ask({.method = "PATCH",
                        .path = "/apis/x?force=true",
                        .content_type = "application/merge-patch+json",
                        .body = "{\"a\":1}"});

  EXPECT_TRUE(reply.ok()) << reply.problem();
  EXPECT_EQ("{}", reply.body);
  ASSERT_EQ(1u, server_.requests.size());
  EXPECT_EQ("PATCH", server_.requests[0].method);
  EXPECT_EQ("/apis/x?force=true", server_.requests[0].target);
  EXPECT_EQ("{\"a\":1}", server_.requests[0].body);
  EXPECT_EQ("application/merge-patch+json", server_.requests[0].header("Content-Type"));
  EXPECT_EQ("application/json", server_.requests[0].header("Accept"));
  EXPECT_THAT(server_.requests[0].header("User-Agent"), testing::StartsWith("partywalld/"));
  EXPECT_EQ("", server_.requests[0].header("Authorization"));

  for (const char* method : {"DELETE", "POST", "PUT"}) {
    EXPECT_TRUE(ask({.method = method, .path = "/y"}).ok());
    EXPECT_EQ(method, server_.requests.back().method);
  }
  EXPECT_EQ(1u, server_.connections()) << "the connection is used again";
}

TEST_F(ApiClientTest, SaysWhatTheServerSaid) {
  says_ = [](const FakeApi::Request& request) {
    request.from->reply(403, R"({"kind":"Status","message":"pods is\nforbidden"})",
                        "Retry-After: 7\r\n");
  };
  connect();

  ApiReply reply = get();

  EXPECT_FALSE(reply.ok());
  EXPECT_EQ(403, reply.status);
  EXPECT_EQ(ApiReply::Failure::kNone, reply.failure);
  EXPECT_EQ("HTTP 403: pods is forbidden", reply.problem());
  EXPECT_EQ(7s, reply.retry_after);
}

TEST_F(ApiClientTest, ARedirectIsNotFollowed) {
  says_ = [](const FakeApi::Request& request) {
    request.from->reply(302, "", "Location: /elsewhere\r\n");
  };
  connect();
  EXPECT_EQ(302, get().status);
  EXPECT_EQ(1u, server_.requests.size());
}

TEST_F(ApiClientTest, NobodyThere) {
  connect();
  EXPECT_TRUE(get().ok());
  server_.stop();

  ApiReply reply = get("/api/v1/pods?limit=500");

  EXPECT_EQ(ApiReply::Failure::kConnection, reply.failure);
  EXPECT_EQ(0, reply.status);
  EXPECT_THAT(reply.problem(), HasSubstr("GET /api/v1/pods: "));
  EXPECT_THAT(reply.problem(), Not(HasSubstr("limit=500")));
}

TEST_F(ApiClientTest, AReplyHasItsDeadlineAndItsSize) {
  std::string body(1000, 'x');

  says_ = [&](const FakeApi::Request& request) {
    if (!request.has("silent")) request.from->reply(200, body);
  };
  connect();
  EXPECT_TRUE(ask({.path = "/x", .max_reply_bytes = 1000}).ok());

  ApiReply large = ask({.path = "/x", .max_reply_bytes = 999});

  EXPECT_EQ(ApiReply::Failure::kTooLarge, large.failure);
  EXPECT_EQ("GET /x: the reply is larger than 999 bytes", large.problem());

  ApiReply late = ask({.path = "/silent", .deadline = 50ms});

  EXPECT_EQ(ApiReply::Failure::kTimeout, late.failure);
  EXPECT_EQ("GET /silent: no answer within 0.05 seconds", late.problem());
}

TEST_F(ApiClientTest, AfterASilenceTheNextCallHasANewConnection) {
  says_ = [](const FakeApi::Request& request) {
    if (!request.has("silent")) request.from->reply(200, "{}");
  };
  connect();
  EXPECT_TRUE(get().ok());
  EXPECT_TRUE(get().ok());
  EXPECT_EQ(1u, server_.connections());
  EXPECT_FALSE(ask({.path = "/silent", .deadline = 50ms}).ok());
  EXPECT_TRUE(get().ok());
  EXPECT_EQ(2u, server_.connections());
}

TEST_F(ApiClientTest, AReplyThatIsCutIsNone) {
  says_ = [](const FakeApi::Request& request) {
    request.from->send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
    request.from->close_after_sending();
  };
  connect();

  ApiReply reply = get();

  EXPECT_EQ(ApiReply::Failure::kConnection, reply.failure);
  EXPECT_FALSE(reply.ok());
}

TEST_F(ApiClientTest, StreamsPieceByPiece) {
  FakeApi::Connection* stream = nullptr;
  std::string text;
  std::optional<ApiReply> end;
  bool open = false;

  says_ = [&](const FakeApi::Request& request) {
    stream = request.from;
    stream->open_stream();
  };
  connect();

  ApiCall call = client_->stream({.path = "/watch"},
                                 {.on_open = [&] { open = true; },
                                  .on_chunk = [&](std::string_view part) { text += part; }},
                                 [&](ApiReply reply) { end = std::move(reply); });

  ASSERT_TRUE(serve_until([&] { return open; }));
  EXPECT_EQ("", text);
  stream->piece("one");
  ASSERT_TRUE(serve_until([&] { return text == "one"; }));
  stream->piece("two");
  ASSERT_TRUE(serve_until([&] { return text == "onetwo"; }));
  EXPECT_FALSE(end);
  stream->end_stream();
  ASSERT_TRUE(serve_until([&] { return end.has_value(); }));
  EXPECT_TRUE(end->ok()) << end->problem();
  EXPECT_EQ("", end->body);
}

TEST_F(ApiClientTest, AStreamThatIsRefusedHasNoPieces) {
  bool open = false;
  std::optional<ApiReply> end;

  says_ = [](const FakeApi::Request& request) {
    request.from->reply(410, R"({"message":"too old"})");
  };
  connect();

  ApiCall call = client_->stream(
      {.path = "/watch"},
      {.on_open = [&] { open = true; }, .on_chunk = [&](std::string_view) { open = true; }},
      [&](ApiReply reply) { end = std::move(reply); });

  ASSERT_TRUE(serve_until([&] { return end.has_value(); }));
  EXPECT_FALSE(open);
  EXPECT_EQ("HTTP 410: too old", end->problem());
}

TEST_F(ApiClientTest, ASilentStreamIsCutAndOneThatSpeaksIsNot) {
  FakeApi::Connection* stream = nullptr;
  size_t bytes = 0;
  std::optional<ApiReply> end;

  says_ = [&](const FakeApi::Request& request) {
    stream = request.from;
    stream->open_stream();
  };
  connect();

  // A deadline is for the head only.
  ApiCall call = client_->stream(
      {.path = "/watch", .deadline = 500ms},
      {.on_chunk = [&](std::string_view part) { bytes += part.size(); }, .idle_limit = 1s},
      [&](ApiReply reply) { end = std::move(reply); });
  auto begin = std::chrono::steady_clock::now();
  auto next = begin;

  ASSERT_TRUE(serve_until([&] {
    auto now = std::chrono::steady_clock::now();

    if (stream && now >= next && bytes < 40) {
      stream->piece("x");
      next = now + 50ms;
    }
    return end || now - begin > 1500ms;
  }));
  EXPECT_FALSE(end) << end->problem();
  ASSERT_TRUE(serve_until([&] { return end.has_value(); }));
  EXPECT_EQ(ApiReply::Failure::kTimeout, end->failure);
  EXPECT_EQ("GET /watch: no byte for 1 seconds", end->problem());
}

TEST_F(ApiClientTest, ACallThatIsLetGoIsNotAnswered) {
  bool answered = false;

  says_ = [](const FakeApi::Request&) {};
  connect();
  {
    ApiCall call = client_->request({.path = "/a"}, [&](const ApiReply&) { answered = true; });

    ASSERT_TRUE(serve_until([&] { return server_.requests.size() == 1; }));
    EXPECT_TRUE(call.is_open());
  }
  ASSERT_TRUE(server_.requests[0].from->is_open());
  server_.requests[0].from->reply(200, "{}");
  says_ = [](const FakeApi::Request& request) { request.from->reply(200, "{}"); };
  EXPECT_TRUE(get().ok());
  EXPECT_FALSE(answered);
}

TEST_F(ApiClientTest, AHandlerMayEndAndBeginCalls) {
  ApiCall first;
  ApiCall second;
  bool done = false;

  connect();
  first = client_->request({.path = "/a"}, [&](const ApiReply&) {
    first.end();
    second = client_->request({.path = "/b"}, [&](const ApiReply&) { done = true; });
  });
  ASSERT_TRUE(serve_until([&] { return done; }));
  EXPECT_EQ("/b", server_.requests.back().target);
}

// With certificates and a token, as a pod has them.
class ApiClientTlsTest : public ApiClientTest {
 protected:
  ApiAccess access() {
    return {.server = tls_server_.url(),
            .ca_file = folder_.path("ca.crt"),
            .token_file = folder_.path("token")};
  }

  test::TemporaryFolder folder_;
  test::Identity authority_ = test::make_identity("authority");
  test::Identity other_authority_ = test::make_identity("another authority");
  test::Identity identity_ =
      test::make_identity("api", "IP:127.0.0.1,DNS:kubernetes", &authority_);
  FakeApi tls_server_{*loop_, [this](const FakeApi::Request& request) { says_(request); },
                      &identity_};
};

TEST_F(ApiClientTlsTest, VerifiesTheServer) {
  folder_.write("ca.crt", authority_.pem());
  folder_.write("token", "secret\n");
  connect(access());
  EXPECT_TRUE(get().ok()) << get().problem();
  EXPECT_EQ("Bearer secret", tls_server_.requests[0].header("Authorization"));

  ApiAccess wrong = access();

  wrong.ca_file.clear();
  wrong.ca_data = other_authority_.pem();
  connect(wrong);
  EXPECT_EQ(ApiReply::Failure::kTls, get().failure);

  wrong.ca_data.clear();  // the system's authorities do not know it, either
  connect(wrong);
  EXPECT_EQ(ApiReply::Failure::kTls, get().failure);

  wrong.insecure_skip_verify = true;
  connect(wrong);
  EXPECT_TRUE(get().ok());
}

TEST_F(ApiClientTlsTest, VerifiesTheServersName) {
  folder_.write("ca.crt", authority_.pem());
  folder_.write("token", "secret\n");
  tls_server_.show(test::make_identity("api", "IP:10.0.0.1,DNS:kubernetes", &authority_));
  connect(access());
  EXPECT_EQ(ApiReply::Failure::kTls, get().failure);
  EXPECT_TRUE(tls_server_.requests.empty()) << "nothing was said to it";

  ApiAccess named = access();

  named.tls_server_name = "kubernetes";
  connect(named);
  EXPECT_TRUE(get().ok()) << get().problem();
  named.tls_server_name = "kubernetes.example";
  connect(named);
  EXPECT_EQ(ApiReply::Failure::kTls, get().failure);
}

TEST_F(ApiClientTlsTest, ATokenIsReadAgainWhenItChanges) {
  folder_.write("ca.crt", authority_.pem());
  folder_.write("token", "first");
  connect(access());
  EXPECT_TRUE(get().ok());
  EXPECT_TRUE(get().ok());
  EXPECT_EQ("Bearer first", tls_server_.requests.back().header("Authorization"));

  folder_.write("next", "second");
  folder_.rename("next", "token");
  EXPECT_TRUE(get().ok());
  EXPECT_EQ("Bearer second", tls_server_.requests.back().header("Authorization"));

  folder_.remove("token");
  EXPECT_TRUE(get().ok()) << "the last one stays";
  EXPECT_EQ("Bearer second", tls_server_.requests.back().header("Authorization"));
}

TEST_F(ApiClientTlsTest, AnAuthorityIsReadAgainWhenItChanges) {
  folder_.write("ca.crt", authority_.pem());
  folder_.write("token", "secret");
  connect(access());
  EXPECT_TRUE(get().ok());

  tls_server_.cut_all();
  tls_server_.show(test::make_identity("api", "IP:127.0.0.1", &other_authority_));
  EXPECT_FALSE(get().ok());
  EXPECT_EQ(ApiReply::Failure::kTls, get().failure);

  folder_.write("next", other_authority_.pem());
  folder_.rename("next", "ca.crt");
  EXPECT_TRUE(get().ok()) << get().problem();
}

TEST_F(ApiClientTlsTest, ATokenIsInNoError) {
  says_ = [](const FakeApi::Request& request) {
    request.from->reply(401, "who is " + request.header("Authorization"));
  };
  folder_.write("ca.crt", authority_.pem());
  folder_.write("token", "s3cr3t");
  connect(access());

  ApiReply reply = get();

  EXPECT_EQ("HTTP 401: who is Bearer [token]", reply.problem());
  EXPECT_THAT(reply.body, Not(HasSubstr("s3cr3t")));

  folder_.write("token", "s3cr3t\nX-Other: header");
  reply = get();
  EXPECT_EQ(ApiReply::Failure::kCredentials, reply.failure);
  EXPECT_THAT(reply.problem(), HasSubstr("has characters that no token has"));
  EXPECT_THAT(reply.problem(), Not(HasSubstr("s3cr3t")));
}

TEST_F(ApiClientTlsTest, NeedsTheFilesAtTheStart) {
  auto made = ApiClient::make(*loop_, access());

  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message(), HasSubstr("ca.crt: No such file"));
}

}  // namespace
}  // namespace partywall::kubernetes

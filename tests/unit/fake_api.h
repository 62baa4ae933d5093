// tests/unit/fake_api.h: an HTTP/1.1 server whose every answer the test writes byte by byte, on
// the test's own loop; with TLS when it has a certificate.
#ifndef PARTYWALL_TESTS_UNIT_FAKE_API_H
#define PARTYWALL_TESTS_UNIT_FAKE_API_H

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>

#include <functional>
#include <list>
#include <string>
#include <vector>

#include "agent/observe/loop.h"
#include "tests/unit/test_authority.h"

namespace partywall::test {

class FakeApi {
 public:
  // One connection, and so one request after another.
  class Connection {
   public:
    void send(const std::string& bytes) {
      if (buffer_) bufferevent_write(buffer_, bytes.data(), bytes.size());
    }
    // A whole reply.
    void reply(int status, const std::string& body, const std::string& headers = "") {
      send(
          fmt::format("HTTP/1.1 {} Said\r\nContent-Type: application/json\r\n{}"
                      "Content-Length: {}\r\n\r\n{}",
                      status, headers, body.size(), body));
    }
    // The head of a stream, then its pieces, then its end.
    void open_stream() { send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"); }
    void piece(const std::string& text) {
      send(fmt::format("{:x}\r\n{}\r\n", text.size(), text));
    }
    void end_stream() { send("0\r\n\r\n"); }
    // Gone, with whatever was not sent.
    void cut() {
      if (buffer_) bufferevent_free(buffer_);
      buffer_ = nullptr;
    }
    // Gone, once everything is sent.
    void close_after_sending() {
      bufferevent_setcb(
          buffer_, nullptr,
          [](bufferevent*, void* one) { static_cast<Connection*>(one)->cut(); },
          [](bufferevent*, short what, void* one) {
            if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) static_cast<Connection*>(one)->cut();
          },
          this);
      bufferevent_enable(buffer_, EV_WRITE);
    }
    bool is_open() const { return buffer_ != nullptr; }

   private:
    friend class FakeApi;
    FakeApi* server_ = nullptr;
    bufferevent* buffer_ = nullptr;
    std::string text_;
  };
  struct Request {
    std::string method;
    std::string target;  // with its query
    std::string head;
    std::string body;
    Connection* from;  // lives as long as the server

    bool has(const std::string& text) const { return target.find(text) != std::string::npos; }
    std::string header(const std::string& name) const {
      size_t at = head.find("\r\n" + name + ": ");

      if (at == std::string::npos) return "";
      at += name.size() + 4;
      return head.substr(at, head.find("\r\n", at) - at);
    }
  };

  // Without `handler`, requests wait in `requests` for the test to answer them.
  explicit FakeApi(observe::Loop& loop, std::function<void(const Request&)> handler = {},
                   const Identity* identity = nullptr, uint16_t port = 0)
      : loop_(loop), handler_(std::move(handler)) {
    if (identity) show(*identity);

    sockaddr_in address{};
    socklen_t size = sizeof(address);

    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener_ = evconnlistener_new_bind(
        loop.base(),
        [](evconnlistener*, evutil_socket_t socket, sockaddr*, int, void* self) {
          static_cast<FakeApi*>(self)->accept(socket);
        },
        this, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_EXEC, -1,
        reinterpret_cast<sockaddr*>(&address), sizeof(address));
    EXPECT_TRUE(listener_);
    getsockname(evconnlistener_get_fd(listener_), reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  ~FakeApi() {
    stop();
    if (tls_) SSL_CTX_free(tls_);
  }
  FakeApi(const FakeApi&) = delete;
  FakeApi& operator=(const FakeApi&) = delete;

  uint16_t port() const { return port_; }
  std::string url() const {
    return fmt::format("http{}://127.0.0.1:{}", tls_ ? "s" : "", port_);
  }
  size_t connections() const { return connections_.size(); }

  // From now on, to new connections.
  void show(const Identity& identity) {
    if (tls_) SSL_CTX_free(tls_);
    tls_ = SSL_CTX_new(TLS_server_method());
    EXPECT_EQ(1, SSL_CTX_use_certificate(tls_, identity.certificate.get()));
    EXPECT_EQ(1, SSL_CTX_use_PrivateKey(tls_, identity.key.get()));
  }
  void cut_all() {
    for (Connection& one : connections_) one.cut();
  }
  // Nobody listens any more.
  void stop() {
    cut_all();
    if (listener_) evconnlistener_free(listener_);
    listener_ = nullptr;
  }

  std::vector<Request> requests;  // all of them, in order

 private:
  void accept(evutil_socket_t socket) {
    Connection& made = connections_.emplace_back();

    made.server_ = this;
    if (tls_)
      made.buffer_ = bufferevent_openssl_socket_new(
          loop_.base(), socket, SSL_new(tls_), BUFFEREVENT_SSL_ACCEPTING,
          BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    else
      made.buffer_ = bufferevent_socket_new(loop_.base(), socket,
                                            BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    bufferevent_setcb(
        made.buffer_,
        [](bufferevent*, void* one) {
          auto* connection = static_cast<Connection*>(one);

          connection->server_->read(*connection);
        },
        nullptr,
        [](bufferevent*, short what, void* one) {
          if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) static_cast<Connection*>(one)->cut();
        },
        &made);
    bufferevent_enable(made.buffer_, EV_READ | EV_WRITE);
  }

  void read(Connection& from) {
    char bytes[16 << 10];

    for (size_t got; (got = bufferevent_read(from.buffer_, bytes, sizeof(bytes))) > 0;)
      from.text_.append(bytes, got);
    while (from.is_open()) {
      size_t head_end = from.text_.find("\r\n\r\n");

      if (head_end == std::string::npos) return;

      Request request{.head = from.text_.substr(0, head_end + 2), .from = &from};
      size_t space = request.head.find(' ');
      std::string length = request.header("Content-Length");
      size_t body = length.empty() ? 0 : std::stoul(length);

      if (from.text_.size() < head_end + 4 + body) return;
      request.method = request.head.substr(0, space);
      request.target =
          request.head.substr(space + 1, request.head.find(' ', space + 1) - space - 1);
      request.body = from.text_.substr(head_end + 4, body);
      from.text_.erase(0, head_end + 4 + body);
      requests.push_back(request);
      if (handler_) handler_(request);
    }
  }

  observe::Loop& loop_;
  std::function<void(const Request&)> handler_;
  evconnlistener* listener_ = nullptr;
  SSL_CTX* tls_ = nullptr;
  uint16_t port_ = 0;
  std::list<Connection> connections_;
};

}  // namespace partywall::test

#endif

// agent/access/https_connection.h: the connections of an HttpsServer: how many, from whom, for
// how long.
#ifndef PARTYWALL_AGENT_ACCESS_HTTPS_CONNECTION_H
#define PARTYWALL_AGENT_ACCESS_HTTPS_CONNECTION_H

#include <openssl/ssl.h>

#include <list>
#include <memory>
#include <string>

#include "agent/access/https_server.h"
#include "agent/source/kubernetes/timer.h"

struct bufferevent;

namespace partywall::access {

class HttpsConnection;

// What the connections of one server have in common; lives until the last of them is freed.
class HttpsRoom : public std::enable_shared_from_this<HttpsRoom> {
 public:
  // Fails when OpenSSL does.
  static Result<std::shared_ptr<HttpsRoom>> make(event_base* base,
                                                 std::unique_ptr<TlsIdentity> identity,
                                                 observe::SelfMetrics& metrics,
                                                 HttpsServer::Limits limits);

  // A stream for a connection that was just accepted; evhttp gives it its socket, and frees it.
  bufferevent* enter();
  // The server goes: nothing happens any more to the connections that it leaves.
  void retire();

 private:
  friend class HttpsConnection;
  struct Free {
    void operator()(SSL_CTX* one) const { SSL_CTX_free(one); }
  };

  HttpsRoom(event_base* base, std::unique_ptr<TlsIdentity> identity,
            observe::SelfMetrics& metrics, HttpsServer::Limits limits);
  void make_room();
  void count(const char* reason);

  event_base* base_;
  std::unique_ptr<TlsIdentity> identity_;
  observe::SelfMetrics& metrics_;
  HttpsServer::Limits limits_;
  RateLimiter handshakes_;
  std::unique_ptr<SSL_CTX, Free> context_;
  std::unique_ptr<kubernetes::Timer> crowd_;
  std::list<HttpsConnection*> open_;  // the oldest first
};

// Belongs to its SSL object, and goes with it.
class HttpsConnection {
 public:
  // Of a stream that enter() made.
  static HttpsConnection* of(bufferevent* stream);

  // The request is here: from now on the time for an answer runs.
  void has_asked();
  // "192.0.2.1", once the handshake has begun.
  const std::string& remote() const { return remote_; }

 private:
  friend class HttpsRoom;

  HttpsConnection(std::shared_ptr<HttpsRoom> room, SSL* ssl);
  ~HttpsConnection();
  static int index();
  static int on_hello(SSL* ssl, int* alert, void* context);
  bool meet();
  // Both ends are told; evhttp then frees it.
  void drop(const char* reason);

  std::shared_ptr<HttpsRoom> room_;
  SSL* ssl_;
  bufferevent* stream_ = nullptr;
  std::list<HttpsConnection*>::iterator place_;
  std::unique_ptr<kubernetes::Timer> limit_;
  std::string remote_;
  bool is_met_ = false;
  bool is_refused_ = false;
  bool has_asked_ = false;
  bool is_dropped_ = false;
};

}  // namespace partywall::access

#endif

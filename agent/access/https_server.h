// agent/access/https_server.h: GET over TLS for whoever connects, on the agent's own event loop
// (evhttp over OpenSSL). Bounded in everything; knows nothing of tokens.
#ifndef PARTYWALL_AGENT_ACCESS_HTTPS_SERVER_H
#define PARTYWALL_AGENT_ACCESS_HTTPS_SERVER_H

#include <functional>
#include <memory>
#include <string>

#include "agent/access/gate.h"
#include "agent/access/rate_limiter.h"
#include "agent/access/tls_identity.h"
#include "agent/observe/loop.h"
#include "agent/observe/self_metrics.h"
#include "maps/result.h"

struct evhttp;
struct evhttp_request;

namespace partywall::access {

class HttpsRoom;

// TLS 1.2 or newer, one request on each connection, GET alone, without a body. Who asks is
// answered by the handler, at once or later.
//
// When there are too many connections, the one that has owed its request for longest goes; an
// address that connects too often is refused before its handshake costs anything. So whoever
// holds connections open keeps nobody else out.
class HttpsServer {
 public:
  using Handler = std::function<void(const Request& request, Answer answer)>;

  struct Limits {
    size_t connections = 64;
    std::chrono::milliseconds request = std::chrono::seconds(10);    // from accepting it
    std::chrono::milliseconds answer = std::chrono::seconds(30);     // from the request
    RateLimiter::Rate handshakes = {.per_second = 20, .burst = 60};  // of an address
  };

  // Listens on "192.0.2.1:9724", "[2001:db8::1]:9724", or on all addresses of the node,
  // "*:9724". Fails when that cannot be parsed or bound. `metrics` outlives the server.
  static Result<std::unique_ptr<HttpsServer>> start(observe::Loop& loop,
                                                    const std::string& address,
                                                    std::unique_ptr<TlsIdentity> identity,
                                                    observe::SelfMetrics& metrics,
                                                    Handler handler, Limits limits);
  ~HttpsServer();

 private:
  struct Free {
    void operator()(evhttp* server) const;
  };

  HttpsServer() = default;
  Result<void> bind(const std::string& address);
  void answer(evhttp_request* request);

  Handler handler_;
  std::shared_ptr<HttpsRoom> room_;  // libevent frees connections later than their server
  std::unique_ptr<evhttp, Free> server_;
};

}  // namespace partywall::access

#endif

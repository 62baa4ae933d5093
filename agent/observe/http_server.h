// agent/observe/http_server.h: a few pages over HTTP, on the agent's own event loop (libevent's
// evhttp).
#ifndef PARTYWALL_AGENT_OBSERVE_HTTP_SERVER_H
#define PARTYWALL_AGENT_OBSERVE_HTTP_SERVER_H

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "agent/observe/http_page.h"
#include "agent/observe/loop.h"
#include "maps/result.h"

struct evhttp;
struct evhttp_request;

namespace partywall::observe {

class HttpServer {
 public:
  // Makes the page when somebody asks for it.
  using Maker = std::function<Page()>;

  // Serves `pages` (path -> maker) to GET and HEAD at `address`: "127.0.0.1:9723",
  // "[::1]:9723". Requests and idle connections have 10 seconds, headers 8 KiB, bodies 0. Fails
  // when the address cannot be parsed or bound, and, unless `remote`, when it is not a loopback
  // address: with a host network, every tenant could read it.
  static Result<std::unique_ptr<HttpServer>> start(Loop& loop, const std::string& address,
                                                   bool remote,
                                                   std::map<std::string, Maker> pages);

 private:
  struct Free {
    void operator()(evhttp* server) const;
  };

  HttpServer() = default;
  void answer(evhttp_request* request) const;

  std::map<std::string, Maker> pages_;
  std::unique_ptr<evhttp, Free> server_;
};

}  // namespace partywall::observe

#endif

// agent/observe/http_server.cc: evhttp behind an HttpServer.
#include "agent/observe/http_server.h"

#include <event2/http.h>

#include <cerrno>

#include "agent/observe/listen_address.h"

namespace partywall::observe {
namespace {

constexpr int kTimeoutSeconds = 10;
constexpr ssize_t kMaxHeaderBytes = 8 << 10;

}  // namespace

void HttpServer::Free::operator()(evhttp* server) const { evhttp_free(server); }

Result<std::unique_ptr<HttpServer>> HttpServer::start(Loop& loop, const std::string& address,
                                                      bool remote,
                                                      std::map<std::string, Maker> pages) {
  auto endpoint = parse_listen_address("serve metrics", address);

  if (!endpoint) return std::move(endpoint.error());
  if (!endpoint->loopback && !remote)
    return fail(
        "serve metrics on {}: tenants could read what others use there; take a loopback "
        "address, or say --metrics-remote when the network keeps them away",
        address);

  std::unique_ptr<HttpServer> http(new HttpServer);

  http->pages_ = std::move(pages);
  http->server_.reset(evhttp_new(loop.base()));
  if (!http->server_) return fail_errno(errno, "serve metrics");
  evhttp_set_allowed_methods(http->server_.get(), EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
  evhttp_set_timeout(http->server_.get(), kTimeoutSeconds);
  evhttp_set_max_headers_size(http->server_.get(), kMaxHeaderBytes);
  evhttp_set_max_body_size(http->server_.get(), 0);
  evhttp_set_gencb(
      http->server_.get(),
      [](evhttp_request* request, void* self) {
        static_cast<const HttpServer*>(self)->answer(request);
      },
      http.get());
  if (evhttp_bind_socket(http->server_.get(), endpoint->host.c_str(), endpoint->port))
    return fail_errno(errno, "serve metrics on {}", address);
  return http;
}

void HttpServer::answer(evhttp_request* request) const {
  const char* path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
  auto found = pages_.find(path && *path ? path : "/");

  if (found == pages_.end()) {
    evhttp_send_error(request, HTTP_NOTFOUND, nullptr);
    return;
  }
  send_page(request, found->second());
}

}  // namespace partywall::observe

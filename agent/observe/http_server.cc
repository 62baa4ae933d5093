// agent/observe/http_server.cc: evhttp behind an HttpServer.
#include "agent/observe/http_server.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

namespace partywall::observe {
namespace {

constexpr int kTimeoutSeconds = 10;
constexpr ssize_t kMaxHeaderBytes = 8 << 10;

struct Endpoint {
  std::string host;
  uint16_t port = 0;
  bool loopback = false;
};

Result<Endpoint> parse_endpoint(const std::string& text) {
  sockaddr_storage storage{};
  int size = sizeof(storage);
  auto* address = reinterpret_cast<sockaddr*>(&storage);

  if (evutil_parse_sockaddr_port(text.c_str(), address, &size))
    return fail(
        "serve metrics on '{}': write an address and a port, as 127.0.0.1:9723 or "
        "[::1]:9723",
        text);

  Endpoint endpoint;
  char host[INET6_ADDRSTRLEN] = {};

  if (address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&storage);

    inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
    endpoint.port = ntohs(v4->sin_port);
    endpoint.loopback = ntohl(v4->sin_addr.s_addr) >> 24 == 127;
  } else {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&storage);

    inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
    endpoint.port = ntohs(v6->sin6_port);
    endpoint.loopback = IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
  }
  endpoint.host = host;
  if (endpoint.port == 0) return fail("serve metrics on '{}': a port is missing", text);
  return endpoint;
}

}  // namespace

void HttpServer::Free::operator()(evhttp* server) const { evhttp_free(server); }

Result<std::unique_ptr<HttpServer>> HttpServer::start(Loop& loop, const std::string& address,
                                                      bool remote,
                                                      std::map<std::string, Maker> pages) {
  auto endpoint = parse_endpoint(address);

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
  // The buffer keeps the text until it is sent; it is not copied.
  auto page = std::make_unique<Page>(found->second());
  evkeyvalq* headers = evhttp_request_get_output_headers(request);
  evbuffer* body = evbuffer_new();
  int status = page->status;

  evhttp_add_header(headers, "Content-Type", page->type.c_str());
  evhttp_add_header(headers, "Content-Length", std::to_string(page->body.size()).c_str());
  // evhttp would send the body to HEAD, too.
  if (evhttp_request_get_command(request) != EVHTTP_REQ_HEAD) {
    evbuffer_add_reference(
        body, page->body.data(), page->body.size(),
        [](const void*, size_t, void* owner) { delete static_cast<Page*>(owner); }, page.get());
    page.release();
  }
  evhttp_send_reply(request, status, nullptr, body);
  evbuffer_free(body);
}

}  // namespace partywall::observe

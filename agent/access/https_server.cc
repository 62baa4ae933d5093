// agent/access/https_server.cc: evhttp over libevent's OpenSSL streams.
#include "agent/access/https_server.h"

#include <event2/http.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

#include "agent/access/https_connection.h"
#include "agent/observe/http_page.h"
#include "agent/observe/listen_address.h"
#include "maps/fd.h"

namespace partywall::access {
namespace {

constexpr ssize_t kMaxHeaderBytes = 16 << 10;  // a token may have half of it
constexpr int kBacklog = 128;
constexpr const char* kEverywhere = "*:";

// A listening socket for IPv6 and IPv4 alike; for IPv4 where the kernel knows no other.
Result<Fd> listen_everywhere(uint16_t port) {
  constexpr int kYes = 1;
  constexpr int kNo = 0;
  constexpr int kKind = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
  sockaddr_in6 v6{};
  sockaddr_in v4{};
  Fd fd(socket(AF_INET6, kKind, 0));
  bool is_v6 = static_cast<bool>(fd);

  v6.sin6_family = AF_INET6;
  v4.sin_family = AF_INET;
  v6.sin6_port = v4.sin_port = htons(port);
  if (!is_v6) fd = Fd(socket(AF_INET, kKind, 0));
  if (!fd || setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &kYes, sizeof(kYes)) ||
      (is_v6 && setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &kNo, sizeof(kNo))) ||
      ::bind(fd.get(),
             is_v6 ? reinterpret_cast<sockaddr*>(&v6) : reinterpret_cast<sockaddr*>(&v4),
             is_v6 ? sizeof(v6) : sizeof(v4)) ||
      listen(fd.get(), kBacklog))
    return fail_errno(errno, "listen on port {}", port);
  return fd;
}

}  // namespace

void HttpsServer::Free::operator()(evhttp* server) const { evhttp_free(server); }

HttpsServer::~HttpsServer() {
  if (room_) room_->retire();
}

Result<std::unique_ptr<HttpsServer>> HttpsServer::start(observe::Loop& loop,
                                                        const std::string& address,
                                                        std::unique_ptr<TlsIdentity> identity,
                                                        observe::SelfMetrics& metrics,
                                                        Handler handler, Limits limits) {
  std::unique_ptr<HttpsServer> https(new HttpsServer);
  auto room = HttpsRoom::make(loop.base(), std::move(identity), metrics, limits);

  if (!room) return std::move(room.error()).within("serve https");
  https->room_ = std::move(*room);
  https->handler_ = std::move(handler);
  https->server_.reset(evhttp_new(loop.base()));
  if (!https->server_) return fail_errno(errno, "serve https");

  evhttp* server = https->server_.get();

  evhttp_set_allowed_methods(server, EVHTTP_REQ_GET);
  evhttp_set_timeout_tv(server,
                        nullptr);  // the room's own are for the whole, not for each byte
  evhttp_set_max_headers_size(server, kMaxHeaderBytes);
  evhttp_set_max_body_size(server, 0);
  evhttp_set_bevcb(
      server,
      [](event_base*, void* room_of_all) {
        return static_cast<HttpsRoom*>(room_of_all)->enter();
      },
      https->room_.get());
  evhttp_set_gencb(
      server,
      [](evhttp_request* request, void* self) {
        static_cast<HttpsServer*>(self)->answer(request);
      },
      https.get());
  if (auto bound = https->bind(address); !bound) return std::move(bound.error());
  return https;
}

Result<void> HttpsServer::bind(const std::string& address) {
  bool everywhere = address.starts_with(kEverywhere);
  auto listen = observe::parse_listen_address(
      "serve https", everywhere ? "0.0.0.0" + address.substr(1) : address);

  if (!listen) return std::move(listen.error());
  if (!everywhere) {
    if (evhttp_bind_socket(server_.get(), listen->host.c_str(), listen->port))
      return fail_errno(errno, "serve https on {}", address);
    return {};
  }

  auto fd = listen_everywhere(listen->port);

  if (!fd) return std::move(fd.error()).within("serve https on " + address);

  int own = fcntl(fd->get(), F_DUPFD_CLOEXEC, 0);  // which evhttp closes

  if (own < 0 || evhttp_accept_socket(server_.get(), own))
    return fail_errno(errno, "serve https on {}", address);
  return {};
}

void HttpsServer::answer(evhttp_request* request) {
  evhttp_connection* from = evhttp_request_get_connection(request);
  HttpsConnection* connection =
      from ? HttpsConnection::of(evhttp_connection_get_bufferevent(from)) : nullptr;
  const evhttp_uri* uri = evhttp_request_get_evhttp_uri(request);
  const char* path = uri ? evhttp_uri_get_path(uri) : nullptr;
  const char* token =
      evhttp_find_header(evhttp_request_get_input_headers(request), "Authorization");
  // evhttp closes after what it was told to close after.
  auto send = [request](observe::Page page) {
    page.headers.emplace_back("Connection", "close");
    observe::send_page(request, std::move(page));
  };

  if (connection) connection->has_asked();
  if (!connection || !path) {
    send({.status = 400, .body = "this is no request\n"});
    return;
  }
  handler_({path, token ? token : "", connection->remote()}, send);
}

}  // namespace partywall::access

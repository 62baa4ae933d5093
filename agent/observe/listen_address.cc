// agent/observe/listen_address.cc: libevent's parser, and what it leaves open.
#include "agent/observe/listen_address.h"

#include <arpa/inet.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace partywall::observe {

Result<ListenAddress> parse_listen_address(const char* what, const std::string& text) {
  sockaddr_storage storage{};
  int size = sizeof(storage);
  auto* address = reinterpret_cast<sockaddr*>(&storage);

  if (evutil_parse_sockaddr_port(text.c_str(), address, &size))
    return fail("{} on '{}': write an address and a port, as 127.0.0.1:9723 or [::1]:9723",
                what, text);

  ListenAddress listen;
  char host[INET6_ADDRSTRLEN] = {};

  if (address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&storage);

    inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
    listen.port = ntohs(v4->sin_port);
    listen.loopback = ntohl(v4->sin_addr.s_addr) >> 24 == 127;
  } else {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&storage);

    inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
    listen.port = ntohs(v6->sin6_port);
    listen.loopback = IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
  }
  listen.host = host;
  if (listen.port == 0) return fail("{} on '{}': a port is missing", what, text);
  return listen;
}

}  // namespace partywall::observe

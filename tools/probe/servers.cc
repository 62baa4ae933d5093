// tools/probe/servers.cc: one thread for each socket and each connection.
#include "tools/probe/servers.h"

#include <unistd.h>

#include <cerrno>
#include <thread>

#include "tools/probe/address.h"

namespace partywall::probe {
namespace {

// A socket for both families on this port. Fails with the errno of what was refused.
Result<int> bound(int type, uint16_t port) {
  int on = 1;
  int off = 0;
  int socket = ::socket(AF_INET6, type | SOCK_CLOEXEC, 0);
  auto address = parse_address("::", port);

  if (socket < 0) return Error(fmt::format("socket: {}", strerror(errno)), errno);
  setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  if (bind(socket, address->get(), address->size) != 0 ||
      (type == SOCK_STREAM && listen(socket, 128) != 0)) {
    Error error(fmt::format("port {}: {}", port, strerror(errno)), errno);

    close(socket);
    return error;
  }
  return socket;
}

// Says who it is, and takes what comes.
void talk(int connection, const std::string& greeting) {
  char buffer[65536];

  if (send(connection, greeting.data(), greeting.size(), MSG_NOSIGNAL) > 0)
    while (recv(connection, buffer, sizeof(buffer), 0) > 0) continue;
  close(connection);
}

}  // namespace

void Servers::serve_connections(int listener) {
  for (;;) {
    Address peer;

    peer.size = sizeof(peer.storage);

    int connection = accept4(listener, peer.get(), &peer.size, SOCK_CLOEXEC);

    if (connection >= 0)
      std::thread(talk, connection, fmt::format("{} {}\n", name_, peer.text())).detach();
  }
}

void Servers::serve_datagrams(int socket) {
  for (;;) {
    char buffer[512];
    Address peer;

    peer.size = sizeof(peer.storage);

    ssize_t got = recvfrom(socket, buffer, sizeof(buffer), 0, peer.get(), &peer.size);

    if (got < 0) continue;
    {
      std::lock_guard lock(mutex_);

      if (seen_.size() >= kMostSeen) seen_.clear();
      seen_.emplace(buffer, static_cast<size_t>(got));
    }
    std::string answer = fmt::format("{} {}\n", name_, peer.text());

    sendto(socket, answer.data(), answer.size(), 0, peer.get(), peer.size);
  }
}

Result<void> Servers::serve(uint16_t port) {
  auto listener = bound(SOCK_STREAM, port);
  if (!listener) return std::move(listener.error());
  auto datagrams = bound(SOCK_DGRAM, port);
  if (!datagrams) return std::move(datagrams.error());

  std::thread(&Servers::serve_connections, this, *listener).detach();
  std::thread(&Servers::serve_datagrams, this, *datagrams).detach();
  return {};
}

bool Servers::has_seen(const std::string& text) {
  std::lock_guard lock(mutex_);

  return seen_.contains(text);
}

}  // namespace partywall::probe

// tools/probe/address.h: an IP address and a port, as system calls take them. No I/O.
#ifndef PARTYWALL_TOOLS_PROBE_ADDRESS_H
#define PARTYWALL_TOOLS_PROBE_ADDRESS_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <cstring>
#include <string>

#include "maps/result.h"

namespace partywall::probe {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;

  int family() const { return storage.ss_family; }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  // The 4 or 16 bytes of it.
  const void* bytes() const {
    if (family() == AF_INET) return &reinterpret_cast<const sockaddr_in*>(&storage)->sin_addr;
    return &reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_addr;
  }
  // As people write it; IPv4 as such also when it came through an IPv6 socket.
  std::string text() const {
    char text[INET6_ADDRSTRLEN] = "";
    std::string written;

    inet_ntop(family(), bytes(), text, sizeof(text));
    written = text;
    return written.starts_with("::ffff:") ? written.substr(7) : written;
  }
};

// Fails when `text` is no numeric IPv4 or IPv6 address.
inline Result<Address> parse_address(const std::string& text, uint16_t port) {
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);

  if (inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.size = sizeof(*v4);
    return address;
  }
  if (inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address.size = sizeof(*v6);
    return address;
  }
  return Error(fmt::format("{}: not an IPv4 or IPv6 address", text));
}

}  // namespace partywall::probe

#endif

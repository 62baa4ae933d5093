// agent/source/kubernetes/own_addresses.cc: getifaddrs.
#include "agent/source/kubernetes/own_addresses.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace partywall::kubernetes {

Result<std::set<std::string>> own_addresses() {
  ifaddrs* first = nullptr;

  if (getifaddrs(&first) != 0)
    return Error(fmt::format("read the addresses of this machine: {}", strerror(errno)), errno);

  std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> list(first, freeifaddrs);
  std::set<std::string> found;
  char text[INET6_ADDRSTRLEN];

  for (const ifaddrs* one = list.get(); one; one = one->ifa_next) {
    if (!one->ifa_addr || (one->ifa_flags & IFF_LOOPBACK)) continue;
    if (one->ifa_addr->sa_family == AF_INET) {
      const auto* v4 = reinterpret_cast<const sockaddr_in*>(one->ifa_addr);

      if (ntohl(v4->sin_addr.s_addr) >> 16 == 0xa9fe) continue;  // 169.254.0.0/16
      found.insert(inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text)));
    } else if (one->ifa_addr->sa_family == AF_INET6) {
      const auto* v6 = reinterpret_cast<const sockaddr_in6*>(one->ifa_addr);

      if (IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr)) continue;
      found.insert(inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text)));
    }
  }
  return found;
}

}  // namespace partywall::kubernetes

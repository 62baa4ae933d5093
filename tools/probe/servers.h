// tools/probe/servers.h: what others try to reach: TCP and UDP, IPv4 and IPv6.
#ifndef PARTYWALL_TOOLS_PROBE_SERVERS_H
#define PARTYWALL_TOOLS_PROBE_SERVERS_H

#include <cstdint>
#include <mutex>
#include <set>
#include <string>

#include "maps/result.h"

namespace partywall::probe {

// Answers on every port with "NAME PEER\n": its name, and the address that it sees the peer
// under. On TCP it goes on to send back whatever comes. For any thread.
class Servers {
 public:
  explicit Servers(std::string name) : name_(std::move(name)) {}

  // Listens from now on, in threads of its own, until the process ends. Fails when the port is
  // taken.
  Result<void> serve(uint16_t port);
  // Whether a datagram with just this text has come.
  bool has_seen(const std::string& text);

 private:
  void serve_connections(int listener);
  void serve_datagrams(int socket);

  static constexpr size_t kMostSeen = 1 << 16;  // then it forgets all of them

  const std::string name_;
  std::mutex mutex_;
  std::set<std::string> seen_;  // under mutex_
};

}  // namespace partywall::probe

#endif

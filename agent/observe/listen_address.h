// agent/observe/listen_address.h: the address and port that a server was told to listen on.
// Pure.
#ifndef PARTYWALL_AGENT_OBSERVE_LISTEN_ADDRESS_H
#define PARTYWALL_AGENT_OBSERVE_LISTEN_ADDRESS_H

#include <cstdint>
#include <string>

#include "maps/result.h"

namespace partywall::observe {

struct ListenAddress {
  std::string host;  // "127.0.0.1", "::1"
  uint16_t port = 0;
  bool loopback = false;
};

// "127.0.0.1:9723", "[::1]:9723". Fails when it is neither, or without a port; the message
// begins with `what`: "serve metrics".
Result<ListenAddress> parse_listen_address(const char* what, const std::string& text);

}  // namespace partywall::observe

#endif

// tools/probe/attempts.h: tries to reach a server of tools/probe/servers.h, once.
#ifndef PARTYWALL_TOOLS_PROBE_ATTEMPTS_H
#define PARTYWALL_TOOLS_PROBE_ATTEMPTS_H

#include <chrono>
#include <functional>
#include <string>

#include "maps/result.h"
#include "tools/probe/address.h"

namespace partywall::probe {

// What the server answered ("NAME PEER"), or why nothing came: "EPERM", "timeout",
// "ECONNREFUSED".
Result<std::string> attempt_tcp(const Address& to, std::chrono::milliseconds limit);
// The same with a datagram, sent again while nothing comes: it may get lost.
Result<std::string> attempt_udp(const Address& to, std::chrono::milliseconds limit);
// Connects and sends as fast as may be, while `go_on`, asked after every piece with the bytes
// sent so far, says so. Returns the bytes; fails when nothing moves for `limit`.
Result<uint64_t> stream_tcp(const Address& to, std::chrono::milliseconds limit,
                            const std::function<bool(uint64_t bytes)>& go_on);

// Sends one datagram with this text that claims to come from `source`, past the kernel's own
// idea of it. Through a raw socket; or, with `device`, as a frame through a packet socket, to
// the machine that the interface's default route leads to. Fails when the kernel refuses it:
// EPERM is a refusal of a program's, too. Needs CAP_NET_RAW.
Result<void> send_spoofed(const Address& source, const Address& to, const std::string& text,
                          const std::string& device);

}  // namespace partywall::probe

#endif

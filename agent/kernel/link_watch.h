// agent/kernel/link_watch.h: the network interfaces of this network namespace, as they come and
// go.
#ifndef PARTYWALL_AGENT_KERNEL_LINK_WATCH_H
#define PARTYWALL_AGENT_KERNEL_LINK_WATCH_H

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "maps/result.h"

struct mnl_socket;

namespace partywall::kernel {

// What the kernel told of one interface.
struct LinkNews {
  uint32_t ifindex = 0;
  std::string name;
  bool gone = false;
  bool has_link_header = true;
  uint64_t packets = 0;  // received and sent so far
};

// Reads netlink; needs no privilege. One thread.
class LinkWatch {
 public:
  static Result<LinkWatch> open();

  // Every interface there is.
  Result<std::vector<LinkNews>> all();

  // What was told since the last call. Fails with ENOBUFS when something was lost: ask all().
  Result<std::vector<LinkNews>> news();

  // Readable when news() has something to tell.
  int poll_fd() const;

 private:
  struct Close {
    void operator()(mnl_socket* socket) const;
  };
  std::unique_ptr<mnl_socket, Close> events_;
  std::unique_ptr<mnl_socket, Close> questions_;
};

}  // namespace partywall::kernel

#endif

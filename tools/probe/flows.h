// tools/probe/flows.h: attempts that are repeated until they are told to end, and counted.
#ifndef PARTYWALL_TOOLS_PROBE_FLOWS_H
#define PARTYWALL_TOOLS_PROBE_FLOWS_H

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "tools/probe/address.h"

namespace partywall::probe {

class Flows {
 public:
  ~Flows();

  // Attempts over "tcp" or "udp", one after another, `pause` between them, from now on; or
  // "stream": one connection that sends as fast as it can, a new one when it fails. Replaces
  // one of this name.
  void start(const std::string& name, const std::string& protocol, const Address& to,
             std::chrono::milliseconds pause, std::chrono::milliseconds limit);
  // "ATTEMPTS ANSWERED FAILED LONGEST-GAP-MS LAST-PROBLEM BYTES MILLISECONDS": the gap is the
  // longest time without an answer; bytes are those of streams; or "none" when there is no
  // such flow. `end` ends it.
  std::string report(const std::string& name, bool end);

 private:
  struct Flow {
    std::atomic<bool> is_over{false};
    std::atomic<uint64_t> answered{0}, failed{0}, longest_gap_ms{0}, bytes{0};
    std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
    std::atomic<int> last_errno{0};
    std::thread thread;
  };

  static void run(Flow& flow, const std::string& protocol, const Address& to,
                  std::chrono::milliseconds pause, std::chrono::milliseconds limit);
  static void stream(Flow& flow, const Address& to, std::chrono::milliseconds pause,
                     std::chrono::milliseconds limit);

  std::map<std::string, std::unique_ptr<Flow>> flows_;
};

}  // namespace partywall::probe

#endif

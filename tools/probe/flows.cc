// tools/probe/flows.cc: one thread for each flow.
#include "tools/probe/flows.h"

#include "tools/probe/attempts.h"

namespace partywall::probe {

void Flows::run(Flow& flow, const std::string& protocol, const Address& to,
                std::chrono::milliseconds pause, std::chrono::milliseconds limit) {
  using Clock = std::chrono::steady_clock;
  auto last = Clock::now();

  while (!flow.is_over) {
    auto answer = protocol == "udp" ? attempt_udp(to, limit) : attempt_tcp(to, limit);
    auto gap = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - last);

    if (answer) {
      flow.answered++;
      last = Clock::now();
    } else {
      flow.failed++;
      flow.last_errno = answer.error().errno_value();
    }
    if (auto ms = static_cast<uint64_t>(gap.count()); ms > flow.longest_gap_ms)
      flow.longest_gap_ms = ms;
    std::this_thread::sleep_for(pause);
  }
}

void Flows::stream(Flow& flow, const Address& to, std::chrono::milliseconds pause,
                   std::chrono::milliseconds limit) {
  while (!flow.is_over) {
    uint64_t before = flow.bytes;
    auto sent = stream_tcp(to, limit, [&](uint64_t bytes) {
      flow.bytes = before + bytes;
      return !flow.is_over;
    });

    if (sent) {
      flow.answered++;
    } else {
      flow.failed++;
      flow.last_errno = sent.error().errno_value();
      std::this_thread::sleep_for(pause);
    }
  }
}

void Flows::start(const std::string& name, const std::string& protocol, const Address& to,
                  std::chrono::milliseconds pause, std::chrono::milliseconds limit) {
  report(name, true);

  auto flow = std::make_unique<Flow>();

  flow->thread = protocol == "stream"
                     ? std::thread(stream, std::ref(*flow), to, pause, limit)
                     : std::thread(run, std::ref(*flow), protocol, to, pause, limit);
  flows_[name] = std::move(flow);
}

std::string Flows::report(const std::string& name, bool end) {
  auto found = flows_.find(name);

  if (found == flows_.end()) return "none";

  Flow& flow = *found->second;

  if (end) {
    flow.is_over = true;
    flow.thread.join();
  }
  int error = flow.last_errno;
  auto ran = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - flow.begin);
  std::string report =
      fmt::format("{} {} {} {} {} {} {}", flow.answered + flow.failed, flow.answered.load(),
                  flow.failed.load(), flow.longest_gap_ms.load(),
                  error == 0 ? "-" : strerrorname_np(error), flow.bytes.load(), ran.count());

  if (end) flows_.erase(found);
  return report;
}

Flows::~Flows() {
  while (!flows_.empty()) report(flows_.begin()->first, true);
}

}  // namespace partywall::probe

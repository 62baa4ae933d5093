// agent/observe/event_log.cc: one line per event, to each that wants it.
#include "agent/observe/event_log.h"

#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace partywall::observe {
namespace {

constexpr const char* kUnclaimed = "";  // events of cgroups that no tenant claims

int64_t clock_ns(clockid_t clock) {
  timespec now{};

  clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

Result<std::unique_ptr<EventLog>> EventLog::open(Options options, SelfMetrics& metrics) {
  std::unique_ptr<EventLog> log(new EventLog(metrics));
  auto names = MappedArray<const abi::tenant_name>::open(options.pin_root, "tenant_names");
  auto ring = RingReader::open(options.pin_root, "events",
                               [self = log.get()](std::span<const std::byte> record) {
                                 abi::verdict_event event;

                                 if (record.size() < sizeof(event)) return;
                                 std::memcpy(&event, record.data(), sizeof(event));
                                 self->take(event);
                               });

  if (!names) return std::move(names.error());
  if (!ring) return std::move(ring.error());
  log->names_ = std::move(*names);
  log->ring_ = std::move(*ring);
  log->context_.node = options.node;
  log->context_.tenant_name = [self = log.get()](uint32_t number) -> std::string {
    if (number >= self->names_.rows().size()) return "";

    const char* name = self->names_[number].name;

    return {name, strnlen(name, TENANT_NAME_MAX)};
  };
  log->options_ = std::move(options);
  if (auto opened = log->reopen(); !opened) return std::move(opened.error());
  return log;
}

Result<void> EventLog::reopen() {
  if (options_.sink == "none") return {};
  if (options_.sink == "stdout") {
    sink_ = STDOUT_FILENO;
    return {};
  }

  // Without O_NONBLOCK, a named pipe would wait for its reader.
  Fd file(::open(options_.sink.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK,
                 0600));

  if (!file) return fail_errno(errno, "open the events file {}", options_.sink);
  file_ = std::move(file);
  sink_ = file_.get();
  torn_ = false;
  return {};
}

void EventLog::drain() {
  context_.realtime_offset_ns = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);
  static_cast<void>(ring_.consume());  // the ring is memory: nothing to fail
}

void EventLog::take(const abi::verdict_event& event) {
  std::string tenant = event.tenant ? context_.tenant_name(event.tenant) : kUnclaimed;
  std::string line = event_json(event, context_);

  if (sink_ >= 0) write(line);
  feed_.publish(tenant, line);
}

// A line at a time, and only when the sink takes it at once: a pipe that nobody reads or a full
// disk must not stop the agent. A pipe that is ready has room for 4096 bytes, and no line is as
// long.
void EventLog::write(const std::string& line) {
  std::string text = (torn_ ? "\n" : "") + line + "\n";
  pollfd ready{.fd = sink_, .events = POLLOUT};
  ssize_t written = -1;

  if (poll(&ready, 1, 0) == 1 && ready.revents & POLLOUT)
    written = ::write(sink_, text.data(), text.size());
  if (written == static_cast<ssize_t>(text.size())) {
    torn_ = false;
    return;
  }
  if (written > 0) torn_ = true;
  metrics_.add(Metric::kEventLinesLost, 1, {{"sink", "file"}});
}

}  // namespace partywall::observe

// agent/source/kubernetes/write_queue.cc: whose turn it is.
#include "agent/source/kubernetes/write_queue.h"

#include <algorithm>
#include <vector>

namespace partywall::kubernetes {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

WriteQueue::WriteQueue(observe::Loop& loop, WriteLimits limits, Step step)
    : limits_(limits), step_(std::move(step)), timer_(loop.base(), [this] { pump(); }) {}

void WriteQueue::touch(const std::string& key) {
  Entry& entry = entries_.try_emplace(key, limits_).first->second;

  if (entry.dirty) return;
  entry.dirty = true;
  entry.due = std::max(entry.due, Clock::now() + limits_.coalesce);
  if (!timer_.is_set()) arm();
}

void WriteQueue::done(const std::string& key, Outcome outcome, const ApiReply& reply) {
  auto found = entries_.find(key);

  if (found == entries_.end()) return;

  Entry& entry = found->second;

  entry.busy = false;
  entry.call = {};
  if (outcome == Outcome::kFailed) {
    ++facts_.errors[kind_of(reply)];
    facts_.last_error = fmt::format("{}: {}", key, reply.problem());
    entry.dirty = true;
    entry.due = Clock::now() + entry.backoff.next(reply.retry_after);
  } else if (outcome == Outcome::kAgain) {
    entry.dirty = true;
    entry.due = Clock::now() + limits_.spacing;
  } else {
    facts_.last_error.clear();
    entry.backoff.reset();
    entry.due =
        std::max(entry.dirty ? entry.due : Clock::time_point{}, Clock::now() + limits_.spacing);
  }
  arm();
}

size_t WriteQueue::pending() const {
  return static_cast<size_t>(std::count_if(entries_.begin(), entries_.end(), [](auto& entry) {
    return entry.second.dirty || entry.second.busy;
  }));
}

void WriteQueue::pump() {
  Clock::time_point now = Clock::now();
  size_t busy = 0;
  std::vector<std::pair<Clock::time_point, std::string>> ready;

  for (const auto& [key, entry] : entries_) {
    if (entry.busy) ++busy;
    if (entry.dirty && !entry.busy && entry.due <= now) ready.emplace_back(entry.due, key);
  }
  std::sort(ready.begin(), ready.end());
  for (const auto& [due, key] : ready) {
    if (busy >= limits_.in_flight) break;

    auto found = entries_.find(key);

    if (found == entries_.end()) continue;
    found->second.dirty = false;

    std::optional<ApiCall> call = step_(key);

    found = entries_.find(key);
    if (!call || found == entries_.end()) continue;
    ++facts_.calls;
    ++busy;
    found->second.busy = true;
    found->second.call = std::move(*call);
  }
  arm();
}

// To when the next one is due. When all calls are taken, done() comes back here.
void WriteQueue::arm() {
  std::optional<Clock::time_point> next;
  size_t busy = 0;

  for (const auto& [key, entry] : entries_) {
    if (entry.busy) ++busy;
    if (entry.dirty && !entry.busy) next = std::min(next.value_or(entry.due), entry.due);
  }
  timer_.cancel();
  if (next && busy < limits_.in_flight)
    timer_.after(std::chrono::ceil<std::chrono::milliseconds>(*next - Clock::now()));
}

}  // namespace partywall::kubernetes

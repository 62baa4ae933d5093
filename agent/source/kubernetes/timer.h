// agent/source/kubernetes/timer.h: calls a handler once, later, on the agent's event loop.
#ifndef PARTYWALL_AGENT_SOURCE_KUBERNETES_TIMER_H
#define PARTYWALL_AGENT_SOURCE_KUBERNETES_TIMER_H

#include <chrono>
#include <functional>
#include <memory>

struct event;
struct event_base;

namespace partywall::kubernetes {

// One thread. The handler may set the timer again, and may end the timer's life.
class Timer {
 public:
  // `base` must outlive the timer.
  Timer(event_base* base, std::function<void()> handler);
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // From now; what was set before is forgotten. 0 = as soon as the loop comes around.
  void after(std::chrono::milliseconds delay);
  void cancel();
  bool is_set() const;

 private:
  struct Free {
    void operator()(event* one) const;
  };

  std::shared_ptr<std::function<void()>> handler_;
  std::unique_ptr<event, Free> event_;
};

}  // namespace partywall::kubernetes

#endif

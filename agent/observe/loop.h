// agent/observe/loop.h: the agent's one event loop (libevent). One thread; handlers run one
// after another.
#ifndef PARTYWALL_AGENT_OBSERVE_LOOP_H
#define PARTYWALL_AGENT_OBSERVE_LOOP_H

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "maps/result.h"

struct event_base;
struct event;

namespace partywall::observe {

class Loop {
 public:
  using Handler = std::function<void()>;

  static Result<std::unique_ptr<Loop>> make();
  ~Loop();

  // Until the loop ends. `fd` is not closed.
  Result<void> on_readable(int fd, Handler handler);
  Result<void> on_signal(int number, Handler handler);
  Result<void> every(std::chrono::milliseconds period, Handler handler);

  // Runs handlers until stop() was called from one of them.
  void run();
  void stop();

  event_base* base() const { return base_.get(); }

 private:
  struct FreeBase {
    void operator()(event_base* base) const;
  };
  struct FreeEvent {
    void operator()(event* one) const;
  };
  struct Watch {
    Handler handler;
    std::unique_ptr<event, FreeEvent> source;
  };

  Loop() = default;
  Result<void> add(int fd, short what, const std::chrono::milliseconds* period,
                   Handler handler);

  std::unique_ptr<event_base, FreeBase> base_;
  std::vector<std::unique_ptr<Watch>> watches_;
};

}  // namespace partywall::observe

#endif

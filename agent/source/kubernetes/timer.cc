// agent/source/kubernetes/timer.cc: a libevent timer that is not repeated.
#include "agent/source/kubernetes/timer.h"

#include <event2/event.h>

#include <algorithm>
#include <new>

namespace partywall::kubernetes {

void Timer::Free::operator()(event* one) const { event_free(one); }

Timer::Timer(event_base* base, std::function<void()> handler)
    : handler_(std::make_shared<std::function<void()>>(std::move(handler))) {
  event_.reset(event_new(
      base, -1, 0,
      [](evutil_socket_t, short, void* context) {
        auto keep = static_cast<Timer*>(context)->handler_;

        (*keep)();
      },
      this));
  if (!event_) throw std::bad_alloc();
}

void Timer::after(std::chrono::milliseconds delay) {
  auto left = std::max(delay, std::chrono::milliseconds(0)).count();
  timeval time{.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};

  event_add(event_.get(), &time);
}

void Timer::cancel() { event_del(event_.get()); }
bool Timer::is_set() const { return event_pending(event_.get(), EV_TIMEOUT, nullptr) != 0; }

}  // namespace partywall::kubernetes

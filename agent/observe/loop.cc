// agent/observe/loop.cc: libevent behind a Loop.
#include "agent/observe/loop.h"

#include <event2/event.h>

#include <cerrno>

namespace partywall::observe {

void Loop::FreeBase::operator()(event_base* base) const { event_base_free(base); }
void Loop::FreeEvent::operator()(event* one) const { event_free(one); }

Loop::~Loop() { watches_.clear(); }  // before their base

Result<std::unique_ptr<Loop>> Loop::make() {
  std::unique_ptr<Loop> loop(new Loop);

  loop->base_.reset(event_base_new());
  if (!loop->base_) return fail_errno(errno, "make an event loop");
  return loop;
}

Result<void> Loop::add(int fd, short what, const std::chrono::milliseconds* period,
                       Handler handler) {
  auto watch = std::make_unique<Watch>();

  watch->handler = std::move(handler);
  watch->source.reset(event_new(
      base_.get(), fd, static_cast<short>(what | EV_PERSIST),
      [](evutil_socket_t, short, void* context) { static_cast<Watch*>(context)->handler(); },
      watch.get()));

  timeval interval{};

  if (period) {
    interval.tv_sec = period->count() / 1000;
    interval.tv_usec = period->count() % 1000 * 1000;
  }
  if (!watch->source || event_add(watch->source.get(), period ? &interval : nullptr))
    return fail_errno(errno, "watch descriptor or signal {}", fd);
  watches_.push_back(std::move(watch));
  return {};
}

Result<void> Loop::on_readable(int fd, Handler handler) {
  return add(fd, EV_READ, nullptr, std::move(handler));
}

Result<void> Loop::on_signal(int number, Handler handler) {
  return add(number, EV_SIGNAL, nullptr, std::move(handler));
}

Result<void> Loop::every(std::chrono::milliseconds period, Handler handler) {
  return add(-1, 0, &period, std::move(handler));
}

void Loop::run() { event_base_dispatch(base_.get()); }
void Loop::stop() { event_base_loopbreak(base_.get()); }

}  // namespace partywall::observe

// agent/source/kubernetes/curl_loop.cc: libcurl's multi socket interface over libevent.
#include "agent/source/kubernetes/curl_loop.h"

#include <event2/event.h>

#include <new>

namespace partywall::kubernetes {

void CurlLoop::FreeEvent::operator()(event* one) const { event_free(one); }

std::shared_ptr<CurlLoop> CurlLoop::make(event_base* base, Worked worked) {
  return std::shared_ptr<CurlLoop>(new CurlLoop(base, std::move(worked)));
}

CurlLoop::CurlLoop(event_base* base, Worked worked)
    : base_(base),
      worked_(std::move(worked)),
      multi_(curl_multi_init()),
      timer_(base, [this] { act(CURL_SOCKET_TIMEOUT, 0); }) {
  if (!multi_) throw std::bad_alloc();
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, on_timer);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
}

CurlLoop::~CurlLoop() {
  curl_multi_cleanup(multi_);  // it still asks for its sockets to be forgotten
}

int CurlLoop::on_socket(CURL*, curl_socket_t socket, int what, void* context, void*) {
  auto* self = static_cast<CurlLoop*>(context);

  self->sockets_.erase(socket);
  if (what == CURL_POLL_REMOVE) return 0;

  short wanted = EV_PERSIST;

  if (what & CURL_POLL_IN) wanted |= EV_READ;
  if (what & CURL_POLL_OUT) wanted |= EV_WRITE;

  std::unique_ptr<event, FreeEvent> watch(event_new(
      self->base_, socket, wanted,
      [](evutil_socket_t ready, short happened, void* loop) {
        int ways = (happened & EV_READ ? CURL_CSELECT_IN : 0) |
                   (happened & EV_WRITE ? CURL_CSELECT_OUT : 0);

        static_cast<CurlLoop*>(loop)->act(ready, ways);
      },
      self));

  if (!watch || event_add(watch.get(), nullptr)) return -1;
  self->sockets_[socket] = std::move(watch);
  return 0;
}

int CurlLoop::on_timer(CURLM*, long delay_ms, void* context) {
  auto* self = static_cast<CurlLoop*>(context);

  if (delay_ms < 0)
    self->timer_.cancel();
  else
    self->timer_.after(std::chrono::milliseconds(delay_ms));
  return 0;
}

void CurlLoop::act(curl_socket_t socket, int what) {
  auto keep = shared_from_this();
  int running = 0;
  int left = 0;
  std::vector<Ended> ended;

  curl_multi_socket_action(multi_, socket, what, &running);
  while (CURLMsg* message = curl_multi_info_read(multi_, &left))
    if (message->msg == CURLMSG_DONE)
      ended.push_back({message->easy_handle, message->data.result});
  worked_(ended);
}

CURLMcode CurlLoop::add(CURL* easy) { return curl_multi_add_handle(multi_, easy); }
void CurlLoop::remove(CURL* easy) { curl_multi_remove_handle(multi_, easy); }

}  // namespace partywall::kubernetes

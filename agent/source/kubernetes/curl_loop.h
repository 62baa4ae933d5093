// agent/source/kubernetes/curl_loop.h: transfers of libcurl on the agent's event loop, over
// connections of their own.
#ifndef PARTYWALL_AGENT_SOURCE_KUBERNETES_CURL_LOOP_H
#define PARTYWALL_AGENT_SOURCE_KUBERNETES_CURL_LOOP_H

#include <curl/curl.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "agent/source/kubernetes/timer.h"

struct event;
struct event_base;

namespace partywall::kubernetes {

// One thread. Transfers of one CurlLoop share connections, and streams of one connection where
// the server speaks HTTP/2.
class CurlLoop : public std::enable_shared_from_this<CurlLoop> {
 public:
  struct Ended {
    CURL* easy;
    CURLcode code;
  };
  // Called after libcurl has worked, outside of its own calls: transfers may be added and
  // removed. Never from within add() and remove().
  using Worked = std::function<void(const std::vector<Ended>&)>;

  static std::shared_ptr<CurlLoop> make(event_base* base, Worked worked);
  ~CurlLoop();
  CurlLoop(const CurlLoop&) = delete;
  CurlLoop& operator=(const CurlLoop&) = delete;

  CURLMcode add(CURL* easy);
  void remove(CURL* easy);

  // When the last byte of any reply came; kept by whoever adds the transfers.
  std::chrono::steady_clock::time_point heard_at;

 private:
  struct FreeEvent {
    void operator()(event* one) const;
  };

  CurlLoop(event_base* base, Worked worked);
  static int on_socket(CURL* easy, curl_socket_t socket, int what, void* self, void*);
  static int on_timer(CURLM* multi, long delay_ms, void* self);
  void act(curl_socket_t socket, int what);

  event_base* base_;
  Worked worked_;
  CURLM* multi_;
  Timer timer_;
  std::map<curl_socket_t, std::unique_ptr<event, FreeEvent>> sockets_;
};

}  // namespace partywall::kubernetes

#endif

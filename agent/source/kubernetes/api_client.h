// agent/source/kubernetes/api_client.h: requests to the API server and streams from it, on the
// agent's event loop. Knows no objects.
#ifndef PARTYWALL_AGENT_SOURCE_KUBERNETES_API_CLIENT_H
#define PARTYWALL_AGENT_SOURCE_KUBERNETES_API_CLIENT_H

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/observe/loop.h"
#include "agent/source/kubernetes/kube_config.h"
#include "maps/result.h"

namespace partywall::kubernetes {

struct ApiRequest {
  std::string method = "GET";
  std::string path;  // with its query: "/api/v1/pods?limit=500"
  std::string content_type = {};
  std::string body = {};
  std::string accept = "application/json";
  // For the whole reply; of a stream, for its head.
  std::chrono::milliseconds deadline = std::chrono::seconds(30);
  size_t max_reply_bytes = 32 << 20;
};

struct ApiReply {
  enum class Failure { kNone, kConnection, kTimeout, kTooLarge, kTls, kCredentials };

  int status = 0;  // 0 = no head of a reply came
  std::string body;
  Failure failure = Failure::kNone;  // why there is no whole reply
  std::string error;                 // the same in words
  std::optional<std::chrono::seconds> retry_after;

  bool ok() const { return failure == Failure::kNone && status / 100 == 2; }
  // Why it is not ok(): `error`, or the status with what the server says about it. One line.
  std::string problem() const;
};

// What sort of failure it is, for metrics: connection, timeout, tls, credentials, forbidden,
// throttled, expired, too_large, status (any other).
std::string_view kind_of(const ApiReply& reply);

// A stream's handlers; they may end any call.
struct ApiStream {
  std::function<void()> on_open = {};  // the head has come, with a status of 2xx
  std::function<void(std::string_view)> on_chunk = {};
  // A stream that brings no byte for so long is cut.
  std::chrono::milliseconds idle_limit = std::chrono::seconds(60);
};

class ApiClient;

// A request that is under way. Without it, the request ends and its handlers are not called.
class [[nodiscard]] ApiCall {
 public:
  ApiCall() = default;
  ApiCall(ApiCall&& other) noexcept : client_(other.client_), id_(other.id_) {
    other.client_ = nullptr;
  }
  ApiCall& operator=(ApiCall&& other) noexcept {
    std::swap(client_, other.client_);
    std::swap(id_, other.id_);
    return *this;
  }
  ~ApiCall() { end(); }

  void end();
  // Whether it was started and neither ended nor answered.
  bool is_open() const;

 private:
  friend class ApiClient;
  ApiCall(ApiClient* client, uint64_t id) : client_(client), id_(id) {}

  ApiClient* client_ = nullptr;
  uint64_t id_ = 0;
};

// One thread. Outlives its calls; is not destroyed by one of its handlers.
//
// TLS is verified unless the access says otherwise. Files of the access are read again when
// they change, the token's at least once a minute; a token is in no error. Redirects are not
// followed and proxies not asked. Where the server speaks HTTP/2, calls share one connection.
// When a call gets no answer in time, later ones use a new connection, and calls on a
// connection that has been silent all that time end as well.
class ApiClient {
 public:
  struct Facts {
    uint64_t requests = 0;
    uint64_t failures = 0;        // without a whole reply
    uint64_t connections = 0;     // made
    uint64_t bytes_received = 0;  // of bodies
  };
  using OnDone = std::function<void(ApiReply)>;

  // Fails when a file of `access` cannot be read.
  static Result<std::unique_ptr<ApiClient>> make(observe::Loop& loop, ApiAccess access);
  ~ApiClient();

  // `on_done` is called once, from the loop, never from within here.
  ApiCall request(ApiRequest request, OnDone on_done);
  // The same for a reply without an end: a body of 2xx goes to the stream's on_chunk, piece by
  // piece, and is not in the reply. `on_end` when the server ends it or it is cut.
  ApiCall stream(ApiRequest request, ApiStream stream, OnDone on_end);

  const Facts& facts() const;
  const ApiAccess& access() const;
  observe::Loop& loop() const { return loop_; }

 private:
  friend class ApiCall;
  class Room;

  explicit ApiClient(observe::Loop& loop);

  observe::Loop& loop_;
  std::unique_ptr<Room> room_;
};

}  // namespace partywall::kubernetes

#endif

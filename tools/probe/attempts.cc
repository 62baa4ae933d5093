// tools/probe/attempts.cc: connections and datagrams as any program makes them.
#include "tools/probe/attempts.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace partywall::probe {
namespace {

using Clock = std::chrono::steady_clock;

Error problem(int number) {
  return Error(number == ETIMEDOUT ? "timeout" : strerrorname_np(number), number);
}

// Waits until `socket` has one of `events`. False when that took too long.
bool wait_for(int socket, short events, Clock::time_point end) {
  pollfd wanted{socket, events, 0};
  auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();

  return left > 0 && poll(&wanted, 1, static_cast<int>(left)) == 1;
}

// One answer, without its end of line.
Result<std::string> answer_of(int socket, Clock::time_point end) {
  char buffer[512];

  if (!wait_for(socket, POLLIN, end)) return problem(ETIMEDOUT);

  ssize_t got = recv(socket, buffer, sizeof(buffer), 0);

  if (got < 0) return problem(errno);
  if (got == 0) return problem(ECONNRESET);
  std::string answer(buffer, static_cast<size_t>(got));

  return answer.substr(0, answer.find('\n'));
}

Result<std::string> talk_tcp(int socket, const Address& to, Clock::time_point end) {
  int error = 0;
  socklen_t size = sizeof(error);

  if (connect(socket, to.get(), to.size) != 0 && errno != EINPROGRESS) return problem(errno);
  if (!wait_for(socket, POLLOUT, end)) return problem(ETIMEDOUT);
  getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return problem(error);
  return answer_of(socket, end);
}

Result<std::string> talk_udp(int socket, const Address& to, Clock::time_point end) {
  if (connect(socket, to.get(), to.size) != 0) return problem(errno);
  for (;;) {
    if (send(socket, "?", 1, 0) < 0) return problem(errno);

    auto answer = answer_of(socket, std::min(end, Clock::now() + std::chrono::seconds(1)));

    if (answer || answer.error().errno_value() != ETIMEDOUT || Clock::now() >= end)
      return answer;
  }
}

}  // namespace

Result<std::string> attempt_tcp(const Address& to, std::chrono::milliseconds limit) {
  int socket = ::socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket < 0) return problem(errno);

  auto answer = talk_tcp(socket, to, Clock::now() + limit);

  close(socket);
  return answer;
}

Result<uint64_t> stream_tcp(const Address& to, std::chrono::milliseconds limit,
                            const std::function<bool(uint64_t bytes)>& go_on) {
  // Little enough that what waits here does not count as sent.
  constexpr int kBuffer = 64 << 10;
  static const char kBytes[kBuffer / 2] = {};
  uint64_t bytes = 0;
  int socket = ::socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket < 0) return problem(errno);

  setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &kBuffer, sizeof(kBuffer));
  auto answer = talk_tcp(socket, to, Clock::now() + limit);
  int error = answer ? 0 : answer.error().errno_value();

  while (error == 0 && go_on(bytes)) {
    ssize_t sent = send(socket, kBytes, sizeof(kBytes), MSG_NOSIGNAL);

    if (sent > 0)
      bytes += static_cast<uint64_t>(sent);
    else if (errno != EAGAIN)
      error = errno;
    else if (!wait_for(socket, POLLOUT, Clock::now() + limit))
      error = ETIMEDOUT;
  }
  close(socket);
  if (error != 0) return problem(error);
  return bytes;
}

Result<std::string> attempt_udp(const Address& to, std::chrono::milliseconds limit) {
  int socket = ::socket(to.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return problem(errno);

  auto answer = talk_udp(socket, to, Clock::now() + limit);

  close(socket);
  return answer;
}

}  // namespace partywall::probe

// tests/unit/loop_client.h: clients of the agent's servers, in one thread with the loop that
// serves them.
#ifndef PARTYWALL_TESTS_UNIT_LOOP_CLIENT_H
#define PARTYWALL_TESTS_UNIT_LOOP_CLIENT_H

#include <arpa/inet.h>
#include <event2/event.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "agent/observe/loop.h"
#include "maps/fd.h"

namespace partywall::test {

// One connection. Nothing waits: what came is in `text` after read().
class LoopClient {
 public:
  explicit LoopClient(const std::string& unix_path) {
    sockaddr_un address{.sun_family = AF_UNIX};

    unix_path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    open(reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  }
  explicit LoopClient(uint16_t port) {
    sockaddr_in address{};

    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    open(reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  }
  static std::unique_ptr<LoopClient> of_ipv6(uint16_t port) {
    std::unique_ptr<LoopClient> client(new LoopClient);
    sockaddr_in6 address{};

    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    address.sin6_addr = in6addr_loopback;
    client->open(reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    return client;
  }

  void send(const std::string& bytes) {
    EXPECT_EQ(static_cast<ssize_t>(bytes.size()),
              ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
  }
  // Whether anybody would still get it.
  bool can_send() { return ::send(fd_.get(), " ", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1; }
  void send_no_more() { EXPECT_EQ(0, shutdown(fd_.get(), SHUT_WR)); }
  // Whether the server has closed.
  bool read() {
    char buffer[16 << 10];

    for (ssize_t got; (got = recv(fd_.get(), buffer, sizeof(buffer), MSG_DONTWAIT)) >= 0;) {
      if (got == 0) return true;
      text.append(buffer, static_cast<size_t>(got));
    }
    return errno != EAGAIN;
  }
  // Whether something came that read() would take.
  bool has_bytes() const {
    char byte = 0;

    return recv(fd_.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 1;
  }
  void close() { fd_ = Fd(); }

  std::string text;

 private:
  LoopClient() = default;
  void open(const sockaddr* address, socklen_t size) {
    fd_ = Fd(socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(0, connect(fd_.get(), address, size)) << strerror(errno);
  }

  Fd fd_;
};

class LoopTest : public testing::Test {
 protected:
  LoopTest() {
    signal(SIGPIPE, SIG_IGN);  // as the agent does: clients may go away
    auto made = observe::Loop::make();

    EXPECT_TRUE(made);
    loop_ = std::move(*made);
    EXPECT_TRUE(loop_->every(std::chrono::milliseconds(1), [] {}));
  }

  // Serves until `done`, for 10 seconds at the most. Returns whether it came true.
  bool serve_until(const std::function<bool()>& done) {
    auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);

    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      event_base_loop(loop_->base(), EVLOOP_ONCE);
    }
    return true;
  }
  // All that the server says until it closes.
  std::string answer(LoopClient& client) {
    EXPECT_TRUE(serve_until([&] { return client.read(); })) << "it did not close";
    return client.text;
  }

  std::unique_ptr<observe::Loop> loop_;
};

}  // namespace partywall::test

#endif

// tests/bench/traffic.cc: one TCP client and one server, each in its cgroup and network
// namespace; prints how much work they did in a second. Makes no cgroup, no namespace.
//
//   bench_traffic WORK SECONDS CPU CLIENT_CGROUP CLIENT_NETNS SERVER_CGROUP SERVER_NETNS
//   ADDRESS WORK: request (one byte there, one byte back), connect (connect, one request,
//   close) or stream. Both ends run on one CPU: waking another one costs more than what is
//   measured here.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

using Clock = std::chrono::steady_clock;

constexpr uint16_t kPort = 7089;
constexpr size_t kStreamBytes = 128 * 1024;  // per system call
constexpr int kCallsPerLook = 16;            // at the clock

// A benchmark has nobody to return to: it says what failed and ends.
[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::exit(1);
}

int check(int result, const char* what) {
  if (result < 0) give_up(what);
  return result;
}

struct Place {
  std::string cgroup;
  std::string netns;

  void enter() const {
    FILE* procs = std::fopen((cgroup + "/cgroup.procs").c_str(), "we");

    if (!procs || std::fputs("0", procs) < 0 || std::fclose(procs)) give_up(cgroup.c_str());

    int fd = check(open(netns.c_str(), O_RDONLY | O_CLOEXEC), netns.c_str());

    check(setns(fd, CLONE_NEWNET), "setns");
    close(fd);
  }
};

sockaddr_in address_of(const std::string& text, uint16_t port) {
  sockaddr_in address{};

  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (inet_pton(AF_INET, text.c_str(), &address.sin_addr) != 1) give_up(text.c_str());
  return address;
}

// Reno: the default may be BBR, which paces, and then a faster path is not a faster stream.
int make_socket() {
  int fd = check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  int one = 1;

  check(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4), "congestion control reno");
  check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), "TCP_NODELAY");
  return fd;
}

int connect_to(const sockaddr_in& server) {
  int fd = make_socket();

  check(connect(fd, reinterpret_cast<const sockaddr*>(&server), sizeof(server)), "connect");
  return fd;
}

void serve(int listener, const std::string& work) {
  std::array<char, kStreamBytes> buffer;
  bool echo = work != "stream";

  for (;;) {
    int fd = check(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC), "accept");

    for (;;) {
      ssize_t got = recv(fd, buffer.data(), echo ? 1 : buffer.size(), 0);

      if (got <= 0 || (echo && send(fd, buffer.data(), 1, MSG_NOSIGNAL) != 1)) break;
    }
    close(fd);
  }
}

void request(int fd) {
  char byte = 'x';

  if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1 || recv(fd, &byte, 1, 0) != 1) give_up("request");
}

// Times `step` for `seconds`; how many units it did per second.
template <typename Step>
double rate(double seconds, Step step) {
  auto start = Clock::now();
  auto end = start + std::chrono::duration_cast<Clock::duration>(
                         std::chrono::duration<double>(seconds));
  double units = 0;
  auto now = start;

  while (now < end) {
    for (int i = 0; i < kCallsPerLook; i++) units += step();
    now = Clock::now();
  }
  return units / std::chrono::duration<double>(now - start).count();
}

double measure(const std::string& work, double seconds, const sockaddr_in& server) {
  if (work == "connect") {
    auto step = [&] {
      int fd = connect_to(server);

      request(fd);
      close(fd);
      return 1.0;
    };

    rate(seconds / 8, step);  // warm
    return rate(seconds, step);
  }

  int fd = connect_to(server);
  std::array<char, kStreamBytes> buffer{};
  auto one_request = [&] {
    request(fd);
    return 1.0;
  };
  auto one_send = [&] {
    ssize_t sent = send(fd, buffer.data(), buffer.size(), MSG_NOSIGNAL);

    if (sent <= 0) give_up("send");
    return static_cast<double>(sent);
  };

  if (work == "request") {
    rate(seconds / 8, one_request);
    return rate(seconds, one_request);
  }
  rate(seconds / 4, one_send);  // until the window is open
  return rate(seconds, one_send);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 9) {
    std::fprintf(stderr, "bench_traffic: wants 8 arguments; tools/bench knows them\n");
    return 1;
  }
  std::string work = argv[1];
  double seconds = std::atof(argv[2]);
  Place client{argv[4], argv[5]};
  Place server{argv[6], argv[7]};
  sockaddr_in address = address_of(argv[8], kPort);
  cpu_set_t cpu;

  CPU_ZERO(&cpu);
  CPU_SET(std::atoi(argv[3]), &cpu);
  check(sched_setaffinity(0, sizeof(cpu), &cpu), "sched_setaffinity");
  check(setpriority(PRIO_PROCESS, 0, -20), "setpriority");

  int ready[2];

  check(pipe2(ready, O_CLOEXEC), "pipe");

  pid_t pid = check(fork(), "fork");

  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    server.enter();

    int listener = make_socket();
    int one = 1;

    check(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), "SO_REUSEADDR");
    check(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)), "bind");
    check(listen(listener, 1024), "listen");
    check(static_cast<int>(write(ready[1], "r", 1)), "ready");
    serve(listener, work);
  }
  close(ready[1]);

  char byte = 0;

  if (read(ready[0], &byte, 1) != 1) give_up("the server did not start");
  client.enter();
  std::printf("%.6g\n", measure(work, seconds, address));
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  return 0;
}

// tools/probe/main.cc: partywall-probe, which shows who reaches whom: for `helm test` and for
// the project's own tests. Enforces nothing, asks the agent nothing.
#include <csignal>
#include <cstdlib>
#include <thread>

#include "tools/probe/attempts.h"
#include "tools/probe/orders.h"
#include "tools/probe/servers.h"

namespace partywall::probe {
namespace {

constexpr char kUsage[] =
    "Usage: partywall-probe serve NAME PORT [PORT...]\n"
    "       partywall-probe orders FOLDER NAME PORT [PORT...]\n"
    "       partywall-probe expect open|closed ADDRESS PORT [open|closed ADDRESS PORT...]\n"
    "       partywall-probe try tcp|udp ADDRESS PORT\n"
    "       partywall-probe stream ADDRESS PORT SECONDS\n"
    "serve answers over TCP and UDP. expect tries each over TCP: open must answer within a "
    "minute, closed must not\n"
    "in five seconds. try says what comes of one attempt, stream how fast a connection is.\n"
    "Exit codes: 0 = as expected or open, 1 = not, 2 = it could not be found out.\n";

int serve(Servers& servers, int argc, char** argv, int first) {
  for (int i = first; i < argc; i++) {
    if (auto served = servers.serve(static_cast<uint16_t>(std::atoi(argv[i]))); !served) {
      fmt::print(stderr, "partywall-probe: {}\n", served.error().message());
      return 2;
    }
  }
  return 0;
}

bool is_open(const Address& to) {
  auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);

  while (std::chrono::steady_clock::now() < end) {
    if (attempt_tcp(to, std::chrono::seconds(5))) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  return false;
}

int expect(int argc, char** argv) {
  int code = 0;

  for (int i = 2; i + 2 < argc; i += 3) {
    std::string wanted = argv[i];
    auto to = parse_address(argv[i + 1], static_cast<uint16_t>(std::atoi(argv[i + 2])));

    if (!to || (wanted != "open" && wanted != "closed")) {
      fmt::print(stderr, "partywall-probe: {}\n", to ? kUsage : to.error().message().c_str());
      return 2;
    }
    bool open =
        wanted == "open" ? is_open(*to) : attempt_tcp(*to, std::chrono::seconds(5)).has_value();

    fmt::print("{} port {}: {}, {}\n", argv[i + 1], argv[i + 2], open ? "open" : "closed",
               open == (wanted == "open") ? "as it should be" : "WRONG");
    if (open != (wanted == "open")) code = 1;
  }
  return code;
}

int no_address(const Error& error) {
  fmt::print(stderr, "partywall-probe: {}\n", error.message());
  return 2;
}

int try_once(const std::string& protocol, const char* address, const char* port) {
  auto to = parse_address(address, static_cast<uint16_t>(std::atoi(port)));
  if (!to) return no_address(to.error());
  auto answer = protocol == "tcp" ? attempt_tcp(*to, std::chrono::seconds(5))
                                  : attempt_udp(*to, std::chrono::seconds(5));

  fmt::print("{}: {}\n", answer ? "open" : "closed",
             answer ? *answer : answer.error().message());
  return answer ? 0 : 1;
}

int stream(const char* address, const char* port, int seconds) {
  auto to = parse_address(address, static_cast<uint16_t>(std::atoi(port)));
  if (!to) return no_address(to.error());
  auto begin = std::chrono::steady_clock::now();
  auto sent = stream_tcp(*to, std::chrono::seconds(5), [&](uint64_t) {
    return std::chrono::steady_clock::now() < begin + std::chrono::seconds(seconds);
  });
  std::chrono::duration<double> ran = std::chrono::steady_clock::now() - begin;

  if (sent)
    fmt::print("{:.1f} Mbit/s for {:.1f} s\n", static_cast<double>(*sent) * 8e-6 / ran.count(),
               ran.count());
  else
    fmt::print("closed: {}\n", sent.error().message());
  return sent ? 0 : 1;
}

int run(int argc, char** argv) {
  std::string verb = argc > 1 ? argv[1] : "";

  // Process 1 of a container ends on no signal that it does not ask for.
  for (int number : {SIGTERM, SIGINT}) std::signal(number, [](int) { std::_Exit(0); });
  if (verb == "expect" && argc > 4 && (argc - 2) % 3 == 0) return expect(argc, argv);
  if (verb == "try" && argc == 5) return try_once(argv[2], argv[3], argv[4]);
  if (verb == "stream" && argc == 5) return stream(argv[2], argv[3], std::atoi(argv[4]));
  if ((verb == "serve" && argc > 3) || (verb == "orders" && argc > 3)) {
    int name = verb == "serve" ? 2 : 3;
    static Servers servers(argv[name]);

    if (int code = serve(servers, argc, argv, name + 1); code != 0) return code;
    if (verb == "orders") take_orders(argv[2], servers);
    for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
  }
  fmt::print(stderr, "{}", kUsage);
  return 2;
}

}  // namespace
}  // namespace partywall::probe

int main(int argc, char** argv) { return partywall::probe::run(argc, argv); }

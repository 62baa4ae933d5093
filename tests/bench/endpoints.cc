// tests/bench/endpoints.cc: says when addresses come into force. Standard input: "ADDRESS
// TENANT" a line; standard output: "ADDRESS NANOSECONDS" (CLOCK_MONOTONIC) once an agent's
// pinned maps hold the address for the tenant, on the side that is in force. Changes nothing.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <list>
#include <sstream>
#include <string>

#include "maps/abi/control.h"
#include "maps/abi/endpoints.h"
#include "maps/abi/tenants.h"
#include "maps/typed_map.h"

namespace partywall {
namespace {

constexpr int kLookEveryMs = 1;

struct Awaited {
  std::string text;
  uint32_t address = 0;  // host order
  std::string tenant;
};

// What the programs would find, read as they read it.
class Enforced {
 public:
  static Result<Enforced> open(const std::string& pins) {
    Enforced it;
    auto control = MappedArray<const abi::control>::open(pins, "control");
    auto blocks = MappedArray<const abi::endpoint_block>::open(pins, "endpoints");
    auto names = MappedArray<const abi::tenant_name>::open(pins, "tenant_names");

    if (!control) return std::move(control.error());
    if (!blocks) return std::move(blocks.error());
    if (!names) return std::move(names.error());
    it.control_ = std::move(*control);
    it.blocks_ = std::move(*blocks);
    it.names_ = std::move(*names);
    return it;
  }

  bool holds(const Awaited& one) const {
    uint32_t side = __atomic_load_n(&control_[0].side, __ATOMIC_ACQUIRE);
    uint32_t word = word_of(side, one.address >> 24, one.address >> 16);

    if (word & ENDPOINT_BLOCK) word = word_of(side, word, one.address >> 8);
    if (word & ENDPOINT_BLOCK) word = word_of(side, word, one.address);
    return word != PEER_WORLD && word <= PEER_TENANT_MAX && one.tenant == names_[word].name;
  }

 private:
  uint32_t word_of(uint32_t side, uint32_t block, uint32_t word) const {
    uint32_t row = side * ENDPOINT_BLOCKS + (block & (ENDPOINT_BLOCKS - 1));

    return __atomic_load_n(&blocks_[row].word[word & 255], __ATOMIC_RELAXED);
  }

  MappedArray<const abi::control> control_;
  MappedArray<const abi::endpoint_block> blocks_;
  MappedArray<const abi::tenant_name> names_;
};

int64_t now_ns() {
  timespec now{};

  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

Result<Awaited> parse(const std::string& line) {
  Awaited one;
  in_addr address{};
  std::istringstream words(line);

  words >> one.text >> one.tenant;
  if (one.tenant.empty() || inet_pton(AF_INET, one.text.c_str(), &address) != 1)
    return fail("not \"ADDRESS TENANT\": {}", line);
  one.address = ntohl(address.s_addr);
  return one;
}

Result<void> watch(const std::string& pins) {
  auto enforced = Enforced::open(pins);

  if (!enforced) return std::move(enforced.error());

  std::list<Awaited> awaited;
  std::string text;

  while (true) {
    pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};

    if (poll(&input, 1, awaited.empty() ? -1 : kLookEveryMs) > 0) {
      char bytes[4096];
      ssize_t got = read(STDIN_FILENO, bytes, sizeof(bytes));

      if (got <= 0) return {};
      text.append(bytes, static_cast<size_t>(got));
      for (size_t end; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1)) {
        auto one = parse(text.substr(0, end));

        if (!one) return std::move(one.error());
        awaited.push_back(std::move(*one));
      }
    }
    awaited.remove_if([&](const Awaited& one) {
      if (!enforced->holds(one)) return false;
      fmt::print("{} {}\n", one.text, now_ns());
      return true;
    });
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace partywall

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: bench_endpoints PINS\n");
    return 2;
  }

  auto done = partywall::watch(argv[1]);

  if (!done) fmt::print(stderr, "bench_endpoints: {}\n", done.error().message());
  return done ? 0 : 1;
}

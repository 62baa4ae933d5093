// tests/bpf/differential.cc: random packets and calls through the programs.
#include "tests/bpf/differential.h"

#include <sys/socket.h>

#include <cstdlib>

#include "maps/fd.h"
#include "tests/bpf/wire.h"

namespace partywall::test {
namespace {

constexpr uint32_t kStamp = 0x50570000;  // bpf/packets.bpf.c: STAMP
constexpr uint32_t kNobody = 63;         // a number that no tenant has

const char* name_of(abi::reason reason) {
  static constexpr const char* kNames[] = {
#define X(name, label, peer_class, sentence) #name,
      PARTYWALL_REASONS(X)
#undef X
          "nothing"};

  return kNames[reason];
}

Packet built(const DicePacket& packet) {
  std::string source = policy::to_string(packet.source);
  std::string target = policy::to_string(packet.target);
  bool v4 = is_v4(packet.source);

  if (packet.protocol == IPPROTO_TCP)
    return Packet::tcp(source, packet.source_port, target, packet.target_port,
                       packet.tcp_flags);
  if (packet.protocol == IPPROTO_UDP)
    return Packet::udp(source, packet.source_port, target, packet.target_port);
  if (packet.protocol == (v4 ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6}))
    return Packet::icmp(source, target, static_cast<uint8_t>(packet.source_port),
                        static_cast<uint8_t>(packet.target_port));
  return Packet::raw(source, target, packet.protocol);
}

// A socket address; `mapped`: an IPv4 address in IPv6 clothes.
struct SocketAddress {
  SocketAddress(const policy::Address& address, uint16_t port, bool mapped)
      : v6(!is_v4(address) || mapped) {
    if (!v6) {
      in4.sin_family = AF_INET;
      in4.sin_port = htons(port);
      std::memcpy(&in4.sin_addr, address.bytes.data(), 4);
      return;
    }
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(port);
    in6.sin6_addr.s6_addr[10] = in6.sin6_addr.s6_addr[11] = 0xff;
    std::memcpy(&in6.sin6_addr.s6_addr[mapped ? 12 : 0], address.bytes.data(), mapped ? 4 : 16);
  }
  const sockaddr* get() const {
    return v6 ? reinterpret_cast<const sockaddr*>(&in6)
              : reinterpret_cast<const sockaddr*>(&in4);
  }
  socklen_t size() const { return v6 ? sizeof(in6) : sizeof(in4); }

  bool v6;
  sockaddr_in in4{};
  sockaddr_in6 in6{};
};

// The port that the kernel has given a socket before it asked; 0 = none.
uint16_t port_of(int socket) {
  sockaddr_in6 name{};  // the port of an IPv4 address is in the same place
  socklen_t size = sizeof(name);

  EXPECT_EQ(0, getsockname(socket, reinterpret_cast<sockaddr*>(&name), &size));
  return ntohs(name.sin6_port);
}

bool is_mapped(const policy::Address& address) {
  return !is_v4(address) && address.half(0) == 0 && address.half(8) >> 32 == 0xffff;
}

Observation observe(abi::hook hook, const DicePacket& packet) {
  return {.flow = flow_of(packet), .hook = hook, .question = to_string(packet)};
}

}  // namespace

std::string disagreement(const Observation& seen, const policy::Policy& policy,
                         const policy::Flow& flow) {
  policy::Verdict verdict = judge(policy, flow);

  if (seen.refused != abi::REASON_COUNT && verdict.reason != abi::REASON_DENY_UNKNOWN_CGROUP) {
    verdict.reason = seen.refused;
    verdict.allow = false;
  }

  // bind() has no peer: only whether the address may be the caller's.
  if (seen.hook == abi::HOOK_BIND && verdict.reason != abi::REASON_DENY_SOURCE &&
      verdict.reason != abi::REASON_DENY_UNKNOWN_CGROUP)
    verdict.allow = true;

  bool would = verdict.audit && !verdict.allow;
  bool packet = seen.hook == abi::HOOK_EGRESS || seen.hook == abi::HOOK_INGRESS;
  abi::reason reason = packet || !verdict.allow ? verdict.reason : abi::REASON_COUNT;

  if (reason == seen.reason && (verdict.allow || would) == seen.passed && would == seen.would)
    return "";
  return fmt::format(
      "{}\n  programs:  {}, {}{}\n  reference: {}, {}{}\n", seen.question, name_of(seen.reason),
      seen.passed ? "passed" : "refused", seen.would ? ", would deny" : "", name_of(reason),
      verdict.allow || would ? "passed" : "refused", would ? ", would deny" : "");
}

void Differential::SetUp() {
  World::SetUp();
  for (int i = 0; i < PolicyDice::kTenants; i++) make_cgroup(fmt::format("t{}", i));
}

void Differential::roll_policy(Dice& dice) {
  text_ = PolicyDice(dice).roll(dice.percent(50));
  policy(text_.documents, text_.config);
}

Observation Differential::send(const DicePacket& packet) {
  bool out = packet.direction == abi::DIRECTION_EGRESS;
  uint32_t device = packet.loopback ? kLoopback : kDevice;
  uint32_t priority = 0;
  Observation seen = observe(out ? abi::HOOK_EGRESS : abi::HOOK_INGRESS, packet);

  if (!packet.stamp.empty())
    priority = kStamp | (packet.stamp == "nobody" ? kNobody : number(packet.stamp));

  Outcome outcome =
      out ? egress(built(packet), device) : ingress(built(packet), device, priority);

  seen.reason = outcome.reason;
  seen.passed = outcome.verdict & 1;
  seen.would = outcome.would;
  return seen;
}

std::vector<Observation> Differential::ask_about_packets(Dice& dice, int count) {
  std::vector<Observation> all;

  for (int i = 0; i < PolicyDice::kTenants; i++) {
    std::string tenant = fmt::format("t{}", i);

    enter(tenant);
    for (int j = 0; j < count; j++) all.push_back(send(roll_packet(dice, text_, tenant)));
  }
  return all;
}

// Bytes that mean something, where they mean something.
void damage(Dice& dice, Packet& packet) {
  static constexpr uint8_t kBytes[] = {0,  1,  2,  6,  17, 43, 44,   51,   58,   59,   60,  135,
                                       20, 24, 31, 32, 33, 64, 0x40, 0x45, 0x46, 0x60, 255, 5};
  std::vector<uint8_t>& bytes = packet.bytes();

  for (uint32_t count = dice.below(4); count > 0; count--)
    bytes[14 + dice.below(static_cast<uint32_t>(packet.network_bytes()))] =
        dice.percent(70) ? dice.one_of(kBytes) : static_cast<uint8_t>(dice.below(256));
  // Half a header is refused by BPF_PROG_TEST_RUN itself.
  size_t least = 14 + (packet.is_ipv6() ? 40 : 20);

  if (dice.percent(25))
    bytes.resize(least + dice.below(static_cast<uint32_t>(bytes.size() - least + 1)));
}

Observation Differential::send_damaged(Dice& dice, const DicePacket& packet) {
  Packet bytes = built(packet);

  if (bytes.is_ipv6())
    for (uint32_t count = dice.below(dice.percent(80) ? 3 : 9); count > 0; count--)
      bytes = std::move(bytes).extension(dice.percent(90) ? (dice.percent(50) ? 0 : 60) : 43,
                                         8 * (1 + dice.below(dice.percent(90) ? 2 : 34)));
  else if (dice.percent(10))
    bytes = std::move(bytes).options();
  damage(dice, bytes);

  bool out = packet.direction == abi::DIRECTION_EGRESS;
  Wire wire = read_wire(std::span(bytes.bytes()).subspan(14), bytes.is_ipv6());

  wire.packet.tenant = packet.tenant;
  wire.packet.direction = packet.direction;

  Observation seen = observe(out ? abi::HOOK_EGRESS : abi::HOOK_INGRESS, wire.packet);

  for (uint8_t byte : bytes.bytes()) seen.question += fmt::format(" {:02x}", byte);
  seen.refused = wire.refused;

  Outcome outcome = out ? egress(std::move(bytes)) : ingress(std::move(bytes));

  seen.reason = outcome.reason;
  seen.passed = outcome.verdict & 1;
  seen.would = outcome.would;
  return seen;
}

std::vector<Observation> Differential::ask_about_damage(Dice& dice, int count) {
  static const policy::Prefix kLocal4 = policy::parse_prefix("127.0.0.0/8").value();
  static const policy::Prefix kLocal6 = policy::parse_prefix("::1/128").value();
  std::vector<Observation> all;

  for (int i = 0; i < PolicyDice::kTenants; i++) {
    std::string tenant = fmt::format("t{}", i);

    enter(tenant);
    for (int j = 0; j < count; j++) {
      DicePacket packet = roll_packet(dice, text_, tenant);

      packet.loopback = false;
      packet.stamp.clear();

      Observation seen = send_damaged(dice, packet);

      // The reference lets loopback addresses pass; over another device they are the world's.
      if (!kLocal4.contains(seen.flow.peer) && !kLocal6.contains(seen.flow.peer))
        all.push_back(std::move(seen));
    }
  }
  return all;
}

// One call of a fresh socket. Without routes none of them sends anything.
Observation Differential::call(abi::hook hook, const DicePacket& packet, bool mapped) {
  bool bind_to = hook == abi::HOOK_BIND;
  SocketAddress address(bind_to ? packet.source : packet.target,
                        bind_to ? uint16_t{0} : packet.target_port, mapped);
  Fd socket(::socket(address.v6 ? AF_INET6 : AF_INET,
                     packet.protocol == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM, 0));
  Observation seen = observe(hook, packet);
  uint16_t tenant = number(packet.tenant);
  abi::tenant_counters before = counters(tenant);
  long result;

  EXPECT_TRUE(socket);
  if (!bind_to) seen.flow.local.reset();
  if (bind_to)
    result = bind(socket.get(), address.get(), address.size());
  else if (hook == abi::HOOK_CONNECT)
    result = connect(socket.get(), address.get(), address.size());
  else
    result = sendto(socket.get(), "", 0, 0, address.get(), address.size());
  seen.passed = result == 0 || errno != EPERM;
  if (hook == abi::HOOK_SENDMSG) seen.flow.local_port = port_of(socket.get());
  seen.question += fmt::format(", hook {}{}", static_cast<int>(hook), mapped ? ", mapped" : "");

  abi::tenant_counters after = counters(tenant);

  for (int reason = 0; reason < abi::REASON_COUNT; reason++)
    for (bool would : {false, true}) {
      uint64_t count = would ? after.calls_would_deny[reason] - before.calls_would_deny[reason]
                             : after.calls_denied[reason] - before.calls_denied[reason];

      if (count == 0) continue;
      EXPECT_EQ(1u, count) << seen.question;
      EXPECT_EQ(abi::REASON_COUNT, seen.reason) << seen.question;
      seen.reason = static_cast<abi::reason>(reason);
      seen.would = would;
    }
  return seen;
}

std::vector<Observation> Differential::ask_about_calls(Dice& dice, int count) {
  static constexpr abi::hook kHooks[] = {abi::HOOK_CONNECT, abi::HOOK_CONNECT,
                                         abi::HOOK_SENDMSG, abi::HOOK_BIND};
  std::vector<Observation> all;

  for (int i = 0; i < PolicyDice::kTenants; i++) {
    std::string tenant = fmt::format("t{}", i);

    enter(tenant);
    for (int j = 0; j < count; j++) {
      DicePacket packet = roll_packet(dice, text_, tenant);
      abi::hook hook = dice.one_of(kHooks);
      const policy::Address& named = hook == abi::HOOK_BIND ? packet.source : packet.target;

      packet.direction = abi::DIRECTION_EGRESS;
      packet.loopback = false;
      packet.source_port = 0;
      packet.tcp_flags = 0x02;
      packet.protocol = hook == abi::HOOK_SENDMSG || dice.percent(50) ? uint8_t{IPPROTO_UDP}
                                                                      : uint8_t{IPPROTO_TCP};
      // Not asked about: nowhere in particular, IPv4 that we did not dress ourselves, and no
      // port.
      if (named.half(0) == 0 && named.half(8) == 0) continue;
      if (is_mapped(named) || (hook == abi::HOOK_SENDMSG && packet.target_port == 0)) continue;
      all.push_back(call(hook, packet, is_v4(named) && dice.percent(25)));
    }
  }
  return all;
}

int Differential::rounds(int usual) {
  if (const char* text = std::getenv("PARTYWALL_ROUNDS")) return std::max(1, std::atoi(text));
  return std::getenv("PARTYWALL_SLOW") ? usual / 4 : usual;
}

int Differential::scaled(int least) {
  return std::getenv("PARTYWALL_SLOW") ? least / 10 : least;
}

uint64_t Differential::seed() {
  const char* text = std::getenv("PARTYWALL_SEED");

  return text ? std::strtoull(text, nullptr, 10) : 1;
}

}  // namespace partywall::test

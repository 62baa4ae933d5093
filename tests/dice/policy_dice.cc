// tests/dice/policy_dice.cc: writes random policies. No I/O.
#include "tests/dice/policy_dice.h"

#include <string_view>

namespace partywall::test {
namespace {

std::vector<policy::Prefix> read_ranges(std::initializer_list<const char*> texts) {
  std::vector<policy::Prefix> ranges;

  for (const char* text : texts) ranges.push_back(policy::parse_prefix(text).value());
  return ranges;
}

bool meet(const policy::Prefix& a, const policy::Prefix& b) {
  return a.contains(b) || b.contains(a);
}

std::string quoted(const policy::Prefix& range) { return '"' + policy::to_string(range) + '"'; }

void append(std::string& list, const std::string& item) {
  if (!list.empty()) list += ", ";
  list += item;
}

// "name: [list]"
std::string field(std::string_view name, std::string_view list) {
  return fmt::format("{}: [{}]", name, list);
}

std::string document(std::string_view kind, std::string_view name, std::string_view spec) {
  return fmt::format(
      "---\n{{apiVersion: partywall.dev/v1alpha1, kind: {}, metadata: {{name: {}}}, spec: "
      "{{{}}}}}\n",
      kind, name, spec);
}

}  // namespace

policy::Prefix PolicyDice::some_range() {
  static constexpr int kBits4[] = {8, 9, 12, 15, 16, 17, 20, 23, 24, 25, 28, 31, 32, 32};
  static constexpr int kBits6[] = {8, 24, 31, 32, 33, 48, 56, 63, 64, 65, 112, 127, 128, 128};
  bool v4 = dice_.percent(60);

  return cut(dice_.address(v4), v4 ? dice_.one_of(kBits4) : dice_.one_of(kBits6));
}

// Whether a tenant may have it.
bool PolicyDice::is_free(const policy::Prefix& range) const {
  static const auto kNobodys =
      read_ranges({"0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/127",
                   "fe80::/10", "ff00::/8"});

  for (const policy::Prefix& other : kNobodys)
    if (meet(other, range)) return false;
  for (const auto& [tenant, ranges] : owned_)
    for (const policy::Prefix& other : ranges)
      if (meet(other, range)) return false;
  return true;
}

// ", ports: [...]", or nothing.
std::string PolicyDice::ports() {
  static constexpr uint16_t kPorts[] = {1,   22,   53,   63,   64,   65,    80,    127,  128,
                                        443, 1023, 1024, 5432, 8191, 32768, 65534, 65535};
  static constexpr const char* kProtocols[] = {"TCP", "TCP", "UDP", "UDP", "ICMP"};
  std::string list;

  if (dice_.percent(30)) return "";
  if (dice_.percent(8)) return ", ports: []";
  for (uint32_t i = 0, count = 1 + dice_.below(3); i < count; i++) {
    std::string protocol = dice_.one_of(kProtocols);
    std::string entry = "protocol: " + protocol;

    if (protocol != "ICMP" && dice_.percent(85)) {
      int first = dice_.one_of(kPorts);
      int last = dice_.percent(50) ? first : dice_.one_of(kPorts);

      if (last < first) std::swap(first, last);
      if (first == last)
        entry += fmt::format(", port: {}", first);
      else
        entry += dice_.percent(50) ? fmt::format(", port: {}-{}", first, last)
                                   : fmt::format(", port: {}, endPort: {}", first, last);
      for (int port : {first - 1, first, last, last + 1})
        if (port <= 65535) ports_.insert(static_cast<uint16_t>(port));
    }
    append(list, "{" + entry + "}");
  }
  return ", " + field("ports", list);
}

// A range of the world as a peer: a new one, or around, inside or equal to one that is known.
std::string PolicyDice::range_peer() {
  static const auto kWholes = read_ranges({"0.0.0.0/0", "::/0"});
  static const auto kGroups =
      read_ranges({"224.0.0.0/4", "224.0.0.251/32", "239.1.0.0/16", "255.255.255.255/32",
                   "ff00::/8", "ff02::fb/128", "ff0e::/16", "192.0.0.0/2", "8000::/1"});
  uint32_t kind = dice_.below(100);
  policy::Prefix range = kind < 25   ? dice_.one_of(kWholes)
                         : kind < 37 ? dice_.one_of(kGroups)
                         : kind < 50 ? some_range()
                         : kind < 62 ? dice_.inside(dice_.one_of(ranges_))
                         : kind < 75 ? dice_.around(dice_.one_of(ranges_))
                                     : dice_.one_of(ranges_);
  std::string holes;

  ranges_.push_back(range);
  while (dice_.percent(35)) {
    policy::Prefix hole = dice_.inside(range);

    // Often one that another rule names, too.
    if (const auto& known = dice_.one_of(ranges_); dice_.percent(50) && range.contains(known))
      hole = known;
    ranges_.push_back(hole);
    append(holes, quoted(hole));
  }
  if (!holes.empty()) holes = ", " + field("except", holes);
  return fmt::format("{{cidr: {}{}}}", quoted(range), holes);
}

// "egress: [...]" (peers: to) or "ingress: [...]" (peers: from); sometimes nothing.
std::string PolicyDice::rules(const std::string& own, const char* peers) {
  bool egress = peers == std::string_view("to");
  std::string list;

  if (dice_.percent(20)) return "";
  for (uint32_t i = 0, count = dice_.below(5); i < count; i++) {
    std::string named;

    for (uint32_t j = 0, most = dice_.percent(5) ? 0 : 1 + dice_.below(2); j < most; j++) {
      const std::string& other = !built_in_.empty() && dice_.percent(25)
                                     ? dice_.one_of(built_in_)
                                     : dice_.one_of(names_);

      if (other == own || dice_.percent(50)) {
        append(named, range_peer());
        continue;
      }
      append(named, "{tenant: " + other + "}");
      if (egress && dice_.percent(70))
        append(agreed_[other], fmt::format("{{from: [{{tenant: {}}}]{}}}", own, ports()));
    }
    append(list, fmt::format("{{{}{}}}", field(peers, named), ports()));
  }
  if (!egress && !agreed_[own].empty()) append(list, agreed_[own]);
  return field(egress ? "egress" : "ingress", list);
}

std::string PolicyDice::tier(int number) {
  std::string world;

  for (const char* direction : {"egress", "ingress"})
    if (dice_.percent(60))
      append(world, fmt::format("{}: {}", direction, dice_.percent(50) ? "allow" : "deny"));
  return document("Tier", fmt::format("p{}", number),
                  fmt::format("network: {{world: {{{}}}}}", world));
}

// The spec of a tenant, but for its rules.
std::string PolicyDice::head(const std::string& tenant) {
  std::string addresses;
  std::vector<policy::Prefix> mine;

  for (uint32_t i = 0, count = dice_.percent(15) ? 0 : 1 + dice_.below(3); i < count; i++) {
    policy::Prefix range = some_range();

    if (!is_free(range)) continue;
    mine.push_back(range);
    if (dice_.percent(20)) mine.push_back(dice_.inside(range));
  }
  for (const policy::Prefix& range : mine) append(addresses, quoted(range));
  if (!addresses.empty()) addresses = ", " + field("addresses", addresses);
  ranges_.insert(ranges_.end(), mine.begin(), mine.end());
  owned_[tenant] = std::move(mine);
  return fmt::format("tier: p{}, mode: {}, members: [{{cgroup: $ROOT/{}{}}}]", dice_.below(3),
                     dice_.percent(25) ? "audit" : "enforce", tenant, addresses);
}

std::string PolicyDice::lane() {
  static const auto kGroups = read_ranges({"224.0.0.251/32", "239.0.0.0/8", "ff02::/16"});
  std::string list;

  for (uint32_t i = 0, count = dice_.below(4); i < count; i++) {
    policy::Prefix range = dice_.percent(20) ? dice_.one_of(kGroups) : some_range();
    bool free = true;

    if (dice_.percent(30)) range = dice_.around(range);
    for (const auto& [tenant, ranges] : owned_)
      for (const policy::Prefix& other : ranges) free = free && !meet(other, range);
    if (!free) continue;
    ranges_.push_back(range);
    append(list, fmt::format("{{name: i{}, cidr: {}, direction: {}{}}}", i, quoted(range),
                             dice_.percent(60) ? "egress" : "ingress", ports()));
  }
  return field("infrastructure", list) + "\n";
}

void PolicyDice::list_edges(DicePolicy& made) {
  static const auto kLocal = read_ranges({"127.0.0.0/8", "::1/128"});
  auto add = [&](const policy::Address& address) {
    for (const policy::Prefix& local : kLocal)
      if (local.contains(address)) return;  // those never leave a host
    made.edges[is_v4(address) ? 0 : 1].push_back(address);
  };

  for (const policy::Prefix& range : ranges_) {
    add(range.address);
    add(last_of(range));
    add(next_to(range.address, -1));
    add(next_to(last_of(range), 1));
    add(dice_.inside(range).address);
  }
  // 10.0.0.1 in IPv6 clothes: on the wire an IPv6 address like any other.
  add({policy::Family::kIpv6, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1}});
  for (const auto& [tenant, ranges] : owned_)
    for (const policy::Prefix& range : ranges)
      for (const auto& address : {range.address, last_of(range), dice_.inside(range).address})
        made.owned[tenant].push_back(address);
}

// "[...]" of a few protocols and ports.
std::string PolicyDice::plain_ports() {
  static constexpr const char* kEntries[] = {"{protocol: TCP, port: 80}",
                                             "{protocol: UDP, port: 53}",
                                             "{protocol: TCP, port: 1000-2000}",
                                             "{protocol: ICMP}",
                                             "{protocol: TUNNEL}",
                                             "{protocol: TCP}"};
  std::string list;

  for (const char* entry : kEntries)
    if (dice_.percent(25)) append(list, entry);
  return "[" + list + "]";
}

std::string PolicyDice::network() {
  static const auto kGroups = read_ranges({"224.0.0.0/4", "255.255.255.255/32", "ff00::/8"});
  auto is_group = [](const policy::Prefix& range) {
    for (const policy::Prefix& group : kGroups)
      if (meet(group, range)) return true;
    return false;
  };
  auto is_owned = [&](const policy::Prefix& range) {
    for (const auto& [tenant, ranges] : owned_)
      for (const policy::Prefix& other : ranges)
        if (other.contains(range)) return true;
    return false;
  };
  auto list_of = [&](uint32_t most, auto make) {
    std::string list;

    for (uint32_t i = 0, count = dice_.below(most + 1); i < count; i++) {
      policy::Prefix range = make();

      if (is_group(range) || is_owned(range)) continue;
      ranges_.push_back(range);
      append(list, quoted(range));
    }
    return "[" + list + "]";
  };
  auto single = [&] {
    policy::Prefix range =
        dice_.percent(50) ? dice_.inside(dice_.one_of(ranges_)) : some_range();

    return cut(range.address, is_v4(range.address) ? 32 : 128);
  };
  std::string pods = list_of(3, [&] {
    return dice_.percent(50) ? dice_.around(dice_.one_of(ranges_)) : some_range();
  });
  std::string local = list_of(2, [&] { return dice_.inside(dice_.one_of(ranges_)); });
  std::string nodes = list_of(4, single);
  std::string blocks = list_of(2, [&] { return some_range(); });
  std::string services;

  for (uint32_t i = 0, count = dice_.below(5); i < count; i++) {
    static constexpr int kPorts[] = {53, 80, 443, 5432, 8191};
    std::string ports;

    for (uint32_t j = 0, many = dice_.below(4); j < many; j++) {
      int target = dice_.one_of(kPorts);
      std::string entry =
          fmt::format("protocol: {}, port: {}, target: {}", dice_.percent(60) ? "TCP" : "UDP",
                      dice_.one_of(kPorts), target);

      if (dice_.percent(50)) entry += fmt::format(", node: {}", 30000 + dice_.below(4));
      append(ports, "{" + entry + "}");
    }
    append(services, fmt::format("{{name: s{}, tenant: t{}, addresses: {}, ports: [{}]}}", i,
                                 dice_.below(kTenants), list_of(3, single), ports));
  }
  for (uint16_t port : {30000, 30001, 30002, 30003}) ports_.insert(port);
  return fmt::format(
      "---\n{{apiVersion: partywall.dev/v1alpha1, kind: ClusterNetwork, metadata: {{name: c}}, "
      "spec: {{podTenant: t4, podRanges: {}, localRanges: {}, nodes: {}, serviceRanges: {}, "
      "infrastructure: {{tenant: t5, offers: {}, reaches: {}}}, services: [{}]}}}}\n",
      pods, local, nodes, blocks, plain_ports(), plain_ports(), services);
}

DicePolicy PolicyDice::roll(bool cluster) {
  DicePolicy made;
  std::map<std::string, std::string> specs;

  ranges_.clear();
  owned_.clear();
  ports_ = {0, 40000};
  names_.clear();
  built_in_.clear();
  agreed_.clear();
  for (const char* whole :
       {"10.0.0.0/8", "fd00::/8", "224.0.0.0/4", "255.255.255.255/32", "ff00::/8"})
    ranges_.push_back(policy::parse_prefix(whole).value());
  for (int i = 0; i < 3; i++) made.documents += tier(i);
  for (int i = 0; i < kTenants; i++)
    if (cluster && i >= 4)
      built_in_.push_back(fmt::format("t{}", i));
    else if (dice_.percent(90) || i == 0)
      names_.push_back(fmt::format("t{}", i));
  for (const std::string& name : names_) specs[name] = head(name);
  for (const std::string& name : built_in_) specs[name] = head(name);
  made.config = lane();
  if (cluster) made.documents += network();
  // All senders first, so that receivers know what is hoped for.
  for (const char* peers : {"to", "from"})
    for (const std::string& name : names_) {
      std::string list = rules(name, peers);

      if (list.empty()) continue;
      specs[name] += specs[name].find("network") == std::string::npos ? ", network: {" : ", ";
      specs[name] += list;
    }
  for (const auto& [name, spec] : specs)
    made.documents +=
        document("Tenant", name, spec + (spec.find("network") == std::string::npos ? "" : "}"));
  names_.insert(names_.end(), built_in_.begin(), built_in_.end());
  for (const std::string& name : names_) made.owned[name] = {};
  list_edges(made);
  made.tenants = names_;
  made.ports.assign(ports_.begin(), ports_.end());
  return made;
}

}  // namespace partywall::test

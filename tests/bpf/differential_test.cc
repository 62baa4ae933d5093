// tests/bpf/differential_test.cc: the programs and the reference verdict answer the same random
// questions, and must agree on every one. PARTYWALL_SEED and PARTYWALL_ROUNDS ask others, and
// more.
#include "tests/bpf/differential.h"

#include <array>

namespace partywall::test {
namespace {

constexpr int kMostShown = 5;

class DifferentialTest : public Differential {
 protected:
  // Notes what is not agreed on; false when that is enough.
  bool check(const std::vector<Observation>& all) {
    for (const Observation& seen : all) {
      asked_++;
      if (seen.reason < abi::REASON_COUNT) produced_[seen.reason]++;

      std::string wrong = disagreement(seen, policy_, seen.flow);

      if (wrong.empty()) continue;
      ADD_FAILURE() << wrong << text();
      if (++wrong_ == kMostShown) return false;
    }
    return !HasFatalFailure();
  }

  // That the questions were about everything: `least` answers of each reason from `first` on
  // that rules can give.
  void expect_variety(int first, int least) {
    for (int reason = first; reason < abi::REASON_DENY_MALFORMED; reason++) {
      if (reason == abi::REASON_ALLOW_LINK) continue;  // only the edge gives it
      EXPECT_GE(produced_[static_cast<size_t>(reason)], scaled(least))
          << "of reason " << reason;
    }
    fmt::print("{} questions, PARTYWALL_SEED={}\n", asked_, seed());
  }

  std::array<int, abi::REASON_COUNT> produced_{};
  int asked_ = 0;
  int wrong_ = 0;
};

TEST_F(DifferentialTest, PacketsAreJudgedAsTheReferenceSays) {
  Dice dice(seed());

  for (int round = rounds(80); round > 0; round--) {
    roll_policy(dice);
    if (!check(ask_about_packets(dice, 120))) return;
  }
  expect_variety(abi::REASON_ALLOW_SAME_TENANT, 50);
}

TEST_F(DifferentialTest, DamagedPacketsAreReadAsTheReferenceReadsThem) {
  Dice dice(seed());

  for (int round = rounds(25); round > 0; round--) {
    roll_policy(dice);
    if (!check(ask_about_damage(dice, 150))) return;
  }
  for (abi::reason reason : {abi::REASON_DENY_MALFORMED, abi::REASON_DENY_IP_OPTIONS,
                             abi::REASON_DENY_FRAGMENT, abi::REASON_DENY_EXTENSION_HEADER,
                             abi::REASON_ALLOW_WORLD, abi::REASON_DENY_TENANT_PORT})
    EXPECT_GE(produced_[reason], scaled(100)) << reason;
}

TEST_F(DifferentialTest, CallsAreJudgedAsTheReferenceSays) {
  Dice dice(seed());

  for (int round = rounds(40); round > 0; round--) {
    roll_policy(dice);
    if (!check(ask_about_calls(dice, 60))) return;
  }
  for (abi::reason reason :
       {abi::REASON_DENY_UNKNOWN_CGROUP, abi::REASON_DENY_TENANT, abi::REASON_DENY_TENANT_PORT,
        abi::REASON_DENY_WORLD, abi::REASON_DENY_WORLD_PORT, abi::REASON_DENY_SOURCE,
        abi::REASON_DENY_MULTICAST, abi::REASON_COUNT})
    EXPECT_GE(reason == abi::REASON_COUNT ? asked_ : produced_[reason], scaled(20)) << reason;
}

// What a reference, or a program, could have got wrong. Each must be found.
struct Mistake {
  const char* what;
  void (*change)(policy::Policy& policy);
  void (*ask)(policy::Flow& flow);
};

template <typename T, typename Change>
void each(policy::ByName<T>& all, Change change) {
  policy::ByName<T> changed;

  for (const auto& [name, item] : all) {
    T copy = item;

    change(copy);
    changed.add(std::move(copy));
  }
  all = std::move(changed);
}

template <typename Change>
void each_tenant(policy::Policy& policy, Change change) {
  each(policy.tenants, change);
}

template <typename Change>
void each_rule(policy::Policy& policy, Change change) {
  each_tenant(policy, [&](policy::Tenant& tenant) {
    for (auto* rules : {&tenant.ingress, &tenant.egress})
      if (*rules)
        for (policy::Rule& rule : **rules) change(rule);
  });
}

template <typename Change>
void each_port(policy::Policy& policy, Change change) {
  each_rule(policy, [&](policy::Rule& rule) {
    if (rule.ports)
      for (policy::PortRange& range : *rule.ports) change(range);
  });
}

const Mistake kMistakes[] = {
    {"a rule is forgotten",
     [](policy::Policy& policy) {
       each_tenant(policy, [](policy::Tenant& tenant) {
         if (tenant.egress && !tenant.egress->empty()) tenant.egress->pop_back();
       });
     },
     nullptr},
    {"an empty list of rules is taken for none",
     [](policy::Policy& policy) {
       each_tenant(policy, [](policy::Tenant& tenant) {
         if (tenant.egress && tenant.egress->empty()) tenant.egress.reset();
       });
     },
     nullptr},
    {"no list of rules is taken for an empty one",
     [](policy::Policy& policy) {
       each_tenant(policy, [](policy::Tenant& tenant) {
         if (!tenant.ingress) tenant.ingress.emplace();
       });
     },
     nullptr},
    {"an empty list of ports is taken for none",
     [](policy::Policy& policy) {
       each_rule(policy, [](policy::Rule& rule) {
         if (rule.ports && rule.ports->empty()) rule.ports.reset();
       });
     },
     nullptr},
    {"a range of ports ends one later",
     [](policy::Policy& policy) {
       each_port(policy, [](policy::PortRange& range) {
         if (range.last < 65535) range.last++;
       });
     },
     nullptr},
    {"a range of ports begins one later",
     [](policy::Policy& policy) {
       each_port(policy, [](policy::PortRange& range) {
         if (range.first < range.last) range.first++;
       });
     },
     nullptr},
    {"TCP ports are UDP's, too",
     [](policy::Policy& policy) {
       each_rule(policy, [](policy::Rule& rule) {
         if (!rule.ports) return;
         for (policy::PortRange range : std::vector(*rule.ports))
           if (range.protocol == policy::Protocol::kTcp) {
             range.protocol = policy::Protocol::kUdp;
             rule.ports->push_back(range);
           }
       });
     },
     nullptr},
    {"exceptions are forgotten",
     [](policy::Policy& policy) {
       each_rule(policy, [](policy::Rule& rule) {
         for (policy::PeerSelector& peer : rule.peers) peer.except.clear();
       });
     },
     nullptr},
    {"a range is half of itself",
     [](policy::Policy& policy) {
       each_rule(policy, [](policy::Rule& rule) {
         for (policy::PeerSelector& peer : rule.peers)
           if (peer.cidr && peer.cidr->bits < 32) peer.cidr->bits++;
       });
     },
     nullptr},
    {"a tenant has half of its addresses",
     [](policy::Policy& policy) {
       each_tenant(policy, [](policy::Tenant& tenant) {
         for (policy::Prefix& range : tenant.addresses)
           if (range.bits < 32) range.bits++;
       });
     },
     nullptr},
    {"a tenant without addresses may use anybody's",
     [](policy::Policy& policy) {
       each_tenant(policy, [](policy::Tenant& tenant) { tenant.addresses.clear(); });
     },
     nullptr},
    {"the world's defaults are the other way round",
     [](policy::Policy& policy) {
       each(policy.tiers,
            [](policy::Tier& tier) { std::swap(tier.world_egress, tier.world_ingress); });
     },
     nullptr},
    {"the lane is forgotten", [](policy::Policy& policy) { policy.infrastructure.clear(); },
     nullptr},
    {"audit is forgotten",
     [](policy::Policy& policy) {
       each_tenant(policy,
                   [](policy::Tenant& tenant) { tenant.mode = policy::Mode::kEnforce; });
     },
     nullptr},
    {"the next port is asked about", nullptr, [](policy::Flow& flow) { flow.peer_port++; }},
    {"the next address is asked about", nullptr,
     [](policy::Flow& flow) { flow.peer = next_to(flow.peer, 1); }},
    {"everything is a reply", nullptr, [](policy::Flow& flow) { flow.opens = false; }},
    {"nothing is a reply", nullptr, [](policy::Flow& flow) { flow.opens = true; }},
    {"the source is not looked at", nullptr, [](policy::Flow& flow) { flow.local.reset(); }},
    {"stamps are not looked at", nullptr,
     [](policy::Flow& flow) { flow.loopback_tenant = ""; }},
};

TEST_F(DifferentialTest, AMistakeWouldBeFound) {
  Dice dice(seed());
  std::array<int, std::size(kMistakes)> found{};

  for (int round = 0; round < 15; round++) {
    roll_policy(dice);

    std::vector<Observation> all = ask_about_packets(dice, 120);

    ASSERT_TRUE(check(all));
    for (size_t i = 0; i < std::size(kMistakes); i++) {
      policy::Policy policy = policy_;

      if (kMistakes[i].change) kMistakes[i].change(policy);
      for (const Observation& seen : all) {
        policy::Flow flow = seen.flow;

        if (kMistakes[i].ask) kMistakes[i].ask(flow);
        found[i] += !disagreement(seen, policy, flow).empty();
      }
    }
  }
  for (size_t i = 0; i < std::size(kMistakes); i++) EXPECT_GT(found[i], 0) << kMistakes[i].what;
}

}  // namespace
}  // namespace partywall::test

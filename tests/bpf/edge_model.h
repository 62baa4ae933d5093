// tests/bpf/edge_model.h: what the edge has to say to a frame, worked out in user space from
// the rules as an operator wrote them. Shares no code with bpf/, keeps flows in ordinary sets,
// and has no clock. No I/O.
#ifndef PARTYWALL_TESTS_BPF_EDGE_MODEL_H
#define PARTYWALL_TESTS_BPF_EDGE_MODEL_H

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>

#include "agent/policy/verdict.h"
#include "tests/bpf/edge_wire.h"
#include "tests/bpf/edge_world.h"

namespace partywall::test {

// An interface as its operator sees it.
struct ModelInterface {
  std::string named;  // the tenant that the policy gives it to
  std::string bound;  // the tenant whose socket sent first
  bool strict = true;
  bool has_link_header = true;
  std::optional<LinkAddress> mac;  // learned

  const std::string& owner() const { return named.empty() ? bound : named; }
};

// Whose socket a packet is, as far as this host knows.
struct ModelSender {
  std::string tenant;       // empty = no tenant's
  bool is_managed = false;  // its cgroup is below the managed root
};

struct ModelVerdict {
  bool passes = true;
  std::optional<abi::reason> reason;  // unset: not counted
  std::string tenant;                 // counted for; empty = nobody
  bool would = false;
  uint64_t bytes = 0;
  uint64_t packets = 0;
  std::string marked;  // the tenant that the mark names afterwards, on egress
};

// What a model can be told wrongly, for the test of the comparison.
struct ModelMistakes {
  bool forgets_flows = false;
  bool ignores_direction_of_flows = false;
  bool ignores_fragments = false;
  bool ignores_marks = false;
  bool ignores_link_addresses = false;
  bool ignores_link_scope = false;
  bool ignores_quotes = false;
  bool ignores_strictness = false;
  bool ignores_unknown_interfaces = false;
  bool ignores_charges = false;
  bool ignores_full_tables = false;
};

class EdgeModel {
 public:
  // `tenant_of_mark`: whom a mark names, "" for nobody; a name that the policy does not have
  // is nobody's that it knows.
  EdgeModel(policy::Policy policy, std::function<std::string(uint32_t)> tenant_of_mark);

  ModelMistakes mistakes;
  std::map<uint32_t, ModelInterface> interfaces;  // workloads', by ifindex
  std::set<uint32_t> looked_at;                   // others that have a row
  std::set<std::string> with_table;               // tenants that have room for flows
  std::set<std::string> full;                     // and whose table is full
  bool marks = true;                              // workloads' packets are marked

  // Nothing is left of a tenant's flows and datagrams.
  void forget(const std::string& tenant);

  // Notes what the frame changes. `sender`: of the socket that the frame came from.
  ModelVerdict judge(const EdgeFrame& frame, const ModelSender& sender);

  const policy::Policy& policy() const { return policy_; }

 private:
  struct Flow {
    abi::direction opened_by;
    bool host = false;  // a process of the host began it, and it is not over
  };
  // tenant, interface, protocol, own address, peer's, own port, peer's
  using FlowKey = std::tuple<std::string, uint32_t, uint8_t, policy::Address, policy::Address,
                             uint16_t, uint16_t>;
  // tenant, interface, direction, protocol, source, target, number
  using DatagramKey = std::tuple<std::string, uint32_t, abi::direction, uint8_t,
                                 policy::Address, policy::Address, uint32_t>;

  // One packet on its way through the rules.
  struct Question {
    const EdgeWire* wire = nullptr;
    std::string tenant;
    uint32_t ifindex = 0;
    abi::direction direction = abi::DIRECTION_EGRESS;
    std::optional<std::string> named_peer;  // who the peer is, whatever its address says
    policy::Address own;
    policy::Address peer;
    uint16_t own_port = 0;
    uint16_t peer_port = 0;
    uint8_t protocol = 0;
    bool opens = false;   // no reply
    bool begins = false;  // TCP: SYN; others: any packet
    bool ends = false;    // TCP: FIN or RST
    bool is_error = false;
    bool strict = true;
    bool only_asks = false;

    bool egress() const { return direction == abi::DIRECTION_EGRESS; }
    bool is_tcp() const { return protocol == IPPROTO_TCP; }
    FlowKey key() const;
  };

  Question question(const EdgeWire& wire, const std::string& tenant, const EdgeFrame& frame,
                    const ModelInterface& at) const;
  abi::reason decide(const EdgeFrame& frame, const ModelSender& sender, const EdgeWire& wire,
                     const std::string& tenant, ModelInterface& at);
  std::optional<abi::reason> about_link(const EdgeWire& wire, const std::string& tenant,
                                        bool egress, const std::string& speaker) const;
  std::optional<abi::reason> about_neighbors(const EdgeWire& wire, const std::string& tenant,
                                             bool egress, const std::string& speaker) const;
  std::optional<abi::reason> by_quote(const Question& of);
  abi::reason by_rules(const Question& of, const policy::Policy& rules);
  abi::reason by_rules(const Question& of) { return by_rules(of, policy_); }
  abi::reason ingress_by_sender(const Question& of, const EdgeFrame& frame,
                                const ModelSender& sender, const std::string& speaker);
  abi::reason of_later_fragment(const Question& of) const;

  bool answers(const Question& of) const;
  bool notes(const Question& of);
  void host_asks(const Question& of);
  DatagramKey datagram(const Question& of) const;
  bool has_room(const std::string& tenant) const;

  std::string owner_of(const policy::Address& address) const;
  bool owns(const std::string& tenant, const policy::Address& address) const;
  bool may_claim(const std::string& tenant, const policy::Address& address) const;
  bool may_hear(const std::string& tenant, const std::string& speaker,
                const policy::Address& source) const;
  bool talk(const std::string& one, const std::string& other) const;

  policy::Policy policy_;
  policy::Policy without_lane_;
  std::function<std::string(uint32_t)> tenant_of_mark_;
  std::map<FlowKey, Flow> flows_;
  std::set<DatagramKey> datagrams_;
};

}  // namespace partywall::test

#endif

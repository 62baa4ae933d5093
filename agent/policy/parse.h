// agent/policy/parse.h: YAML text -> Policy, with every error and where it is. Pure: text in,
// data out.
#ifndef PARTYWALL_AGENT_POLICY_PARSE_H
#define PARTYWALL_AGENT_POLICY_PARSE_H

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/policy/policy.h"

namespace partywall::policy {

// One thing wrong with a policy, as one line: "acme.yaml:12:15: spec.limits.egress.ceiling:
// ...".
struct Problem {
  Position at;
  std::string
      field;  // "spec.network.egress[0].ports[1].port"; empty for the document as a whole
  std::string message;  // what is wrong, and what would be accepted
};
std::string to_string(const Problem& problem);

// Where one entry of a tenant's `members` was written, for problems that only show among
// tenants.
struct EntryPlace {
  int line = 0;
  int column = 0;
  uint32_t member = 0;  // index in spec.members
  uint32_t entry = 0;   // index in its `addresses`
};
struct TenantPlaces {
  Position tier;                      // spec.tier
  std::vector<EntryPlace> cgroups;    // one for each of Tenant::cgroups
  std::vector<EntryPlace> addresses;  // one for each of Tenant::addresses
};

// The documents of one file, each valid by itself. Kept per file, so that a changed file is
// read again alone.
// A ClusterNetwork is written by the agent, for its own next start and for the CLI.
struct ParsedFile {
  std::string name;
  std::vector<std::variant<Tier, Tenant>> documents;
  std::vector<TenantPlaces> places;               // one for each document; empty for tiers
  std::shared_ptr<const ClusterNetwork> network;  // the file's ClusterNetwork, if it has one
  std::vector<Problem> problems;
};

// `name` is what messages call the file. Never fails as a whole: what is wrong is in
// `problems`. Refused outright: more than 8 MiB, nesting over 32, a value over 256 KiB, more
// than 1,000,000 nodes, more than 64 aliases, or anchors and aliases that stand for more than
// 10,000 nodes. A file's first 1,000 problems are kept, and as many keys that are written
// twice.
ParsedFile parse_file(std::string_view name, std::string_view text);

// What parse_file() says of `file`'s text when the addresses of its only tenant's last member
// that has some are others: a list at the end of a line, each in quotes, commas between and no
// spaces. nullopt when that is not for sure; the text is to be parsed then.
std::optional<ParsedFile> with_addresses(const ParsedFile& file,
                                         const std::set<std::string>& addresses);

// The entries of the infrastructure lane, from the `infrastructure` list of the agent's
// configuration file.
struct LaneService {
  Position at;
  std::string name;     // as explain shows it
  std::string service;  // "default/kubernetes": it has its own addresses and ports
};
struct ParsedInfrastructure {
  std::vector<Infrastructure> entries;
  std::vector<LaneService> services;  // of a Kubernetes cluster
  std::vector<Problem> problems;
};
ParsedInfrastructure parse_infrastructure(std::string_view name, std::string_view text);

// All files together: duplicate names, unknown tiers and tenants, overlapping cgroups or
// addresses, cgroups outside the managed root. `problems` holds the files' own problems too;
// the policy is meant to be used only when it is empty.
struct ParsedPolicy {
  Policy policy;
  std::vector<Problem> problems;
};
// `managed_root`: "/tenants.slice"; empty = not known, not checked.
ParsedPolicy assemble(const std::vector<std::shared_ptr<const ParsedFile>>& files,
                      const std::vector<Infrastructure>& infrastructure,
                      std::string_view managed_root);

}  // namespace partywall::policy

#endif

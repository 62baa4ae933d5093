// tests/unit/policy_text.h: policies out of text, for tests. Reads no file.
#ifndef PARTYWALL_TESTS_UNIT_POLICY_TEXT_H
#define PARTYWALL_TESTS_UNIT_POLICY_TEXT_H

#include <memory>
#include <string>
#include <vector>

#include "agent/policy/compile.h"
#include "agent/policy/parse.h"
#include "agent/policy/verdict.h"

namespace partywall::test {

// One file, assembled alone or with an infrastructure lane.
inline policy::ParsedPolicy read_policy(const std::string& text,
                                        const std::string& infrastructure = "",
                                        const std::string& root = "") {
  auto lane = policy::parse_infrastructure("agent.yaml", infrastructure);
  auto file = std::make_shared<const policy::ParsedFile>(policy::parse_file("acme.yaml", text));
  auto parsed = policy::assemble({file}, lane.entries, root);

  parsed.problems.insert(parsed.problems.end(), lane.problems.begin(), lane.problems.end());
  return parsed;
}

inline std::vector<std::string> lines_of(const std::vector<policy::Problem>& problems) {
  std::vector<std::string> lines;

  lines.reserve(problems.size());
  for (const policy::Problem& problem : problems) lines.push_back(to_string(problem));
  return lines;
}

inline std::vector<std::string> problems_of(const std::string& text,
                                            const std::string& infrastructure = "",
                                            const std::string& root = "") {
  return lines_of(read_policy(text, infrastructure, root).problems);
}

inline policy::Address address(const std::string& text) {
  return policy::parse_address(text).value();
}
inline policy::Prefix prefix(const std::string& text) {
  return policy::parse_prefix(text).value();
}

// A tier without limits, and a tenant of it whose spec goes on with `spec`, in flow style.
inline std::string tier(const std::string& name = "gold", const std::string& spec = "") {
  return "---\n{apiVersion: partywall.dev/v1alpha1, kind: Tier, metadata: {name: " + name +
         "}, spec: {" + spec + "}}\n";
}
inline std::string tenant(const std::string& name, const std::string& spec = "") {
  return "---\n{apiVersion: partywall.dev/v1alpha1, kind: Tenant, metadata: {name: " + name +
         "}, spec: {tier: gold" + (spec.empty() ? "" : ", " + spec) + "}}\n";
}

}  // namespace partywall::test

#endif

// agent/policy/assembler.h: puts the files of a policy together again and again, while few of
// them change. Pure.
#ifndef PARTYWALL_AGENT_POLICY_ASSEMBLER_H
#define PARTYWALL_AGENT_POLICY_ASSEMBLER_H

#include <compare>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/policy/parse.h"
#include "agent/policy/sorted_rows.h"

namespace partywall::policy {

// Holds what all files say in sorted rows. A file that it was given before, the same object, is
// not looked at again; whatever came before, the result is that of assemble(). One thread.
class Assembler {
 public:
  // See assemble() in agent/policy/parse.h.
  ParsedPolicy assemble(const std::vector<std::shared_ptr<const ParsedFile>>& files,
                        const std::vector<Infrastructure>& infrastructure,
                        std::string_view managed_root);

 private:
  friend class Assembly;

  // A tier or tenant.
  struct Name {
    std::string_view text;
    uint32_t file;
    uint32_t document;
    uint32_t hash;
    auto operator<=>(const Name&) const = default;
  };
  // One of Tenant::cgroups.
  struct Claim {
    std::string text;
    size_t start;  // how much of it stands before the first star
    uint32_t file;
    uint32_t document;
    uint32_t entry;

    std::string_view beginning() const { return std::string_view(text).substr(0, start); }
    bool literal() const { return start == text.size(); }
    bool operator<(const Claim& other) const;
  };
  // One of Tenant::addresses.
  struct Range {
    Prefix prefix;
    uint32_t file;
    uint32_t document;
    uint32_t entry;
    auto operator<=>(const Range&) const = default;
  };

  std::vector<std::shared_ptr<const ParsedFile>> update(
      const std::vector<std::shared_ptr<const ParsedFile>>& files);

  std::vector<std::shared_ptr<const ParsedFile>> files_;
  std::vector<bool> resolved_;  // of files: every tier and tenant that it names was there
  SortedRows<Name> tiers_;
  SortedRows<Name> tenants_;
  SortedRows<Claim> claims_;
  SortedRows<Range> ranges_;
};

}  // namespace partywall::policy

#endif

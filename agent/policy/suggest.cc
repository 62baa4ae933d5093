// agent/policy/suggest.cc: edit distance over short names. Pure.
#include "agent/policy/suggest.h"

#include <fmt/format.h>

#include <algorithm>

namespace partywall::policy {
namespace {

constexpr size_t kMaxCompared = 64;  // longer ones are no typing errors

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// How many letters must be put in, taken out or changed; case counts for nothing.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);

  for (size_t j = 0; j <= b.size(); j++) row[j] = j;
  for (size_t i = 1; i <= a.size(); i++) {
    size_t diagonal = row[0];

    row[0] = i;
    for (size_t j = 1; j <= b.size(); j++) {
      size_t changed = diagonal + (lower(a[i - 1]) != lower(b[j - 1]));

      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, changed});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string did_you_mean(std::string_view written, const std::vector<std::string_view>& names) {
  if (written.empty() || written.size() > kMaxCompared) return "";

  std::string_view nearest;
  size_t least = std::max<size_t>(1, written.size() / 3) + 1;

  for (std::string_view name : names) {
    size_t longer = std::max(name.size(), written.size());
    size_t shorter = std::min(name.size(), written.size());

    if (longer > kMaxCompared || longer - shorter >= least) continue;
    if (size_t apart = distance(written, name); apart < least) {
      least = apart;
      nearest = name;
    }
  }
  return nearest.empty() ? "" : fmt::format(", did you mean {}?", nearest);
}

}  // namespace partywall::policy

// agent/policy/cgroup_pattern.cc: matching cgroup paths, and telling whether two patterns could
// claim the same one. Pure.
#include "agent/policy/cgroup_pattern.h"

#include <algorithm>

namespace partywall::policy {
namespace {

constexpr size_t kMaxSegments = 32;
constexpr size_t kMaxSegmentBytes = 255;  // a cgroup is a folder; so long may its name be
constexpr size_t kMaxPathBytes = 511;     // maps/abi/members.h: CGROUP_PATH_MAX, less the NUL

bool is_any(const std::string& segment) { return segment == "**"; }

std::vector<std::string_view> split(std::string_view path) {
  std::vector<std::string_view> segments;

  while (!path.empty()) {
    if (path.front() == '/') {
      path.remove_prefix(1);
      continue;
    }
    size_t end = std::min(path.find('/'), path.size());

    segments.push_back(path.substr(0, end));
    path.remove_prefix(end);
  }
  return segments;
}

// Whether some name matches both patterns of one segment. Two stars meet by either of them
// giving way; without stars this is equality.
bool unify(std::string_view a, std::string_view b) {
  // reachable[j]: the rest of a (from i on) and the rest of b from j on have a name in common.
  std::vector<char> next(b.size() + 1, 0);
  std::vector<char> here(b.size() + 1, 0);

  for (size_t i = a.size() + 1; i-- > 0;) {
    for (size_t j = b.size() + 1; j-- > 0;) {
      bool a_ends = i == a.size();
      bool b_ends = j == b.size();
      bool both = a_ends && b_ends;

      if (!a_ends && a[i] == '*') both = both || next[j] || (!b_ends && here[j + 1]);
      if (!b_ends && b[j] == '*') both = both || here[j + 1] || (!a_ends && next[j]);
      if (!a_ends && !b_ends && a[i] == b[j]) both = both || next[j + 1];
      here[j] = both;
    }
    std::swap(here, next);
  }
  return next[0];
}

// `name` holds no stars.
bool matches_segment(std::string_view pattern, std::string_view name) {
  if (pattern.find('*') == std::string_view::npos) return pattern == name;
  return unify(pattern, name);
}

// Whether the pattern matches the path `names`; with `subtree`, whether it matches a beginning.
bool match(const std::vector<std::string>& pattern, const std::vector<std::string_view>& names,
           bool subtree) {
  // next[to]: the segments of the pattern after the one at hand match names[to..].
  std::vector<char> next(names.size() + 1, subtree);

  next[names.size()] = 1;
  for (size_t at = pattern.size(); at-- > 0;) {
    std::vector<char> here(names.size() + 1, 0);

    for (size_t to = names.size() + 1; to-- > 0;) {
      bool more = to < names.size();

      if (is_any(pattern[at]))
        here[to] = next[to] || (more && here[to + 1]);
      else
        here[to] = more && next[to + 1] && matches_segment(pattern[at], names[to]);
    }
    next = std::move(here);
  }
  return next[0];
}

}  // namespace

bool CgroupPattern::is_literal() const {
  return std::ranges::none_of(segments, [](const std::string& segment) {
    return segment.find('*') != std::string::npos;
  });
}

bool CgroupPattern::matches(std::string_view path) const {
  return match(segments, split(path), false);
}

bool CgroupPattern::covers(std::string_view path) const {
  return match(segments, split(path), true);
}

Result<CgroupPattern> parse_cgroup_pattern(std::string_view text) {
  CgroupPattern pattern;

  if (!text.starts_with('/'))
    return fail(
        "\"{}\" is no cgroup path: write it from the cgroup2 root, like "
        "/tenants.slice/acme.slice",
        text);
  if (text.size() > kMaxPathBytes)
    return fail("a cgroup path of {} bytes is too long: the most is {}", text.size(),
                kMaxPathBytes);
  for (size_t at = 1; at <= text.size();) {
    size_t end = std::min(text.find('/', at), text.size());
    std::string segment(text.substr(at, end - at));

    if (segment.empty())
      return fail("\"{}\" has an empty segment: write one / between names, none at the end",
                  text);
    if (segment == "." || segment == "..")
      return fail("\"{}\" has the segment {}: write the path without it", text, segment);
    if (!is_any(segment) && segment.find("**") != std::string::npos)
      return fail("\"{}\" has ** inside the segment {}: write ** as a segment of its own, or *",
                  text, segment);
    if (segment.size() > kMaxSegmentBytes)
      return fail("\"{}\" has a segment of {} bytes: the most is {}", text, segment.size(),
                  kMaxSegmentBytes);
    if (std::ranges::any_of(segment, [](unsigned char c) { return c < ' ' || c == 0x7f; }))
      return fail("a cgroup path holds a control character: write it without");
    if (pattern.segments.size() == kMaxSegments)
      return fail("\"{}\" has more than {} segments", text, kMaxSegments);
    pattern.segments.push_back(std::move(segment));
    at = end + 1;
  }
  return pattern;
}

std::string to_string(const CgroupPattern& pattern) {
  std::string text;

  for (const std::string& segment : pattern.segments) text += "/" + segment;
  return text.empty() ? "/" : text;
}

bool overlap(const CgroupPattern& a, const CgroupPattern& b) {
  // shared[i][j]: some path is claimed by both a from segment i on and b from j on. When one of
  // them is used up it claims all that is below, so whatever the other still wants can be had.
  std::vector<std::vector<char>> shared(a.segments.size() + 1,
                                        std::vector<char>(b.segments.size() + 1, 1));

  for (size_t i = a.segments.size(); i-- > 0;)
    for (size_t j = b.segments.size(); j-- > 0;) {
      if (is_any(a.segments[i]) || is_any(b.segments[j]))
        shared[i][j] = shared[i + 1][j] || shared[i][j + 1];
      else
        shared[i][j] = shared[i + 1][j + 1] && unify(a.segments[i], b.segments[j]);
    }
  return shared[0][0];
}

}  // namespace partywall::policy

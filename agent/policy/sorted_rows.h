// agent/policy/sorted_rows.h: rows of many files in one order, which is kept while files come
// and go. Pure.
#ifndef PARTYWALL_AGENT_POLICY_SORTED_ROWS_H
#define PARTYWALL_AGENT_POLICY_SORTED_ROWS_H

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <utility>
#include <vector>

namespace partywall::policy {

inline constexpr uint32_t kGone = UINT32_MAX;

// `Row` has operator<, in which no two rows are equal, and the number of its `file`; of rows
// that are alike but for the file, the lower number comes first.
template <typename Row>
class SortedRows {
 public:
  // `moves`: what number each file has now, kGone for those that are not there any more; the
  // others stay in their order. `fresh`: the rows of new files, in any order. What stays is
  // neither sorted nor compared again, but for a search for each fresh row.
  void update(const std::vector<uint32_t>& moves, std::vector<Row> fresh) {
    size_t kept = 0;

    for (Row& row : rows_) {
      row.file = moves[row.file];
      if (row.file == kGone) continue;
      if (&rows_[kept] != &row) rows_[kept] = std::move(row);
      kept++;
    }
    rows_.erase(rows_.begin() + static_cast<std::ptrdiff_t>(kept), rows_.end());
    if (fresh.empty()) return;

    std::vector<Row> merged;
    auto from = rows_.begin();

    std::sort(fresh.begin(), fresh.end());
    merged.reserve(rows_.size() + fresh.size());
    for (Row& row : fresh) {
      auto to = std::lower_bound(from, rows_.end(), row);

      merged.insert(merged.end(), std::move_iterator(from), std::move_iterator(to));
      merged.push_back(std::move(row));
      from = to;
    }
    merged.insert(merged.end(), std::move_iterator(from), std::move_iterator(rows_.end()));
    rows_ = std::move(merged);
  }

  auto begin() const { return rows_.begin(); }
  auto end() const { return rows_.end(); }
  size_t size() const { return rows_.size(); }

 private:
  std::vector<Row> rows_;
};

}  // namespace partywall::policy

#endif

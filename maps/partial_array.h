// maps/partial_array.h: an mmapable array of which only the parts in use are in this process's
// memory.
#ifndef PARTYWALL_MAPS_PARTIAL_ARRAY_H
#define PARTYWALL_MAPS_PARTIAL_ARRAY_H

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "maps/typed_map.h"

namespace partywall {

// Rows first..first+count-1 of an array as one span of addresses, behind which there is nothing
// until need(). The kernel fills in every page of a mapped array at once, so what is mapped
// counts as resident whether it is read or not.
template <Abi Row>
class PartialArray {
 public:
  PartialArray() = default;
  PartialArray(PartialArray&& other) noexcept { *this = std::move(other); }
  PartialArray& operator=(PartialArray&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(first_, other.first_);
    std::swap(rows_, other.rows_);
    std::swap(parts_, other.parts_);
    return *this;
  }
  ~PartialArray() {
    if (!rows_.empty()) munmap(rows_.data(), rows_.size_bytes());
  }

  // `first` and `count` rows must be whole parts. Fails when the map's rows are not as large as
  // `Row`, or are fewer.
  static Result<PartialArray> open(std::string_view root, std::string_view name, size_t first,
                                   size_t count) {
    auto fd = open_map(root, name, Access::kReadWrite);

    if (!fd) return std::move(fd.error());

    bpf_map_info info{};
    __u32 size = sizeof(info);

    if (bpf_obj_get_info_by_fd(fd->get(), &info, &size))
      return fail_errno(errno, "ask about map {}", name);
    if (info.value_size != sizeof(Row) || info.max_entries < first + count)
      return fail("map {} has {} rows of {} bytes, this version expects {} of {}", name,
                  info.max_entries, info.value_size, first + count, sizeof(Row));

    void* space = mmap(nullptr, count * sizeof(Row), PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (space == MAP_FAILED) return fail_errno(errno, "make room for map {}", name);

    PartialArray array;

    array.fd_ = std::move(*fd);
    array.first_ = first;
    array.rows_ = {static_cast<Row*>(space), count};
    array.parts_.resize(count / kPartRows);
    return array;
  }

  // All rows; only those in parts that need() was called for may be touched.
  std::span<Row> rows() const { return rows_; }

  // Brings the part that holds a row into memory. It stays there.
  Result<void> need(size_t row) {
    size_t part = row / kPartRows;

    if (parts_[part]) return {};

    size_t at = part * kPartRows;
    off_t offset = static_cast<off_t>((first_ + at) * sizeof(Row));

    if (mmap(&rows_[at], kPartRows * sizeof(Row), PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_FIXED, fd_.get(), offset) == MAP_FAILED)
      return fail_errno(errno, "map rows {} to {} into memory", first_ + at,
                        first_ + at + kPartRows - 1);
    parts_[part] = true;
    return {};
  }

 private:
  static constexpr size_t kPartBytes = 256 << 10;
  static constexpr size_t kPartRows = kPartBytes / sizeof(Row);
  static_assert(kPartRows * sizeof(Row) == kPartBytes, "parts must be whole pages");

  Fd fd_;
  size_t first_ = 0;
  std::span<Row> rows_;
  std::vector<bool> parts_;  // which are there
};

}  // namespace partywall

#endif

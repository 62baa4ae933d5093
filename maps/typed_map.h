// maps/typed_map.h: BPF maps whose keys and values have C++ types; hidden padding does not
// compile.
#ifndef PARTYWALL_MAPS_TYPED_MAP_H
#define PARTYWALL_MAPS_TYPED_MAP_H

#include <bpf/bpf.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "maps/fd.h"
#include "maps/pins.h"
#include "maps/result.h"

namespace partywall {

// What may cross into the kernel: no pointers to chase, no padding to leak.
template <typename T>
concept Abi = std::is_trivially_copyable_v<T> && std::is_standard_layout_v<T> &&
    std::has_unique_object_representations_v<T>;

// A hash, LPM trie or array, through system calls. Thread-compatible.
template <Abi K, Abi V>
class TypedMap {
 public:
  TypedMap() = default;
  TypedMap(Fd fd, std::string_view name) : fd_(std::move(fd)), name_(name) {}

  static Result<TypedMap> open(std::string_view root, std::string_view name, Access access) {
    auto fd = open_map(root, name, access);

    if (!fd) return std::move(fd.error());
    return TypedMap(std::move(*fd), name);
  }

  // The value under `key`. Fails with ENOENT when there is none.
  Result<V> get(const K& key) const {
    V value{};

    if (bpf_map_lookup_elem(fd_.get(), &key, &value))
      return fail_errno(errno, "read map {}", name_);
    return value;
  }

  // Adds or replaces. Fails with E2BIG when the map is full.
  Result<void> put(const K& key, const V& value) {
    if (bpf_map_update_elem(fd_.get(), &key, &value, BPF_ANY))
      return fail_errno(errno, "write map {}", name_);
    return {};
  }

  // Removing what is not there is no failure.
  Result<void> remove(const K& key) {
    if (bpf_map_delete_elem(fd_.get(), &key) && errno != ENOENT)
      return fail_errno(errno, "delete from map {}", name_);
    return {};
  }

  // Every entry, in batches where the kernel has them (hashes), one by one otherwise. Entries
  // that come or go meanwhile may or may not be seen.
  Result<std::vector<std::pair<K, V>>> entries() const {
    std::vector<std::pair<K, V>> all;
    K key{};
    K* previous = nullptr;

    while (bpf_map_get_next_key(fd_.get(), previous, &key) == 0) {
      V value{};

      if (bpf_map_lookup_elem(fd_.get(), &key, &value) == 0) all.emplace_back(key, value);
      previous = &key;
    }
    if (errno != ENOENT) return fail_errno(errno, "walk map {}", name_);
    return all;
  }

  int fd() const { return fd_.get(); }
  const std::string& name() const { return name_; }

 private:
  Fd fd_;
  std::string name_;
};

// The rows of an mmapable array, as memory: reading and writing them is no system call.
// `Row` may be const: then the memory is read-only.
template <typename Row>
requires Abi<std::remove_const_t<Row>>
class MappedArray {
 public:
  MappedArray() = default;
  MappedArray(MappedArray&& other) noexcept { *this = std::move(other); }
  MappedArray& operator=(MappedArray&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(rows_, other.rows_);
    return *this;
  }
  ~MappedArray() {
    if (!rows_.empty()) munmap(const_cast<std::remove_const_t<Row>*>(rows_.data()), bytes());
  }

  // Maps all rows. Fails when the map's rows are not as large as `Row`: another version made
  // it.
  static Result<MappedArray> map(Fd fd, std::string_view name) {
    bpf_map_info info{};
    __u32 size = sizeof(info);

    if (bpf_obj_get_info_by_fd(fd.get(), &info, &size))
      return fail_errno(errno, "ask about map {}", name);
    if (info.value_size != sizeof(Row))
      return fail("map {} has rows of {} bytes, this version expects {}", name, info.value_size,
                  sizeof(Row));

    MappedArray mapped;
    int protection = std::is_const_v<Row> ? PROT_READ : PROT_READ | PROT_WRITE;
    size_t length = page_rounded(info.max_entries * sizeof(Row));
    void* memory = mmap(nullptr, length, protection, MAP_SHARED, fd.get(), 0);

    if (memory == MAP_FAILED) return fail_errno(errno, "map {} into memory", name);
    mapped.fd_ = std::move(fd);
    mapped.rows_ = std::span<Row>(static_cast<Row*>(memory), info.max_entries);
    return mapped;
  }

  // The kernel refuses to map a descriptor that was opened for reading only (mmap clears
  // VM_SHARED on it, and bpf_map_mmap insists on it); const rows are protected by PROT_READ
  // instead.
  static Result<MappedArray> open(std::string_view root, std::string_view name) {
    auto fd = open_map(root, name, Access::kReadWrite);

    if (!fd) return std::move(fd.error());
    return map(std::move(*fd), name);
  }

  std::span<Row> rows() const { return rows_; }
  Row& operator[](size_t row) const { return rows_[row]; }

 private:
  static size_t page_rounded(size_t bytes) { return (bytes + 4095) & ~size_t{4095}; }
  size_t bytes() const { return page_rounded(rows_.size_bytes()); }

  Fd fd_;
  std::span<Row> rows_;
};

}  // namespace partywall

#endif

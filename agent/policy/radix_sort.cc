// agent/policy/radix_sort.cc: byte by byte, and only the bytes that differ. Pure.
#include "agent/policy/radix_sort.h"

#include <array>
#include <bit>
#include <cstring>
#include <span>

namespace partywall::policy {
namespace {

constexpr size_t kFewKeys = 64;
constexpr unsigned kTop = 7;  // the byte that counts most

size_t byte_of(const SortKey& key, unsigned byte) { return key.start >> byte * 8 & 255; }

// Deals `keys` out to `sorted` by one byte. Where each of the 256 heaps ends.
std::array<uint32_t, 256> deal(std::span<const SortKey> keys, unsigned byte,
                               std::span<SortKey> sorted) {
  std::array<uint32_t, 256> places{};
  uint32_t before = 0;

  for (const SortKey& key : keys) places[byte_of(key, byte)]++;
  for (uint32_t& place : places) before += std::exchange(place, before);
  for (const SortKey& key : keys) sorted[places[byte_of(key, byte)]++] = key;
  return places;
}

// Those with one top byte: from the last byte to the first.
void sort_heap(std::span<SortKey> keys, std::span<SortKey> room) {
  if (keys.size() <= kFewKeys) {
    std::ranges::sort(keys, {},
                      [](const SortKey& key) { return std::pair(key.start, key.place); });
    return;
  }
  uint64_t differ = 0;

  for (const SortKey& key : keys) differ |= key.start ^ keys[0].start;

  std::span<SortKey> sorted = keys;

  for (unsigned byte = 0; byte < kTop; byte++) {
    if (!(differ >> byte * 8 & 255)) continue;
    deal(sorted, byte, room);
    std::swap(sorted, room);
  }
  if (sorted.data() != keys.data()) std::ranges::copy(sorted, keys.begin());
}

}  // namespace

void sort_keys(std::vector<SortKey>& keys) {
  std::vector<SortKey> room(keys.size());
  uint32_t from = 0;

  // IPv4 and IPv6, or names with one beginning, differ in few of the other bytes.
  auto ends = deal(keys, kTop, room);

  keys.swap(room);
  for (uint32_t end : ends) {
    sort_heap(std::span(keys).subspan(from, end - from),
              std::span(room).subspan(from, end - from));
    from = end;
  }
}

uint64_t start_of(std::string_view text) {
  char bytes[sizeof(uint64_t)] = {};
  uint64_t start;

  std::memcpy(bytes, text.data(), std::min(text.size(), sizeof(bytes)));
  std::memcpy(&start, bytes, sizeof(start));
  return std::endian::native == std::endian::little ? __builtin_bswap64(start) : start;
}

}  // namespace partywall::policy

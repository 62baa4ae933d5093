// agent/kernel/sides.cc: image -> map entries, as a difference. Only writer of the policy maps.
#include "agent/kernel/sides.h"

#include <fcntl.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace partywall::kernel {
namespace {

using policy::Family;
using policy::Image;
using policy::PortSet;
using policy::Prefix;

const Image& no_image() {
  static const Image empty;
  return empty;
}

// Calls add(entry) for what is new or different in `to`, remove(entry) for what is gone.
// Both are ordered by their first members.
template <typename Map, typename Add, typename Remove>
Result<void> difference(const Map& from, const Map& to, Add add, Remove remove) {
  auto old = from.begin();
  auto fresh = to.begin();

  while (old != from.end() || fresh != to.end()) {
    Result<void> done;

    if (old != from.end() && fresh != to.end() && old->first == fresh->first) {
      if (std::memcmp(&old->second, &fresh->second, sizeof(old->second)) != 0)
        done = add(*fresh);
      ++old;
      ++fresh;
    } else if (fresh == to.end() || (old != from.end() && old->first < fresh->first)) {
      done = remove(*old++);
    } else {
      done = add(*fresh++);
    }
    if (!done) return done;
  }
  return {};
}

template <typename Map>
bool is_same(const Map& one, const Map& other) {
  return std::ranges::equal(one, other, [](const auto& a, const auto& b) {
    return a.first == b.first && std::memcmp(&a.second, &b.second, sizeof(a.second)) == 0;
  });
}

abi::endpoint6_key key_of(uint32_t side, const Prefix& range) {
  abi::endpoint6_key key{};

  key.prefix_bits = 32u + range.bits;
  key.side = side;
  std::memcpy(key.address, range.address.bytes.data(), sizeof(key.address));
  return key;
}

uint16_t tenant_of(uint64_t pair) { return static_cast<uint16_t>(pair >> 32); }
uint32_t peer_of(uint64_t pair) { return static_cast<uint32_t>(pair); }

// The pages of one protocol's ranges: page number -> bits.
std::map<uint16_t, uint64_t> pages_of(
    const std::vector<std::pair<uint16_t, uint16_t>>& ranges) {
  std::map<uint16_t, uint64_t> pages;

  for (auto [first, last] : ranges)
    for (uint32_t port = first; port <= last; port++)
      pages[static_cast<uint16_t>(port / 64)] |= uint64_t{1} << port % 64;
  return pages;
}

}  // namespace

Result<Sides> Sides::open(std::string_view pin_root) {
  Sides sides;
  auto control = MappedArray<const abi::control>::open(pin_root, "control");
  auto tenants = MappedArray<abi::tenant_policy>::open(pin_root, "tenants");
  auto names = MappedArray<abi::tenant_name>::open(pin_root, "tenant_names");
  auto endpoints6 =
      TypedMap<abi::endpoint6_key, uint32_t>::open(pin_root, "endpoints6", Access::kReadWrite);
  auto slots = open_map(pin_root, "pair_slots", Access::kReadWrite);
  auto pairs = PairMap::open(pin_root, "pairs", Access::kReadWrite);
  auto pages =
      TypedMap<abi::port_page_key, uint64_t>::open(pin_root, "port_pages", Access::kReadWrite);

  for (const Error* error :
       {control ? nullptr : &control.error(), tenants ? nullptr : &tenants.error(),
        names ? nullptr : &names.error(), endpoints6 ? nullptr : &endpoints6.error(),
        slots ? nullptr : &slots.error(), pairs ? nullptr : &pairs.error(),
        pages ? nullptr : &pages.error()})
    if (error) return *error;
  sides.max_tenants_ = (*control)[0].max_tenants;
  sides.tenants_ = std::move(*tenants);
  sides.names_ = std::move(*names);
  sides.endpoints6_ = std::move(*endpoints6);
  sides.pair_slots_ = std::move(*slots);
  sides.pairs_ = std::move(*pairs);
  sides.port_pages_ = std::move(*pages);
  for (uint32_t side = 0; side < PARTYWALL_SIDES; side++) {
    auto blocks = PartialArray<abi::endpoint_block>::open(
        pin_root, "endpoints", size_t{side} * ENDPOINT_BLOCKS, ENDPOINT_BLOCKS);

    if (!blocks) return std::move(blocks.error());

    auto shared = std::make_shared<PartialArray<abi::endpoint_block>>(std::move(*blocks));

    sides.tries_[side] =
        EndpointTrie(shared->rows(), [shared](uint32_t block) { return shared->need(block); });
  }
  return sides;
}

// Removes everything that whoever came before left on a side, but for pairs.
Result<void> Sides::erase(uint32_t side) {
  auto rows = tenants_.rows().subspan(size_t{side} * max_tenants_, max_tenants_);

  std::memset(rows.data(), 0, rows.size_bytes());

  auto ranges = endpoints6_.entries();
  auto pages = port_pages_.entries();

  if (!ranges) return std::move(ranges.error());
  if (!pages) return std::move(pages.error());
  for (const auto& [key, peer] : *ranges)
    if (key.side == side)
      if (auto removed = endpoints6_.remove(key); !removed) return removed;
  for (const auto& [key, bits] : *pages)
    if (key.set >> PAIR_SIDE_SHIFT == side)
      if (auto removed = port_pages_.remove(key); !removed) return removed;
  return {};
}

Result<WriteCount> Sides::write(uint32_t side, ImagePtr image) {
  ImagePtr from = std::exchange(written_[side], nullptr);
  WriteCount count;

  if (!from) {
    if (auto erased = erase(side); !erased) return std::move(erased.error());
    pages_used_[side] = 0;
  }
  write_tenants(side, from.get(), *image, count);
  if (auto done = write_endpoints(side, from.get(), *image, count); !done)
    return std::move(done.error());
  if (auto done = write_port_pages(side, from.get(), *image, count); !done)
    return std::move(done.error());
  if (auto done = write_pairs(side, from.get(), *image, count); !done)
    return std::move(done.error());
  written_[side] = std::move(image);
  return count;
}

void Sides::write_tenants(uint32_t side, const Image* from, const Image& image,
                          WriteCount& count) {
  auto row = [&](uint16_t number) -> abi::tenant_policy& {
    return tenants_[size_t{side} * max_tenants_ + number];
  };
  auto done = difference(
      from ? from->tenants : no_image().tenants, image.tenants,
      [&](const auto& entry) -> Result<void> {
        row(entry.first) = entry.second;
        count.tenants++;
        return {};
      },
      [&](const auto& entry) -> Result<void> {
        row(entry.first) = {};
        count.tenants++;
        return {};
      });
  static_cast<void>(done);  // memory: cannot fail
}

Result<void> Sides::write_endpoints(uint32_t side, const Image* from, const Image& image,
                                    WriteCount& count) {
  EndpointTrie& trie = tries_[side];

  if (!from)
    if (auto painted = trie.rebuild(image.endpoints); !painted) return painted;
  return difference(
      from ? from->endpoints : no_image().endpoints, image.endpoints,
      [&](const auto& entry) -> Result<void> {
        count.endpoints++;
        if (entry.first.address.family == Family::kIpv6)
          return endpoints6_.put(key_of(side, entry.first), entry.second);
        return from ? trie.repaint(entry.first, image.endpoints) : Result<void>{};
      },
      [&](const auto& entry) -> Result<void> {
        count.endpoints++;
        if (entry.first.address.family == Family::kIpv6)
          return endpoints6_.remove(key_of(side, entry.first));
        return trie.repaint(entry.first, image.endpoints);
      });
}

Result<void> Sides::write_pairs(uint32_t side, const Image* from, const Image& image,
                                WriteCount& count) {
  if (from && is_same(from->pairs, image.pairs)) return {};

  // Only while it is written: what is mapped counts as the agent's memory. Not by its pin,
  // which may be gone.
  auto slots = MappedArray<abi::pair_slot>::map(
      Fd(fcntl(pair_slots_.get(), F_DUPFD_CLOEXEC, 0)), "pair_slots");

  if (!slots) return std::move(slots.error());

  PairTable pairs(slots->rows(), pairs_, side);

  if (!from)
    if (auto cleared = pairs.clear(); !cleared) return cleared;
  return difference(
      from ? from->pairs : no_image().pairs, image.pairs,
      [&](const auto& entry) -> Result<void> {
        count.pairs++;
        return pairs.put(tenant_of(entry.first), peer_of(entry.first), entry.second);
      },
      [&](const auto& entry) -> Result<void> {
        count.pairs++;
        return pairs.remove(tenant_of(entry.first), peer_of(entry.first));
      });
}

Result<void> Sides::write_port_pages(uint32_t side, const Image* from, const Image& image,
                                     WriteCount& count) {
  auto each_page = [&](const PortSet& ports, uint32_t number, auto act) -> Result<void> {
    for (auto [protocol, ranges] :
         {std::pair{IPPROTO_TCP, &ports.tcp}, {IPPROTO_UDP, &ports.udp}})
      for (auto [page, bits] : pages_of(*ranges)) {
        abi::port_page_key key{.set = number | side << PAIR_SIDE_SHIFT,
                               .protocol = static_cast<uint16_t>(protocol),
                               .page = page};

        count.port_pages++;
        if (auto done = act(key, bits); !done) return done;
      }
    return {};
  };
  const auto& old = from ? from->numbers.port_sets : no_image().numbers.port_sets;
  auto same = [](const auto& sets, const PortSet& ports, uint32_t number) {
    auto found = sets.find(ports);

    return found != sets.end() && found->second == number;
  };

  // A number may have passed to another set: first out, then in.
  for (const auto& [ports, number] : old) {
    if (same(image.numbers.port_sets, ports, number)) continue;
    auto done = each_page(ports, number, [&](const abi::port_page_key& key, uint64_t) {
      pages_used_[side]--;
      return port_pages_.remove(key);
    });

    if (!done) return done;
  }
  for (const auto& [ports, number] : image.numbers.port_sets) {
    if (same(old, ports, number)) continue;
    auto done = each_page(ports, number, [&](const abi::port_page_key& key, uint64_t bits) {
      pages_used_[side]++;
      return port_pages_.put(key, bits);
    });

    if (!done) return done;
  }
  return {};
}

size_t Sides::endpoint_blocks() const {
  return std::max(tries_[0].blocks_used(), tries_[1].blocks_used());
}

size_t Sides::pairs() const {
  size_t total = 0;

  for (const ImagePtr& image : written_) total += image ? image->pairs.size() : 0;
  return total;
}

size_t Sides::port_pages() const { return pages_used_[0] + pages_used_[1]; }

size_t Sides::endpoints6() const {
  size_t total = 0;

  for (const ImagePtr& image : written_)
    if (image)
      total += static_cast<size_t>(image->endpoints.end() - image->endpoints.lower_bound(Prefix{
                                                                {Family::kIpv6, {}}, 0}));
  return total;
}

}  // namespace partywall::kernel

// agent/kernel/sides.h: writes an Image into the half of the policy maps that is not in force.
#ifndef PARTYWALL_AGENT_KERNEL_SIDES_H
#define PARTYWALL_AGENT_KERNEL_SIDES_H

#include <array>
#include <memory>
#include <string_view>

#include "agent/kernel/endpoint_trie.h"
#include "agent/kernel/pair_table.h"
#include "agent/policy/image.h"
#include "maps/abi/control.h"
#include "maps/partial_array.h"
#include "maps/typed_map.h"

namespace partywall::kernel {

using ImagePtr = std::shared_ptr<const policy::Image>;

// How many entries a write touched.
struct WriteCount {
  size_t tenants = 0;
  size_t endpoints = 0;
  size_t pairs = 0;
  size_t port_pages = 0;
  size_t total() const { return tenants + endpoints + pairs + port_pages; }
};

// The two sides of tenants, endpoints, endpoints6, pair_slots, pairs and port_pages. Knows what
// it wrote to each side, so that a new image costs its difference to the image before last.
class Sides {
 public:
  static Result<Sides> open(std::string_view pin_root);

  // Makes `side`, which must not be in force, hold `image`. When it fails the side is garbage
  // and will be written from scratch next time; the side in force is untouched.
  Result<WriteCount> write(uint32_t side, ImagePtr image);

  // Whether what `side` holds is not known: it was written by an agent before this one.
  bool unknown(uint32_t side) const { return !written_[side]; }

  // entries in use, of the shared maps: for pressure metrics.
  size_t endpoint_blocks() const;
  size_t pairs() const;
  size_t port_pages() const;
  size_t endpoints6() const;

 private:
  Result<void> erase(uint32_t side);
  Result<void> write_endpoints(uint32_t side, const policy::Image* from,
                               const policy::Image& image, WriteCount& count);
  Result<void> write_pairs(uint32_t side, const policy::Image* from, const policy::Image& image,
                           WriteCount& count);
  Result<void> write_port_pages(uint32_t side, const policy::Image* from,
                                const policy::Image& image, WriteCount& count);
  void write_tenants(uint32_t side, const policy::Image* from, const policy::Image& image,
                     WriteCount& count);

  uint32_t max_tenants_ = 0;
  MappedArray<abi::tenant_policy> tenants_;
  MappedArray<abi::tenant_name> names_;
  std::array<EndpointTrie, PARTYWALL_SIDES> tries_;
  TypedMap<abi::endpoint6_key, uint32_t> endpoints6_;
  Fd pair_slots_;
  PairMap pairs_;
  TypedMap<abi::port_page_key, uint64_t> port_pages_;
  std::array<ImagePtr, PARTYWALL_SIDES> written_;
  std::array<size_t, PARTYWALL_SIDES> pages_used_{};
};

}  // namespace partywall::kernel

#endif

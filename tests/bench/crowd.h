// tests/bench/crowd.h: policy text of many tenants with many addresses. Pure.
#ifndef PARTYWALL_TESTS_BENCH_CROWD_H
#define PARTYWALL_TESTS_BENCH_CROWD_H

#include <cstddef>
#include <string>
#include <vector>

namespace partywall::bench {

// Tenants t0, t1, ... own addresses in turn, as pods land on nodes: address i belongs to tenant
// i % tenants, in both families. All are in cgroups of their names.
struct Crowd {
  size_t tenants;
  size_t addresses;

  // i-th address: 10.0.0.0 + i or fd00:: + i.
  static std::string address4(size_t i);
  static std::string address6(size_t i);
  // The policy, in files of at most 500 tenants.
  std::vector<std::string> policy() const;
};

// The first tenants of every crowd, which the benchmark plays itself. They may open TCP port
// 5432 of the tenants kFirstPeer .. kFirstPeer + peers() - 1, and nobody else's.
inline constexpr size_t kLimited = 0;    // limits that are never reached
inline constexpr size_t kUnlimited = 1;  // no limits
inline constexpr size_t kOver = 2;       // limits that are always exceeded
inline constexpr size_t kFirstPeer = 3;
inline constexpr size_t kMostPeers = 1000;

inline size_t peers(const Crowd& crowd) {
  size_t others = crowd.tenants - kFirstPeer - 1;  // the last one is nobody's peer

  return others < kMostPeers ? others : kMostPeers;
}

}  // namespace partywall::bench

#endif

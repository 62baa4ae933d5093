// agent/policy/quantity.h: rates, sizes and counts as people write them. Pure.
#ifndef PARTYWALL_AGENT_POLICY_QUANTITY_H
#define PARTYWALL_AGENT_POLICY_QUANTITY_H

#include <cstdint>
#include <string_view>

#include "maps/result.h"

namespace partywall::policy {

inline constexpr uint64_t kLeastBytesPerSecond = 1000;           // 8 Kbit
inline constexpr uint64_t kMostBytesPerSecond = 50'000'000'000;  // 400 Gbit
inline constexpr uint64_t kMostPacketsPerSecond = 1'000'000'000;
inline constexpr uint64_t kLeastBurstBytes = 1514;  // one packet of an ordinary network
inline constexpr uint64_t kLeastFlows = 16;
inline constexpr uint64_t kMostBurstSeconds = 60;  // that a burst may take to be earned back

// Bytes a second. Takes 10Mbit, 1.5Gbit (bits, decimal), 200k, 16Mi (bytes, as Kubernetes
// writes them), each also with "/s". Fractions of a byte are dropped. Fails outside
// 8Kbit..400Gbit.
Result<uint64_t> parse_byte_rate(std::string_view text);

// Packets a second: 50000, 200k, 1.5M. Fails outside 1..1G.
Result<uint64_t> parse_packet_rate(std::string_view text);

// Bytes: 64000, 200M, 256Ki. Fails when it is less than a packet, or takes longer than
// kMostBurstSeconds to earn back at `per_second`.
Result<uint64_t> parse_burst(std::string_view text, uint64_t per_second);

// Flows: 4096, 50k. Fails outside 16..1048576.
Result<uint64_t> parse_flows(std::string_view text);

// What a tenant may run ahead when nothing else is written: 20 ms of its rate, at least what
// the kernel sends at once (64 KiB, as far as 90 ms earn them back) and 16 KiB; or 32 packets.
uint64_t default_burst_bytes(uint64_t bytes_per_second);
uint64_t default_burst_packets(uint64_t packets_per_second);

}  // namespace partywall::policy

#endif

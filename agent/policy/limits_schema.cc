// agent/policy/limits_schema.cc: ceilings, bursts and packet rates, from fields to numbers.
// Pure.
#include "agent/policy/limits_schema.h"

#include "agent/policy/quantity.h"

namespace partywall::policy {
namespace {

constexpr std::string_view kFlows = "a number of flows like 4096 or 50k";
constexpr std::string_view kRates = "a rate like 10Mbit, 1.5Gbit or 200k (bytes a second)";

const FieldNames& limits_fields() {
  static const FieldNames names{{"egress", "ingress", "packetsPerSecond", "connections"},
                                {"weight", "syscalls", "resources"},
                                {}};
  return names;
}

const FieldNames& connections_fields() {
  static const FieldNames names{{"concurrent"}, {"newPerSecond"}, {}};

  return names;
}

const FieldNames& direction_fields() {
  static const FieldNames names{{"ceiling", "burst"}, {"guaranteed"}, {}};

  return names;
}

// The number that `parse` makes of a scalar.
template <typename Parse>
std::optional<uint64_t> read_number(Notes& notes, const YamlNode& node, const std::string& path,
                                    std::string_view what_to_write, Parse parse) {
  auto text = read_text(notes, node, path, what_to_write);

  if (!text) return std::nullopt;

  Result<uint64_t> number = parse(*text);

  if (number) return *number;
  notes.add(node, path, number.error().message());
  return std::nullopt;
}

std::optional<RateLimit> read_direction(Notes& notes, const YamlNode& node,
                                        const std::string& path) {
  Fields fields(notes, node, path, direction_fields());
  const YamlNode* ceiling = fields.require("ceiling", kRates);

  if (!ceiling) return std::nullopt;

  auto rate = read_number(notes, *ceiling, fields.path("ceiling"), kRates, parse_byte_rate);

  if (!rate) return std::nullopt;

  RateLimit limit{notes.position(*ceiling), *rate, default_burst_bytes(*rate)};

  if (const YamlNode* burst = fields.find("burst")) {
    auto bytes =
        read_number(notes, *burst, fields.path("burst"), "a size like 64000 or 256Ki (bytes)",
                    [&](std::string_view text) { return parse_burst(text, *rate); });

    if (bytes) limit.burst = *bytes;
  }
  return limit;
}

}  // namespace

Limits read_limits(Notes& notes, const YamlNode& node, const std::string& path) {
  Fields fields(notes, node, path, limits_fields());
  Limits limits;

  for (auto [name, direction] : {std::pair{"egress", abi::DIRECTION_EGRESS},
                                 std::pair{"ingress", abi::DIRECTION_INGRESS}})
    if (const YamlNode* field = fields.find(name))
      limits.bytes[direction] = read_direction(notes, *field, fields.path(name));

  if (const YamlNode* field = fields.find("packetsPerSecond")) {
    auto rate = read_number(notes, *field, fields.path("packetsPerSecond"),
                            "a packet rate like 50000, 200k or 1.5M", parse_packet_rate);

    if (rate)
      for (auto& direction : limits.packets)
        direction = RateLimit{notes.position(*field), *rate, default_burst_packets(*rate)};
  }
  if (const YamlNode* field = fields.find("connections")) {
    Fields connections(notes, *field, fields.path("connections"), connections_fields());

    if (const YamlNode* most = connections.require("concurrent", kFlows))
      if (auto flows =
              read_number(notes, *most, connections.path("concurrent"), kFlows, parse_flows))
        limits.flows = static_cast<uint32_t>(*flows);
  }
  return limits;
}

}  // namespace partywall::policy

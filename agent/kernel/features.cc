// agent/kernel/features.cc: probes by loading the real objects; version numbers prove nothing.
#include "agent/kernel/features.h"

#include "agent/kernel/objects.h"

namespace partywall::kernel {

std::vector<Feature> probe() {
  std::vector<Feature> features;

  capture_libbpf_log();
  for (const ObjectSpec& spec : object_specs()) {
    auto object = load_object(spec, "", Sizes{.max_tenants = 2, .cpus = 1});

    features.push_back(
        {.name = std::string(spec.name),
         .needed = spec.needed,
         .supported = object.has_value(),
         .detail = object ? std::string(spec.purpose) : object.error().message()});
  }
  return features;
}

}  // namespace partywall::kernel

// agent/kernel/objects.h: the BPF objects, loaded onto the pinned maps.
#ifndef PARTYWALL_AGENT_KERNEL_OBJECTS_H
#define PARTYWALL_AGENT_KERNEL_OBJECTS_H

#include <bpf/libbpf.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "maps/result.h"

namespace partywall::kernel {

// What one object is for; the order is the order of loading.
struct ObjectSpec {
  std::string_view name;  // bpf/<name>.bpf.c
  bool needed;            // without it there is no enforcement
  std::string_view purpose;
  bpf_object* (*open)(const char* name);  // nullptr and errno on failure
};
const std::vector<ObjectSpec>& object_specs();

struct CloseObject {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};
using Object = std::unique_ptr<bpf_object, CloseObject>;

// Sizes shared by every object.
struct Sizes {
  uint32_t max_tenants = 1024;
  uint32_t cpus = 1;
};

// Opens and loads one object. Maps that are pinned below `pin_root` are adopted, the others are
// made and pinned there; an empty `pin_root` pins nothing (a probe).
// Fails with the kernel's words, and when a pinned map has another shape than this version's.
Result<Object> load_object(const ObjectSpec& spec, std::string_view pin_root,
                           const Sizes& sizes);

// Pins the object's maps again whose pins are gone. Returns their names.
Result<std::vector<std::string>> pin_maps_again(bpf_object* object, std::string_view pin_root);

// Collects what libbpf says at warning level, in place of printing it.
void capture_libbpf_log();
std::string last_libbpf_warning();

}  // namespace partywall::kernel

#endif

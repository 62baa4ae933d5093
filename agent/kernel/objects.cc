// agent/kernel/objects.cc: opens, sizes and loads the BPF objects. Attaches nothing.
#include "agent/kernel/objects.h"

#include <bpf/bpf.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>

#include "bpf/edge.skel.h"
#include "bpf/pacing.skel.h"
#include "bpf/packets.skel.h"
#include "bpf/sockets.skel.h"
#include "bpf/syscalls.skel.h"
#include "bpf/tenancy.skel.h"
#include "maps/abi/counters.h"
#include "maps/pins.h"

namespace partywall::kernel {
namespace {

// The skeleton headers are used as what they embed: the object files.
template <const void* (*elf_bytes)(size_t*)>
bpf_object* open_object(const char* name) {
  size_t size = 0;
  const void* bytes = elf_bytes(&size);
  LIBBPF_OPTS(bpf_object_open_opts, options);

  options.object_name = name;
  return bpf_object__open_mem(bytes, size, &options);
}

// The first warning since it was cleared: later ones say only what follows from it.
std::string& warning() {
  static std::string text;
  return text;
}

// The end of a verifier's log: its complaint stands before the line that counts instructions.
std::string complaint(std::string_view text) {
  size_t end = text.rfind("\nprocessed ");

  if (end != std::string_view::npos) text = text.substr(0, end);

  size_t start = text.rfind('\n');

  return std::string(start == std::string_view::npos ? text : text.substr(start + 1));
}

int on_log(libbpf_print_level level, const char* format, va_list arguments) {
  if (level != LIBBPF_WARN) return 0;

  va_list again;

  va_copy(again, arguments);

  int length = vsnprintf(nullptr, 0, format, arguments);
  std::string text(static_cast<size_t>(std::max(length, 0)), '\0');

  vsnprintf(text.data(), text.size() + 1, format, again);
  va_end(again);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (text.find("BEGIN PROG LOAD LOG") != std::string::npos)
    warning() += "; the verifier: " + complaint(text);
  else if (warning().empty())
    warning() = text;
  return 0;
}

std::string kernel_release() {
  utsname name{};

  uname(&name);
  return name.release;
}

uint32_t rows_of(std::string_view map, const Sizes& sizes) {
  if (map == "tenants") return sizes.max_tenants * 2;
  if (map == "counters") return sizes.max_tenants * (sizes.cpus + 1);
  if (map == "syscall_slots") return SYSCALL_SLOTS * sizes.cpus;
  if (map == "tenant_names" || map == "meters" || map == "flow_tables")
    return sizes.max_tenants;
  return 0;
}

// Takes over the pinned map of that name, if there is one. Returns whether there is.
Result<bool> adopt(bpf_map* map, std::string_view pin_root) {
  auto pinned = open_map(pin_root, bpf_map__name(map), Access::kReadWrite);

  if (!pinned) {
    if (pinned.error().errno_value() == ENOENT) return false;
    return std::move(pinned.error());
  }
  bpf_map_info info{};
  __u32 size = sizeof(info);

  if (bpf_obj_get_info_by_fd(pinned->get(), &info, &size))
    return fail_errno(errno, "ask about pinned map {}", bpf_map__name(map));
  if (info.type != bpf_map__type(map) || info.key_size != bpf_map__key_size(map) ||
      info.value_size != bpf_map__value_size(map) ||
      info.max_entries != bpf_map__max_entries(map))
    return fail(
        "pinned map {} has {} rows of {} bytes, this agent makes {} of {}: it was made by "
        "another "
        "version or with another --max-tenants; run that one, or partywall uninstall first",
        bpf_map__name(map), info.max_entries, info.value_size, bpf_map__max_entries(map),
        bpf_map__value_size(map));
  if (int error = bpf_map__reuse_fd(map, pinned->get()))
    return fail_errno(error, "adopt pinned map {}", bpf_map__name(map));
  return true;
}

}  // namespace

const std::vector<ObjectSpec>& object_specs() {
  static const std::vector<ObjectSpec> specs = {
      {"tenancy", true, "children of a tenant's cgroup inherit it",
       open_object<tenancy_bpf__elf_bytes>},
      {"packets", true, "verdicts, limits and counters for every packet",
       open_object<packets_bpf__elf_bytes>},
      {"sockets", true, "connect, sendmsg and bind are answered at once",
       open_object<sockets_bpf__elf_bytes>},
      {"edge", false, "workloads' interfaces are judged, whatever sends there",
       open_object<edge_bpf__elf_bytes>},
      {"pacing", false, "TCP is slowed down before its rate refuses packets",
       open_object<pacing_bpf__elf_bytes>},
      {"syscalls", false, "system calls are counted", open_object<syscalls_bpf__elf_bytes>},
  };
  return specs;
}

void capture_libbpf_log() { libbpf_set_print(on_log); }
std::string last_libbpf_warning() { return warning(); }

Result<Object> load_object(const ObjectSpec& spec, std::string_view pin_root,
                           const Sizes& sizes) {
  warning().clear();

  Object object(spec.open(spec.name.data()));

  if (!object) return fail_errno(errno, "open BPF object {}", spec.name);

  std::vector<bpf_map*> made;
  bpf_map* map = nullptr;

  bpf_object__for_each_map(map, object.get()) {
    if (bpf_map__is_internal(map)) continue;
    if (uint32_t rows = rows_of(bpf_map__name(map), sizes)) bpf_map__set_max_entries(map, rows);
    if (pin_root.empty()) continue;

    auto adopted = adopt(map, pin_root);

    if (!adopted) return std::move(adopted.error());
    if (!*adopted) made.push_back(map);
  }
  if (int error = bpf_object__load(object.get()))
    return fail_errno(
        error, "load BPF object {} into kernel {}; Partywall is made for 6.1 and newer{}{}",
        spec.name, kernel_release(), warning().empty() ? "" : ": ", warning());
  for (bpf_map* fresh : made) {
    std::string pin = map_pin(pin_root, bpf_map__name(fresh));

    if (int error = bpf_map__pin(fresh, pin.c_str()))
      return fail_errno(error, "pin map {}", pin);
  }
  return object;
}

Result<std::vector<std::string>> pin_maps_again(bpf_object* object, std::string_view pin_root) {
  std::vector<std::string> pinned;
  bpf_map* map = nullptr;

  bpf_object__for_each_map(map, object) {
    std::string pin = map_pin(pin_root, bpf_map__name(map));

    if (bpf_map__is_internal(map) || access(pin.c_str(), F_OK) == 0) continue;
    if (bpf_obj_pin(bpf_map__fd(map), pin.c_str())) return fail_errno(errno, "pin map {}", pin);
    pinned.emplace_back(bpf_map__name(map));
  }
  return pinned;
}

}  // namespace partywall::kernel

// maps/pins.cc: opens what is pinned in bpffs. Never creates or removes a pin.
#include "maps/pins.h"

#include <bpf/bpf.h>

#include <cerrno>

namespace partywall {

std::string map_pin(std::string_view root, std::string_view map) {
  return fmt::format("{}/maps/{}", root, map);
}

std::string link_pin(std::string_view root, std::string_view link) {
  return fmt::format("{}/links/{}", root, link);
}

std::string program_pin(std::string_view root, std::string_view program) {
  return fmt::format("{}/programs/{}", root, program);
}

Result<Fd> open_map(std::string_view root, std::string_view map, Access access) {
  std::string path = map_pin(root, map);
  LIBBPF_OPTS(bpf_obj_get_opts, options);
  options.file_flags = access == Access::kRead ? BPF_F_RDONLY : 0;
  int fd = bpf_obj_get_opts(path.c_str(), &options);

  if (fd < 0) return fail_errno(errno, "open pinned map {}", path);
  return Fd(fd);
}

}  // namespace partywall

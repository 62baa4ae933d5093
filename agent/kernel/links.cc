// agent/kernel/links.cc: makes, updates and pins BPF links.
#include "agent/kernel/links.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <optional>

#include "maps/pins.h"

namespace partywall::kernel {
namespace {

std::optional<bpf_link_info> info_of(int link_fd) {
  bpf_link_info info{};
  __u32 size = sizeof(info);

  if (bpf_obj_get_info_by_fd(link_fd, &info, &size)) return std::nullopt;
  return info;
}

// The pinned link, if it is alive on that cgroup.
std::optional<Fd> living_link(const std::string& pin, uint64_t cgroup_id) {
  Fd fd(bpf_obj_get(pin.c_str()));

  if (!fd) return std::nullopt;

  auto info = info_of(fd.get());

  if (!info || info->type != BPF_LINK_TYPE_CGROUP || info->cgroup.cgroup_id != cgroup_id)
    return std::nullopt;
  return fd;
}

// Pins under the final name in one step, whatever was pinned there before.
Result<void> pin_over(int link_fd, const std::string& pin) {
  std::string fresh = pin + "_new";  // bpffs takes no dots

  unlink(fresh.c_str());
  if (bpf_obj_pin(link_fd, fresh.c_str())) return fail_errno(errno, "pin link {}", fresh);
  if (rename(fresh.c_str(), pin.c_str())) {
    int error = errno;

    unlink(fresh.c_str());
    return fail_errno(error, "pin link {}", pin);
  }
  return {};
}

// Who may be in the way: the first program on the cgroup that is not ours to share with.
std::string squatter(int cgroup_fd, bpf_attach_type type) {
  __u32 flags = 0;
  __u32 ids[64] = {};
  __u32 count = 64;

  if (bpf_prog_query(cgroup_fd, type, BPF_F_QUERY_EFFECTIVE, &flags, ids, &count) || count == 0)
    return "";
  return fmt::format(
      "; program {} is attached there without BPF_F_ALLOW_MULTI: see bpftool prog show id {}",
      ids[0], ids[0]);
}

}  // namespace

Result<Link> attach_to_cgroup(const bpf_program* program, int cgroup_fd, uint64_t cgroup_id,
                              std::string_view pin_root) {
  std::string name = bpf_program__name(program);
  std::string pin = link_pin(pin_root, name);

  if (auto living = living_link(pin, cgroup_id)) {
    if (bpf_link_update(living->get(), bpf_program__fd(program), nullptr))
      return fail_errno(errno, "replace program {}", name);
    return Link{name, std::move(*living)};
  }
  bpf_attach_type type = bpf_program__expected_attach_type(program);
  Fd fd(bpf_link_create(bpf_program__fd(program), cgroup_fd, type, nullptr));

  if (!fd) {
    int error = errno;

    return fail_errno(error, "attach {} to the managed root{}", name,
                      error == EPERM ? squatter(cgroup_fd, type) : "");
  }
  if (auto pinned = pin_over(fd.get(), pin); !pinned) return std::move(pinned.error());
  return Link{name, std::move(fd)};
}

Result<Link> attach_tracing(const bpf_program* program, std::string_view pin_root) {
  std::string name = bpf_program__name(program);
  Fd fd(bpf_raw_tracepoint_open(nullptr, bpf_program__fd(program)));

  if (!fd) return fail_errno(errno, "attach {}", name);
  if (auto pinned = pin_over(fd.get(), link_pin(pin_root, name)); !pinned)
    return std::move(pinned.error());
  return Link{name, std::move(fd)};
}

bool is_alive(const Link& link, uint32_t program_id, uint64_t cgroup_id) {
  auto info = info_of(link.fd.get());

  return info && info->prog_id == program_id &&
         (cgroup_id == 0 || info->cgroup.cgroup_id == cgroup_id);
}

Result<bool> pin_again(const Link& link, std::string_view pin_root) {
  std::string pin = link_pin(pin_root, link.name);
  Fd pinned(bpf_obj_get(pin.c_str()));
  auto held = info_of(link.fd.get());
  auto found = pinned ? info_of(pinned.get()) : std::nullopt;

  if (held && found && held->id == found->id) return false;
  if (auto done = pin_over(link.fd.get(), pin); !done) return std::move(done.error());
  return true;
}

Result<void> detach(std::string_view name, std::string_view pin_root) {
  std::string pin = link_pin(pin_root, name);
  Fd fd(bpf_obj_get(pin.c_str()));

  if (fd)
    bpf_link_detach(fd.get());  // tracing links cannot; they end with their last reference
  if (unlink(pin.c_str()) && errno != ENOENT) return fail_errno(errno, "remove {}", pin);
  return {};
}

}  // namespace partywall::kernel

// agent/kernel/tc_hooks.cc: TCX links by bpf(2), clsact filters by libbpf's netlink.
#include "agent/kernel/tc_hooks.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "agent/kernel/links.h"
#include "maps/pins.h"

namespace partywall::kernel {
namespace {

// Newer than the headers that this is built with.
constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46);
constexpr auto kTcxEgress = static_cast<bpf_attach_type>(47);
constexpr uint32_t kTcxLink = 11;      // BPF_LINK_TYPE_TCX
constexpr uint32_t kBefore = 1U << 3;  // BPF_F_BEFORE

// Of our filters on clsact, whatever else is there.
constexpr uint32_t kHandle = 0x5057;
constexpr uint32_t kPriorityFirst = 1;
constexpr uint32_t kPriorityLast = 49152;

bpf_tc_hook clsact_of(uint32_t ifindex, TcHook hook) {
  bpf_tc_hook where{};

  where.sz = sizeof(where);
  where.ifindex = static_cast<int>(ifindex);
  where.attach_point = hook == TcHook::kIngress ? BPF_TC_INGRESS : BPF_TC_EGRESS;
  return where;
}

bpf_tc_opts filter_of(TcOrder order) {
  bpf_tc_opts options{};

  options.sz = sizeof(options);
  options.handle = kHandle;
  options.priority = order == TcOrder::kFirst ? kPriorityFirst : kPriorityLast;
  return options;
}

Result<TcAttachment> attach_clsact(const bpf_program* program, uint32_t ifindex, TcHook hook,
                                   TcOrder order) {
  bpf_tc_hook where = clsact_of(ifindex, hook);
  bpf_tc_opts options = filter_of(order);

  if (int error = bpf_tc_hook_create(&where); error && error != -EEXIST)
    return fail_errno(-error, "make clsact on interface {}", ifindex);
  options.prog_fd = bpf_program__fd(program);
  options.flags = BPF_TC_F_REPLACE;
  if (int error = bpf_tc_attach(&where, &options))
    return fail_errno(-error, "attach {} to interface {}", bpf_program__name(program), ifindex);
  return TcAttachment{};
}

// The interface of a link; 0 when that is gone. bpf_link_info.tcx is laid out like .xdp.
std::optional<bpf_link_info> info_of(int fd) {
  bpf_link_info info{};
  __u32 size = sizeof(info);

  if (bpf_obj_get_info_by_fd(fd, &info, &size)) return std::nullopt;
  return info;
}

bool is_on(const std::optional<bpf_link_info>& info, uint32_t ifindex) {
  return info && info->type == kTcxLink && info->xdp.ifindex == ifindex;
}

}  // namespace

std::string tc_link_name(std::string_view program, uint32_t ifindex) {
  return fmt::format("{}_{}", program, ifindex);
}

Result<TcAttachment> attach_to_interface(const bpf_program* program, uint32_t ifindex,
                                         TcHook hook, TcOrder order,
                                         std::string_view pin_root) {
  std::string name = tc_link_name(bpf_program__name(program), ifindex);
  Fd held(bpf_obj_get(link_pin(pin_root, name).c_str()));

  if (held && is_on(info_of(held.get()), ifindex)) {
    if (bpf_link_update(held.get(), bpf_program__fd(program), nullptr))
      return fail_errno(errno, "replace {}", name);
    return TcAttachment{std::move(held)};
  }
  LIBBPF_OPTS(bpf_link_create_opts, options);
  options.flags = order == TcOrder::kFirst ? kBefore : 0;

  Fd link(bpf_link_create(bpf_program__fd(program), static_cast<int>(ifindex),
                          hook == TcHook::kIngress ? kTcxIngress : kTcxEgress, &options));

  if (!link && errno == EINVAL) return attach_clsact(program, ifindex, hook, order);
  if (!link) return fail_errno(errno, "attach {} to interface {}", name, ifindex);
  if (auto pinned = pin_again(Link{name, Fd(dup(link.get()))}, pin_root); !pinned)
    return std::move(pinned.error());
  return TcAttachment{std::move(link)};
}

bool is_pinned_to(std::string_view program, uint32_t ifindex, TcHook hook, TcOrder order,
                  std::string_view pin_root) {
  Fd held(bpf_obj_get(link_pin(pin_root, tc_link_name(program, ifindex)).c_str()));

  if (held) return is_on(info_of(held.get()), ifindex);

  bpf_tc_hook where = clsact_of(ifindex, hook);
  bpf_tc_opts options = filter_of(order);

  return bpf_tc_query(&where, &options) == 0;
}

bool is_attached(const TcAttachment& attachment, uint32_t ifindex, TcHook hook, TcOrder order,
                 uint32_t program_id) {
  if (attachment.link) {
    auto info = info_of(attachment.link.get());

    return is_on(info, ifindex) && info->prog_id == program_id;
  }
  bpf_tc_hook where = clsact_of(ifindex, hook);
  bpf_tc_opts options = filter_of(order);

  return bpf_tc_query(&where, &options) == 0 && options.prog_id == program_id;
}

void detach_from_interface(std::string_view program, uint32_t ifindex, TcHook hook,
                           TcOrder order, std::string_view pin_root) {
  std::string pin = link_pin(pin_root, tc_link_name(program, ifindex));
  Fd link(bpf_obj_get(pin.c_str()));

  if (link) {
    bpf_link_detach(link.get());
    unlink(pin.c_str());
    return;
  }
  bpf_tc_hook where = clsact_of(ifindex, hook);
  bpf_tc_opts options = filter_of(order);

  bpf_tc_detach(&where, &options);
}

size_t remove_filters(uint32_t ifindex) {
  size_t removed = 0;

  for (TcHook hook : {TcHook::kIngress, TcHook::kEgress})
    for (TcOrder order : {TcOrder::kFirst, TcOrder::kLast}) {
      bpf_tc_hook where = clsact_of(ifindex, hook);
      bpf_tc_opts asked = filter_of(order);  // filled in by the answer
      bpf_tc_opts ours = filter_of(order);

      if (bpf_tc_query(&where, &asked) == 0 && bpf_tc_detach(&where, &ours) == 0) removed++;
    }
  return removed;
}

}  // namespace partywall::kernel

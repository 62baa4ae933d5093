// agent/kernel/attachments.cc: asks each pinned link, and the cgroup it claims, whether it is
// alive.
#include "agent/kernel/attachments.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <net/if.h>

#include <array>
#include <cerrno>

#include "agent/kernel/tc_hooks.h"
#include "agent/source/cgroup_tree.h"
#include "maps/abi/control.h"
#include "maps/abi/interfaces.h"
#include "maps/pins.h"
#include "maps/typed_map.h"

namespace partywall::kernel {
namespace {

struct Expected {
  const char* name;
  const char* hook;
  bool cgroup;
  bool optional;
};

constexpr std::array kExpected = {
    Expected{"cgroup_made", "tp_btf/cgroup_mkdir", false, false},
    Expected{"cgroup_gone", "tp_btf/cgroup_release", false, false},
    Expected{"packet_ingress", "cgroup_inet_ingress", true, false},
    Expected{"packet_egress", "cgroup_inet_egress", true, false},
    Expected{"call_connect4", "cgroup_inet4_connect", true, false},
    Expected{"call_connect6", "cgroup_inet6_connect", true, false},
    Expected{"call_sendmsg4", "cgroup_udp4_sendmsg", true, false},
    Expected{"call_sendmsg6", "cgroup_udp6_sendmsg", true, false},
    Expected{"call_bind4", "cgroup_inet4_bind", true, false},
    Expected{"call_bind6", "cgroup_inet6_bind", true, false},
    Expected{"tcp_pace", "cgroup_sock_ops", true, true},
    Expected{"syscall_enter", "tp_btf/sys_enter", false, true},
};

void ask(const Expected& expected, int link_fd, uint64_t root_id, Attachment& answer) {
  bpf_link_info info{};
  __u32 size = sizeof(info);

  if (bpf_obj_get_info_by_fd(link_fd, &info, &size)) {
    answer.detail = fail_errno(errno, "ask the link").message();
    return;
  }
  answer.program_id = info.prog_id;
  if (!expected.cgroup) {
    answer.attached = info.prog_id != 0;
    if (!answer.attached) answer.detail = "the link has no program";
    return;
  }
  answer.cgroup_id = info.cgroup.cgroup_id;
  if (answer.cgroup_id == 0)
    answer.detail = "the pin is there, but its link was detached";
  else if (answer.cgroup_id != root_id)
    answer.detail =
        fmt::format("attached to cgroup {}, the managed root is {}", answer.cgroup_id, root_id);
  else
    answer.attached = true;
}

// A program of the edge at all workloads' interfaces: attached when it is at each of them. Of
// an interface that is gone netlink will tell.
Attachment at_interfaces(const MappedArray<const abi::interface>& rows, const char* program,
                         TcHook hook, std::string_view pin_root) {
  size_t count = 0;
  std::vector<uint32_t> missing;

  for (const abi::interface& row : rows.rows()) {
    char name[IF_NAMESIZE];

    if (row.ifindex == 0 || row.flags & INTERFACE_HOST || !if_indextoname(row.ifindex, name))
      continue;
    count++;
    if (!is_pinned_to(program, row.ifindex, hook, TcOrder::kFirst, pin_root) &&
        !is_pinned_to(program, row.ifindex, hook, TcOrder::kLast, pin_root))
      missing.push_back(row.ifindex);
  }

  Attachment answer{.name = program,
                    .hook = fmt::format("tc {} of {} interface{}",
                                        hook == TcHook::kIngress ? "ingress" : "egress", count,
                                        count == 1 ? "" : "s")};

  answer.attached = missing.empty();
  if (!missing.empty())
    answer.detail = fmt::format("not at interface {}", fmt::join(missing, ", "));
  return answer;
}

}  // namespace

Result<std::vector<Attachment>> attachments(std::string_view pin_root) {
  auto control = MappedArray<const abi::control>::open(pin_root, "control");

  if (!control) return std::move(control.error()).within("nothing is installed");

  std::vector<Attachment> answers;

  for (const Expected& expected : kExpected) {
    Attachment answer{.name = expected.name, .hook = expected.hook};
    std::string pin = link_pin(pin_root, expected.name);
    LIBBPF_OPTS(bpf_obj_get_opts, options);
    Fd fd(bpf_obj_get_opts(pin.c_str(), &options));

    if (!fd) {
      if (expected.optional && errno == ENOENT) continue;
      answer.detail = fail_errno(errno, "open {}", pin).message();
    } else {
      ask(expected, fd.get(), (*control)[0].root_cgroup_id, answer);
    }
    answers.push_back(std::move(answer));
  }
  if (auto rows = MappedArray<const abi::interface>::open(pin_root, "interfaces")) {
    answers.push_back(at_interfaces(*rows, "edge_egress", TcHook::kIngress, pin_root));
    answers.push_back(at_interfaces(*rows, "edge_ingress", TcHook::kEgress, pin_root));
  }
  return answers;
}

}  // namespace partywall::kernel

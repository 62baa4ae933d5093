// tests/bench/empty.h: attaches the empty programs, which everything is measured against.
#ifndef PARTYWALL_TESTS_BENCH_EMPTY_H
#define PARTYWALL_TESTS_BENCH_EMPTY_H

#include <bpf/bpf.h>
#include <fcntl.h>

#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "maps/fd.h"
#include "maps/result.h"
#include "tests/bench/empty.skel.h"

namespace partywall::bench {

struct CloseEmpty {
  void operator()(empty_bpf* programs) const { empty_bpf__destroy(programs); }
};
using EmptyPrograms = std::unique_ptr<empty_bpf, CloseEmpty>;

inline Result<EmptyPrograms> load_empty() {
  EmptyPrograms programs(empty_bpf__open_and_load());

  if (!programs) return fail_errno(errno, "load the empty programs");
  return programs;
}

// Links that end with this object: an empty program at each hook that a connection meets.
using EmptyHooks = std::array<Fd, 3>;

inline Result<EmptyHooks> attach_empty(const empty_bpf& programs, const std::string& cgroup) {
  Fd folder(open(cgroup.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));

  if (!folder) return fail_errno(errno, "open {}", cgroup);

  const std::array<std::pair<bpf_program*, bpf_attach_type>, 3> wanted = {
      {{programs.progs.empty_egress, BPF_CGROUP_INET_EGRESS},
       {programs.progs.empty_ingress, BPF_CGROUP_INET_INGRESS},
       {programs.progs.empty_connect, BPF_CGROUP_INET4_CONNECT}}};
  EmptyHooks hooks;

  for (size_t i = 0; i < wanted.size(); i++) {
    hooks[i] = Fd(bpf_link_create(bpf_program__fd(wanted[i].first), folder.get(),
                                  wanted[i].second, nullptr));
    if (!hooks[i]) return fail_errno(errno, "attach {}", bpf_program__name(wanted[i].first));
  }
  return hooks;
}

}  // namespace partywall::bench

#endif

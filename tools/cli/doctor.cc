// tools/cli/doctor.cc: `partywall doctor`: is everything there, attached, ours, and covering
// all?
#include <linux/magic.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "agent/kernel/attachments.h"
#include "agent/kernel/features.h"
#include "agent/source/cgroup_tree.h"
#include "tools/cli/agent_client.h"
#include "tools/cli/agent_findings.h"
#include "tools/cli/doctor_report.h"
#include "tools/cli/enforced.h"
#include "tools/cli/node_cgroups.h"
#include "tools/cli/policy_reading.h"
#include "tools/cli/verbs.h"

namespace partywall::cli {
namespace {

using Findings = std::vector<Finding>;

void examine_kernel(Findings& findings) {
  utsname name{};

  uname(&name);
  findings.push_back(
      {.check = "kernel", .detail = fmt::format("{} {}", name.release, name.machine)});
  if (access("/sys/kernel/btf/vmlinux", R_OK) == 0)
    findings.push_back({.check = "BTF", .detail = "/sys/kernel/btf/vmlinux"});
  else
    findings.push_back({Health::kFail, "BTF", "/sys/kernel/btf/vmlinux is not there",
                        "use a kernel built with CONFIG_DEBUG_INFO_BTF=y"});
  for (const kernel::Feature& feature : kernel::probe())
    findings.push_back(
        {.health = feature.supported ? Health::kOk
                   : feature.needed  ? Health::kFail
                                     : Health::kWarn,
         .check = "feature " + feature.name,
         .detail = feature.detail,
         .next = feature.needed
                     ? "there is no enforcement without it: Linux 6.1 or newer, as root"
                     : "Partywall runs without it"});
}

void examine_mounts(const Session& session, Findings& findings) {
  if (auto mount = source::cgroup2_mount())
    findings.push_back({.check = "cgroup2", .detail = *mount});
  else
    findings.push_back({Health::kFail, "cgroup2", mount.error().message(),
                        "mount -t cgroup2 none /sys/fs/cgroup"});

  // The pins' folder appears with the agent; its file system must be there before.
  std::filesystem::path folder = session.bpffs;
  std::error_code error;

  while (folder.has_relative_path() && !std::filesystem::exists(folder, error))
    folder = folder.parent_path();

  struct statfs status {};

  if (statfs(folder.c_str(), &status) == 0 &&
      static_cast<unsigned long>(status.f_type) == BPF_FS_MAGIC)
    findings.push_back({.check = "bpffs", .detail = folder.string()});
  else
    findings.push_back({Health::kFail, "bpffs", fmt::format("{} is none", folder.string()),
                        "mount -t bpf bpf /sys/fs/bpf"});
}

void examine_programs(const Session& session, Findings& findings) {
  auto attachments = kernel::attachments(session.bpffs);

  if (!attachments) {
    const Error& error = attachments.error();

    findings.push_back({Health::kFail, "programs",
                        error.errno_value() == ENOENT
                            ? fmt::format("nothing is installed in {}", session.bpffs)
                            : error.message(),
                        "start partywalld (systemctl start partywalld)"});
    return;
  }
  for (const kernel::Attachment& attachment : *attachments)
    findings.push_back(
        {.health = attachment.attached ? Health::kOk : Health::kFail,
         .check = "program " + attachment.name,
         .detail = attachment.attached
                       ? attachment.program_id == 0
                             ? attachment.hook
                             : fmt::format("id {} at {}", attachment.program_id, attachment.hook)
                       : attachment.detail,
         .next = "restart partywalld; it attaches what is missing"});
}

// The counters of what the programs could not do.
void examine_health(const Enforced& enforced, Findings& findings) {
  const abi::health health = enforced.health();
  struct {
    const char* check;
    uint64_t count;
    const char* next;
  } const losses[] = {
      {"cgroups without a slot", health.members_full_total,
       "their traffic is denied: there are more cgroups than the map members_overflow holds"},
      {"cgroup changes lost", health.changes_lost_total,
       "the agent rescans by itself; if it grows, the node makes cgroups faster than it reads"},
      {"UDP replies untracked", health.peers_full_total,
       "replies to such sockets are denied: the kernel had no memory for socket storage"},
      {"system calls uncounted", health.syscalls_lost_total,
       "usage is too low by these; the map syscalls is full"},
  };

  for (const auto& loss : losses)
    findings.push_back({.health = loss.count ? Health::kWarn : Health::kOk,
                        .check = loss.check,
                        .detail = std::to_string(loss.count),
                        .next = loss.next});
}

void examine_coverage(const Enforced& enforced, Findings& findings) {
  auto cgroups = node_cgroups(enforced);

  if (!cgroups) {
    findings.push_back(
        {Health::kFail, "managed root", cgroups.error().message(), "restart partywalld"});
    return;
  }
  findings.push_back(
      {.check = "managed root",
       .detail = fmt::format("{}, {} cgroups", cgroups->front().path, cgroups->size())});

  std::vector<std::string> strays = unclassified(*cgroups);

  if (strays.empty()) {
    findings.push_back({.check = "attribution", .detail = "every process has a tenant"});
    return;
  }
  std::string some = strays.front();

  if (strays.size() > 1) some += fmt::format(" and {} more", strays.size() - 1);
  findings.push_back(
      {Health::kWarn, "attribution",
       fmt::format("{} without a tenant, so denied: {}",
                   strays.size() == 1 ? "1 cgroup" : fmt::format("{} cgroups", strays.size()),
                   some),
       "claim them in a tenant's spec.members[].cgroup, or move them out of the "
       "managed root"});
}

void examine_agent(const Session& session, Findings& findings) {
  std::optional<Json> status;
  auto asked = ask_agent(session.control_socket, {{"verb", "status"}}, std::chrono::seconds(2),
                         [&](const std::string& line) {
                           Json answer = Json::parse(line, nullptr, false);

                           if (answer.is_object()) status = std::move(answer);
                           return false;
                         });

  if (status)
    findings.push_back({.check = "agent", .detail = "answers at " + session.control_socket});
  else
    findings.push_back({Health::kWarn, "agent",
                        asked ? "closed the connection" : asked.error().message(),
                        "what is in force stays in force; to follow changes again: systemctl "
                        "start partywalld"});
  if (!status) return;
  for (const Finding& finding : agent_findings(*status)) findings.push_back(finding);
}

void examine_policy(const Session& session, Findings& findings) {
  auto policy = read_policy_in_force(session);

  if (!policy) {
    findings.push_back({Health::kWarn, "policy in force", policy.error().message(),
                        "explain and show cannot name rules without it"});
  } else if (!policy->problems.empty()) {
    findings.push_back({Health::kWarn, "policy in force",
                        policy::to_string(policy->problems.front()),
                        "the copy in the state folder was changed; restart partywalld"});
  } else {
    findings.push_back(
        {.check = "policy in force",
         .detail = fmt::format("{} tenants, {} tiers", policy->policy.tenants.size(),
                               policy->policy.tiers.size())});
  }
}

void doctor(Format format, Session& session) {
  Findings findings;

  if (geteuid() != 0)
    findings.push_back({Health::kFail, "privileges", "not root",
                        "run it as root, or much of what follows cannot be seen"});
  examine_kernel(findings);
  examine_mounts(session, findings);
  examine_programs(session, findings);
  if (auto enforced = Enforced::open(session.bpffs)) {
    examine_health(*enforced, findings);
    if (auto maps = map_pressure(session.bpffs))
      for (const MapPressure& map : *maps)
        findings.push_back(pressure_finding(map.name, map.used, map.capacity));
    else
      findings.push_back({Health::kFail, "maps", maps.error().message(), "run it as root"});
    examine_coverage(*enforced, findings);
    examine_policy(session, findings);
  }
  examine_agent(session, findings);
  session.exit = exit_of(findings);
  print(is_data(format) ? data_text(report_json(findings), format)
                        : report_text(findings, session.colored()));
}

}  // namespace

void add_doctor(CLI::App& app, Session& session) {
  CLI::App* verb =
      app.add_subcommand("doctor", "Examine kernel, programs, maps, coverage and agent");
  auto format = std::make_shared<Format>(Format::kTable);

  add_format(*verb, *format);
  verb->footer("Exit code: 0 = all is well, 1 = something warns, 2 = something fails.");
  verb->callback([format, &session] { doctor(*format, session); });
}

}  // namespace partywall::cli

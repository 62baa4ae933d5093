// tools/cli/uninstall.cc: `partywall uninstall`: takes everything out of the kernel. The only
// verb that changes anything.
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "agent/kernel/uninstall.h"
#include "agent/source/kubernetes/daemon_set.h"
#include "tools/cli/verbs.h"

namespace partywall::cli {
namespace {

bool confirmed(const Session& session) {
  fmt::print(
      stderr,
      "Tenants will no longer be kept apart, limited or counted; counters in {} are lost.\n"
      "Uninstall? [y/N] ",
      session.bpffs);

  std::string answer;

  std::getline(std::cin, answer);
  return answer == "y" || answer == "yes";
}

// Says whether something is left; changes nothing.
void check(Session& session) {
  std::error_code error;
  bool is_left = std::filesystem::exists(session.bpffs, error);

  if (error)
    return session.broken(
        Error(fmt::format("uninstall: {}: {}", session.bpffs, error.message())));
  print(fmt::format("{}: {}\n", session.bpffs,
                    is_left ? "installed" : "nothing is installed there"));
  if (is_left) session.exit = kExitRefused;
}

// Until a TERM or INT comes. Process 1 of a container would otherwise not hear them.
void stay() {
  sigset_t signals;
  int number = 0;

  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  sigwait(&signals, &number);
}

// Reads the whole of a small file.
Result<std::string> text_of(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;

  text << file.rdbuf();
  if (!file) return Error(fmt::format("read {}: {}", path, strerror(errno)), errno);
  return text.str();
}

struct Nodes {
  std::string daemon_set;  // empty = this node only
  std::string patch_file;
  int timeout_s = 300;
};

// On every node of the cluster, by way of the DaemonSet.
void uninstall_nodes(const Nodes& nodes, Session& session) {
  auto name = kubernetes::parse_daemon_set_name(nodes.daemon_set);
  if (!name) return session.broken(std::move(name.error()).within("uninstall"));
  auto patch = text_of(nodes.patch_file);
  if (!patch) return session.broken(std::move(patch.error()).within("uninstall"));
  auto access = kubernetes::in_cluster_access();
  if (!access) return session.broken(std::move(access.error()).within("uninstall"));
  auto done =
      kubernetes::roll_out(*access, *name, *patch, std::chrono::seconds(nodes.timeout_s));

  if (!done)
    return session.broken(
        std::move(done.error()).within("uninstall: DaemonSet " + nodes.daemon_set));
  print(fmt::format("{}: nothing is installed any more on its {} nodes\n", nodes.daemon_set,
                    *done));
}

void uninstall(bool yes, Session& session) {
  if (!yes && isatty(STDIN_FILENO) && !confirmed(session)) {
    session.note("uninstall: nothing was removed");
    session.exit = kExitRefused;
    return;
  }
  auto removed = kernel::uninstall(session.bpffs);

  if (!removed) return session.broken(std::move(removed.error()).within("uninstall"));

  // The copies of the last good policy are of no use to anyone after this.
  for (const char* name : {"/last-good", "/last-good.new"}) {
    std::string copies = session.state_dir + name;
    std::error_code error;

    if (std::filesystem::remove_all(copies, error) > 0 && !error)
      removed->push_back("folder " + copies);
  }
  if (removed->empty())
    return print(
        fmt::format("{}: nothing is installed there; nothing to remove\n", session.bpffs));
  for (const std::string& line : *removed) print("removed " + line + "\n");
}

}  // namespace

void add_uninstall(CLI::App& app, Session& session) {
  CLI::App* verb =
      app.add_subcommand("uninstall", "Detach and remove everything that Partywall put here");
  auto yes = std::make_shared<bool>(false);
  auto only_check = std::make_shared<bool>(false);
  auto then_stay = std::make_shared<bool>(false);

  verb->add_flag("-y,--yes", *yes, "Do not ask; without a terminal it never asks");
  verb->add_flag("--check", *only_check, "Only say whether anything is left; 1 when it is")
      ->excludes("--yes");
  verb->add_flag("--stay", *then_stay, "Once done, wait for a signal: for a container");

  auto nodes = std::make_shared<Nodes>();
  CLI::Option* patch =
      verb->add_option(
              "--patch", nodes->patch_file,
              "File with the change of the DaemonSet, a JSON merge patch; the chart has one")
          ->type_name("FILE");

  verb->add_option("--daemonset", nodes->daemon_set,
                   "NAMESPACE/NAME: on all its nodes, from a pod of that cluster")
      ->needs(patch);
  verb->add_option("--timeout", nodes->timeout_s, "Seconds for all nodes together")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  verb->callback([yes, only_check, then_stay, nodes, &session] {
    if (!nodes->daemon_set.empty()) return uninstall_nodes(*nodes, session);
    if (*only_check) return check(session);
    uninstall(*yes, session);
    if (*then_stay && session.exit == 0) stay();
  });
}

}  // namespace partywall::cli

// tools/cli/uninstall.cc: `partywall uninstall`: takes everything out of the kernel. The only
// verb that changes anything.
#include <unistd.h>

#include <filesystem>
#include <iostream>

#include "agent/kernel/uninstall.h"
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

void uninstall(bool yes, Session& session) {
  if (!yes && isatty(STDIN_FILENO) && !confirmed(session)) {
    session.note("uninstall: nothing was removed");
    session.exit = kExitRefused;
    return;
  }
  auto removed = kernel::uninstall(session.bpffs);

  if (!removed) return session.broken(std::move(removed.error()).within("uninstall"));

  // The copies of the last good policy are of no use to anyone after this.
  std::string copies = session.state_dir + "/last-good";
  std::error_code error;

  if (std::filesystem::remove_all(copies, error) > 0 && !error)
    removed->push_back("folder " + copies);
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

  verb->add_flag("-y,--yes", *yes, "Do not ask; without a terminal it never asks");
  verb->callback([yes, &session] { uninstall(*yes, session); });
}

}  // namespace partywall::cli

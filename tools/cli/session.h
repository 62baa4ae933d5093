// tools/cli/session.h: what every verb gets: global flags, where to write, the exit code.
#ifndef PARTYWALL_TOOLS_CLI_SESSION_H
#define PARTYWALL_TOOLS_CLI_SESSION_H

#include <CLI/CLI.hpp>
#include <string>

#include "maps/result.h"
#include "tools/cli/output.h"

namespace partywall::cli {

// Exit codes, shared by all verbs.
inline constexpr int kExitOk = 0;
inline constexpr int kExitRefused = 1;  // a policy is bad, a flow is denied, doctor warns
inline constexpr int kExitBroken = 2;   // the question could not be answered

struct Session {
  std::string bpffs = "/sys/fs/bpf/partywall";
  std::string control_socket = "/run/partywall/agent.sock";
  std::string state_dir = "/run/partywall";
  std::string color = "auto";
  int exit = kExitOk;

  // Whether standard output gets colours: --color, NO_COLOR, and whether it is a terminal.
  bool colored() const;
  // Says on stderr why the verb failed: "partywall: attempt: object: reason; what to do".
  void broken(const Error& error);
  // One line on stderr that changes nothing about the exit code.
  void note(const std::string& text) const;
};

// Adds -o to a verb that lists something. `format` outlives the parse.
void add_format(CLI::App& verb, Format& format);

// Writes to standard output; a reader that went away (head) ends the program quietly.
void print(const std::string& text);

}  // namespace partywall::cli

#endif

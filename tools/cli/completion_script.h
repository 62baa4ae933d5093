// tools/cli/completion_script.h: a shell's completion script, out of the command line itself.
// Pure.
#ifndef PARTYWALL_TOOLS_CLI_COMPLETION_SCRIPT_H
#define PARTYWALL_TOOLS_CLI_COMPLETION_SCRIPT_H

#include <CLI/CLI.hpp>
#include <string>

namespace partywall::cli {

enum class Shell { kBash, kZsh, kFish };

// The script that completes verbs, flags, and the values of flags that take one of a set. Files
// are offered where a value is wanted that is not one of a set.
std::string completion_script(const CLI::App& app, Shell shell);

}  // namespace partywall::cli

#endif

// tools/cli/session.cc: standard output and standard error. Reads no map and no file.
#include "tools/cli/session.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>

namespace partywall::cli {

bool Session::colored() const {
  if (color == "always") return true;
  if (color == "never") return false;

  const char* no_color = getenv("NO_COLOR");

  return isatty(STDOUT_FILENO) && !(no_color && *no_color);
}

void Session::broken(const Error& error) {
  fflush(stdout);
  fmt::print(stderr, "partywall: {}\n", error.message());
  exit = kExitBroken;
}

void Session::note(const std::string& text) const {
  fflush(stdout);
  fmt::print(stderr, "partywall: {}\n", text);
}

void add_format(CLI::App& verb, Format& format) {
  static const std::map<std::string, Format> kFormats = {{"table", Format::kTable},
                                                         {"wide", Format::kWide},
                                                         {"json", Format::kJson},
                                                         {"yaml", Format::kYaml}};

  verb.add_option_function<std::string>(
          "-o,--output", [&format](const std::string& name) { format = kFormats.at(name); },
          "How to print it")
      ->check(CLI::IsMember({"table", "wide", "json", "yaml"}))
      ->default_str("table");
}

void print(const std::string& text) {
  // SIGPIPE is left at its default, so a closed pipe ends the program here.
  fwrite(text.data(), 1, text.size(), stdout);
  fflush(stdout);
}

}  // namespace partywall::cli

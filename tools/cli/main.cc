// tools/cli/main.cc: `partywall`. Parses the command line; the verbs do the rest.
#include <cstdio>

#include "tools/cli/verbs.h"

int main(int argc, char** argv) {
  partywall::cli::Session session;
  auto app = partywall::cli::make_app(session);

  if (argc == 1) {
    fmt::print("{}", app->help());
    return partywall::cli::kExitBroken;  // nothing was asked
  }
  try {
    app->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app->exit(error);  // --help, --version
    fmt::print(stderr, "partywall: read the command line: {}; see partywall --help\n",
               error.what());
    return partywall::cli::kExitBroken;
  }
  return session.exit;
}

// tools/cli/verbs.h: every verb of `partywall`; each stands in a file of its own name.
#ifndef PARTYWALL_TOOLS_CLI_VERBS_H
#define PARTYWALL_TOOLS_CLI_VERBS_H

#include <CLI/CLI.hpp>
#include <memory>

#include "tools/cli/session.h"

namespace partywall::cli {

// Each adds its subcommand to `app`. The verb runs while `app` parses, and leaves its exit code
// in the session.
void add_check(CLI::App& app, Session& session);
void add_completion(CLI::App& app, Session& session);
void add_doctor(CLI::App& app, Session& session);
void add_events(CLI::App& app, Session& session);
void add_explain(CLI::App& app, Session& session);
void add_interfaces(CLI::App& app, Session& session);
void add_show(CLI::App& app, Session& session);
void add_status(CLI::App& app, Session& session);
void add_tenants(CLI::App& app, Session& session);
void add_top(CLI::App& app, Session& session);
void add_uninstall(CLI::App& app, Session& session);
void add_usage(CLI::App& app, Session& session);
void add_version(CLI::App& app, Session& session);

// The whole command line, with every verb. `session` must outlive it.
std::unique_ptr<CLI::App> make_app(Session& session);

}  // namespace partywall::cli

#endif

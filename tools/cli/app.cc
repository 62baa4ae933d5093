// tools/cli/app.cc: the command line as a whole. Runs nothing by itself.
#include "agent/version.h"
#include "tools/cli/verbs.h"

namespace partywall::cli {

std::unique_ptr<CLI::App> make_app(Session& session) {
  auto app = std::make_unique<CLI::App>(
      "Asks the kernel and the agent what tenants may do, do, and did on this node.",
      "partywall");

  app->set_version_flag("--version", std::string("partywall ") + kVersion);
  app->add_option("--bpffs", session.bpffs, "Folder of the agent's pins")
      ->capture_default_str();
  app->add_option("--control-socket", session.control_socket, "Unix socket of the agent")
      ->capture_default_str();
  app->add_option("--state-dir", session.state_dir,
                  "Folder where the agent keeps its last policy")
      ->capture_default_str();
  app->add_option("--color", session.color, "Colours on standard output")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "always", "never"}));
  app->require_subcommand(1);
  app->fallthrough();  // global flags may stand behind the verb
  add_check(*app, session);
  add_explain(*app, session);
  add_status(*app, session);
  add_tenants(*app, session);
  add_interfaces(*app, session);
  add_show(*app, session);
  add_usage(*app, session);
  add_top(*app, session);
  add_events(*app, session);
  add_doctor(*app, session);
  add_uninstall(*app, session);
  add_version(*app, session);
  add_completion(*app, session);
  app->footer(
      "Exit codes: 0 = yes or done; 1 = no: a policy is refused, a flow denied, doctor warns;\n"
      "2 = it could not be found out. `partywall VERB --help` says more; see also "
      "partywall(1).");
  return app;
}

}  // namespace partywall::cli

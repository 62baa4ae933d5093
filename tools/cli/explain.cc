// tools/cli/explain.cc: `partywall explain`: may A talk to B, which rule says so, what is
// missing.
#include "tools/cli/explain_flow.h"
#include "tools/cli/explain_text.h"
#include "tools/cli/policy_reading.h"
#include "tools/cli/verbs.h"

namespace partywall::cli {
namespace {

struct ExplainFlags {
  Question question;
  int port = -1;
  std::string protocol = "tcp";
  std::string policy_dir;
  std::string config;
  Format format = Format::kTable;
};

void explain(ExplainFlags& flags, Session& session) {
  if (flags.port >= 0) flags.question.port = static_cast<uint16_t>(flags.port);
  flags.question.protocol = flags.protocol == "tcp"    ? policy::Protocol::kTcp
                            : flags.protocol == "udp"  ? policy::Protocol::kUdp
                            : flags.protocol == "icmp" ? policy::Protocol::kIcmp
                                                       : policy::Protocol::kTunnel;

  bool offline = !flags.policy_dir.empty();
  auto read =
      offline ? read_policy(flags.policy_dir, flags.config, "") : read_policy_in_force(session);

  if (!read && !offline)
    return session.broken(
        fail("{}, or ask about a folder with --policy-dir", read.error().message()));
  if (!read) return session.broken(read.error());
  if (!read->problems.empty()) {
    for (const policy::Problem& problem : read->problems)
      fmt::print(stderr, "{}\n", policy::to_string(problem));
    return session.broken(
        fail("explain: {}: the policy is not valid; correct it first "
             "(partywall check)",
             flags.policy_dir));
  }
  auto flow = explain_flow(read->policy, flags.question);

  if (!flow) return session.broken(flow.error());
  print(is_data(flags.format) ? data_text(explain_json(read->policy, *flow), flags.format)
                              : explain_text(read->policy, *flow, session.colored()));
  // Without a port, "yes" means: on some port.
  session.exit = flow->passes() ? kExitOk : kExitRefused;
}

}  // namespace

void add_explain(CLI::App& app, Session& session) {
  CLI::App* verb = app.add_subcommand("explain", "Say whether A may talk to B, and why");
  auto flags = std::make_shared<ExplainFlags>();

  verb->add_option("--from", flags->question.from,
                   "Who opens the flow: a tenant, an address, world, or host")
      ->required();
  verb->add_option("--to", flags->question.to, "Whom it is opened to: the same")->required();
  verb->add_option("--port", flags->port, "Port of the receiver; absent: which ports are open")
      ->check(CLI::Range(1, 65535));
  verb->add_option("--proto", flags->protocol, "Protocol")
      ->capture_default_str()
      ->check(CLI::IsMember({"tcp", "udp", "icmp", "tunnel"}));
  verb->add_option("--policy-dir", flags->policy_dir,
                   "Ask this file or folder, not the policy in force");
  verb->add_option("--config", flags->config,
                   "With --policy-dir: agent configuration, for its infrastructure lane");
  add_format(*verb, flags->format);
  verb->callback([flags, &session] { explain(*flags, session); });
}

}  // namespace partywall::cli

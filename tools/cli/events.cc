// tools/cli/events.cc: `partywall events`: denials as the agent tells them, past and to come.
#include "tools/cli/agent_client.h"
#include "tools/cli/event_text.h"
#include "tools/cli/verbs.h"

namespace partywall::cli {
namespace {

struct EventFlags {
  bool follow = false;
  std::string tenant;
  uint64_t count = 0;  // 0 = all
  bool json = false;
};

void events(const EventFlags& flags, Session& session) {
  Json request = {{"verb", "events"}, {"follow", flags.follow}};
  uint64_t left = flags.count;
  bool colored = session.colored();

  if (!flags.tenant.empty()) request["tenant"] = flags.tenant;

  auto asked = ask_agent(session.control_socket, request,
                         flags.follow ? std::chrono::seconds(0) : std::chrono::seconds(5),
                         [&](const std::string& line) {
                           print((flags.json ? line : event_text(line, colored)) + "\n");
                           return flags.count == 0 || --left > 0;
                         });

  if (asked) return;
  if (int code = asked.error().errno_value(); code == ENOENT || code == ECONNREFUSED)
    return session.broken(
        fail("events: {}: the agent is not running, and only it keeps events; "
             "start partywalld (denials are still counted: partywall usage)",
             session.control_socket));
  session.broken(std::move(asked.error()).within("events"));
}

}  // namespace

void add_events(CLI::App& app, Session& session) {
  CLI::App* verb = app.add_subcommand("events", "Print what was denied, and why");
  auto flags = std::make_shared<EventFlags>();

  verb->add_flag("-f,--follow", flags->follow, "Go on with what happens from now");
  verb->add_option("--tenant", flags->tenant, "Only this one's");
  verb->add_option("-n,--count", flags->count, "Stop after so many")
      ->check(CLI::PositiveNumber);
  verb->add_option_function<std::string>(
          "-o,--output", [flags](const std::string& name) { flags->json = name == "json"; },
          "How to print them; json: JSON Lines, as the agent sends them")
      ->check(CLI::IsMember({"table", "json"}))
      ->default_str("table");
  verb->callback([flags, &session] { events(*flags, session); });
}

}  // namespace partywall::cli

// agent/main.cc: partywalld: options, log, agent. Everything else is in the rooms.
#include <signal.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <cstring>

#include "agent/agent.h"
#include "agent/log.h"
#include "agent/observe/metrics.h"
#include "agent/options.h"

int main(int argc, char** argv) {
  using namespace partywall;

  if (argc == 2 && std::strcmp(argv[1], "--print-metrics") == 0) {
    std::fputs(observe::metrics_page().c_str(), stdout);
    return 0;
  }
  ParsedOptions parsed = parse_options(argc, argv);

  if (parsed.exit_code) return *parsed.exit_code;
  set_up_log(parsed.options.log_format, parsed.options.log_level);
  signal(SIGPIPE, SIG_IGN);

  auto agent = Agent::start(parsed.options);

  if (!agent) {
    spdlog::critical("{}", agent.error().message());
    return 1;
  }
  (*agent)->run();
  return 0;
}

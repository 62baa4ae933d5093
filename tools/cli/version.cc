// tools/cli/version.cc: `partywall version`: of this binary, and of the map layout it speaks.
#include "agent/version.h"

#include "maps/abi/layout.h"
#include "tools/cli/verbs.h"

namespace partywall::cli {

void add_version(CLI::App& app, Session& /*session*/) {
  CLI::App* verb = app.add_subcommand("version", "Print the version");
  auto format = std::make_shared<Format>(Format::kTable);

  add_format(*verb, *format);
  verb->callback([format] {
    if (is_data(*format))
      print(data_text({{"version", kVersion}, {"schema", PARTYWALL_SCHEMA}}, *format));
    else
      print(fmt::format("partywall {} (map schema {})\n", kVersion, PARTYWALL_SCHEMA));
  });
}

}  // namespace partywall::cli

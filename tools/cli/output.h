// tools/cli/output.h: what `-o` chooses. Pure: data in, text out.
#ifndef PARTYWALL_TOOLS_CLI_OUTPUT_H
#define PARTYWALL_TOOLS_CLI_OUTPUT_H

#include <nlohmann/json.hpp>
#include <string>

namespace partywall::cli {

using Json = nlohmann::ordered_json;  // keys stay in the order in which they were written

enum class Format { kTable, kWide, kJson, kYaml };

inline bool is_data(Format format) {
  return format == Format::kJson || format == Format::kYaml;
}

// JSON (indented) or YAML, ending in a newline. Numbers are raw: bytes, bits a second,
// nanoseconds as the key says.
std::string data_text(const Json& data, Format format);

// YAML 1.2 in block style. A string is quoted whenever YAML could read it as something else.
std::string yaml_text(const Json& data);

}  // namespace partywall::cli

#endif

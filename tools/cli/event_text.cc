// tools/cli/event_text.cc: picks the fields that people look for. Pure.
#include "tools/cli/event_text.h"

#include <fmt/format.h>

#include "maps/words.h"
#include "tools/cli/output.h"
#include "tools/cli/table.h"

namespace partywall::cli {
namespace {

// A field as text; "" when it is not there or null.
std::string text_of(const Json& event, const char* key) {
  auto found = event.find(key);

  if (found == event.end() || found->is_null()) return "";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

std::string end_text(const Json& event, const std::string& side) {
  std::string address = text_of(event, (side + "_address").c_str());
  std::string port = text_of(event, (side + "_port").c_str());

  if (address.find(':') != std::string::npos) address = "[" + address + "]";
  return port.empty() || port == "0" ? address : address + ":" + port;
}

std::string sentence_of(const std::string& label) {
  for (unsigned reason = abi::REASON_FIRST_DENY; reason < abi::REASON_COUNT; reason++)
    if (label == kReasons[reason].label) return fmt::format(" ({})", kReasons[reason].sentence);
  return "";
}

}  // namespace

std::string event_text(const std::string& line, bool colored) {
  Json event = Json::parse(line, nullptr, false);

  if (!event.is_object()) return line;

  std::string verdict = text_of(event, "verdict");
  bool would = text_of(event, "would") == "true" || verdict.starts_with("would");
  bool egress = text_of(event, "direction") == "egress";
  std::string peer_tenant = text_of(event, "peer_tenant");
  std::string peer = end_text(event, "peer");
  std::string reason = text_of(event, "reason");
  std::string out = fmt::format("{}  {}  {} {}  {} {} {} {}", text_of(event, "time"),
                                text_of(event, "tenant"),
                                would ? paint("would deny", Color::kYellow, colored)
                                      : paint("deny", Color::kRed, colored),
                                text_of(event, "hook"), text_of(event, "protocol"),
                                end_text(event, "local"), egress ? "->" : "<-", peer);

  if (!peer_tenant.empty()) out += fmt::format(" ({})", peer_tenant);
  out += fmt::format("  {}{}", reason, sentence_of(reason));
  if (std::string command = text_of(event, "command"); !command.empty())
    out += fmt::format("  by {}[{}]", command, text_of(event, "pid"));
  return out;
}

}  // namespace partywall::cli

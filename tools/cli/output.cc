// tools/cli/output.cc: a YAML emitter for JSON data; JSON's own quoting is YAML's, too. Pure.
#include "tools/cli/output.h"

#include <strings.h>

#include <cctype>
#include <cstring>

namespace partywall::cli {
namespace {

// Whether YAML reads the bare text as that very string: a letter first, nothing but letters,
// digits and - _ . / inside, and none of YAML's words.
bool is_plain(const std::string& text) {
  if (text.empty() || !(isalpha(static_cast<unsigned char>(text[0])) || text[0] == '/'))
    return false;
  for (char letter : text)
    if (!isalnum(static_cast<unsigned char>(letter)) && !strchr("-_./", letter)) return false;
  for (const char* word : {"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
    if (strcasecmp(text.c_str(), word) == 0) return false;
  return true;
}

std::string scalar(const Json& value) {
  if (value.is_string() && is_plain(value.get<std::string>())) return value.get<std::string>();
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void emit(const Json& data, size_t indent, std::string& out) {
  const std::string margin(indent, ' ');

  if (data.is_array()) {
    for (const Json& item : data) {
      out += margin + "-";
      if (item.is_structured() && !item.empty()) {
        std::string inner;

        emit(item, indent + 2, inner);
        out += " " + inner.substr(indent + 2);  // the first line stands behind the dash
      } else {
        out += " " + scalar(item) + "\n";
      }
    }
    return;
  }
  for (const auto& [key, value] : data.items()) {
    out += margin + scalar(key) + ":";
    if (value.is_structured() && !value.empty()) {
      out += "\n";
      emit(value, indent + 2, out);
    } else {
      out += " " + scalar(value) + "\n";
    }
  }
}

}  // namespace

std::string yaml_text(const Json& data) {
  if (!data.is_structured() || data.empty()) return scalar(data) + "\n";

  std::string out;

  emit(data, 0, out);
  return out;
}

std::string data_text(const Json& data, Format format) {
  if (format == Format::kYaml) return yaml_text(data);
  // Names come from files and the kernel; bytes that are no UTF-8 must not end the program.
  return data.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace partywall::cli

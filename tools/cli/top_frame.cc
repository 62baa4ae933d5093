// tools/cli/top_frame.cc: sorts, formats, cuts to the window. Pure.
#include "tools/cli/top_frame.h"

#include <algorithm>

#include "tools/cli/quantity.h"
#include "tools/cli/table.h"

namespace partywall::cli {
namespace {

constexpr double kNearlyFull = 0.9;  // of the configured rate

double value_of(const TopRow& row, const std::string& key) {
  const Rates& rates = row.rates;

  if (key == "out") return rates.bits[abi::DIRECTION_EGRESS];
  if (key == "in") return rates.bits[abi::DIRECTION_INGRESS];
  if (key == "packets") return rates.packets[0] + rates.packets[1];
  if (key == "denied") return rates.denied;
  if (key == "limited") return rates.limited;
  if (key == "connections") return rates.connections;
  if (key == "name") return 0;
  return rates.bits[0] + rates.bits[1];
}

std::string share_text(const std::optional<LimitUse>& use, bool colored) {
  if (!use) return "-";

  std::string text = human_share(use->rate_share);

  return use->rate_share >= kNearlyFull ? paint(text, Color::kRed, colored) : text;
}

std::string count_text(double rate, bool colored) {
  std::string text = human_count(rate);

  return text == "0" ? text : paint(text, Color::kRed, colored);
}

}  // namespace

std::string cut(const std::string& line, size_t columns) {
  if (!columns || display_width(line) <= columns) return line;

  std::string out;
  size_t width = 0;
  bool escape = false;

  for (char byte : line) {
    if (byte == '\033') escape = true;
    if (!escape && (byte & 0xc0) != 0x80 && ++width > columns) break;
    if (escape && byte == 'm') escape = false;
    out += byte;
  }
  return out + (line.find('\033') == std::string::npos ? "" : "\033[0m");
}

void sort_rows(std::vector<TopRow>& rows, const std::string& key) {
  std::ranges::sort(rows, [&](const TopRow& a, const TopRow& b) {
    double left = value_of(a, key), right = value_of(b, key);

    return left != right ? left > right : a.name < b.name;
  });
}

std::string top_frame(const std::vector<TopRow>& rows, size_t lines, size_t columns,
                      bool colored) {
  Table table({{"TENANT"},
               {"OUT BIT/S", Column::kRight},
               {"USED", Column::kRight},
               {"IN BIT/S", Column::kRight},
               {"USED", Column::kRight},
               {"PKT/S", Column::kRight},
               {"CONN/S", Column::kRight},
               {"DENY/S", Column::kRight},
               {"OVER/S", Column::kRight}});

  for (const TopRow& row : rows) {
    if (lines && table.size() + 1 >= lines) break;
    table.add({row.name, human_count(row.rates.bits[0]), share_text(row.limit[0], colored),
               human_count(row.rates.bits[1]), share_text(row.limit[1], colored),
               human_count(row.rates.packets[0] + row.rates.packets[1]),
               human_count(row.rates.connections), count_text(row.rates.denied, colored),
               count_text(row.rates.limited, colored)});
  }
  std::string text = table.render(), out;

  for (size_t at = 0; at < text.size();) {
    size_t end = text.find('\n', at);

    out += cut(text.substr(at, end - at), columns) + "\n";
    at = end + 1;
  }
  return out;
}

}  // namespace partywall::cli

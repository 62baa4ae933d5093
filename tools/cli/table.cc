// tools/cli/table.cc: measures, pads, joins. Pure.
#include "tools/cli/table.h"

#include <fmt/format.h>

#include <algorithm>

namespace partywall::cli {
namespace {

void append_row(std::string& out, const std::vector<Column>& columns,
                const std::vector<size_t>& widths, const std::vector<std::string>& cells) {
  std::string line;

  for (size_t i = 0; i < columns.size(); i++) {
    std::string_view cell = i < cells.size() ? std::string_view(cells[i]) : "";
    std::string pad(widths[i] - display_width(cell), ' ');

    if (i) line += "  ";
    if (columns[i].side == Column::kRight) line += pad;
    line += cell;
    if (columns[i].side == Column::kLeft) line += pad;
  }
  line.erase(line.find_last_not_of(' ') + 1);
  out += line + "\n";
}

}  // namespace

size_t display_width(std::string_view text) {
  size_t width = 0;
  bool escape = false;

  for (char byte : text) {
    if (byte == '\033') escape = true;
    if (escape) {
      escape = byte != 'm';
      continue;
    }
    if ((byte & 0xc0) != 0x80) width++;  // continuation bytes take no column
  }
  return width;
}

std::string Table::render() const {
  std::vector<size_t> widths(columns_.size());
  std::vector<std::string> titles;
  bool titled = false;

  for (size_t i = 0; i < columns_.size(); i++) {
    titles.push_back(columns_[i].title);
    titled = titled || !columns_[i].title.empty();
    widths[i] = display_width(columns_[i].title);
    for (const auto& row : rows_)
      if (i < row.size()) widths[i] = std::max(widths[i], display_width(row[i]));
  }
  std::string out;

  if (titled) append_row(out, columns_, widths, titles);
  for (const auto& row : rows_) append_row(out, columns_, widths, row);
  return out;
}

std::string paint(std::string_view text, Color color, bool colored) {
  if (!colored) return std::string(text);

  const char* code = color == Color::kRed      ? "31"
                     : color == Color::kGreen  ? "32"
                     : color == Color::kYellow ? "33"
                                               : "1";

  return fmt::format("\033[{}m{}\033[0m", code, text);
}

}  // namespace partywall::cli

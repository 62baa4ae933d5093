// tools/cli/table.h: columns that line up, and the colours of a verdict. Pure.
#ifndef PARTYWALL_TOOLS_CLI_TABLE_H
#define PARTYWALL_TOOLS_CLI_TABLE_H

#include <string>
#include <string_view>
#include <vector>

namespace partywall::cli {

// Columns that `text` takes on a terminal: one for each code point, none for colours.
size_t display_width(std::string_view text);

struct Column {
  std::string title;
  enum Side { kLeft, kRight } side = kLeft;
};

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // One cell for each column; missing ones are empty.
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  size_t size() const { return rows_.size(); }

  // Titles, then rows; two blanks between columns, none at the end of a line. No titles when
  // all of them are empty.
  std::string render() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

enum class Color { kRed, kGreen, kYellow, kBold };

// `text` in a colour, or as it is.
std::string paint(std::string_view text, Color color, bool colored);

}  // namespace partywall::cli

#endif

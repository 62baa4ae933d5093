// tests/unit/cli_table_test.cc: tables line up, numbers read well, YAML means the same as JSON.
#include "tools/cli/table.h"

#include <gtest/gtest.h>

#include "tools/cli/output.h"
#include "tools/cli/quantity.h"

namespace partywall::cli {
namespace {

TEST(CliTable, ColumnsLineUpAndNothingTrails) {
  Table table({{"TENANT"}, {"BYTES", Column::kRight}, {"MODE"}});

  table.add({"acme", "7", "enforce"});
  table.add({"a-longer-name", "1024", ""});
  EXPECT_EQ(
      "TENANT         BYTES  MODE\n"
      "acme               7  enforce\n"
      "a-longer-name   1024\n",
      table.render());
}

TEST(CliTable, ColoursAndAccentsTakeTheirWidthOnly) {
  Table table({{"A"}, {"B"}});

  table.add({paint("deny", Color::kRed, true), "x"});
  table.add({"höher", "y"});
  EXPECT_EQ("A      B\n\033[31mdeny\033[0m   x\nhöher  y\n", table.render());
  EXPECT_EQ("deny", paint("deny", Color::kRed, false));
}

TEST(CliTable, WithoutTitlesThereIsNoTitleLine) {
  Table table({{""}, {""}});

  table.add({"agent", "running"});
  EXPECT_EQ("agent  running\n", table.render());
}

TEST(CliQuantity, PicksTheUnitThatReadsBest) {
  EXPECT_EQ("0 B", human_bytes(0));
  EXPECT_EQ("1023 B", human_bytes(1023));
  EXPECT_EQ("1.0 KiB", human_bytes(1024));
  EXPECT_EQ("1.2 GiB", human_bytes(1'288'490'188));
  EXPECT_EQ("1.0 MiB", human_bytes(1024 * 1024 - 1));  // not "1024.0 KiB"
  EXPECT_EQ("16.0 EiB", human_bytes(UINT64_MAX));
  EXPECT_EQ("35.1 Mbit/s", human_bit_rate(35'100'000));
  EXPECT_EQ("0 bit/s", human_bit_rate(0));
  EXPECT_EQ("950", human_count(950));
  EXPECT_EQ("12.3k", human_count(12'345));
  EXPECT_EQ("<1%", human_share(0.001));
  EXPECT_EQ("250%", human_share(2.5));
  EXPECT_EQ("0%", human_share(0));
  EXPECT_EQ("250.0 ms", human_duration(0.25));
  EXPECT_EQ("3m 12s", human_duration(192.9));
  EXPECT_EQ("2h 5m", human_duration(7500));
  EXPECT_EQ("4d 1h", human_duration(4 * 86400 + 3700));
}

TEST(CliYaml, QuotesWhatYamlWouldReadAsSomethingElse) {
  Json data = {{"name", "acme"},
               {"mode", "no"},
               {"number", "12"},
               {"rule", "- {to: x}"},
               {"count", 3},
               {"empty", Json::array()},
               {"list", {{{"a", 1}, {"b", Json::array({"x", "y"})}}, 2}}};

  EXPECT_EQ(
      "name: acme\n"
      "mode: \"no\"\n"
      "number: \"12\"\n"
      "rule: \"- {to: x}\"\n"
      "count: 3\n"
      "empty: []\n"
      "list:\n"
      "  - a: 1\n"
      "    b:\n"
      "      - x\n"
      "      - \"y\"\n"
      "  - 2\n",
      yaml_text(data));
  EXPECT_EQ("[]\n", yaml_text(Json::array()));
}

TEST(CliYaml, BytesThatAreNoTextDoNotEndTheProgram) {
  EXPECT_NE(std::string::npos,
            data_text({{"path", "\xff"}}, Format::kJson).find("\xef\xbf\xbd"));
}

}  // namespace
}  // namespace partywall::cli

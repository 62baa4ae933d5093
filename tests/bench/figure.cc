// tests/bench/figure.cc: prints figures as JSON Lines. Measures nothing.
#include "tests/bench/figure.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace partywall::bench {

void print_figure(std::string_view id, double value, std::string_view unit, AtMost goal) {
  nlohmann::ordered_json line = {{"id", id}, {"value", value}, {"unit", unit}};

  line["goal"] = nullptr;
  if (goal) line["goal"] = {{"at_most", *goal}};
  std::printf("%s\n", line.dump().c_str());
  std::fflush(stdout);
}

void say(std::string_view what) {
  std::fprintf(stderr, "%.*s\n", static_cast<int>(what.size()), what.data());
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;

  size_t middle = values.size() / 2;

  std::ranges::sort(values);
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace partywall::bench

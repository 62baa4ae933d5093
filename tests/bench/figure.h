// tests/bench/figure.h: a measured figure and its goal, as tools/bench reads them. Measures
// nothing.
#ifndef PARTYWALL_TESTS_BENCH_FIGURE_H
#define PARTYWALL_TESTS_BENCH_FIGURE_H

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace partywall::bench {

// The most that a figure may be. Goals for "at least" live in tools/bench's Python parts.
using AtMost = std::optional<double>;

// Prints one line of JSON: {"id": ..., "value": ..., "unit": ..., "goal": {"at_most": 25}}.
void print_figure(std::string_view id, double value, std::string_view unit, AtMost goal = {});

// Progress, to standard error.
void say(std::string_view what);

// The middle one; of an even number the mean of the middle two. 0 of none.
double median(std::vector<double> values);

}  // namespace partywall::bench

#endif

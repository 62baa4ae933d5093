// agent/observe/metrics.cc: the declarations as a page for people. Pure.
#include "agent/observe/metrics.h"

#include <fmt/format.h>

namespace partywall::observe {

const char* to_string(MetricType type) {
  switch (type) {
    case MetricType::kCounter:
      return "counter";
    case MetricType::kGauge:
      return "gauge";
    case MetricType::kHistogram:
      return "histogram";
  }
  return "untyped";
}

std::string metrics_page() {
  std::string page = "| metric | type | labels | meaning |\n|---|---|---|---|\n";

  for (const MetricDecl& metric : kMetrics)
    page += fmt::format("| `{}` | {} | {} | {} |\n", metric.name, to_string(metric.type),
                        metric.labels, metric.help);
  return page;
}

}  // namespace partywall::observe

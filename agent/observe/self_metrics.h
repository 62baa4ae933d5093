// agent/observe/self_metrics.h: the agent's own metrics, in prometheus-cpp's registry.
#ifndef PARTYWALL_AGENT_OBSERVE_SELF_METRICS_H
#define PARTYWALL_AGENT_OBSERVE_SELF_METRICS_H

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <memory>
#include <string>

#include "agent/observe/metrics.h"

namespace partywall::observe {

// Values by declaration (metrics.h). A metric is absent until it was given a value; labels must
// be those that its declaration names. Thread-safe, as the registry is.
class SelfMetrics {
 public:
  using Labels = prometheus::Labels;

  SelfMetrics();

  void set(Metric gauge, double value, const Labels& labels = {});
  void add(Metric counter, double value = 1, const Labels& labels = {});
  // For counters whose source counts by itself: brings ours to its value. Never goes down.
  void follow(Metric counter, double total, const Labels& labels = {});
  void observe(Metric histogram, double seconds);

  // In the text format. Reads the agent's own CPU time and memory first.
  std::string text();

 private:
  void read_process();

  prometheus::Registry registry_;
  std::array<prometheus::Family<prometheus::Counter>*, kMetrics.size()> counters_{};
  std::array<prometheus::Family<prometheus::Gauge>*, kMetrics.size()> gauges_{};
  std::array<prometheus::Histogram*, kMetrics.size()> histograms_{};
};

}  // namespace partywall::observe

#endif

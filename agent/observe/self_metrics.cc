// agent/observe/self_metrics.cc: families made from the declarations; the library's own
// serializer.
#include "agent/observe/self_metrics.h"

#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "agent/version.h"

namespace partywall::observe {
namespace {

size_t index(Metric metric) { return static_cast<size_t>(metric); }

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

// 1 ms to 10 s: from one changed tenant to the first load of ten thousand.
const prometheus::Histogram::BucketBoundaries& buckets() {
  static const prometheus::Histogram::BucketBoundaries kSeconds = {
      0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
  return kSeconds;
}

}  // namespace

SelfMetrics::SelfMetrics() {
  for (size_t i = index(Metric::kBuildInfo); i < kMetrics.size(); i++) {
    const MetricDecl& metric = kMetrics[i];

    switch (metric.type) {
      case MetricType::kCounter:
        counters_[i] =
            &prometheus::BuildCounter().Name(metric.name).Help(metric.help).Register(registry_);
        break;
      case MetricType::kGauge:
        gauges_[i] =
            &prometheus::BuildGauge().Name(metric.name).Help(metric.help).Register(registry_);
        break;
      case MetricType::kHistogram:
        histograms_[i] = &prometheus::BuildHistogram()
                              .Name(metric.name)
                              .Help(metric.help)
                              .Register(registry_)
                              .Add({}, buckets());
        break;
    }
  }
  set(Metric::kBuildInfo, 1, {{"version", kVersion}});
  set(Metric::kStartTime, static_cast<double>(time(nullptr)));
}

void SelfMetrics::set(Metric gauge, double value, const Labels& labels) {
  gauges_[index(gauge)]->Add(labels).Set(value);
}

void SelfMetrics::add(Metric counter, double value, const Labels& labels) {
  counters_[index(counter)]->Add(labels).Increment(value);
}

void SelfMetrics::follow(Metric counter, double total, const Labels& labels) {
  prometheus::Counter& own = counters_[index(counter)]->Add(labels);

  if (total > own.Value()) own.Increment(total - own.Value());
}

void SelfMetrics::observe(Metric histogram, double seconds) {
  histograms_[index(histogram)]->Observe(seconds);
}

void SelfMetrics::read_process() {
  rusage usage{};
  std::ifstream statm("/proc/self/statm");
  uint64_t total_pages = 0;
  uint64_t resident_pages = 0;

  getrusage(RUSAGE_SELF, &usage);
  follow(Metric::kCpuSeconds, seconds(usage.ru_utime) + seconds(usage.ru_stime));
  if (statm >> total_pages >> resident_pages)
    set(Metric::kResident,
        static_cast<double>(resident_pages) * static_cast<double>(sysconf(_SC_PAGESIZE)));
}

std::string SelfMetrics::text() {
  std::ostringstream out;

  read_process();
  prometheus::TextSerializer().Serialize(out, registry_.Collect());
  return std::move(out).str();
}

}  // namespace partywall::observe

// tests/bpf/tenant_series_test.cc: the per-tenant page, which is written by hand for speed, is
// what prometheus-cpp's serializer makes of the same maps. Pins maps of its own and removes
// them.
#include "agent/observe/tenant_series.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <random>
#include <sstream>

#include "agent/observe/syscall_names.h"
#include "maps/words.h"

namespace partywall::observe {
namespace {

constexpr uint32_t kMaxTenants = 40;
constexpr uint32_t kCpus = 3;
constexpr uint64_t kNsPerSecond = 1'000'000'000;

// Names as no policy would have them: the page must survive them all the same.
const std::vector<std::string> kNames = {"",
                                         "acme",
                                         "quo\"te",
                                         "back\\slash",
                                         "line\nfeed",
                                         "\\\"\n\\n",
                                         "a,b=\"c\"} 7",
                                         "caf\xc3\xa9",
                                         "{}",
                                         std::string(63, 'x'),
                                         std::string(64, 'y'),  // no NUL after it
                                         "idle",
                                         "limited"};

// --- the page, read back

using Labels = std::map<std::string, std::string>;

struct Page {
  std::map<std::pair<std::string, Labels>, double> series;
  std::map<std::string, std::string> help, type;
};

// The labels that `text` begins with, up to and with their closing brace.
Labels take_labels(std::string_view& text) {
  Labels labels;

  while (!text.empty() && text[0] != '}') {
    size_t equals = text.find("=\"");
    std::string name(text.substr(0, equals));
    std::string value;

    text.remove_prefix(equals + 2);
    for (; text[0] != '"'; text.remove_prefix(1)) {
      if (text[0] == '\\') {
        text.remove_prefix(1);
        value += text[0] == 'n' ? '\n' : text[0];
      } else {
        value += text[0];
      }
    }
    text.remove_prefix(text[1] == ',' ? 2 : 1);
    EXPECT_TRUE(labels.emplace(name, value).second) << name;
  }
  text.remove_prefix(1);
  return labels;
}

Page parse(const std::string& text) {
  Page page;
  std::istringstream lines(text);
  std::string family;

  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# ")) {
      bool is_help = line.starts_with("# HELP ");
      std::string rest = line.substr(7);
      size_t space = rest.find(' ');

      family = rest.substr(0, space);
      EXPECT_TRUE((is_help ? page.help : page.type).emplace(family, rest.substr(space)).second)
          << "twice: " << line;
      continue;
    }
    std::string_view rest = line;
    size_t brace = rest.find('{');
    std::string name(rest.substr(0, brace));

    EXPECT_EQ(family, name) << line;
    rest.remove_prefix(brace + 1);

    Labels labels = take_labels(rest);
    double value = std::stod(std::string(rest));

    EXPECT_TRUE(page.series.emplace(std::pair(name, labels), value).second)
        << "twice: " << line;
  }
  return page;
}

// --- the maps

class TenantSeriesTest : public testing::Test {
 protected:
  void SetUp() override {
    pins_ = fmt::format("/sys/fs/bpf/pw-test-series-{}", getpid());
    for (const std::string& folder : {pins_, pins_ + "/maps"})
      ASSERT_EQ(0, mkdir(folder.c_str(), 0700)) << folder << ": " << strerror(errno);
    make_array("control", sizeof(abi::control), 1);
    make_array("tenants", sizeof(abi::tenant_policy), 2 * kMaxTenants);
    make_array("tenant_names", sizeof(abi::tenant_name), kMaxTenants);
    make_array("meters", sizeof(abi::tenant_meters), kMaxTenants);
    make_array("counters", sizeof(abi::tenant_counters), kCpus * kMaxTenants);
    open(control_, "control");
    open(policies_, "tenants");
    open(names_, "tenant_names");
    open(meters_, "meters");
    open(counters_, "counters");
    control_[0].max_tenants = kMaxTenants;
    control_[0].cpus = kCpus;
    control_[0].side = 1;
    for (size_t tenant = 0; tenant < kNames.size(); tenant++) {
      std::memcpy(names_[tenant].name, kNames[tenant].data(), kNames[tenant].size());
      policy(tenant).flags = tenant ? TENANT_IN_USE : 0;
    }
  }
  void TearDown() override { std::filesystem::remove_all(pins_); }

  Fd make_map(bpf_map_type type, const char* name, uint32_t key, uint32_t value,
              uint32_t entries) {
    LIBBPF_OPTS(bpf_map_create_opts, options);
    options.map_flags = type == BPF_MAP_TYPE_ARRAY ? BPF_F_MMAPABLE : 0;
    Fd fd(bpf_map_create(type, name, key, value, entries, &options));

    EXPECT_TRUE(fd) << name << ": " << strerror(errno);
    EXPECT_EQ(0, bpf_obj_pin(fd.get(), map_pin(pins_, name).c_str())) << strerror(errno);
    return fd;
  }
  void make_array(const char* name, size_t row, uint32_t rows) {
    make_map(BPF_MAP_TYPE_ARRAY, name, 4, static_cast<uint32_t>(row), rows);
  }
  void make_syscalls() {
    syscalls_ =
        make_map(BPF_MAP_TYPE_PERCPU_HASH, "syscalls", sizeof(abi::syscall_key), 8, 20'000);
  }
  template <typename Row>
  void open(MappedArray<Row>& array, const char* name) {
    auto opened = MappedArray<Row>::open(pins_, name);

    ASSERT_TRUE(opened) << opened.error().message();
    array = std::move(*opened);
  }

  abi::tenant_policy& policy(size_t tenant) { return policies_[kMaxTenants + tenant]; }
  abi::tenant_counters& counters(size_t tenant, uint32_t cpu = 0) {
    return counters_[size_t{cpu} * kMaxTenants + tenant];
  }
  // Calls of each possible CPU.
  void count_syscall(abi::syscall_key key, uint64_t calls) {
    std::vector<uint64_t> values(static_cast<size_t>(libbpf_num_possible_cpus()), calls);

    ASSERT_EQ(0, bpf_map_update_elem(syscalls_.get(), &key, values.data(), BPF_ANY));
    syscall_totals_[{key.tenant, key.abi, syscall_name(key.abi, key.number)}] +=
        static_cast<double>(calls * values.size());
  }

  std::string page(const std::vector<TenantLabels>& labels = {}) {
    auto series = TenantSeries::open(pins_);
    std::string text;

    if (!series) {
      ADD_FAILURE() << series.error().message();
      return text;
    }
    series->set_policy(labels);

    auto appended = series->append(text);

    EXPECT_TRUE(appended) << appended.error().message();
    return text;
  }
  std::string page_of(const std::string& tenant, const std::vector<TenantLabels>& labels) {
    auto series = TenantSeries::open(pins_);
    std::string text;

    EXPECT_TRUE(series);
    series->set_policy(labels);
    EXPECT_TRUE(series->append_one(text, tenant));
    return text;
  }
  std::string slow_page(const std::vector<TenantLabels>& labels = {});
  void expect_own(const Page& all, const std::vector<TenantLabels>& labels);
  void expect_equal(const std::vector<TenantLabels>& labels = {});

  std::string pins_;
  Fd syscalls_;
  std::map<std::tuple<uint16_t, uint16_t, std::string>, double> syscall_totals_;
  MappedArray<abi::control> control_;
  MappedArray<abi::tenant_policy> policies_;
  MappedArray<abi::tenant_name> names_;
  MappedArray<abi::tenant_meters> meters_;
  MappedArray<abi::tenant_counters> counters_;
};

// --- the same families, the slow way

class Families {
 public:
  void add(Metric metric, Labels labels, double value) {
    auto& family = families_[metric];
    prometheus::ClientMetric one;

    family.name = decl(metric).name;
    family.help = decl(metric).help;
    for (auto& [name, text] : labels) one.label.push_back({name, text});
    if (decl(metric).type == MetricType::kCounter) {
      family.type = prometheus::MetricType::Counter;
      one.counter.value = value;
    } else {
      family.type = prometheus::MetricType::Gauge;
      one.gauge.value = value;
    }
    family.metric.push_back(std::move(one));
  }
  std::string text() const {
    std::vector<prometheus::MetricFamily> all;
    std::ostringstream out;

    for (const auto& [metric, family] : families_) all.push_back(family);
    prometheus::TextSerializer().Serialize(out, all);
    return std::move(out).str();
  }

 private:
  std::map<Metric, prometheus::MetricFamily> families_;
};

std::string text_of(unsigned direction) { return direction ? "ingress" : "egress"; }

double number(uint64_t value) { return static_cast<double>(value); }

// Which verdicts are shown at 0, once their tenant has any traffic.
bool is_shown_at_zero(unsigned reason, bool would, bool idle) {
  if (would) return false;
  if (reason == abi::REASON_ALLOW_SAME_TENANT) return true;
  return !idle &&
         (reason == abi::REASON_ALLOW_TENANT_RULE || reason == abi::REASON_ALLOW_WORLD ||
          reason == abi::REASON_DENY_TENANT || reason == abi::REASON_DENY_WORLD);
}

void add_traffic(Families& families, const std::string& name, const abi::tenant_counters& sum,
                 bool idle) {
  for (unsigned direction = 0; direction < 2; direction++)
    for (unsigned reason = 0; reason < abi::REASON_COUNT; reason++)
      for (unsigned peer = 0; peer < abi::CLASS_COUNT; peer++)
        for (bool would : {false, true}) {
          bool denies = reason >= abi::REASON_FIRST_DENY;
          bool limit = reason >= abi::REASON_FIRST_LIMIT;

          // A reason that is no limit has one class.
          if ((would && !denies) || (!limit && peer != kReasons[reason].peer)) continue;

          const abi::traffic& cell =
              sum.cell[direction][abi::counter_cell(reason, peer, would)];

          if (cell.packets == 0 && !is_shown_at_zero(reason, would, idle)) continue;

          Labels labels = {{"tenant", name},
                           {"direction", text_of(direction)},
                           {"class", kClasses[peer].label},
                           {"reason", kReasons[reason].label},
                           {"verdict", !denies ? "allow"
                                       : would ? "would_deny"
                                               : "deny"}};

          families.add(Metric::kTrafficBytes, labels, number(cell.bytes));
          families.add(Metric::kTrafficPackets, labels, number(cell.packets));
        }
}

void add_calls_and_events(Families& families, const std::string& name,
                          const abi::tenant_counters& sum) {
  for (unsigned direction = 0; direction < 2; direction++)
    families.add(Metric::kConnections, {{"tenant", name}, {"direction", text_of(direction)}},
                 number(sum.connections_opened[direction]));
  for (unsigned reason = abi::REASON_FIRST_DENY; reason < abi::REASON_COUNT; reason++) {
    Labels labels = {{"tenant", name}, {"reason", kReasons[reason].label}};

    if (sum.calls_denied[reason] || reason == abi::REASON_DENY_TENANT)
      families.add(Metric::kCallsDenied, labels, number(sum.calls_denied[reason]));
    if (sum.calls_would_deny[reason])
      families.add(Metric::kCallsWouldDeny, labels, number(sum.calls_would_deny[reason]));
  }
  for (auto [outcome, events] : {std::pair{"sent", sum.events_sent},
                                 {"throttled", sum.events_throttled},
                                 {"dropped", sum.events_dropped}})
    families.add(Metric::kEvents, {{"tenant", name}, {"outcome", outcome}}, number(events));
}

double used(uint64_t paid_until_ns, const abi::rate& rate) {
  timespec time{};

  clock_gettime(CLOCK_MONOTONIC, &time);

  double now = static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
  double ahead = static_cast<double>(paid_until_ns) - now;

  return std::max(0.0, std::min(1.0, ahead / static_cast<double>(rate.burst_ns)));
}

std::string TenantSeriesTest::slow_page(const std::vector<TenantLabels>& labels) {
  Families families;

  for (size_t tenant = 0; tenant < kNames.size(); tenant++) {
    std::string name = tenant ? kNames[tenant] : "(unattributed)";
    abi::tenant_counters sum{};
    auto* words = reinterpret_cast<__u64*>(&sum);
    bool idle = true;

    for (uint32_t cpu = 0; cpu < kCpus; cpu++)
      for (size_t word = 0; word < sizeof(sum) / 8; word++) {
        words[word] += reinterpret_cast<__u64*>(&counters(tenant, cpu))[word];
        idle = idle && words[word] == 0;
      }
    add_traffic(families, name, sum, idle);
    if (!idle) add_calls_and_events(families, name, sum);
    for (unsigned direction = 0; direction < 2; direction++) {
      const abi::meter& meter = meters_[tenant].direction[direction];
      const abi::rate& bytes = policy(tenant).bytes[direction];
      const abi::rate& packets = policy(tenant).packets[direction];
      Labels owner = {{"tenant", name}, {"direction", text_of(direction)}};
      auto add = [&](const abi::rate& rate, Metric metric, const char* unit, uint64_t paid) {
        if (!rate.per_second) return;

        Labels with_unit = owner;

        with_unit["unit"] = unit;
        families.add(metric, owner, number(rate.per_second));
        if (!idle) families.add(Metric::kBurstUsed, with_unit, used(paid, rate));
      };

      add(bytes, Metric::kLimitBytes, "bytes", meter.bytes_paid_until_ns);
      add(packets, Metric::kLimitPackets, "packets", meter.packets_paid_until_ns);
    }
  }
  for (const auto& [key, calls] : syscall_totals_) {
    const auto& [tenant, convention, call] = key;

    if (tenant < kNames.size() && tenant > 0)
      families.add(Metric::kSyscalls,
                   {{"tenant", kNames[tenant]},
                    {"abi", std::array{"native", "compat", "x32"}.at(convention)},
                    {"syscall", call}},
                   calls);
  }
  for (const TenantLabels& tenant : labels)
    families.add(Metric::kTenantInfo,
                 {{"tenant", tenant.name},
                  {"tier", tenant.tier},
                  {"mode", tenant.audit ? "audit" : "enforce"}},
                 1);
  return families.text();
}

// Each tenant's own page is what the page of all says of it.
void TenantSeriesTest::expect_own(const Page& all, const std::vector<TenantLabels>& labels) {
  for (const TenantLabels& tenant : labels) {
    Page own = parse(page_of(tenant.name, labels));
    size_t left = 0;

    for (const auto& [series, value] : own.series) EXPECT_TRUE(all.series.contains(series));
    for (const auto& [series, value] : all.series) {
      if (series.second.at("tenant") != tenant.name) continue;
      left++;
      ASSERT_TRUE(own.series.contains(series)) << series.first << " of " << tenant.name;
      EXPECT_NEAR(value, own.series[series],
                  series.first == decl(Metric::kBurstUsed).name ? 0.01 : 0);
    }
    EXPECT_EQ(left, own.series.size()) << "and of nobody else's: " << tenant.name;
    EXPECT_GT(left, 0u);
  }
}

void TenantSeriesTest::expect_equal(const std::vector<TenantLabels>& labels) {
  Page fast = parse(page(labels));
  Page slow = parse(slow_page(labels));

  expect_own(fast, labels);
  EXPECT_EQ(slow.help, fast.help);
  EXPECT_EQ(slow.type, fast.type);
  EXPECT_EQ(slow.series.size(), fast.series.size());
  for (const auto& [series, value] : slow.series) {
    auto found = fast.series.find(series);

    if (found == fast.series.end()) {
      ADD_FAILURE() << "missing: " << series.first << " of " << series.second.at("tenant");
    } else if (series.first == decl(Metric::kBurstUsed).name) {
      EXPECT_NEAR(value, found->second, 0.01) << "the clock goes on between the two";
    } else {
      // The library writes 16 digits, we write all of them.
      EXPECT_NEAR(value, found->second, value < 9e15 ? 0 : value * 1e-15)
          << series.first << " of " << series.second.at("tenant");
    }
  }
}

// --- tests

TEST_F(TenantSeriesTest, NobodyHasTraffic) {
  expect_equal();
  EXPECT_EQ(4u * kNames.size(), parse(page()).series.size());
}

TEST_F(TenantSeriesTest, EveryCellByItself) {
  for (unsigned direction = 0; direction < 2; direction++)
    for (unsigned reason = 0; reason < abi::REASON_COUNT; reason++)
      for (unsigned peer = 0; peer < abi::CLASS_COUNT; peer++)
        for (unsigned would = 0; would < (reason < abi::REASON_FIRST_DENY ? 1u : 2u); would++) {
          abi::traffic& cell =
              counters(1).cell[direction][abi::counter_cell(reason, peer, would)];

          cell = {.bytes = 1000, .packets = 10};
          expect_equal();
          cell = {};
          if (HasFailure()) FAIL() << direction << " " << reason << " " << peer << " " << would;
        }
}

TEST_F(TenantSeriesTest, RandomMaps) {
  std::mt19937_64 random(7);
  auto dice = [&](unsigned sides) { return random() % sides; };
  auto amount = [&]() -> uint64_t {
    return dice(3) == 0 ? 0 : dice(2) ? random() % 100 : random() >> dice(64);
  };
  timespec now{};

  clock_gettime(CLOCK_MONOTONIC, &now);
  make_syscalls();
  for (int round = 0; round < 20; round++) {
    std::vector<TenantLabels> labels;

    for (size_t tenant = 0; tenant < kNames.size(); tenant++) {
      bool idle = dice(4) == 0;

      for (uint32_t cpu = 0; cpu < kCpus; cpu++) {
        abi::tenant_counters& row = counters(tenant, cpu) = {};

        if (idle) continue;
        for (auto& direction : row.cell)
          for (abi::traffic& cell : direction) {
            // Sums over the CPUs stay below 2^64.
            cell = {.bytes = amount() / kCpus, .packets = amount() / kCpus};
          }
        for (__u64& calls : row.calls_denied) calls = amount() / kCpus;
        for (__u64& calls : row.calls_would_deny) calls = amount() / kCpus;
        for (__u64& opened : row.connections_opened) opened = amount() / kCpus;
        row.events_sent = amount() / kCpus;
        row.events_throttled = amount() / kCpus;
        row.events_dropped = amount() / kCpus;
      }
      if (tenant == 0) continue;
      for (auto* rates : {&policy(tenant).bytes, &policy(tenant).packets})
        for (abi::rate& rate : *rates)
          rate = {.per_second = dice(2) ? 0 : 1 + random() % 50'000'000'000,
                  .burst_ns = 1000 * kNsPerSecond};
      for (abi::meter& meter : meters_[tenant].direction)
        for (__u64* paid : {&meter.bytes_paid_until_ns, &meter.packets_paid_until_ns})
          *paid = static_cast<uint64_t>(now.tv_sec) * kNsPerSecond + dice(2000) * kNsPerSecond -
                  std::min<uint64_t>(now.tv_sec, 500) * kNsPerSecond;
      labels.push_back({kNames[tenant], dice(2) ? "gold" : "sil\"ver\\\n", dice(2) == 0});
    }
    for (int calls = 0; calls < 100; calls++) {
      abi::syscall_key key{.tenant = static_cast<uint16_t>(dice(kNames.size() + 5)),
                           .abi = static_cast<uint16_t>(dice(abi::SYSCALL_ABI_COUNT)),
                           .number = static_cast<uint32_t>(dice(2) ? dice(480) : random())};
      uint64_t known = 0;
      std::vector<uint64_t> values(static_cast<size_t>(libbpf_num_possible_cpus()));

      if (bpf_map_lookup_elem(syscalls_.get(), &key, values.data()) == 0) known = values[0];
      if (known == 0) count_syscall(key, 1 + dice(1000));
    }
    expect_equal(labels);
    if (HasFailure()) FAIL() << "round " << round;
  }
}

TEST_F(TenantSeriesTest, NobodyElseHasAPageOfHisOwn) {
  std::vector<TenantLabels> labels = {{"acme", "gold", false}};

  counters(0).cell[0][0] = counters(1).cell[0][0] = {.bytes = 1000, .packets = 10};
  EXPECT_NE("", page_of("acme", labels));
  for (const char* name : {"", "(unattributed)", "idle", "acm", "nobody"})
    EXPECT_EQ("", page_of(name, labels)) << name;
}

TEST_F(TenantSeriesTest, TheSideInForceHasTheLimits) {
  policies_[1].flags = TENANT_IN_USE;
  policies_[1].bytes[0].per_second = 111;
  policy(1).bytes[0].per_second = 222;
  std::pair series(std::string("partywall_limit_bytes_per_second"),
                   Labels{{"tenant", "acme"}, {"direction", "egress"}});

  EXPECT_EQ(222, parse(page()).series.at(series));
  control_[0].side = 0;
  EXPECT_EQ(111, parse(page()).series.at(series));
}

TEST_F(TenantSeriesTest, SeriesOfOneWhoLeftAreGone) {
  counters(1).cell[0][0] = {.bytes = 100, .packets = 1};
  make_syscalls();
  count_syscall({.tenant = 1, .abi = 0, .number = 0}, 1);
  EXPECT_NE(std::string::npos, page().find("tenant=\"acme\""));
  names_[1] = {};
  policy(1).flags = 0;
  EXPECT_EQ(std::string::npos, page().find("tenant=\"acme\""));
}

// The bounds that docs/metrics.md tells.
TEST_F(TenantSeriesTest, ATenantHasSoManySeriesAtMost) {
  std::vector<TenantLabels> labels = {{"acme", "gold", false}};
  auto of_acme = [&] {
    size_t count = 0;

    for (const auto& [series, value] : parse(page(labels)).series)
      count += series.second.at("tenant") == "acme";
    return count;
  };

  EXPECT_EQ(5u, of_acme());
  for (auto* rates : {&policy(1).bytes, &policy(1).packets})
    for (abi::rate& rate : *rates) rate = {.per_second = 1, .burst_ns = 1};
  EXPECT_EQ(5u + 4, of_acme());
  counters(1).cell[0][0] = {.bytes = 100, .packets = 1};
  EXPECT_EQ(35u, of_acme());
  for (auto& direction : counters(1).cell)
    for (abi::traffic& cell : direction) cell = {.bytes = 1, .packets = 1};
  EXPECT_EQ(35u + 2 * 136, of_acme());
  for (__u64& calls : counters(1).calls_denied) calls = 1;
  for (__u64& calls : counters(1).calls_would_deny) calls = 1;
  EXPECT_EQ(35u + 2 * 136 + 43, of_acme());

  // Numbers that a tenant makes up are one series for each calling convention.
  make_syscalls();
  for (uint32_t number = 100'000; number < 110'000; number++)
    count_syscall({.tenant = 1, .abi = abi::SYSCALL_NATIVE, .number = number}, 1);
  EXPECT_EQ(35u + 2 * 136 + 43 + 1, of_acme());
  expect_equal(labels);
}

TEST_F(TenantSeriesTest, MapsOfAnotherVersionAreRefused) {
  unlink(map_pin(pins_, "counters").c_str());
  make_array("counters", sizeof(abi::tenant_counters) + 8, kMaxTenants);

  auto series = TenantSeries::open(pins_);

  ASSERT_FALSE(series);
  EXPECT_NE(std::string::npos, series.error().message().find("counters")) << "it is named";
  EXPECT_FALSE(TenantSeries::open("/sys/fs/bpf/pw-test-nothing"));
}

}  // namespace
}  // namespace partywall::observe

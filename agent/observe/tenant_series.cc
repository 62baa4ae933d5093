// agent/observe/tenant_series.cc: one pass over the tenants, each family into a text of its
// own.
#include "agent/observe/tenant_series.h"

#include <time.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "agent/observe/syscall_names.h"
#include "maps/counter_rows.h"
#include "maps/syscall_counts.h"
#include "maps/words.h"

namespace partywall::observe {
namespace {

constexpr size_t kMostHelpBytes = 1024;  // of HELP and TYPE of a family

// The text of a label's value between its quotes.
std::string escaped(std::string_view value) {
  std::string text;

  for (char letter : value) {
    if (letter == '\\' || letter == '"') text += '\\';
    if (letter == '\n')
      text += "\\n";
    else
      text += letter;
  }
  return text;
}

template <typename Number>
void append_line(std::string& text, Metric metric, std::string_view tenant,
                 std::string_view labels, Number value) {
  char digits[32];
  auto end = std::to_chars(digits, digits + sizeof(digits), value).ptr;

  text += decl(metric).name;
  text += "{tenant=\"";
  text += tenant;
  text += '"';
  text += labels;
  text.append(digits, end);
  text += '\n';
}

bool all_zero(const abi::tenant_counters& counters) {
  static const abi::tenant_counters kNone{};

  return std::memcmp(&counters, &kNone, sizeof(counters)) == 0;
}

// Verdicts that a tenant with any traffic shows even when they are 0.
bool is_usual(unsigned reason) {
  switch (reason) {
    case abi::REASON_ALLOW_SAME_TENANT:
    case abi::REASON_ALLOW_TENANT_RULE:
    case abi::REASON_ALLOW_WORLD:
    case abi::REASON_DENY_TENANT:
    case abi::REASON_DENY_WORLD:
      return true;
    default:
      return false;
  }
}

std::string direction_labels(unsigned direction) {
  return fmt::format(",direction=\"{}\"}} ", kDirections[direction]);
}

uint64_t monotonic_ns() {
  timespec now{};

  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// How far ahead of now a meter has paid, as a share of how far it may.
double burst_used(uint64_t paid_until_ns, const abi::rate& rate, uint64_t now_ns) {
  if (paid_until_ns <= now_ns || rate.burst_ns == 0) return 0;
  return std::min(
      1.0, static_cast<double>(paid_until_ns - now_ns) / static_cast<double>(rate.burst_ns));
}

}  // namespace

TenantSeries::TenantSeries() {
  for (unsigned direction = 0; direction < abi::DIRECTION_COUNT; direction++)
    for (unsigned reason = 0; reason < abi::REASON_COUNT; reason++) {
      unsigned first = is_limit(reason) ? 0 : static_cast<unsigned>(kReasons[reason].peer);
      unsigned last = is_limit(reason) ? abi::CLASS_COUNT - 1 : first;

      for (unsigned peer = first; peer <= last; peer++)
        for (unsigned would = 0; would <= is_denial(reason); would++)
          cells_.push_back(
              {.direction = direction,
               .cell = abi::counter_cell(reason, peer, would),
               .usual = is_usual(reason) && !would,
               .labels = fmt::format(
                   ",direction=\"{}\",class=\"{}\",reason=\"{}\",verdict=\"{}\"}} ",
                   kDirections[direction], kClasses[peer].label, kReasons[reason].label,
                   !is_denial(reason) ? "allow"
                   : would            ? "would_deny"
                                      : "deny")});
    }
}

Result<TenantSeries> TenantSeries::open(std::string_view pin_root) {
  TenantSeries series;
  auto control = MappedArray<const abi::control>::open(pin_root, "control");
  auto policies = MappedArray<const abi::tenant_policy>::open(pin_root, "tenants");
  auto names = MappedArray<const abi::tenant_name>::open(pin_root, "tenant_names");
  auto meters = MappedArray<const abi::tenant_meters>::open(pin_root, "meters");
  auto counters = MappedArray<const abi::tenant_counters>::open(pin_root, "counters");

  for (const Error* error :
       {control ? nullptr : &control.error(), policies ? nullptr : &policies.error(),
        names ? nullptr : &names.error(), meters ? nullptr : &meters.error(),
        counters ? nullptr : &counters.error()})
    if (error) return *error;
  series.pin_root_ = pin_root;
  series.control_ = std::move(*control);
  series.policies_ = std::move(*policies);
  series.names_ = std::move(*names);
  series.meters_ = std::move(*meters);
  series.counters_ = std::move(*counters);
  return series;
}

void TenantSeries::set_policy(std::vector<TenantLabels> tenants) {
  if (tenants == tenants_) return;
  tenants_ = std::move(tenants);
  info_.clear();
  for (const TenantLabels& tenant : tenants_)
    append_line(info_[tenant.name], Metric::kTenantInfo, escaped(tenant.name),
                fmt::format(",tier=\"{}\",mode=\"{}\"}} ", escaped(tenant.tier),
                            tenant.audit ? "audit" : "enforce"),
                1);
}

const abi::tenant_policy& TenantSeries::policy(uint32_t tenant) const {
  return policies_[size_t{control_[0].side & 1} * control_[0].max_tenants + tenant];
}

std::string TenantSeries::name(uint32_t tenant) const {
  if (tenant == 0) return kUnattributed;

  const char* name = names_[tenant].name;

  return escaped(std::string_view(name, strnlen(name, TENANT_NAME_MAX)));
}

void TenantSeries::append_counters(Families& families, std::string_view name,
                                   uint32_t tenant) const {
  static const std::array kOutcomes = {",outcome=\"sent\"} ", ",outcome=\"throttled\"} ",
                                       ",outcome=\"dropped\"} "};
  abi::tenant_counters sum = sum_rows(counters_.rows(), control_[0].max_tenants, tenant);
  bool idle = all_zero(sum);
  auto family = [&](Metric metric) -> std::string& {
    return families[static_cast<size_t>(metric)];
  };

  for (const Cell& cell : cells_) {
    const abi::traffic& traffic = sum.cell[cell.direction][cell.cell];
    bool shown = traffic.packets > 0 || (cell.usual && !idle) ||
                 cell.cell == abi::counter_cell(abi::REASON_ALLOW_SAME_TENANT, 0, 0);

    if (!shown) continue;
    append_line(family(Metric::kTrafficBytes), Metric::kTrafficBytes, name, cell.labels,
                traffic.bytes);
    append_line(family(Metric::kTrafficPackets), Metric::kTrafficPackets, name, cell.labels,
                traffic.packets);
  }
  if (idle) return;
  for (unsigned direction = 0; direction < abi::DIRECTION_COUNT; direction++)
    append_line(family(Metric::kConnections), Metric::kConnections, name,
                direction_labels(direction), sum.connections_opened[direction]);
  for (unsigned reason = abi::REASON_FIRST_DENY; reason < abi::REASON_COUNT; reason++) {
    auto labels = [&] { return fmt::format(",reason=\"{}\"}} ", kReasons[reason].label); };

    if (sum.calls_denied[reason] || reason == abi::REASON_DENY_TENANT)
      append_line(family(Metric::kCallsDenied), Metric::kCallsDenied, name, labels(),
                  sum.calls_denied[reason]);
    if (sum.calls_would_deny[reason])
      append_line(family(Metric::kCallsWouldDeny), Metric::kCallsWouldDeny, name, labels(),
                  sum.calls_would_deny[reason]);
  }
  for (size_t outcome = 0; outcome < kOutcomes.size(); outcome++)
    append_line(family(Metric::kEvents), Metric::kEvents, name, kOutcomes[outcome],
                std::array{sum.events_sent, sum.events_throttled, sum.events_dropped}[outcome]);
  append_burst(families, name, tenant);
}

void TenantSeries::append_burst(Families& families, std::string_view name,
                                uint32_t tenant) const {
  const abi::tenant_policy& limits = policy(tenant);
  const abi::tenant_meters& meters = meters_[tenant];
  std::string& text = families[static_cast<size_t>(Metric::kBurstUsed)];
  uint64_t now = monotonic_ns();

  for (unsigned direction = 0; direction < abi::DIRECTION_COUNT; direction++) {
    const abi::meter& meter = meters.direction[direction];
    auto labels = [&](const char* unit) {
      return fmt::format(",direction=\"{}\",unit=\"{}\"}} ", kDirections[direction], unit);
    };

    if (limits.bytes[direction].per_second)
      append_line(text, Metric::kBurstUsed, name, labels("bytes"),
                  burst_used(meter.bytes_paid_until_ns, limits.bytes[direction], now));
    if (limits.packets[direction].per_second)
      append_line(text, Metric::kBurstUsed, name, labels("packets"),
                  burst_used(meter.packets_paid_until_ns, limits.packets[direction], now));
  }
}

bool TenantSeries::is_limited(uint32_t tenant) const {
  return tenant > 0 && policy(tenant).flags & TENANT_IN_USE;
}

void TenantSeries::append_limits(Families& families, std::string_view name,
                                 uint32_t tenant) const {
  static const std::array kLabels = {direction_labels(0), direction_labels(1)};
  const abi::tenant_policy& row = policy(tenant);

  for (unsigned direction = 0; direction < abi::DIRECTION_COUNT; direction++) {
    if (uint64_t rate = row.bytes[direction].per_second)
      append_line(families[static_cast<size_t>(Metric::kLimitBytes)], Metric::kLimitBytes, name,
                  kLabels[direction], rate);
    if (uint64_t rate = row.packets[direction].per_second)
      append_line(families[static_cast<size_t>(Metric::kLimitPackets)], Metric::kLimitPackets,
                  name, kLabels[direction], rate);
  }
}

Result<void> TenantSeries::append_syscalls(Families& families, const std::string* only) const {
  auto counts = read_syscall_counts(pin_root_);

  if (!counts) return std::move(counts.error());

  // Numbers without a name share one series; so do two numbers of one name.
  auto series_of = [](const SyscallCount& count) {
    return std::tuple(count.key.tenant, count.key.abi,
                      std::string_view(syscall_name(count.key.abi, count.key.number)));
  };
  std::string& text = families[static_cast<size_t>(Metric::kSyscalls)];

  std::ranges::sort(*counts, {}, series_of);
  for (size_t i = 0; i < counts->size();) {
    auto [tenant, convention, call] = series_of((*counts)[i]);
    uint64_t calls = 0;

    for (;
         i < counts->size() && series_of((*counts)[i]) == std::tuple(tenant, convention, call);
         i++)
      calls += (*counts)[i].calls;
    if (tenant >= names_.rows().size() || !names_[tenant].name[0]) continue;

    std::string owner = name(tenant);

    if (only && owner != *only) continue;
    append_line(text, Metric::kSyscalls, owner,
                fmt::format(",abi=\"{}\",syscall=\"{}\"}} ", convention_name(convention), call),
                calls);
  }
  return {};
}

void TenantSeries::join(const Families& families, std::string& page) {
  for (size_t i = 0; i < kTenantFamilies; i++) {
    if (families[i].empty()) continue;
    page += fmt::format("# HELP {} {}\n# TYPE {} {}\n", kMetrics[i].name, kMetrics[i].help,
                        kMetrics[i].name, to_string(kMetrics[i].type));
    page += families[i];
  }
}

Result<void> TenantSeries::append(std::string& page) {
  Families families(kTenantFamilies);
  size_t size = page.size();

  // As long as the last time: then nothing is copied while it grows.
  for (size_t i = 0; i < kTenantFamilies; i++) families[i].reserve(lengths_[i]);
  for (uint32_t tenant = 0; tenant < control_[0].max_tenants; tenant++) {
    bool is_named = tenant == 0 || names_[tenant].name[0];

    if (!is_named && !is_limited(tenant)) continue;

    std::string owner = name(tenant);

    if (is_named) append_counters(families, owner, tenant);
    if (is_limited(tenant)) append_limits(families, owner, tenant);
  }
  for (const auto& [owner, line] : info_)
    families[static_cast<size_t>(Metric::kTenantInfo)] += line;

  auto counted = append_syscalls(families, nullptr);

  for (size_t i = 0; i < kTenantFamilies; i++) {
    lengths_[i] = families[i].size();
    size += families[i].size() + kMostHelpBytes;
  }
  page.reserve(size);
  join(families, page);
  return counted;
}

Result<void> TenantSeries::append_one(std::string& page, std::string_view tenant) const {
  Families families(kTenantFamilies);
  auto info = info_.find(tenant);

  if (info == info_.end()) return {};

  std::string owner = escaped(tenant);

  // From 1: (unattributed) is no tenant.
  for (uint32_t number = 1; number < control_[0].max_tenants; number++) {
    if (!names_[number].name[0] || name(number) != owner) continue;
    append_counters(families, owner, number);
    if (is_limited(number)) append_limits(families, owner, number);
  }
  families[static_cast<size_t>(Metric::kTenantInfo)] = info->second;

  auto counted = append_syscalls(families, &owner);

  join(families, page);
  return counted;
}

}  // namespace partywall::observe

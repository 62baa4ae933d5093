// tools/cli/top.cc: `partywall top`: what every tenant does right now, again and again.
#include <time.h>
#include <unistd.h>

#include <map>
#include <thread>

#include "tools/cli/agent_client.h"
#include "tools/cli/enforced.h"
#include "tools/cli/screen.h"
#include "tools/cli/top_frame.h"
#include "tools/cli/verbs.h"

namespace partywall::cli {
namespace {

struct TopFlags {
  std::string sort = "total";
  int iterations = 0;  // 0 = until told to stop
  double seconds = 1;
};

uint64_t monotonic_ns() {
  timespec now{};

  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// Reads the counters each time it is asked, and remembers the last reading.
class Sampler {
 public:
  explicit Sampler(Enforced enforced) : enforced_(std::move(enforced)) { sample(); }

  std::vector<TopRow> sample() {
    std::map<std::string, TenantUsage> usages;
    std::vector<TopRow> rows;
    uint64_t now_ns = monotonic_ns();
    double seconds = static_cast<double>(now_ns - last_ns_) / 1e9;

    for (const TenantRow& tenant : enforced_.tenants(true)) {
      TenantUsage usage = enforced_.usage(tenant.number);
      auto before = last_.find(tenant.name);
      TopRow row{.name = tenant.name};

      // A tenant that has just appeared has no rate yet.
      row.rates = rates_between(usage, before == last_.end() ? usage : before->second, seconds);
      for (abi::direction direction : {abi::DIRECTION_EGRESS, abi::DIRECTION_INGRESS})
        row.limit[direction] = tightest(tenant.number, row.rates, direction, now_ns);
      rows.push_back(std::move(row));
      usages.emplace(tenant.name, usage);
    }
    last_ = std::move(usages);
    last_ns_ = now_ns;
    return rows;
  }

  uint64_t generation() const { return enforced_.control().generation; }

 private:
  std::optional<LimitUse> tightest(uint32_t tenant, const Rates& rates,
                                   abi::direction direction, uint64_t now_ns) const {
    abi::tenant_policy policy = enforced_.policy(tenant);
    abi::tenant_meters meters = enforced_.meters(tenant);
    auto bytes = limit_use(policy, meters, rates, direction, false, now_ns);
    auto packets = limit_use(policy, meters, rates, direction, true, now_ns);

    if (!bytes || !packets) return bytes ? bytes : packets;
    return bytes->rate_share >= packets->rate_share ? bytes : packets;
  }

  Enforced enforced_;
  std::map<std::string, TenantUsage> last_;
  uint64_t last_ns_ = 0;
};

std::string heading(const Sampler& sampler, const TopFlags& flags, bool agent) {
  return fmt::format("generation {}, agent {}, every {:g} s, by {}; q quits, s sorts",
                     sampler.generation(), agent ? "running" : "not running", flags.seconds,
                     flags.sort);
}

void next_key(std::string& key) {
  size_t count = std::size(kTopKeys);

  for (size_t i = 0; i < count; i++)
    if (key == kTopKeys[i]) {
      key = kTopKeys[(i + 1) % count];
      return;
    }
}

// Returns the rows of the last table.
Result<std::vector<TopRow>> refresh(Sampler& sampler, TopFlags& flags, bool colored,
                                    bool agent) {
  auto screen = Screen::open();

  if (!screen) return std::move(screen.error());

  auto interval = std::chrono::nanoseconds(static_cast<int64_t>(flags.seconds * 1e9));
  std::vector<TopRow> rows;

  for (int drawn = 0; !flags.iterations || drawn < flags.iterations;) {
    auto next = std::chrono::steady_clock::now() + interval;

    for (;;) {
      size_t lines = screen->rows();

      sort_rows(rows, flags.sort);

      std::string frame =
          drawn ? top_frame(rows, lines > 2 ? lines - 2 : 1, screen->columns(), colored)
                : "taking the first reading ...\n";

      screen->draw(cut(heading(sampler, flags, agent), screen->columns()) + "\n" + frame);

      auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          next - std::chrono::steady_clock::now());
      char key = 0;

      if (left.count() <= 0) break;

      Screen::Input input = screen->wait(left, key);

      if (input == Screen::Input::kQuit) return rows;
      if (input == Screen::Input::kKey && key == 's') next_key(flags.sort);
      if (input == Screen::Input::kNone) break;
    }
    rows = sampler.sample();
    drawn++;
  }
  return rows;
}

void top(TopFlags& flags, Session& session) {
  auto enforced = Enforced::open(session.bpffs);

  if (!enforced) return session.broken(enforced.error());

  bool agent = agent_status(session).has_value();
  Sampler sampler(std::move(*enforced));

  if (isatty(STDOUT_FILENO) && isatty(STDIN_FILENO)) {
    auto last = refresh(sampler, flags, session.colored(), agent);

    if (!last) return session.broken(std::move(last.error()).within("top"));
    // The screen is given back as it was; what was asked for by number stays to be read.
    if (flags.iterations) {
      sort_rows(*last, flags.sort);
      print(top_frame(*last, 0, 0, session.colored()));
    }
    return;
  }
  for (int i = 0; !flags.iterations || i < flags.iterations; i++) {
    std::this_thread::sleep_for(std::chrono::duration<double>(flags.seconds));

    std::vector<TopRow> rows = sampler.sample();

    sort_rows(rows, flags.sort);
    print((i ? "\n" : "") + top_frame(rows, 0, 0, session.colored()));
  }
}

}  // namespace

void add_top(CLI::App& app, Session& session) {
  CLI::App* verb = app.add_subcommand("top", "Watch what each tenant does, live");
  auto flags = std::make_shared<TopFlags>();

  verb->add_option("--sort", flags->sort, "Column to sort by, largest first")
      ->capture_default_str()
      ->check(
          CLI::IsMember(std::vector<std::string>(std::begin(kTopKeys), std::end(kTopKeys))));
  verb->add_option("-n,--iterations", flags->iterations, "Stop after so many tables")
      ->check(CLI::PositiveNumber);
  verb->add_option("-d,--delay", flags->seconds, "Seconds between two tables")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 3600.0));
  verb->footer(
      "On a terminal the table is redrawn in place: q quits, s sorts by the next column.\n"
      "Rates are of traffic that passed; USED is the share of a limit,\n"
      "OVER/S the packets that were over it.");
  verb->callback([flags, &session] { top(*flags, session); });
}

}  // namespace partywall::cli

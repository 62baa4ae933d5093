// tests/bpf/event_log_test.cc: denials of real packets, out of the ring and into files, pipes
// and the feed.
#include "agent/observe/event_log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/bpf/world.h"
#include "tests/unit/temporary_folder.h"

namespace partywall::test {
namespace {

using testing::HasSubstr;
using testing::SizeIs;
using Json = nlohmann::json;

constexpr const char* kPolicy = R"(
apiVersion: partywall.dev/v1alpha1
kind: Tier
metadata: {name: gold}
spec: {}
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: a}
spec:
  tier: gold
  members: [{cgroup: $ROOT/a, addresses: [10.78.1.0/24]}]
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: b}
spec:
  tier: gold
  members: [{cgroup: $ROOT/b, addresses: [10.78.2.0/24]}]
)";

// The wall clock's time, some milliseconds from now.
std::string utc_text(int milliseconds) {
  timespec time{};

  clock_gettime(CLOCK_REALTIME, &time);

  int64_t ns = time.tv_sec * 1'000'000'000 + time.tv_nsec + milliseconds * 1'000'000;
  time_t seconds = ns / 1'000'000'000;
  char text[32];
  tm utc{};

  gmtime_r(&seconds, &utc);
  strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
  return fmt::format("{}.{:09}Z", text, ns % 1'000'000'000);
}

class EventLogTest : public World {
 protected:
  void SetUp() override {
    World::SetUp();
    if (HasFatalFailure()) return;
    signal(SIGPIPE, SIG_IGN);  // as the agent does
    policy(kPolicy);
    make_cgroup("a");
    make_cgroup("b");
  }
  void TearDown() override {
    log_.reset();  // it holds the ring
    World::TearDown();
  }

  Result<std::unique_ptr<observe::EventLog>> try_open(const std::string& sink) {
    return observe::EventLog::open({.pin_root = pins_, .sink = sink, .node = "n1"}, metrics_);
  }
  void open(const std::string& sink) {
    auto opened = try_open(sink);

    ASSERT_TRUE(opened) << opened.error().message();
    log_ = std::move(*opened);
  }
  // A packet of a to b's address, or of b to a's, with that source port; it is denied.
  void deny(const std::string& tenant, uint16_t port) {
    enter(tenant);
    Outcome outcome = tenant == "a" ? egress(Packet::udp("10.78.1.1", port, "10.78.2.1", 9))
                                    : egress(Packet::udp("10.78.2.1", port, "10.78.1.1", 9));

    ASSERT_EQ(abi::REASON_DENY_TENANT, outcome.reason);
  }
  void deny_and_drain(const std::string& tenant, uint16_t port) {
    deny(tenant, port);
    log_->drain();
  }
  static std::vector<std::string> lines_of(const std::string& path) {
    std::ifstream file(path);
    std::vector<std::string> lines;

    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }
  static std::vector<int> ports_of(const std::vector<std::string>& lines) {
    std::vector<int> ports;

    for (const std::string& line : lines) ports.push_back(Json::parse(line)["local_port"]);
    return ports;
  }
  // partywall_event_lines_lost_total{sink="file"}
  int lost() {
    const std::string kSeries = "\npartywall_event_lines_lost_total{sink=\"file\"} ";
    std::string text = metrics_.text();
    size_t at = text.find(kSeries);

    return at == std::string::npos ? 0 : std::stoi(text.substr(at + kSeries.size()));
  }

  TemporaryFolder folder_;
  observe::SelfMetrics metrics_;
  std::unique_ptr<observe::EventLog> log_;
};

TEST_F(EventLogTest, ADenialBecomesALineInTheFileAndTheFeed) {
  std::string path = folder_.path("events");

  open(path);

  std::string before = utc_text(-1);

  deny("a", 4001);

  pollfd ready{.fd = log_->poll_fd(), .events = POLLIN};

  EXPECT_EQ(1, poll(&ready, 1, 1000)) << "the loop is told";
  EXPECT_THAT(lines_of(path), SizeIs(0)) << "not before it is drained";
  log_->drain();

  auto lines = lines_of(path);

  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_EQ(lines, log_->feed().recent("a"));
  EXPECT_THAT(log_->feed().recent("b"), SizeIs(0));

  Json event = Json::parse(lines[0]);

  EXPECT_EQ("a", event["tenant"]);
  EXPECT_EQ("b", event["peer_tenant"]);
  EXPECT_EQ("n1", event["node"]);
  EXPECT_EQ("egress", event["hook"]);
  EXPECT_EQ("10.78.2.1", event["peer_address"]);
  EXPECT_EQ(9, event["peer_port"]);
  EXPECT_EQ(28, event["wire_bytes"]);
  EXPECT_GE(event["time"], before);
  EXPECT_LE(event["time"], utc_text(1)) << "the wall clock's time";

  struct stat status {};

  ASSERT_EQ(0, stat(path.c_str(), &status));
  EXPECT_EQ(0600u, status.st_mode & 0777) << "it tells who talks to whom";
}

TEST_F(EventLogTest, EachInItsOrderAndNothingWithoutASink) {
  open("none");
  for (uint16_t port = 1; port <= 5; port++) deny(port % 2 ? "a" : "b", port);
  log_->drain();
  EXPECT_EQ((std::vector<int>{1, 2, 3, 4, 5}), ports_of(log_->feed().recent("")));
  EXPECT_EQ((std::vector<int>{2, 4}), ports_of(log_->feed().recent("b")));
  EXPECT_EQ(0, lost());
}

TEST_F(EventLogTest, AFileIsAppendedTo) {
  std::string path = folder_.path("events");

  folder_.write("events", "from before\n");
  open(path);
  deny_and_drain("a", 1);
  EXPECT_THAT(lines_of(path), SizeIs(2));
  EXPECT_EQ("from before", lines_of(path)[0]);
}

TEST_F(EventLogTest, ARotatedFileIsLeftWhenItIsReopened) {
  open(folder_.path("events"));
  deny_and_drain("a", 1);
  folder_.rename("events", "events.1");
  deny_and_drain("a", 2);
  ASSERT_TRUE(log_->reopen());
  deny_and_drain("a", 3);
  EXPECT_EQ((std::vector<int>{1, 2}), ports_of(lines_of(folder_.path("events.1"))));
  EXPECT_EQ((std::vector<int>{3}), ports_of(lines_of(folder_.path("events"))));
}

TEST_F(EventLogTest, WhenItCannotBeReopenedTheOldFileGoesOn) {
  folder_.make_folder("logs");
  open(folder_.path("logs/events"));
  folder_.rename("logs", "gone");

  auto reopened = log_->reopen();

  ASSERT_FALSE(reopened);
  EXPECT_THAT(reopened.error().message(), HasSubstr(folder_.path("logs/events")));
  deny_and_drain("a", 1);
  EXPECT_EQ((std::vector<int>{1}), ports_of(lines_of(folder_.path("gone/events"))));
}

TEST_F(EventLogTest, AFileThatIsFullLosesLinesAndMendsItself) {
  std::string path = folder_.path("events");
  rlimit unlimited{};

  open(path);
  deny_and_drain("a", 1);
  signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(0, getrlimit(RLIMIT_FSIZE, &unlimited));

  // Room for half of a line.
  rlimit full = {.rlim_cur = std::filesystem::file_size(path) + 100,
                 .rlim_max = unlimited.rlim_max};

  ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &full));
  deny_and_drain("a", 2);
  deny_and_drain("a", 3);
  ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &unlimited));
  EXPECT_EQ(2, lost());
  deny_and_drain("a", 4);

  auto lines = lines_of(path);

  ASSERT_THAT(lines, SizeIs(3)) << "one, the half of two, four";
  EXPECT_EQ(1, Json::parse(lines[0])["local_port"]);
  EXPECT_TRUE(Json::parse(lines[1], nullptr, false).is_discarded());
  EXPECT_THAT(lines[1], SizeIs(100));
  EXPECT_EQ(4, Json::parse(lines[2])["local_port"]);
  EXPECT_EQ(2, lost());
  EXPECT_THAT(log_->feed().recent(""), SizeIs(4)) << "the feed has them all";
}

TEST_F(EventLogTest, APipeThatNobodyReadsHoldsUpNothing) {
  std::string path = folder_.path("pipe");

  ASSERT_EQ(0, mkfifo(path.c_str(), 0600));

  Fd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK));

  ASSERT_TRUE(reader);
  ASSERT_EQ(4096, fcntl(reader.get(), F_SETPIPE_SZ, 4096));
  open(path);
  for (uint16_t port = 1; port <= 40; port++) deny_and_drain("a", port);
  EXPECT_GT(lost(), 0);
  EXPECT_LT(lost(), 40);

  char text[8192];
  ssize_t got = read(reader.get(), text, sizeof(text));

  ASSERT_GT(got, 0);
  EXPECT_EQ('\n', text[got - 1]) << "whole lines";
  deny_and_drain("a", 41);
  got = read(reader.get(), text, sizeof(text));
  ASSERT_GT(got, 0);
  EXPECT_EQ(41, Json::parse(std::string_view(text, static_cast<size_t>(got)))["local_port"]);

  // Its reader leaves.
  int before = lost();

  reader = Fd();
  deny_and_drain("a", 42);
  EXPECT_EQ(before + 1, lost());
}

TEST_F(EventLogTest, AFileThatCannotBeIsRefused) {
  auto nowhere = try_open(folder_.path("no/such/events"));

  ASSERT_FALSE(nowhere);
  EXPECT_THAT(nowhere.error().message(), HasSubstr("open the events file "));
  EXPECT_THAT(nowhere.error().message(), HasSubstr(folder_.path("no/such/events")));
  EXPECT_FALSE(try_open(folder_.path()));

  // Opening a pipe without a reader would wait for one.
  ASSERT_EQ(0, mkfifo(folder_.path("pipe").c_str(), 0600));

  auto alone = try_open(folder_.path("pipe"));

  ASSERT_FALSE(alone);
  EXPECT_THAT(alone.error().message(), HasSubstr(folder_.path("pipe")));
}

// Control: the tenant's budget, not the log, is what bounds a flood; the counters say so.
TEST_F(EventLogTest, AFloodIsCountedAndNotWritten) {
  std::string path = folder_.path("events");

  open(path);
  for (uint16_t port = 1; port <= 500; port++) deny("a", port);
  log_->drain();

  abi::tenant_counters counted = counters(number("a"));

  EXPECT_THAT(lines_of(path), SizeIs(counted.events_sent));
  EXPECT_EQ(500u, counted.events_sent + counted.events_throttled + counted.events_dropped);
  EXPECT_GT(counted.events_throttled, 0u);
  EXPECT_EQ(0, lost());

  Json last = Json::parse(lines_of(path).back());

  EXPECT_LE(last["lost_total"], counted.events_throttled);
}

}  // namespace
}  // namespace partywall::test

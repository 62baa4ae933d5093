// tests/bpf/edge_corpus_test.cc: frames that the edge once judged wrongly, each with what is
// right; and the model is asked, too.
//
// A line of tests/bpf/corpus/*.frames is one frame, and the lines of a file follow each other:
//   DIRECTION AT FROM MARK VERDICT REASON HEX
// AT: web, db (bound by name), old (web's, with traffic before it was attached), nobody.
// FROM: egress: whose socket sends (host, web, db, stray); ingress: what it came over: host (it
// is from this host's own socket), uplink, unknown, or an interface. MARK: a tenant, or "-".
// REASON: of the one cell that counts; "-" = none does.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/bpf/edge_differential.h"

namespace partywall::test {
namespace {

constexpr const char* kLane = R"(
infrastructure:
  - {name: dns, cidr: 10.77.9.53/32, ports: [{protocol: UDP, port: 53}]}
)";

enum { kAtWeb, kAtDb, kAtOld, kAtNobody };
constexpr std::array<const char*, 4> kAt = {"web", "db", "old", "nobody"};

std::filesystem::path corpus() {
  const char* source = std::getenv("PARTYWALL_SOURCE");

  return std::filesystem::path(source ? source : ".") / "tests/bpf/corpus";
}

std::string content_of(const std::filesystem::path& path) {
  std::stringstream text;

  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::vector<uint8_t> from_hex(const std::string& text) {
  std::vector<uint8_t> bytes;

  for (size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)));
  return bytes;
}

class EdgeCorpus : public EdgeDifferential {
 protected:
  // All as at the beginning, and a model that knows it.
  EdgeModel begin() {
    static constexpr std::array<const char*, 4> kOwners = {"web", "db", "web", ""};

    start(content_of(corpus() / "policy.yaml"), kLane);
    for (const char* name : {"web", "db"}) make_flows(name, 64);

    std::map<uint32_t, std::string> names = {{number("web"), "web"}, {number("db"), "db"}};
    EdgeModel model(policy_, [names](uint32_t mark) {
      auto found = names.find((mark & kMarkMask) / (kMarkMask & -kMarkMask));

      return found == names.end() ? "" : found->second;
    });

    for (size_t i = 0; i < kAt.size(); i++) {
      bool strict = i != kAtOld;

      give(static_cast<int>(i), kOwners[i], strict ? INTERFACE_STRICT : 0);
      model.interfaces[ifindex(static_cast<int>(i))] = {.named = kOwners[i],
                                                        .bound = "",
                                                        .strict = strict,
                                                        .has_link_header = true,
                                                        .mac = std::nullopt};
    }
    give(kUplink, "", INTERFACE_HOST);
    model.looked_at = {kLoopback, ifindex(kUplink)};
    model.with_table = {"web", "db"};
    return model;
  }

  uint32_t index_of(const std::string& name) const {
    if (name == "uplink") return ifindex(kUplink);
    if (name == "unknown") return kUnknownInterface;
    if (name == "host") return 0;

    auto found = std::ranges::find(kAt, name);

    EXPECT_NE(kAt.end(), found) << name;
    return ifindex(static_cast<int>(found - kAt.begin()));
  }

  // What is wrong with one line; nothing when it is all right.
  std::string replay(const std::string& line, EdgeModel& model) {
    std::istringstream words(line);
    std::string direction, at, from, mark, verdict, reason, hex;

    words >> direction >> at >> from >> mark >> verdict >> reason >> hex;

    EdgeFrame frame{
        .direction = direction == "egress" ? abi::DIRECTION_EGRESS : abi::DIRECTION_INGRESS,
        .ifindex = index_of(at),
        .bytes = from_hex(hex)};
    bool egress = frame.direction == abi::DIRECTION_EGRESS;
    // Link addresses in the corpus are web's.
    frame.bytes[egress ? 11 : 5] ^= static_cast<uint8_t>(frame.ifindex << 5);

    bool tenant = egress && from != "host" && from != "stray";

    frame.mark = mark == "-" ? 0 : mark_of(number(mark));
    frame.came_over = egress ? frame.ifindex : index_of(from);
    enter(egress && from != "host" ? from : "");

    EdgeStep step =
        show(frame, {.tenant = tenant ? from : "", .is_managed = egress && from != "host"});
    std::string seen = step.outcome.cells.empty() ? "-" : label_of(step.outcome.reason());

    if (step.outcome.verdict != (verdict == "next" ? kNext : kDrop) || seen != reason)
      return fmt::format("{}\n  programs say {}, {}\n", line, step.outcome.verdict, seen);
    return disagreement(model, step);
  }

  void SetUp() override {
    EdgeDifferential::SetUp();
    for (const char* name : {"web", "db"}) make_cgroup(name);
  }
};

TEST_F(EdgeCorpus, IsJudgedAsItShouldBe) {
  int files = 0;

  for (const auto& entry : std::filesystem::directory_iterator(corpus())) {
    if (entry.path().extension() != ".frames") continue;
    files++;

    EdgeModel model = begin();
    std::istringstream lines(content_of(entry.path()));

    for (std::string line; std::getline(lines, line);) {
      if (line.empty() || line[0] == '#') continue;

      std::string wrong = replay(line, model);

      EXPECT_TRUE(wrong.empty()) << entry.path().filename() << ": " << wrong;
    }
  }
  EXPECT_GE(files, 5) << "no corpus in " << corpus() << ": is PARTYWALL_SOURCE set?";
}

}  // namespace
}  // namespace partywall::test

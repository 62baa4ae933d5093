// tests/bpf/edge_differential.cc: rolls policies, interfaces and frames; compares.
#include "tests/bpf/edge_differential.h"

#include <algorithm>

namespace partywall::test {
namespace {

constexpr uint16_t kNobody = 15;  // a number that no tenant has
constexpr const char* kNobodysName = "nobody";

std::string to_string(const ModelVerdict& verdict) {
  if (!verdict.reason) return verdict.passes ? "passes, not counted" : "dropped, not counted";
  return fmt::format(
      "{}: {}{}, for {}, {} bytes, {} packets", verdict.passes ? "passes" : "dropped",
      label_of(*verdict.reason), verdict.would ? ", would deny" : "",
      verdict.tenant.empty() ? "nobody" : verdict.tenant, verdict.bytes, verdict.packets);
}

}  // namespace

bool is_left_out(const EdgeWire& wire) {
  auto local = [](const policy::Address& address) {
    if (is_v4(address)) return address.bytes[0] == 127;
    return address.half(0) == 0 && address.half(8) == 1;
  };

  if (wire.is_ip() && (local(wire.packet.source) || local(wire.packet.target))) return true;
  if (wire.is_ip() && wire.is_v4() && wire.packet.target.half(0) == 0) return true;
  if (wire.is_ip() && wire.is_v4() && wire.packet.source.half(0) == 0 &&
      wire.packet.source_port != 68)
    return true;
  if (!wire.is_icmp_error()) return false;

  size_t source = wire.is_v4() ? 8 + 12 : 8 + 8, size = wire.is_v4() ? 4 : 16;

  if (wire.body.size() < source + 2 * size) return false;
  return local(wire::address(wire.body, source, wire.packet.source.family)) ||
         local(wire::address(wire.body, source + size, wire.packet.source.family));
}

const char* label_of(abi::reason reason) {
  static constexpr const char* kNames[] = {
#define X(name, label, peer_class, sentence) #name,
      PARTYWALL_REASONS(X)
#undef X
          "nothing"};

  return kNames[reason];
}

std::string to_hex(const std::vector<uint8_t>& bytes) {
  std::string text;

  for (uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

void EdgeDifferential::SetUp() {
  EdgeWorld::SetUp();
  for (int i = 0; i < PolicyDice::kTenants; i++) make_cgroup(fmt::format("t{}", i));
  make_cgroup("stray");
}

void EdgeDifferential::roll_policy(Dice& dice) {
  text_ = PolicyDice(dice).roll();
  start(text_.documents, text_.config);
  ASSERT_FALSE(HasFatalFailure());
  enter("");

  bool marks = dice.percent(85);

  control().mark_mask = marks ? kMarkMask : 0;

  std::map<uint32_t, std::string> names;

  for (const std::string& tenant : text_.tenants) names[number(tenant)] = tenant;
  names[kNobody] = kNobodysName;
  model_ = std::make_unique<EdgeModel>(policy_, [marks, names](uint32_t mark) -> std::string {
    auto found = names.find((mark & kMarkMask) / (kMarkMask & -kMarkMask));

    return !marks || found == names.end() ? "" : found->second;
  });
  model_->marks = marks;
  for (const std::string& tenant : text_.tenants)
    if (dice.percent(90)) {
      make_flows(tenant, 2048);
      model_->with_table.insert(tenant);
    }
  frames_.clear();
  for (int i = 0; i < kUplink; i++) {
    ModelInterface at{.named = i < 2 ? dice.one_of(text_.tenants) : "",
                      .bound = "",
                      .strict = i % 2 == 0,
                      .has_link_header = true,
                      .mac = std::nullopt};

    give(i, at.named, at.strict ? INTERFACE_STRICT : 0);
    model_->interfaces[ifindex(i)] = at;
    frames_.push_back(std::make_unique<FrameDice>(
        dice, text_, at.named.empty() ? dice.one_of(text_.tenants) : at.named));
  }
  give(kUplink, "", INTERFACE_HOST);
  forget(kNotLookedAt);
  model_->looked_at = {kLoopback, ifindex(kUplink)};
}

EdgeFrame EdgeDifferential::framed(Dice& dice, RolledFrame rolled, int at) {
  EdgeFrame frame{.direction = rolled.direction,
                  .ifindex = ifindex(at),
                  .bytes = std::move(rolled.bytes),
                  .came_over = ifindex(at),
                  .segments = rolled.segments};

  // Each workload has a link address of its own, nearly always.
  if (!dice.percent(1))
    frame.bytes[frame.direction == abi::DIRECTION_EGRESS ? 11 : 5] ^=
        static_cast<uint8_t>(at << 5);
  if (dice.percent(35)) {
    uint16_t who = dice.percent(10) ? kNobody : number(dice.one_of(text_.tenants));

    frame.mark = mark_of(who, dice.percent(50) ? 0xdeadbeef : 0);
  } else if (dice.percent(20)) {
    frame.mark = 0xdeadbeef & ~kMarkMask;
  }
  if (frame.direction == abi::DIRECTION_EGRESS) return frame;

  uint32_t from = dice.below(100);

  frame.came_over = from < 15   ? 0
                    : from < 75 ? ifindex(kUplink)
                    : from < 90 ? ifindex(static_cast<int>(dice.below(4)))
                    : from < 95 ? ifindex(kNotLookedAt)
                                : kUnknownInterface;
  return frame;
}

EdgeStep EdgeDifferential::show(EdgeFrame frame, ModelSender sender) {
  EdgeStep step{.frame = std::move(frame), .sender = std::move(sender), .full = full_};
  uint64_t before = datapath_->health().unbound_total;

  step.outcome = send(step.frame);
  step.unbound = datapath_->health().unbound_total - before;
  return step;
}

std::vector<EdgeStep> EdgeDifferential::show(Dice& dice, int count) {
  std::vector<EdgeStep> all;
  const std::string& named = model_->interfaces[ifindex(0)].named;
  const std::string other = dice.one_of(text_.tenants);

  for (const std::string& who : {std::string(), named, std::string("stray"), other}) {
    bool is_tenant = !who.empty() && who != "stray";
    std::string victim = dice.percent(25) ? dice.one_of(text_.tenants) : "";

    enter(who);
    std::string filled;

    if (model_->with_table.contains(victim)) {
      fill_flows(victim);
      filled = victim;
      full_ = {victim};
    }
    for (int i = 0; i < count; i++) {
      int at = static_cast<int>(dice.below(4));

      // What a tenant's socket sends mostly leaves over its own interface.
      if (is_tenant && dice.percent(70)) at = who == named ? 0 : 2;

      RolledFrame rolled = frames_[static_cast<size_t>(at)]->roll();
      uint32_t shapes = rolled.shapes;
      EdgeFrame frame = framed(dice, std::move(rolled), at);

      if (is_left_out(read_frame(frame.bytes))) continue;
      all.push_back(
          show(std::move(frame), {.tenant = is_tenant ? who : "", .is_managed = !who.empty()}));
      all.back().shapes = shapes;
      all.back().filled = std::exchange(filled, "");
      if (all.back().outcome.verdict == kDrop) frames_[static_cast<size_t>(at)]->was_dropped();
    }
    if (!full_.empty()) drain_flows(victim);
    full_.clear();
  }
  return all;
}

std::optional<EdgeStep> EdgeDifferential::show_passing(Dice& dice, Shape shape,
                                                       EdgeModel& model) {
  for (int tries = 0; tries < 2'000; tries++) {
    RolledFrame rolled = frames_[0]->roll();
    bool wanted = rolled.is(shape) && rolled.segments == 0;
    EdgeFrame frame = framed(dice, std::move(rolled), 0);

    if (is_left_out(read_frame(frame.bytes))) continue;

    EdgeStep step = show(std::move(frame), {});
    std::string wrong = disagreement(model, step);

    EXPECT_TRUE(wrong.empty()) << wrong << text();
    if (step.outcome.verdict == kDrop) frames_[0]->was_dropped();
    if (wanted && step.outcome.verdict == kNext) return step;
  }
  return std::nullopt;
}

std::string EdgeDifferential::disagreement(EdgeModel& model, const EdgeStep& step) const {
  if (!step.filled.empty()) model.forget(step.filled);
  model.full = step.full;

  auto at = model.interfaces.find(step.frame.ifindex);
  std::string where =
      at == model.interfaces.end()
          ? "of nobody"
          : fmt::format("{}{}", at->second.owner(), at->second.strict ? ", strict" : "");
  ModelVerdict verdict = model.judge(step.frame, step.sender);
  const EdgeOutcome& outcome = step.outcome;
  EdgeWire wire = read_frame(step.frame.bytes);
  std::vector<EdgeCell> cells;

  if (verdict.reason)
    cells.push_back({.tenant = verdict.tenant.empty() ? uint16_t{0} : number(verdict.tenant),
                     .direction = step.frame.direction,
                     .reason = *verdict.reason,
                     .peer_class = abi::CLASS_SAME_TENANT,
                     .would = verdict.would,
                     .bytes = verdict.bytes,
                     .packets = verdict.packets});
  // No kernel makes a fragment of many segments: what it would cost is nobody's business.
  if (step.frame.segments > 1 && !cells.empty() && outcome.cells.size() == 1 &&
      (wire.part == EdgeWire::kLater || wire.refused != abi::REASON_COUNT))
    cells[0].bytes = outcome.cells[0].bytes;

  bool egress = step.frame.direction == abi::DIRECTION_EGRESS;
  uint32_t mark = step.frame.mark;

  if (egress && at != model.interfaces.end())
    mark = mark_of(verdict.marked.empty() ? uint16_t{0} : number(verdict.marked), mark);

  uint64_t unbound = verdict.reason && !verdict.passes && verdict.tenant.empty();

  if (outcome.verdict == (verdict.passes ? kNext : kDrop) && outcome.cells == cells &&
      (!verdict.passes || outcome.mark == mark) && outcome.is_unchanged &&
      step.unbound == unbound)
    return "";

  std::string programs =
      fmt::format("verdict {}, mark {:#x}{}, unbound +{}", outcome.verdict, outcome.mark,
                  outcome.is_unchanged ? "" : ", frame changed", step.unbound);

  for (const EdgeCell& cell : outcome.cells)
    programs +=
        fmt::format(", {}{} for {}, {} bytes, {} packets", label_of(cell.reason),
                    cell.would ? ", would deny" : "", cell.tenant, cell.bytes, cell.packets);
  return fmt::format(
      "{} at interface {} ({}), mark {:#x}, came over {}, {} segments, socket of {}{}\n"
      "  frame    {}\n  reads    {}, part {}, refused {}\n  programs {}\n  model    {}, mark "
      "{:#x}\n",
      egress ? "egress" : "ingress", step.frame.ifindex, where, step.frame.mark,
      step.frame.came_over, step.frame.segments,
      step.sender.tenant.empty() ? (step.sender.is_managed ? "stray" : "the host")
                                 : step.sender.tenant,
      step.full.empty() ? "" : ", full table of " + *step.full.begin(),
      to_hex(step.frame.bytes), test::to_string(wire.packet), static_cast<int>(wire.part),
      label_of(wire.refused), programs, to_string(verdict), mark);
}

}  // namespace partywall::test

// agent/agent.cc: the stages of the agent, in the order in which a policy flows through them.
#include "agent/agent.h"

#include <fmt/chrono.h>
#include <malloc.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>

#include "agent/kernel/attachments.h"
#include "agent/kernel/capabilities.h"
#include "agent/kernel/uninstall.h"
#include "agent/observe/event_view.h"
#include "agent/policy/compile.h"
#include "agent/source/cgroup_tree.h"
#include "agent/version.h"
#include "maps/abi/control.h"
#include "maps/typed_map.h"

namespace partywall {
namespace {

using observe::Metric;
using std::chrono::steady_clock;

constexpr std::chrono::seconds kLookAfterEvery(2);
// How long a start waits for the API server to say something more before it makes do with the
// last good policy. A list of a large cluster may take longer, in pieces.
constexpr std::chrono::seconds kClusterPatience(20);
constexpr int kClusterTurns = 6;  // and how often
constexpr const char* kMetricsType = "text/plain; version=0.0.4; charset=utf-8";
constexpr size_t kMostProblemsLogged = 20;
constexpr size_t kMostProblemsKept = 100;

std::string host_name() {
  char name[256] = {};

  return gethostname(name, sizeof(name) - 1) ? "unknown" : name;
}

double seconds_since(steady_clock::time_point start) {
  return std::chrono::duration<double>(steady_clock::now() - start).count();
}

Result<std::string> read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);

  if (!file) return fail_errno(errno, "read {}", path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::vector<std::string> lines_of(const std::vector<policy::Problem>& problems) {
  std::vector<std::string> lines;

  for (const policy::Problem& problem : problems) lines.push_back(to_string(problem));
  return lines;
}

kernel::EdgeOptions edge_options(const Options& options) {
  kernel::EdgeOptions edge{
      .names = {},
      .mark_mask = options.edge_mark_mask,
      .order = options.edge_order == "last" ? kernel::TcOrder::kLast : kernel::TcOrder::kFirst};

  edge.names = split_list(options.edge_interfaces);
  return edge;
}

// On a large cluster something changes several times a second.
spdlog::level::level_enum level_of_change(bool is_frequent) {
  return is_frequent ? spdlog::level::debug : spdlog::level::info;
}

void tell_systemd(const char* state) { sd_notify(0, state); }

// The kernel's own words seldom say that it is privileges that are missing.
Error with_hint(Error error) {
  auto lacking = kernel::lacking_capabilities();

  if (lacking.empty()) return error;
  return fail("{}; this process lacks {}: start it as root, or with these capabilities",
              error.message(), fmt::join(lacking, ", "));
}

// Whether no agent has ever enforced anything with these pins, and nobody else's are there.
bool is_untouched(const std::string& pin_root) {
  auto control = MappedArray<const abi::control>::open(pin_root, "control");

  if (control) return (*control)[0].generation == 0;
  if (control.error().errno_value() != ENOENT) return false;
  for (const char* folder : {"/maps", "/links", "/programs"}) {
    std::error_code absent;

    if (!std::filesystem::is_empty(pin_root + folder, absent) && !absent) return false;
  }
  return true;
}

}  // namespace

Agent::Agent(Options options)
    : options_(std::move(options)), last_good_(options_.state_dir, options_.policy_dir) {
  if (options_.node.empty()) options_.node = host_name();
}

Result<std::unique_ptr<Agent>> Agent::start(const Options& options) {
  bool is_first = is_untouched(options.bpffs);
  std::unique_ptr<Agent> agent(new Agent(options));
  auto done = agent->set_up();

  if (done) return agent;
  agent.reset();
  // Half a wall, and nobody who looks after it, would help no one.
  if (is_first)
    if (auto removed = kernel::uninstall(options.bpffs); !removed)
      spdlog::warn("take back what was set up: {}", removed.error().message());
  return std::move(done.error());
}

Result<void> Agent::set_up() {
  if (auto read = read_config(); !read) return read;

  auto mount = source::cgroup2_mount();

  if (!mount) return std::move(mount.error());
  mount_ = *mount;

  auto loop = observe::Loop::make();

  if (!loop) return std::move(loop.error());
  loop_ = std::move(*loop);
  if (auto opened = open_source(); !opened) return opened;

  auto datapath = kernel::Datapath::open({.pin_root = options_.bpffs,
                                          .cgroup_mount = *mount,
                                          .managed_root = options_.cgroup_root,
                                          .max_tenants = options_.max_tenants,
                                          .count_syscalls = options_.syscalls,
                                          .edge = edge_options(options_)});

  if (!datapath) return with_hint(std::move(datapath.error()));
  datapath_ = std::move(*datapath);
  numbers_ = datapath_->numbers();
  if (cluster_) let_own_pod_pass();
  if (auto serving = serve(); !serving) return serving;
  if (auto enforced = enforce_first(); !enforced) return enforced;
  if (auto attached = datapath_->attach(); !attached)
    return with_hint(std::move(attached.error()));
  report_attachments();
  if (!is_ready())
    return fail("attach: the kernel says that {} programs are not attached, {} first",
                detached_.size(), detached_.front());
  return {};
}

Result<void> Agent::read_config() {
  if (options_.config.empty()) return {};

  auto text = read_text(options_.config);

  if (!text) return std::move(text.error());

  auto parsed = policy::parse_infrastructure(options_.config, *text);

  if (!parsed.problems.empty())
    return fail("the configuration cannot be used:\n  {}",
                fmt::join(lines_of(parsed.problems), "\n  "));
  config_text_ = std::move(*text);
  infrastructure_ = std::move(parsed.entries);
  lane_services_ = std::move(parsed.services);
  return {};
}

Result<void> Agent::open_source() {
  if (options_.kubernetes) return open_cluster();
  if (options_.cgroup_root == "auto")
    return fail("--cgroup-root auto goes with --kubernetes: name the managed root");
  if (!lane_services_.empty())
    return fail("infrastructure {} names a service: that goes with --kubernetes",
                lane_services_.front().name);

  auto folder = source::PolicyFolder::open(options_.policy_dir);

  if (!folder) return std::move(folder.error());
  folder_ = std::make_unique<source::PolicyFolder>(std::move(*folder));
  return {};
}

Result<void> Agent::open_cluster() {
  if (options_.cgroup_root == "auto")
    for (const char* root : {"/kubepods", "/kubepods.slice"})
      if (std::filesystem::is_directory(mount_ + root)) options_.cgroup_root = root;
  if (options_.cgroup_root == "auto")
    return fail(
        "there is neither {0}/kubepods nor {0}/kubepods.slice: no kubelet runs here, or "
        "with another --cgroup-root; name it",
        mount_);

  auto access = options_.kubeconfig.empty()
                    ? kubernetes::in_cluster_access()
                    : kubernetes::kubeconfig_access(options_.kubeconfig);

  if (!access) return std::move(access.error());

  auto spaces = split_list(options_.infrastructure_namespaces);
  kubernetes::ClusterOptions cluster{
      .node = options_.node,
      .cgroup_root = options_.cgroup_root,
      .pod_ranges = split_list(options_.cluster_cidrs),
      .service_ranges = split_list(options_.service_cidrs),
      .infrastructure_namespaces = {spaces.begin(), spaces.end()},
      .offers = split_list(options_.infrastructure_offers),
      .reaches = split_list(options_.infrastructure_reaches),
      .lane = lane_services_,
      .deny_unassigned = options_.unassigned_namespaces == "deny"};

  if (!options_.space.empty()) cluster.infrastructure_namespaces.insert(options_.space);

  auto source = kubernetes::KubernetesSource::open(
      *loop_, {std::move(*access), std::move(cluster), options_.space, last_good_.texts()},
      [this] {
        cluster_changed_ = true;
        if (is_running_)
          reload("the cluster changed");
        else
          loop_->stop();  // wait_for_cluster()
      });

  if (!source) return std::move(source.error());
  cluster_ = std::move(*source);
  return {};
}

// An earlier agent's programs refuse the pod of this one, which they do not know: it would
// never reach the API server that could say whose it is. So the last good policy comes first,
// with this pod in it.
void Agent::let_own_pod_pass() {
  if (options_.pod_uid.empty() || datapath_->generation() == 0) return;

  auto folder = source::PolicyFolder::open(last_good_.folder());
  auto copy =
      folder ? folder->read(infrastructure_, options_.cgroup_root) : policy::ParsedPolicy{};
  auto lane = copy.policy.tenants.find(kubernetes::kInfrastructure);

  if (!copy.problems.empty() || lane == copy.policy.tenants.end()) {
    spdlog::warn("there is no last good policy to put this agent's own pod into");
    return;
  }

  policy::Tenant tenant = lane->second;

  for (const char* qos : {"Guaranteed", "Burstable", "BestEffort"}) {
    kubernetes::Pod own;

    own.cgroup_uid = options_.pod_uid;
    own.qos = qos;

    auto pattern = policy::parse_cgroup_pattern(cgroup_of(own, options_.cgroup_root));

    if (pattern) tenant.cgroups.push_back(std::move(*pattern));
  }
  copy.policy.tenants.add(std::move(tenant));
  if (auto done = enforce("own pod", std::move(copy)); !done)
    spdlog::warn("let this agent's own pod pass: {}", done.error().message());
}

// Until the API server has told everything once, or has said nothing for too long.
void Agent::wait_for_cluster() {
  kubernetes::Timer patience(loop_->base(), [this] { loop_->stop(); });
  uint64_t told = 0;

  for (int turn = 0; turn < kClusterTurns && !cluster_->synced(); turn++) {
    patience.after(kClusterPatience);
    loop_->run();

    uint64_t before = std::exchange(told, cluster_->facts().bytes);

    if (told == before) break;
  }
  if (!cluster_->synced())
    spdlog::warn("the API server has not told everything; missing: {}", cluster_->missing());
}

policy::ParsedPolicy Agent::read_policy() {
  if (folder_) return folder_->read(infrastructure_, options_.cgroup_root);
  cluster_changed_ = false;
  return cluster_->read(infrastructure_, options_.cgroup_root);
}

std::vector<source::PolicySource> Agent::policy_sources() const {
  return folder_ ? folder_->sources() : cluster_->sources();
}

std::string Agent::source_name() const {
  return folder_ ? options_.policy_dir : "what the API server has";
}

// Opens what others read. Nobody is answered before run().
Result<void> Agent::serve() {
  auto events = observe::EventLog::open(
      {.pin_root = options_.bpffs, .sink = options_.events, .node = options_.node}, metrics_);

  if (!events) return std::move(events.error());
  events_ = std::move(*events);

  auto series = observe::TenantSeries::open(options_.bpffs);

  if (!series) return std::move(series.error());
  series_ = std::make_unique<observe::TenantSeries>(std::move(*series));
  list_tenants();  // what was put into force for this agent's own pod

  auto control = control::Server::start(*loop_, events_->feed(),
                                        {.path = options_.control_socket,
                                         .managed_root = options_.cgroup_root,
                                         .status = [this] { return status(); }});

  if (!control) return std::move(control.error());
  control_ = std::move(*control);
  if (!options_.https.empty())
    if (auto served = serve_https(); !served) return served;
  if (options_.metrics.empty()) return {};

  auto http = observe::HttpServer::start(
      *loop_, options_.metrics, options_.metrics_remote,
      {{"/metrics", [this] { return metrics_page(); }},
       {"/healthz", [] { return observe::Page{.body = "alive\n"}; }},
       {"/readyz", [this] {
          return is_ready() ? observe::Page{.body = "enforcing\n"}
                            : observe::Page{.status = 503, .body = "not enforcing\n"};
        }}});

  if (!http) return std::move(http.error());
  http_ = std::move(*http);
  return {};
}

Result<void> Agent::serve_https() {
  auto point = access::AccessPoint::open(
      *loop_,
      {.address = options_.https,
       .certificate = options_.https_certificate,
       .key = options_.https_key,
       .node = options_.node},
      cluster_->access(), metrics_,
      {.all = [this] { return metrics_page(); },
       .metrics = [this](const std::string& tenant) { return metrics_page_of(tenant); },
       .events = [this](const std::string& tenant) { return events_page_of(tenant); }});

  if (!point) return std::move(point.error());
  https_ = std::move(*point);
  return {};
}

Result<void> Agent::enforce_first() {
  if (cluster_) wait_for_cluster();

  std::vector<std::string> problems;

  if (folder_ || cluster_->synced()) {
    auto parsed = read_policy();

    problems = lines_of(parsed.problems);
    if (problems.empty()) {
      auto done = enforce("start", std::move(parsed));

      if (done) {
        remember(policy_sources());
        return {};
      }
      problems.push_back(done.error().message());
    }
  } else {
    problems.push_back("the API server does not tell: " + cluster_->missing());
  }
  refuse(std::move(problems));

  auto last_good = source::PolicyFolder::open(last_good_.folder());
  auto copy = last_good ? last_good->read(infrastructure_, options_.cgroup_root)
                        : policy::ParsedPolicy{};

  if (last_good && copy.problems.empty() && !copy.policy.tiers.empty()) {
    auto done = enforce("start", std::move(copy));

    if (done) {
      spdlog::warn("enforcing the last good policy, as copied to {}", last_good_.folder());
      return {};
    }
    spdlog::error("the copy of the last good policy: {}", done.error().message());
  }
  if (datapath_->generation() > 0) {
    spdlog::warn("keeping generation {} in force, which an earlier agent put there",
                 datapath_->generation());
    return {};
  }
  return fail(
      "nothing is enforced: {} cannot be used, and there is no last good policy; {}",
      source_name(),
      folder_ ? "correct it (partywall check " + options_.policy_dir + ")" : problems_.front());
}

// Policy -> image -> kernel, all of it or nothing.
Result<void> Agent::enforce(const char* why, policy::ParsedPolicy parsed) {
  policy::Capacity capacity{.tenants = options_.max_tenants};
  auto again = image_ ? policy::compile_addresses(parsed.policy, policy_, *image_, capacity)
                      : std::nullopt;
  auto image =
      again ? Result<policy::Image>(std::move(*again))
            : policy::compile(parsed.policy, image_ ? image_->numbers : numbers_, capacity);

  if (!image) return std::move(image.error());

  auto shared = std::make_shared<const policy::Image>(std::move(*image));
  auto applied = datapath_->apply(shared);

  if (!applied) return std::move(applied.error()).within("put the policy into force");
  image_ = std::move(shared);
  policy_ = std::move(parsed.policy);
  observe_exposures();
  if (!again) list_tenants();
  spdlog::log(level_of_change(cluster_ && is_running_),
              "{}: generation {} in force: {} tenants, {} map entries written in {:.1f} ms",
              why, applied->generation, policy_.tenants.size(), applied->written.total(),
              applied->seconds * 1000);
  return {};
}

void Agent::list_tenants() {
  std::vector<observe::TenantLabels> labels;

  tenants_[0] = tenants_[1] = 0;
  labels.reserve(policy_.tenants.size());
  for (const auto& [name, tenant] : policy_.tenants) {
    bool audit = tenant.mode == policy::Mode::kAudit;

    tenants_[audit]++;
    labels.push_back({name, tenant.tier, audit});
  }
  if (series_) series_->set_policy(std::move(labels));
}

void Agent::refuse(std::vector<std::string> problems) {
  for (size_t i = 0; i < std::min(problems.size(), kMostProblemsLogged); i++)
    spdlog::error("policy: {}", problems[i]);
  if (problems.size() > kMostProblemsLogged)
    spdlog::error("policy: and {} more{}", problems.size() - kMostProblemsLogged,
                  folder_ ? "; see partywall check " + options_.policy_dir : "");
  problems_ = std::move(problems);
  metrics_.add(Metric::kPolicyReads, 1, {{"result", "refused"}});
}

// Reads the folder again. Whatever is wrong with it, what is in force stays.
void Agent::reload(const char* why) {
  auto start = steady_clock::now();
  auto parsed = read_policy();
  auto sources = policy_sources();
  std::vector<std::string> problems = lines_of(parsed.problems);

  if (problems.empty() && problems_.empty() && sources == sources_) {
    spdlog::log(level_of_change(cluster_ && is_running_), "{}: the policy has not changed",
                why);
    metrics_.add(Metric::kPolicyReads, 1, {{"result", "unchanged"}});
    if (cluster_) cluster_->report("");
    return;
  }
  if (problems.empty())
    if (auto done = enforce(why, std::move(parsed)); !done)
      problems.push_back(done.error().message());
  if (!problems.empty()) {
    refuse(std::move(problems));
    spdlog::error("{}: {} cannot be used; the last good policy, generation {}, stays in force",
                  why, source_name(), datapath_->generation());
    if (cluster_) cluster_->report(problems_.front());
    return;
  }
  metrics_.observe(Metric::kPolicyApplySeconds, seconds_since(start));
  metrics_.add(Metric::kPolicyReads, 1, {{"result", "applied"}});
  problems_.clear();
  remember(std::move(sources));
}

// What is in force, for the next reading, the next start, and the CLI.
void Agent::remember(std::vector<source::PolicySource> sources) {
  sources_ = std::move(sources);
  if (cluster_) cluster_->report("");
  if (auto saved = last_good_.save(sources_, config_text_); !saved)
    spdlog::warn("copy the policy in force: {}", saved.error().message());
}

void Agent::follow_cgroups() {
  if (auto done = datapath_->follow_cgroups(); !done)
    spdlog::error("follow cgroups: {}", done.error().message());
  observe_exposures();
}

void Agent::observe_exposures() {
  for (double seconds : datapath_->membership().take_exposures())
    metrics_.observe(Metric::kExposure, seconds);
}

void Agent::follow_interfaces() {
  auto news = datapath_->follow_interfaces();

  if (!news) {
    spdlog::error("follow interfaces: {}", news.error().message());
    return;
  }
  for (const kernel::EdgeNews& one : *news) {
    if (!one.trouble.empty()) {
      spdlog::error("interface {} is not attached: {}", one.name, one.trouble);
      continue;
    }
    metrics_.observe(Metric::kEdgeAttach, one.seconds);
    metrics_.add(Metric::kEdgeUnjudged, static_cast<double>(one.unjudged));
    spdlog::debug("interface {} ({}): attached in {:.1f} ms, {} frames had passed", one.name,
                  one.ifindex, one.seconds * 1000, one.unjudged);
  }
}

// Attaches and pins again what somebody has taken away.
void Agent::look_after() {
  auto repaired = datapath_->repair();
  std::string trouble = repaired ? "" : repaired.error().message();

  if (repaired)
    for (const std::string& name : *repaired) {
      spdlog::error("{} was detached, replaced or unpinned by somebody; it is in place again",
                    name);
      metrics_.add(Metric::kRepairs, 1, {{"object", name}});
    }
  if (!trouble.empty() && trouble != trouble_)
    spdlog::error("look after the pins: {}", trouble);
  trouble_ = std::move(trouble);
  report_attachments();
}

void Agent::report_attachments() {
  auto attachments = kernel::attachments(options_.bpffs);

  detached_.clear();
  if (!attachments) {
    detached_.push_back(attachments.error().message());
    return;
  }
  for (const kernel::Attachment& one : *attachments) {
    metrics_.set(Metric::kAttached, one.attached, {{"program", one.name}});
    if (!one.attached) detached_.push_back(one.name);
  }
}

bool Agent::is_ready() const { return datapath_->generation() > 0 && detached_.empty(); }

// What is cheap to know at any time is read when somebody asks.
void Agent::read_facts() {
  const kernel::Sides& sides = datapath_->sides();
  size_t unclassified = 0;
  auto number = [](auto value) { return static_cast<double>(value); };

  static_cast<void>(
      datapath_->membership().unclassified(datapath_->side_in_force(), 0, unclassified));
  metrics_.set(Metric::kPolicyGeneration, number(datapath_->generation()));
  metrics_.set(Metric::kPolicyApplied, number(datapath_->enforced_at_unix_ns()) / 1e9);
  metrics_.set(Metric::kPolicyValid, problems_.empty());
  metrics_.set(Metric::kPolicyProblems, number(problems_.size()));
  metrics_.set(Metric::kTenants, number(tenants_[0]), {{"mode", "enforce"}});
  metrics_.set(Metric::kTenants, number(tenants_[1]), {{"mode", "audit"}});
  metrics_.set(Metric::kTenantsMax, number(options_.max_tenants - 1));
  metrics_.set(Metric::kCgroups, number(datapath_->membership().known()), {{"state", "known"}});
  metrics_.set(Metric::kCgroups, number(unclassified), {{"state", "unclassified"}});
  metrics_.set(Metric::kMapMemory, number(datapath_->map_memory_bytes()));
  for (auto [map, used, capacity] :
       {std::tuple{"tenants", tenants_[0] + tenants_[1], size_t{options_.max_tenants} - 1},
        std::tuple{"endpoints", sides.endpoint_blocks(), size_t{ENDPOINT_BLOCKS}},
        std::tuple{"endpoints6", sides.endpoints6(), size_t{ENDPOINT6_MAX}},
        std::tuple{"pairs", sides.pairs(), size_t{PAIR_MAX}},
        std::tuple{"port_pages", sides.port_pages(), size_t{PORT_PAGE_MAX}}}) {
    metrics_.set(Metric::kMapEntries, number(used), {{"map", map}});
    metrics_.set(Metric::kMapCapacity, number(capacity), {{"map", map}});
  }

  if (cluster_) read_cluster_facts();

  const abi::health& health = datapath_->health();

  if (const kernel::Edges* edges = datapath_->edges()) {
    size_t attached = edges->all().size();
    size_t bound = edges->bound(datapath_->side_in_force());

    metrics_.set(Metric::kEdgeInterfaces, number(bound), {{"state", "bound"}});
    metrics_.set(Metric::kEdgeInterfaces, number(attached - bound), {{"state", "unbound"}});
    metrics_.follow(Metric::kEdgeUnbound, number(health.unbound_total));
  }

  metrics_.follow(Metric::kLosses, number(health.members_full_total),
                  {{"kind", "cgroup_slot"}});
  metrics_.follow(Metric::kLosses, number(health.changes_lost_total),
                  {{"kind", "cgroup_change"}});
  metrics_.follow(Metric::kLosses, number(health.peers_full_total), {{"kind", "udp_peer"}});
  metrics_.follow(Metric::kLosses, number(health.syscalls_lost_total), {{"kind", "syscall"}});
}

void Agent::read_cluster_facts() {
  auto facts = cluster_->facts();
  auto number = [](auto value) { return static_cast<double>(value); };

  metrics_.set(Metric::kKubernetesSynced, cluster_->synced());
  metrics_.set(Metric::kKubernetesStale, facts.stale);
  metrics_.set(Metric::kKubernetesLastContact, number(facts.since_last_word.count()) / 1000);
  metrics_.follow(Metric::kKubernetesRequests, number(facts.requests));
  metrics_.follow(Metric::kKubernetesEvents, number(facts.events));
  metrics_.follow(Metric::kKubernetesBytes, number(facts.bytes));
  metrics_.follow(Metric::kKubernetesErrors, number(facts.errors));
}

observe::Page Agent::metrics_page() {
  observe::Page page{.type = kMetricsType};

  read_facts();
  if (auto read = series_->append(page.body); !read)
    spdlog::warn("scrape: {}", read.error().message());
  page.body += metrics_.text();
  return page;
}

std::optional<observe::Page> Agent::metrics_page_of(const std::string& tenant) {
  observe::Page page{.type = kMetricsType};

  if (!series_->has(tenant)) return std::nullopt;
  if (auto read = series_->append_one(page.body, tenant); !read)
    spdlog::warn("scrape: {}", read.error().message());
  return page;
}

std::optional<observe::Page> Agent::events_page_of(const std::string& tenant) {
  observe::Page page{.type = "application/x-ndjson"};

  if (!series_->has(tenant)) return std::nullopt;
  for (const std::string& line : events_->feed().recent(tenant))
    if (std::string own = observe::own_event(line, tenant); !own.empty())
      page.body += own + "\n";
  return page;
}

std::string Agent::status() {
  using Json = nlohmann::ordered_json;
  std::vector<std::string> problems(
      problems_.begin(), problems_.begin() + static_cast<ptrdiff_t>(std::min(
                                                 problems_.size(), kMostProblemsKept)));
  Json json = {
      {"version", kVersion},
      {"pid", getpid()},
      {"node", options_.node},
      {"started_at", fmt::format("{:%Y-%m-%dT%H:%M:%S}Z",
                                 fmt::gmtime(std::chrono::system_clock::to_time_t(started_)))},
      {"ready", is_ready()},
      {"policy_dir", folder_ ? options_.policy_dir : ""},
      {"policy",
       {{"valid", problems_.empty()},
        {"generation", datapath_->generation()},
        {"problem_count", problems_.size()},
        {"problems", problems}}},
      {"metrics", options_.metrics},
      {"events", options_.events},
      {"syscalls", datapath_->counts_syscalls()            ? "counted"
                   : datapath_->syscalls_refused().empty() ? "off"
                                                           : datapath_->syscalls_refused()},
      {"detached", detached_}};

  if (cluster_) {
    auto facts = cluster_->facts();

    json["kubernetes"] = {
        {"server", cluster_->server()},
        {"synced", cluster_->synced()},
        {"stale", facts.stale},
        {"seconds_since_last_word", static_cast<double>(facts.since_last_word.count()) / 1000},
        {"last_error", facts.last_error},
        {"writes_statuses", facts.leads}};
  }
  if (!trouble_.empty()) json["trouble"] = trouble_;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void Agent::on_stop(const char* signal) {
  spdlog::info(
      "{}: the agent stops; generation {} stays in force and goes on being enforced and "
      "counted. To end enforcement: partywall uninstall",
      signal, datapath_->generation());
  tell_systemd("STOPPING=1");
  if (cluster_)
    cluster_->stop([this] { loop_->stop(); });
  else
    loop_->stop();
}

void Agent::run() {
  auto added = [](Result<void> result) {
    if (!result) spdlog::error("event loop: {}", result.error().message());
  };

  is_running_ = true;
  if (folder_)
    added(loop_->on_readable(folder_->watch_fd(), [this] {
      if (folder_->drain()) reload("the policy folder changed");
    }));
  added(loop_->on_readable(datapath_->membership().poll_fd(), [this] { follow_cgroups(); }));
  if (const kernel::Edges* edges = datapath_->edges()) {
    follow_interfaces();
    added(loop_->on_readable(edges->poll_fd(), [this] { follow_interfaces(); }));
  }
  added(loop_->on_readable(events_->poll_fd(), [this] { events_->drain(); }));
  added(loop_->every(kLookAfterEvery, [this] { look_after(); }));
  added(loop_->on_signal(SIGTERM, [this] { on_stop("SIGTERM"); }));
  added(loop_->on_signal(SIGINT, [this] { on_stop("SIGINT"); }));
  added(loop_->on_signal(SIGHUP, [this] {
    tell_systemd("RELOADING=1");
    reload("SIGHUP");
    if (auto opened = events_->reopen(); !opened)
      spdlog::error("SIGHUP: {}", opened.error().message());
    tell_systemd("READY=1");
  }));

  // What happened while everything was set up.
  if (folder_ && folder_->drain()) reload("the policy folder changed");
  if (cluster_changed_) reload("the cluster changed");
  malloc_trim(0);  // the first load leaves much behind
  spdlog::info("ready: enforcing at {}{}, metrics on {}{}", mount_, options_.cgroup_root,
               options_.metrics.empty() ? "no address" : options_.metrics,
               options_.https.empty() ? "" : ", https on " + options_.https);
  tell_systemd("READY=1\nSTATUS=enforcing");
  loop_->run();
}

}  // namespace partywall

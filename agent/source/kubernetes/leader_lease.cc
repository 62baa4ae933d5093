// agent/source/kubernetes/leader_lease.cc: looks at the Lease, takes it when it is free, keeps
// it.
#include "agent/source/kubernetes/leader_lease.h"

#include <random>

#include "agent/source/kubernetes/conditions.h"
#include "agent/source/kubernetes/json_fields.h"

namespace partywall::kubernetes {
namespace {

using nlohmann::json;

constexpr auto kGiveUpTime = std::chrono::seconds(2);

}  // namespace

LeaderLease::LeaderLease(ApiClient& client, const std::string& space, std::string name,
                         std::string holder, std::function<void(bool)> changed,
                         LeaseTimes times)
    : client_(client),
      space_(space),
      name_(std::move(name)),
      holder_(std::move(holder)),
      changed_(std::move(changed)),
      times_(times),
      next_(client.loop().base(), [this] { leads_ ? write(holder_) : look(); }),
      lost_(client.loop().base(), [this] { set_leads(false); }) {
  next_.after({});
}

void LeaderLease::look() {
  call_ = client_.request(
      {.path =
           fmt::format("/apis/coordination.k8s.io/v1/namespaces/{}/leases/{}", space_, name_),
       .deadline = times_.renew},
      [this](const ApiReply& reply) { take_look(reply); });
}

void LeaderLease::take_look(const ApiReply& reply) {
  json seen = reply.ok() ? json::parse(reply.body, nullptr, false) : json();
  bool absent = reply.failure == ApiReply::Failure::kNone && reply.status == 404;

  call_ = {};
  last_error_ = reply.ok() || absent ? "" : reply.problem();
  if (!absent && key_of(seen).empty()) return next_after(times_.look);
  if (absent) seen = nullptr;
  if (seen != lease_) {
    lease_ = std::move(seen);
    changed_at_ = Clock::now();
  }

  const std::string& holder = text_at(lease_, {"spec", "holderIdentity"});
  std::chrono::milliseconds lasts =
      std::chrono::seconds(number_at(lease_, {"spec", "leaseDurationSeconds"}, 15));

  if (absent || holder.empty() || holder == holder_ || Clock::now() - changed_at_ >= lasts)
    return write(holder_);
  next_after(times_.look);
}

json LeaderLease::spec(const std::string& holder) const {
  const std::string& before = text_at(lease_, {"spec", "holderIdentity"});
  int64_t changes = number_at(lease_, {"spec", "leaseTransitions"});
  std::string now = rfc3339_micros(std::chrono::system_clock::now());
  const std::string& since = text_at(lease_, {"spec", "acquireTime"});

  return {
      {"holderIdentity", holder},
      {"leaseDurationSeconds",
       std::max<int64_t>(1, std::chrono::ceil<std::chrono::seconds>(times_.duration).count())},
      {"renewTime", now},
      {"acquireTime", before == holder && !since.empty() ? since : now},
      {"leaseTransitions", changes + (lease_.is_null() || before == holder ? 0 : 1)}};
}

void LeaderLease::write(const std::string& holder) {
  std::string path = fmt::format("/apis/coordination.k8s.io/v1/namespaces/{}/leases", space_);
  json body{{"apiVersion", "coordination.k8s.io/v1"},
            {"kind", "Lease"},
            {"metadata", {{"name", name_}, {"namespace", space_}}},
            {"spec", spec(holder)}};

  if (!lease_.is_null()) {
    path += "/" + name_;
    body["metadata"]["resourceVersion"] = text_at(lease_, {"metadata", "resourceVersion"});
  }
  asked_at_ = Clock::now();
  call_ = client_.request({.method = lease_.is_null() ? "POST" : "PUT",
                           .path = path,
                           .content_type = "application/json",
                           .body = body.dump(),
                           .deadline = is_over_ ? kGiveUpTime : times_.renew},
                          [this](const ApiReply& reply) { take_write(reply); });
}

void LeaderLease::take_write(const ApiReply& reply) {
  json written = reply.ok() ? json::parse(reply.body, nullptr, false) : json();

  call_ = {};
  if (is_over_) {
    if (auto done = std::exchange(given_up_, {})) done();
    return;
  }
  last_error_ = reply.ok() ? "" : reply.problem();
  if (!key_of(written).empty()) {
    lease_ = std::move(written);
    changed_at_ = Clock::now();
    // Two thirds of the time, from before the server could know of it.
    lost_.after(std::chrono::duration_cast<std::chrono::milliseconds>(
        asked_at_ + times_.duration * 2 / 3 - Clock::now()));
    next_after(times_.renew);
    return set_leads(true);
  }
  // Somebody was faster, or has it by now: look who.
  if (reply.status == 409 || reply.status == 404) {
    set_leads(false);
    next_.after(times_.renew / 5);
    return;
  }
  next_after(leads_ ? times_.renew / 5 : times_.look);
}

void LeaderLease::set_leads(bool leads) {
  if (!leads) lost_.cancel();
  if (leads == leads_) return;
  leads_ = leads;
  changed_(leads);
}

// Never all agents at once.
void LeaderLease::next_after(std::chrono::milliseconds delay) {
  static std::minstd_rand dice{std::random_device{}()};

  next_.after(delay + std::chrono::milliseconds(std::uniform_int_distribution<int64_t>(
                          0, std::max<int64_t>(delay.count() / 4, 1))(dice)));
}

void LeaderLease::give_up(std::function<void()> done) {
  bool held = leads_;

  is_over_ = true;
  next_.cancel();
  call_ = {};
  set_leads(false);
  if (!held) return done();
  given_up_ = std::move(done);
  write("");
}

}  // namespace partywall::kubernetes

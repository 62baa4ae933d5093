// tests/bench/stage.h: a datapath of its own for a benchmark, fed from policy text. Measures
// nothing.
#ifndef PARTYWALL_TESTS_BENCH_STAGE_H
#define PARTYWALL_TESTS_BENCH_STAGE_H

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/kernel/datapath.h"

namespace partywall::bench {

// From now on SIGINT and SIGTERM end the benchmark at the next go_on(), so that it can take its
// stage down.
void end_politely();
// Ends it likewise, for a reason; for code that has no Result to return.
void end_for(std::string_view reason);
// Fails once one of these has happened.
Result<void> go_on();

// Pins and managed root named by the caller; taken down by the destructor, which says on
// standard error what it could not remove.
class Stage {
 public:
  // `name`: of the managed root ("/name") and of the pins. `interfaces`: patterns of workloads'
  // interfaces; none = no edge. Fails like Datapath::open().
  static Result<std::unique_ptr<Stage>> open(const std::string& name, uint32_t max_tenants,
                                             std::vector<std::string> interfaces = {});
  ~Stage();

  // Puts a policy into force, as an operator writes it in one or more files; `$ROOT` stands for
  // the managed root. Fails with the first problem of the text.
  Result<void> apply(const std::vector<std::string>& texts);

  // Makes <managed root>/<cgroup>, which the destructor removes.
  Result<void> make_cgroup(const std::string& cgroup);

  // From now on this process is in <managed root>/<cgroup>; "" = where it came from.
  Result<void> enter(const std::string& cgroup);

  // The verdict programs on and off the managed root and the interfaces. Off, not even an empty
  // hook is left.
  Result<void> attach();
  Result<void> detach();

  kernel::Datapath& datapath() { return *datapath_; }
  std::string path(const std::string& cgroup) const { return mount_ + root_ + "/" + cgroup; }
  // Full path of the managed root.
  std::string root() const { return mount_ + root_; }
  const std::string& pins() const { return pins_; }

 private:
  Stage() = default;

  std::string root_;
  std::string mount_;
  std::string pins_;
  std::string home_;  // the cgroup this process came from
  uint32_t max_tenants_ = 0;
  std::vector<std::string> cgroups_;
  std::unique_ptr<kernel::Datapath> datapath_;
};

}  // namespace partywall::bench

#endif

// tests/bpf/syscalls_test.cc: system calls of this process are counted, each exactly once.
#include <sys/syscall.h>
#include <unistd.h>

#include "maps/syscall_counts.h"
#include "maps/typed_map.h"
#include "tests/bpf/world.h"

namespace partywall::test {
namespace {

constexpr const char* kTier = R"(
apiVersion: partywall.dev/v1alpha1
kind: Tier
metadata: {name: gold}
spec: {}
)";
constexpr const char* kTenant = R"(---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: a}
spec:
  tier: gold
  members: [{cgroup: $ROOT/a, addresses: [10.78.1.0/24]}]
)";

class SyscallsTest : public World {
 protected:
  SyscallsTest() { count_syscalls_ = true; }

  void start() {
    policy(std::string(kTier) + kTenant);
    make_cgroup("a");
    enter("a");
  }

  uint64_t counted(uint32_t number, uint16_t tenant) const {
    auto counts = read_syscall_counts(pins_);
    uint64_t calls = 0;
    int found = 0;

    EXPECT_TRUE(counts) << counts.error().message();
    for (const SyscallCount& count : *counts)
      if (count.key.tenant == tenant && count.key.number == number &&
          count.key.abi == abi::SYSCALL_NATIVE) {
        calls = count.calls;
        found++;
      }
    EXPECT_LE(found, 1);
    return calls;
  }
  uint64_t counted(uint32_t number) const { return counted(number, this->number("a")); }

  static void call(long number, int times) {
    for (int i = 0; i < times; i++) syscall(number);
  }
};

TEST_F(SyscallsTest, CountsEveryCall) {
  start();
  call(SYS_getppid, 1000);
  EXPECT_EQ(1000u, counted(SYS_getppid));
  call(SYS_getppid, 5);
  EXPECT_EQ(1005u, counted(SYS_getppid));
  enter("");
  call(SYS_getppid, 100);  // nobody's
  EXPECT_EQ(1005u, counted(SYS_getppid));
}

TEST_F(SyscallsTest, ASlotThatIsTakenSendsTheRestToTheHash) {
  start();

  auto slots = MappedArray<abi::syscall_slot>::open(pins_, "syscall_slots");
  uint16_t tenant = number("a");

  ASSERT_TRUE(slots);
  for (size_t row = abi::syscall_slot_of(tenant, abi::SYSCALL_NATIVE, SYS_getppid);
       row < slots->rows().size(); row += SYSCALL_SLOTS)
    (*slots)[row] = {.key = {.tenant = 60, .abi = abi::SYSCALL_NATIVE, .number = 7},
                     .calls = 1};
  call(SYS_getppid, 1000);
  EXPECT_EQ(1000u, counted(SYS_getppid));
  EXPECT_EQ(slots->rows().size() / SYSCALL_SLOTS,
            counted(7, 60));  // one on each CPU: untouched
}

TEST_F(SyscallsTest, NumbersThatDoNotExistAreOneKey) {
  start();
  for (long i = 0; i < 300; i++) call(2000 + i, 1);
  call(SYSCALL_NUMBERS - 1, 1);
  EXPECT_EQ(300u, counted(SYSCALL_NUMBERS));
  EXPECT_EQ(1u, counted(SYSCALL_NUMBERS - 1));
}

TEST_F(SyscallsTest, ANumberWithANewOwnerStartsAtNothing) {
  start();
  call(SYS_getppid, 1000);

  uint16_t tenant = number("a");

  policy(kTier);
  policy(kTier);
  EXPECT_EQ(0u, counted(SYS_getppid, tenant));

  std::string text = kTenant;

  text.replace(text.find("name: a}"), 8, "name: b}");
  policy(kTier + text);
  EXPECT_EQ(0u, counted(SYS_getppid, number("b")));
  call(SYS_getppid, 10);
  EXPECT_EQ(10u, counted(SYS_getppid, number("b")));
}

}  // namespace
}  // namespace partywall::test

// tests/vm/hooks_test.cc: LSM and fentry programs work, which some machines refuse. Runs in the
// virtual machines only.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

namespace partywall::test {
namespace {

constexpr int kRefused = 253;  // as tests/vm/hooks.bpf.c has it

// errno of asking for the socket that hooks.bpf.c refuses; 0 when it is given.
int refusal() {
  int fd = socket(AF_INET, SOCK_RAW, kRefused);

  if (fd < 0) return errno;
  close(fd);
  return 0;
}

struct Close {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
  void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};

TEST(HooksTest, TheKernelAsksBpfAmongItsSecurityModules) {
  std::ifstream file("/sys/kernel/security/lsm");
  std::string names;

  ASSERT_TRUE(std::getline(file, names));
  EXPECT_NE(std::string::npos, ("," + names + ",").find(",bpf,")) << names;
}

TEST(HooksTest, AnLsmProgramRefusesAndAnFentryProgramSees) {
  ASSERT_EQ(0, refusal()) << "control: nothing is attached";

  std::unique_ptr<bpf_object, Close> object(
      bpf_object__open_file(std::getenv("PARTYWALL_HOOKS"), nullptr));

  ASSERT_TRUE(object);
  ASSERT_EQ(0, bpf_object__load(object.get()));

  std::unique_ptr<bpf_link, Close> lsm(
      bpf_program__attach(bpf_object__find_program_by_name(object.get(), "refuse_socket")));
  std::unique_ptr<bpf_link, Close> fentry(
      bpf_program__attach(bpf_object__find_program_by_name(object.get(), "count_socket")));

  ASSERT_TRUE(lsm);
  ASSERT_TRUE(fentry);
  for (int i = 0; i < 3; i++) EXPECT_EQ(EPERM, refusal());

  int zero = 0, asked = 0;

  ASSERT_EQ(0, bpf_map_lookup_elem(bpf_object__find_map_fd_by_name(object.get(), ".bss"), &zero,
                                   &asked));
  EXPECT_EQ(3, asked);
  lsm.reset();
  EXPECT_EQ(0, refusal()) << "control: nothing is attached any more";
}

}  // namespace
}  // namespace partywall::test

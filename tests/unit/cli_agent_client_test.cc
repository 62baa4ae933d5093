// tests/unit/cli_agent_client_test.cc: the control socket's client against an agent made of one
// thread.
#include "tools/cli/agent_client.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "maps/fd.h"

namespace partywall::cli {
namespace {

constexpr std::chrono::seconds kPatience(5);

// Answers one request with fixed pieces of text, then closes.
class OneAnswer {
 public:
  explicit OneAnswer(std::vector<std::string> pieces) {
    sockaddr_un address{.sun_family = AF_UNIX};

    path_ = testing::TempDir() + "partywall_client_" + std::to_string(getpid()) + ".sock";
    unlink(path_.c_str());
    path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
    listener_ = Fd(socket(AF_UNIX, SOCK_STREAM, 0));
    EXPECT_EQ(0, bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)));
    EXPECT_EQ(0, listen(listener_.get(), 1));
    thread_ = std::thread([this, pieces = std::move(pieces)] {
      Fd client(accept(listener_.get(), nullptr, nullptr));
      char letter = 0;

      while (read(client.get(), &letter, 1) == 1 && letter != '\n') request_ += letter;
      for (const std::string& piece : pieces)
        if (send(client.get(), piece.data(), piece.size(), MSG_NOSIGNAL) < 0) return;
    });
  }
  ~OneAnswer() {
    if (thread_.joinable()) thread_.join();
    unlink(path_.c_str());
  }

  const std::string& path() const { return path_; }
  std::string request() {
    thread_.join();
    return request_;
  }

 private:
  std::string path_, request_;
  Fd listener_;
  std::thread thread_;
};

TEST(CliAgentClient, HandsOverWholeLines) {
  OneAnswer agent({"{\"a\":1}\n{\"b\"", ":2}\n", "cut off"});
  std::vector<std::string> lines;
  auto asked = ask_agent(agent.path(), {{"verb", "events"}, {"follow", true}}, kPatience,
                         [&](const std::string& line) {
                           lines.push_back(line);
                           return true;
                         });

  EXPECT_TRUE(asked);
  EXPECT_EQ((std::vector<std::string>{"{\"a\":1}", "{\"b\":2}"}), lines);
  EXPECT_EQ("{\"verb\":\"events\",\"follow\":true}", agent.request());
}

TEST(CliAgentClient, StopsWhenTheCallerHasEnough) {
  OneAnswer agent({"1\n2\n3\n"});
  int seen = 0;

  EXPECT_TRUE(ask_agent(agent.path(), {{"verb", "events"}}, kPatience,
                        [&](const std::string&) { return ++seen < 2; }));
  EXPECT_EQ(2, seen);
}

TEST(CliAgentClient, AnErrorIsToldInTheAgentsWords) {
  OneAnswer agent({"{\"error\": \"no verb frobnicate\"}\n"});
  auto asked = ask_agent(agent.path(), {{"verb", "frobnicate"}}, kPatience,
                         [](const std::string&) { return true; });

  ASSERT_FALSE(asked);
  EXPECT_EQ("ask the agent: no verb frobnicate", asked.error().message());
}

TEST(CliAgentClient, AnAbsentAgentIsKnownByItsErrno) {
  std::string path = testing::TempDir() + "partywall_nobody.sock";
  auto ignore = [](const std::string&) { return true; };
  auto asked = ask_agent(path, {{"verb", "status"}}, kPatience, ignore);

  ASSERT_FALSE(asked);
  EXPECT_EQ(ENOENT, asked.error().errno_value());
  asked = ask_agent(std::string(200, 'x'), {{"verb", "status"}}, kPatience, ignore);
  ASSERT_FALSE(asked);
  EXPECT_EQ(0, asked.error().errno_value());
}

}  // namespace
}  // namespace partywall::cli

// tools/probe/orders.cc: files are looked at twice a second; both sides write theirs
// elsewhere and rename it.
#include "tools/probe/orders.h"

#include <cstdio>
#include <fstream>
#include <future>
#include <sstream>
#include <thread>
#include <vector>

#include "tools/probe/attempts.h"
#include "tools/probe/flows.h"

namespace partywall::probe {
namespace {

constexpr auto kLimit = std::chrono::seconds(4);
constexpr auto kFlowLimit = std::chrono::seconds(5);
constexpr auto kLook = std::chrono::milliseconds(500);

using Words = std::vector<std::string>;

Words split(const std::string& line) {
  std::istringstream stream(line);
  Words words;

  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

Result<Address> address_of(const Words& words, size_t at) {
  if (words.size() < at + 2) return Error("words are missing");
  return parse_address(words[at], static_cast<uint16_t>(std::atoi(words[at + 1].c_str())));
}

std::string attempt(const Words& words) {
  auto to = address_of(words, 2);
  if (!to) return to.error().message();
  auto answer = words[1] == "tcp" ? attempt_tcp(*to, kLimit) : attempt_udp(*to, kLimit);

  return answer ? "open " + *answer : answer.error().message();
}

std::string spoof(const Words& words) {
  if (words.size() < 6) return "words are missing";
  auto source = parse_address(words[2], 0);
  auto to = address_of(words, 3);
  if (!source || !to) return "no addresses";
  auto sent = send_spoofed(*source, *to, words[5], words[1] == "frame" ? "eth0" : "");

  return sent ? "sent" : sent.error().message();
}

std::string flow(const Words& words, Flows& flows) {
  auto to = address_of(words, 4);
  if (!to) return to.error().message();
  if (words.size() < 7) return "words are missing";
  flows.start(words[2], words[3], *to, std::chrono::milliseconds(std::atoi(words[6].c_str())),
              kFlowLimit);
  return "started";
}

// Attempts take their time, so each has a thread; the rest is done at once.
std::future<std::string> obey(const Words& words, Servers& servers, Flows& flows) {
  const std::string& verb = words[1];

  if (verb == "tcp" || verb == "udp")
    return std::async(std::launch::async, [words] { return attempt(words); });

  std::string said = "no such order";

  if (verb == "raw" || verb == "frame") said = spoof(words);
  if (verb == "flow") said = flow(words, flows);
  if (verb == "seen" && words.size() > 2) said = servers.has_seen(words[2]) ? "yes" : "no";
  if ((verb == "report" || verb == "end") && words.size() > 2)
    said = flows.report(words[2], verb == "end");
  return std::async(std::launch::deferred, [said] { return said; });
}

void answer(const std::string& folder, const std::string& number, std::istream& orders,
            Servers& servers, Flows& flows) {
  std::vector<std::pair<std::string, std::future<std::string>>> under_way;

  for (std::string line; std::getline(orders, line);)
    if (Words words = split(line); words.size() > 1)
      under_way.emplace_back(words[0], obey(words, servers, flows));
  {
    std::ofstream answers(folder + "/answers.new");

    answers << number << "\n";
    for (auto& [id, said] : under_way) answers << id << " " << said.get() << "\n";
  }
  std::rename((folder + "/answers.new").c_str(), (folder + "/answers").c_str());
}

}  // namespace

void take_orders(const std::string& folder, Servers& servers) {
  Flows flows;
  std::string last;

  for (;;) {
    std::ifstream orders(folder + "/orders");

    if (std::string number; std::getline(orders, number) && number != last) {
      answer(folder, number, orders, servers, flows);
      last = number;
    }
    std::this_thread::sleep_for(kLook);
  }
}

}  // namespace partywall::probe

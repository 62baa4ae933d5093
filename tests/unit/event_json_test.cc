// tests/unit/event_json_test.cc: what an event of the kernel looks like as JSON. No I/O.
#include "agent/observe/event_json.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "maps/abi/endpoints.h"
#include "maps/words.h"

namespace partywall::observe {
namespace {

using Json = nlohmann::json;

constexpr int64_t kBootUnixNs = 1'700'000'000'000'000'000;  // 2023-11-14T22:13:20Z

EventContext context() {
  return {.node = "n1", .realtime_offset_ns = kBootUnixNs, .tenant_name = [](uint32_t number) {
            return number == 3 ? "acme" : number == 4 ? "db" : "";
          }};
}

void set_address(uint8_t (&bytes)[16], uint8_t family, const char* text) {
  std::memset(bytes, 0, sizeof(bytes));
  ASSERT_EQ(1, inet_pton(family, text, bytes)) << text;
}

// acme's TCP packet to db, denied on its way out.
abi::verdict_event denied_packet() {
  abi::verdict_event event{};

  event.time_ns = 5'000'000'042;
  event.cgroup_id = 18'446'744'073'709'551'615u;
  event.lost_total = 7;
  event.peer = 4;
  event.wire_bytes = 1500;
  event.tenant = 3;
  event.protocol = IPPROTO_TCP;
  event.local_port = 40'000;
  event.peer_port = 5432;
  event.reason = abi::REASON_DENY_TENANT;
  event.peer_class = abi::CLASS_OTHER_TENANT;
  event.hook = abi::HOOK_EGRESS;
  event.direction = abi::DIRECTION_EGRESS;
  event.family = AF_INET;
  set_address(event.local_address, AF_INET, "10.1.0.2");
  set_address(event.peer_address, AF_INET, "10.2.0.2");
  return event;
}

// acme's connect() to db.
abi::verdict_event denied_call() {
  abi::verdict_event event = denied_packet();

  event.wire_bytes = 0;
  event.hook = abi::HOOK_CONNECT;
  event.pid = 4711;
  std::strcpy(event.command, "psql");
  return event;
}

Json parsed(const abi::verdict_event& event) {
  return Json::parse(event_json(event, context()));
}

TEST(EventJson, EveryFieldOfAPacketInItsOrder) {
  EXPECT_EQ(
      R"({"schema_version":1,"time":"2023-11-14T22:13:25.000000042Z","node":"n1",)"
      R"("tenant":"acme","verdict":"deny","reason":"tenant_floor","class":"other_tenant",)"
      R"("hook":"egress","direction":"egress","protocol":"TCP","local_address":"10.1.0.2",)"
      R"("local_port":40000,"peer_address":"10.2.0.2","peer_port":5432,"peer_tenant":"db",)"
      R"("cgroup_id":18446744073709551615,"wire_bytes":1500,"lost_total":7})",
      event_json(denied_packet(), context()));
}

TEST(EventJson, ACallHasACallerAndNoBytes) {
  Json event = parsed(denied_call());

  EXPECT_EQ("connect", event["hook"]);
  EXPECT_EQ(4711, event["pid"]);
  EXPECT_EQ("psql", event["command"]);
  EXPECT_FALSE(event.contains("wire_bytes"));
  EXPECT_FALSE(parsed(denied_packet()).contains("pid"));
  EXPECT_FALSE(parsed(denied_packet()).contains("command"));
}

TEST(EventJson, AuditModeWouldDeny) {
  abi::verdict_event event = denied_packet();

  event.would = 1;
  EXPECT_EQ("would_deny", parsed(event)["verdict"]);
}

TEST(EventJson, IcmpHasATypeAndACodeInBothDirections) {
  abi::verdict_event event = denied_packet();

  // The header's first byte stands as the sender's port, the second as the receiver's.
  event.protocol = IPPROTO_ICMP;
  event.local_port = 8;
  event.peer_port = 5;
  Json egress = parsed(event);

  EXPECT_EQ("ICMP", egress["protocol"]);
  EXPECT_EQ(8, egress["icmp_type"]);
  EXPECT_EQ(5, egress["icmp_code"]);
  EXPECT_TRUE(egress["local_port"].is_null());
  EXPECT_TRUE(egress["peer_port"].is_null());

  event.direction = abi::DIRECTION_INGRESS;
  event.hook = abi::HOOK_INGRESS;
  event.protocol = IPPROTO_ICMPV6;
  event.local_port = 0;
  event.peer_port = 129;
  Json ingress = parsed(event);

  EXPECT_EQ("ICMPv6", ingress["protocol"]);
  EXPECT_EQ(129, ingress["icmp_type"]);
  EXPECT_EQ(0, ingress["icmp_code"]);
  EXPECT_FALSE(parsed(denied_packet()).contains("icmp_type"));
}

TEST(EventJson, Ipv6) {
  abi::verdict_event event = denied_packet();

  event.family = AF_INET6;
  set_address(event.local_address, AF_INET6, "fd00:1::2");
  set_address(event.peer_address, AF_INET6, "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255");
  EXPECT_EQ("fd00:1::2", parsed(event)["local_address"]);
  EXPECT_EQ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", parsed(event)["peer_address"]);
}

TEST(EventJson, WhatIsNotKnownIsNull) {
  abi::verdict_event event{};

  event.family = AF_INET;
  event.protocol = 47;
  event.reason = abi::REASON_DENY_UNKNOWN_CGROUP;
  event.peer_class = abi::CLASS_UNKNOWN;
  Json json = parsed(event);

  for (const char* key :
       {"tenant", "local_address", "local_port", "peer_address", "peer_port", "peer_tenant"})
    EXPECT_TRUE(json.at(key).is_null()) << key;
  EXPECT_EQ("47", json["protocol"]);
  EXPECT_EQ("unknown_cgroup", json["reason"]);
  EXPECT_EQ("unknown", json["class"]);
  EXPECT_EQ("2023-11-14T22:13:20.000000000Z", json["time"]);
  EXPECT_EQ(0, json["cgroup_id"]);
  EXPECT_EQ(0, json["lost_total"]);
}

TEST(EventJson, OnlyATenantIsAPeerTenant) {
  abi::verdict_event event = denied_packet();

  for (uint32_t peer : {PEER_WORLD, PEER_ZONE | 4u, PEER_ZONE | PEER_INFRASTRUCTURE | 3u, 5u}) {
    event.peer = peer;
    EXPECT_TRUE(parsed(event)["peer_tenant"].is_null()) << peer;
  }
  event.peer = 3;
  EXPECT_EQ("acme", parsed(event)["peer_tenant"]);
  event.tenant = 9;  // nobody's number
  EXPECT_TRUE(parsed(event)["tenant"].is_null());
}

TEST(EventJson, EveryReasonClassHookAndProtocolHasItsWord) {
  abi::verdict_event event = denied_packet();

  for (unsigned reason = 0; reason < abi::REASON_COUNT; reason++) {
    event.reason = static_cast<uint8_t>(reason);
    EXPECT_EQ(kReasons[reason].label, parsed(event)["reason"]);
  }
  for (unsigned peer = 0; peer < abi::CLASS_COUNT; peer++) {
    event.peer_class = static_cast<uint8_t>(peer);
    EXPECT_EQ(kClasses[peer].label, parsed(event)["class"]);
  }

  constexpr std::array kHooks = {"egress", "ingress",     "connect",     "sendmsg",
                                 "bind",   "edge_egress", "edge_ingress"};

  for (unsigned hook = 0; hook < abi::HOOK_COUNT; hook++) {
    event.hook = static_cast<uint8_t>(hook);
    EXPECT_EQ(kHooks.at(hook), parsed(event)["hook"]);
  }
  event.protocol = IPPROTO_UDP;
  EXPECT_EQ("UDP", parsed(event)["protocol"]);
}

// A ring of another version: what has no word is said to have none, and nothing is read beyond
// a table.
TEST(EventJson, NumbersWithoutAWord) {
  abi::verdict_event event = denied_packet();

  event.reason = abi::REASON_COUNT;
  event.peer_class = 255;
  event.hook = abi::HOOK_COUNT;
  event.direction = 2;
  event.family = 99;
  event.protocol = 65'535;
  Json json = parsed(event);

  for (const char* key : {"reason", "class", "hook", "direction"}) EXPECT_EQ("?", json[key]);
  EXPECT_EQ("65535", json["protocol"]);
}

TEST(EventJson, ACommandIsAnyBytes) {
  abi::verdict_event event = denied_call();

  std::memcpy(event.command, "\xff\xfe\"\\\n\x01\x1b[31m 0123456789", sizeof(event.command));
  std::string line = event_json(event, context());

  EXPECT_EQ(std::string::npos, line.find_first_of("\n\x01\x1b")) << line;
  EXPECT_EQ("\xef\xbf\xbd\xef\xbf\xbd\"\\\n\x01\x1b[31m 0123", Json::parse(line)["command"]);
}

}  // namespace
}  // namespace partywall::observe

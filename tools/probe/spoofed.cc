// tools/probe/spoofed.cc: datagrams with a source address of one's choice, as a container with
// CAP_NET_RAW can send them. Their checksums are right: they are refused for who sends them or
// not at all.
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <sstream>

#include "tools/probe/attempts.h"

namespace partywall::probe {
namespace {

constexpr uint16_t kSourcePort = 40000;
constexpr int kIpv6HeaderIncluded = 36;  // IPV6_HDRINCL, which the C library does not name

uint32_t sum_of(const void* data, size_t size, uint32_t sum = 0) {
  const auto* bytes = static_cast<const uint8_t*>(data);

  for (size_t i = 0; i < size; i++) sum += i % 2 == 0 ? bytes[i] << 8 : bytes[i];
  return sum;
}

uint16_t checksum(uint32_t sum) {
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return htons(static_cast<uint16_t>(~sum));
}

std::string packet_of(const Address& source, const Address& to, const std::string& text) {
  udphdr udp{};
  auto size = static_cast<uint16_t>(sizeof(udp) + text.size());
  size_t width = to.family() == AF_INET ? 4 : 16;
  std::string packet;

  udp.source = htons(kSourcePort);
  udp.dest = reinterpret_cast<const sockaddr_in*>(&to.storage)->sin_port;
  udp.len = htons(size);

  uint32_t sum = sum_of(source.bytes(), width, sum_of(to.bytes(), width, IPPROTO_UDP + size));

  udp.check = checksum(sum_of(text.data(), text.size(), sum_of(&udp, sizeof(udp), sum)));
  if (to.family() == AF_INET) {
    iphdr ip{};

    ip.version = 4;
    ip.ihl = 5;
    ip.ttl = 64;
    ip.protocol = IPPROTO_UDP;
    ip.tot_len = htons(static_cast<uint16_t>(sizeof(ip) + size));
    memcpy(&ip.saddr, source.bytes(), 4);
    memcpy(&ip.daddr, to.bytes(), 4);
    ip.check = checksum(sum_of(&ip, sizeof(ip)));
    packet.append(reinterpret_cast<const char*>(&ip), sizeof(ip));
  } else {
    ip6_hdr ip{};

    ip.ip6_flow = htonl(6U << 28);
    ip.ip6_plen = htons(size);
    ip.ip6_nxt = IPPROTO_UDP;
    ip.ip6_hlim = 64;
    memcpy(&ip.ip6_src, source.bytes(), 16);
    memcpy(&ip.ip6_dst, to.bytes(), 16);
    packet.append(reinterpret_cast<const char*>(&ip), sizeof(ip));
  }
  packet.append(reinterpret_cast<const char*>(&udp), sizeof(udp));
  return packet + text;
}

// The hardware address behind `device`: a pod's interface has one neighbour, the node.
Result<std::array<uint8_t, 6>> neighbour(const std::string& device) {
  std::ifstream table("/proc/net/arp");
  std::string line;

  while (std::getline(table, line)) {
    std::istringstream words(line);
    std::string address, type, flags, hardware, mask, name;
    std::array<uint8_t, 6> found{};

    words >> address >> type >> flags >> hardware >> mask >> name;
    if (name == device &&
        sscanf(hardware.c_str(), "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &found[0], &found[1],
               &found[2], &found[3], &found[4], &found[5]) == 6 &&
        found != std::array<uint8_t, 6>{})
      return found;
  }
  return Error(fmt::format("{}: no neighbour in /proc/net/arp", device));
}

Result<void> sent(int socket, const std::string& packet, const sockaddr* to, socklen_t size) {
  ssize_t written = sendto(socket, packet.data(), packet.size(), 0, to, size);
  int error = errno;

  close(socket);
  if (written < 0) return Error(strerrorname_np(error), error);
  return {};
}

Result<void> send_frame(const Address& to, const std::string& packet,
                        const std::string& device) {
  auto hardware = neighbour(device);
  if (!hardware) return std::move(hardware.error());

  sockaddr_ll link{};
  int socket = ::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return Error(strerrorname_np(errno), errno);

  link.sll_family = AF_PACKET;
  link.sll_protocol = htons(to.family() == AF_INET ? 0x0800 : 0x86dd);
  link.sll_ifindex = static_cast<int>(if_nametoindex(device.c_str()));
  link.sll_halen = 6;
  memcpy(link.sll_addr, hardware->data(), 6);
  return sent(socket, packet, reinterpret_cast<const sockaddr*>(&link), sizeof(link));
}

}  // namespace

Result<void> send_spoofed(const Address& source, const Address& to, const std::string& text,
                          const std::string& device) {
  std::string packet = packet_of(source, to, text);
  int on = 1;

  if (!device.empty()) return send_frame(to, packet, device);

  int socket = ::socket(to.family(), SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
  if (socket < 0) return Error(strerrorname_np(errno), errno);

  Address target = to;

  if (to.family() == AF_INET6) {
    setsockopt(socket, IPPROTO_IPV6, kIpv6HeaderIncluded, &on, sizeof(on));
    // A raw IPv6 socket takes a protocol there, or 0.
    reinterpret_cast<sockaddr_in6*>(&target.storage)->sin6_port = 0;
  }
  return sent(socket, packet, target.get(), target.size);
}

}  // namespace partywall::probe

// agent/kernel/link_watch.cc: rtnetlink through libmnl. Changes nothing.
#include "agent/kernel/link_watch.h"

#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace partywall::kernel {
namespace {

constexpr size_t kBufferBytes = 64 << 10;
constexpr int kReceiveBytes = 4 << 20;  // a burst of new workloads is not to be lost

int on_attribute(const nlattr* attribute, void* data) {
  LinkNews& link = *static_cast<LinkNews*>(data);

  switch (mnl_attr_get_type(attribute)) {
    case IFLA_IFNAME:
      if (mnl_attr_validate(attribute, MNL_TYPE_STRING) >= 0)
        link.name = mnl_attr_get_str(attribute);
      break;
    case IFLA_STATS64: {
      rtnl_link_stats64 stats{};

      if (mnl_attr_get_payload_len(attribute) < offsetof(rtnl_link_stats64, rx_bytes)) break;
      std::memcpy(&stats, mnl_attr_get_payload(attribute),
                  std::min<size_t>(sizeof(stats), mnl_attr_get_payload_len(attribute)));
      link.packets = stats.rx_packets + stats.tx_packets;
      break;
    }
    default:
      break;
  }
  return MNL_CB_OK;
}

int on_message(const nlmsghdr* message, void* data) {
  auto& links = *static_cast<std::vector<LinkNews>*>(data);

  if (message->nlmsg_type != RTM_NEWLINK && message->nlmsg_type != RTM_DELLINK)
    return MNL_CB_OK;

  const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(message));
  LinkNews link{.ifindex = static_cast<uint32_t>(info->ifi_index),
                .name = "",
                .gone = message->nlmsg_type == RTM_DELLINK,
                .has_link_header = info->ifi_type == ARPHRD_ETHER,
                .packets = 0};

  // Of bridges and the like there are also messages about their ports.
  if (info->ifi_family != AF_UNSPEC) return MNL_CB_OK;
  mnl_attr_parse(message, sizeof(*info), on_attribute, &link);
  links.push_back(std::move(link));
  return MNL_CB_OK;
}

}  // namespace

void LinkWatch::Close::operator()(mnl_socket* socket) const { mnl_socket_close(socket); }

Result<LinkWatch> LinkWatch::open() {
  LinkWatch watch;

  watch.events_.reset(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK));
  watch.questions_.reset(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
  if (!watch.events_ || !watch.questions_) return fail_errno(errno, "open netlink");
  setsockopt(mnl_socket_get_fd(watch.events_.get()), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBytes,
             sizeof(kReceiveBytes));
  if (mnl_socket_bind(watch.events_.get(), RTMGRP_LINK, MNL_SOCKET_AUTOPID) < 0 ||
      mnl_socket_bind(watch.questions_.get(), 0, MNL_SOCKET_AUTOPID) < 0)
    return fail_errno(errno, "follow network interfaces");
  return watch;
}

Result<std::vector<LinkNews>> LinkWatch::all() {
  std::array<char, kBufferBytes> buffer;
  std::vector<LinkNews> links;
  nlmsghdr* question = mnl_nlmsg_put_header(buffer.data());
  auto* about = static_cast<rtgenmsg*>(mnl_nlmsg_put_extra_header(question, sizeof(rtgenmsg)));
  unsigned port = mnl_socket_get_portid(questions_.get());

  question->nlmsg_type = RTM_GETLINK;
  question->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  question->nlmsg_seq = 1;
  about->rtgen_family = AF_UNSPEC;
  if (mnl_socket_sendto(questions_.get(), question, question->nlmsg_len) < 0)
    return fail_errno(errno, "ask for network interfaces");
  for (;;) {
    ssize_t got = mnl_socket_recvfrom(questions_.get(), buffer.data(), buffer.size());

    if (got < 0) return fail_errno(errno, "read network interfaces");

    int more = mnl_cb_run(buffer.data(), static_cast<size_t>(got), 1, port, on_message, &links);

    if (more < 0) return fail_errno(errno, "read network interfaces");
    if (more == MNL_CB_STOP) return links;
  }
}

Result<std::vector<LinkNews>> LinkWatch::news() {
  std::array<char, kBufferBytes> buffer;
  std::vector<LinkNews> links;

  for (;;) {
    ssize_t got = mnl_socket_recvfrom(events_.get(), buffer.data(), buffer.size());

    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return links;
    if (got < 0) return fail_errno(errno, "follow network interfaces");
    if (mnl_cb_run(buffer.data(), static_cast<size_t>(got), 0, 0, on_message, &links) < 0)
      return fail_errno(errno, "follow network interfaces");
  }
}

int LinkWatch::poll_fd() const { return mnl_socket_get_fd(events_.get()); }

}  // namespace partywall::kernel

// tests/cluster/pause.c: what keeps the network of a pod of the test cluster: waits until it is told to end.
#include <signal.h>
#include <unistd.h>

static void end(int number) { _exit(number == SIGTERM ? 0 : 1); }

int main(void) {
  signal(SIGTERM, end);
  signal(SIGINT, end);
  // Whoever loses its parent in a shared pid namespace becomes a child of this.
  signal(SIGCHLD, SIG_IGN);
  for (;;) pause();
}
